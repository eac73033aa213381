//! Requests to a service with an effect log, over a kill: by the driver of the documents and by an adapter, and what the
//! lab finds if the service or the driver is wrong.

use anyhow::Result;

use steadfast_e2e::lab_run::LabRun;

use crate::{documented_driver, driver, fixture, run};

/// What holds for every correct service and client; a kill leaves at least one outcome unknown.
const CHECKS: &str = r#"
[[check]]
id = "executed-once"
that = "requests.executed_twice == 0"

[[check]]
id = "ok-executed"
that = "requests.ok_not_executed == 0"

[[check]]
id = "not-sent-not-executed"
that = "requests.not_sent_executed == 0"

[[check]]
id = "nothing-unexpected"
that = "requests.unexpected == 0"

[[check]]
id = "unknown-by-the-kill-only"
that = "requests.unknown > 0 and requests.unknown == requests.unknown{step=kill}"

[[check]]
id = "most-requests-ok"
that = "requests.ok / requests.sent >= 50%"

[[check]]
id = "both-latencies"
that = "latency.service count > 0 and latency.total count == latency.service count"
"#;

#[test]
fn the_driver_of_the_documents_reports_what_happened_to_each_request() {
    let outcome = shop("documented", &documented_driver().unwrap(), "").unwrap();

    assert_eq!(outcome.verdict(), "PASS", "{}", outcome.all());
}

#[test]
fn a_service_that_executes_twice_is_found() {
    let outcome = shop("twice", &documented_driver().unwrap(), "twice").unwrap();

    assert_eq!(outcome.verdict(), "FAIL", "{}", outcome.all());
    assert_eq!(outcome.failed(), ["executed-once"], "{}", outcome.all());
}

/// It takes the end of the connection for the proof that nothing was executed.
#[test]
fn a_driver_that_calls_lost_requests_not_sent_is_found() {
    let correct = documented_driver().unwrap();
    let wrong = correct.replace("\"kind\": \"lost\"", "\"kind\": \"rejected\"");
    assert_ne!(correct, wrong);

    let outcome = shop("not-sent", &wrong, "").unwrap();

    assert_eq!(outcome.verdict(), "FAIL", "{}", outcome.all());
    let failed = outcome.failed();
    assert!(
        failed.contains(&"not-sent-not-executed"),
        "{}",
        outcome.all()
    );
}

#[test]
fn the_adapter_for_http_keeps_its_connection_and_reports_how_it_ended() {
    let outcome = run(
        "polling",
        &format!(
            r#"{}
[load.orders]
driver = "http-poll"
clients = 4
to = "shop"
send = {{ every = "100ms", timeout = "1s", op = "POST /orders" }}
guarantee = "at-most-once"
{KILL}{CHECKS}
[[check]]
id = "reconnected"
that = "clients.affected == 4 and clients.reconnected == 4 and connect.again max <= 2s"

[[check]]
id = "detected-at-once"
that = "recovery.detect{{step=kill}} max <= 1s and disconnects.by_fin + disconnects.by_rst == disconnects.total"
"#,
            service("")
        ),
    );

    let outcome = outcome.unwrap();
    assert_eq!(outcome.verdict(), "PASS", "{}", outcome.all());
}

const KILL: &str = r#"
[[step]]
id = "kill"
at = "500ms"
do = "proc.kill"
on = "shop"
then = { start_after = "300ms" }
"#;

fn service(option: &str) -> String {
    let program = fixture("shop.py");
    format!(
        r#"
[service.shop]
cmd = "python3"
args = ["{program}", "${{self.port.client}}", "${{self.data}}/effects.jsonl", "{option}"]
ports = {{ client = "auto" }}
url = "http://${{self.address}}:${{self.port.client}}"
effects = "${{self.data}}/effects.jsonl"
"#
    )
}

/// Orders by this driver, while the shop is killed once.
fn shop(name: &str, text: &str, option: &str) -> Result<LabRun> {
    let driver = driver(name, text)?;
    let load = format!(
        r#"
[load.orders]
driver = "exec"
cmd = "python3"
args = ["{}"]
clients = 4
to = "shop"
send = {{ every = "100ms", timeout = "1s", op = "order" }}
guarantee = "at-most-once"
"#,
        driver.display()
    );
    run(name, &format!("{}{load}{KILL}{CHECKS}", service(option)))
}
