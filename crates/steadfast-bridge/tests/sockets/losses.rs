//! What programs receive when the server loses connections, restarts or forgets the session.

use serde_json::{Value, json};

use super::lab::{Lab, Nas};
use super::program::Program;

const CREATE: &str = "pool.dataset.create";

fn dataset(name: &str) -> Value {
    json!([{"name": format!("tank/{name}")}])
}

fn outcome(reply: &Value) -> (i64, &str, bool) {
    let error = &reply["error"];
    (
        error["code"].as_i64().unwrap_or_default(),
        error["data"]["outcome"].as_str().unwrap_or_default(),
        error["data"]["maybe_executed"]
            .as_bool()
            .unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_write_whose_reply_is_lost_is_sent_once_and_may_have_been_executed() {
    let lab = Lab::start().await;
    let mut program = lab.program().await;
    program.until(|it| it["state"] == "connected").await;
    lab.nas.control(&format!("lose-reply/{CREATE}")).await;

    let reply = program.call(CREATE, &dataset("a")).await;

    assert_eq!(outcome(&reply), (-32_051, "interrupted", true));
    let again = program
        .call("pool.dataset.query", &json!([[["id", "=", "tank/a"]]]))
        .await;
    assert_eq!(again["result"][0]["id"], "tank/a");
    assert_eq!(lab.nas.journal(CREATE).await.len(), 1);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_read_whose_reply_is_lost_is_repeated_and_no_program_notices() {
    let lab = Lab::start().await;
    let mut program = lab.program().await;
    program.until(|it| it["state"] == "connected").await;
    lab.nas.control("lose-reply/pool.query").await;

    let reply = program.call("pool.query", &json!([])).await;

    assert_eq!(reply["result"][0]["name"], "tank");
    assert_eq!(lab.nas.journal("pool.query").await.len(), 2);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_call_in_flight_at_its_time_limit_may_have_been_executed_unless_it_only_reads() {
    let lab = Lab::start().await;
    let mut program = lab.program().await;
    program.until(|it| it["state"] == "connected").await;
    lab.nas.control("hold-calls").await;
    for (method, maybe_executed) in [(CREATE, true), ("system.info", false)] {
        let params = dataset("a");
        let request = json!({
            "jsonrpc": "2.0",
            "id": method,
            "method": method,
            "params": params,
            "timeout_seconds": 0.2,
        });
        program.write(&format!("{request}\n")).await;

        let reply = program.next().await.unwrap();

        assert_eq!(outcome(&reply), (-32_052, "timed_out", maybe_executed));
    }
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn calls_in_flight_when_the_server_is_killed_are_interrupted_and_later_ones_wait_for_it() {
    let mut lab = Lab::start().await;
    let mut program = lab.program().await;
    program.until(|it| it["state"] == "connected").await;
    lab.nas.control("hold-calls").await;
    let before = program.send(CREATE, &dataset("before")).await;
    program.until(|it| it["in_flight"] == 1).await;

    let address = lab.kill_nas().await;
    let reply = program.response(before).await;
    let after = program.send(CREATE, &dataset("after")).await;
    program.until(|it| it["queued"] == 1).await;
    let nas = Nas::start_at(address).await;

    assert_eq!(outcome(&reply), (-32_051, "interrupted", true));
    assert_eq!(program.response(after).await["result"]["id"], "tank/after");
    assert_eq!(nas.journal(CREATE).await.len(), 1);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_session_that_expires_is_renewed_and_no_program_notices() {
    let lab = Lab::start().await;
    let mut program = lab.program().await;
    program.call("pool.query", &json!([])).await;
    lab.nas.control("expire-sessions").await;

    let mut replies = Vec::new();
    for name in ["a", "b"] {
        replies.push(program.call(CREATE, &dataset(name)).await["result"]["id"].clone());
    }

    assert_eq!(replies, ["tank/a", "tank/b"]);
    assert_eq!(lab.nas.logins().await, [1, 1]);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_subscription_that_is_rejected_because_the_session_has_expired_begins_after_a_login() {
    let lab = Lab::start().await;
    let mut program = lab.program().await;
    program.call("pool.query", &json!([])).await;
    lab.nas.control("expire-sessions").await;

    let name = json!(["pool.dataset.query"]);
    let subscription = program.call("core.subscribe", &name).await;
    program.send(CREATE, &dataset("a")).await;

    assert!(subscription["result"].is_string(), "{subscription}");
    let event = program.notification("collection_update").await;
    assert_eq!(event["id"], "tank/a");
    assert_eq!(lab.nas.logins().await, [1, 1]);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_subscription_can_end_and_begin_again_in_one_turn() {
    let lab = Lab::start().await;
    let mut program = lab.program().await;
    let name = json!(["pool.dataset.query"]);
    let mut subscription = program.call("core.subscribe", &name).await["result"].clone();

    for _ in 0..5 {
        // Both are one write, so that the bridge handles them together.
        let request = |id: &str, method: &str, params: &Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let end = request("end", "core.unsubscribe", &json!([subscription]));
        let begin = request("begin", "core.subscribe", &name);
        program.write(&format!("{end}\n{begin}\n")).await;
        let replies = [program.next().await.unwrap(), program.next().await.unwrap()];
        assert_eq!(
            (&replies[0]["id"], &replies[1]["id"]),
            (&json!("end"), &json!("begin"))
        );
        subscription = replies[1]["result"].clone();
        assert!(subscription.is_string(), "{}", replies[1]);
    }
    program.send(CREATE, &dataset("a")).await;

    let event = program.notification("collection_update").await;
    assert_eq!(event["id"], "tank/a");
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn events_reach_all_subscribers_and_a_restart_of_the_server_is_a_gap() {
    let lab = Lab::start().await;
    let (mut a, mut b) = (lab.program().await, lab.program().await);
    for program in [&mut a, &mut b] {
        let id = program
            .call("core.subscribe", &json!(["pool.dataset.query"]))
            .await;
        assert!(id["result"].is_string(), "{id}");
    }
    a.call(CREATE, &dataset("first")).await;
    assert_eq!(
        b.notification("collection_update").await["id"],
        "tank/first"
    );

    lab.nas.control("restart").await;
    for program in [&mut a, &mut b] {
        let gap = program.notification("bridge.gap").await;
        assert_eq!(gap["collection"], "pool.dataset.query");
    }
    a.call(CREATE, &dataset("second")).await;
    assert_eq!(
        b.notification("collection_update").await["id"],
        "tank/second"
    );

    assert_eq!(lab.nas.journal("core.subscribe").await.len(), 2);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn ten_restarts_with_two_programs_cost_one_login_each_and_every_write_has_a_true_outcome() {
    let lab = Lab::start().await;
    let (mut a, mut b) = (lab.program().await, lab.program().await);
    for round in 0..10 {
        a.until(|it| it["state"] == "connected" && it["reconnects"] == round)
            .await;
        let sent = [
            create(&mut a, &format!("a{round}")).await,
            create(&mut b, &format!("b{round}")).await,
        ];
        lab.nas.control("restart").await;
        let replies = [a.response(sent[0]).await, b.response(sent[1]).await];

        let journal = lab.nas.journal(CREATE).await;
        for (reply, name) in replies.iter().zip(["a", "b"]) {
            let params = dataset(&format!("{name}{round}"));
            let is_executed = |it: &&Value| it["params"] == params && it["state"] == "executed";
            let executions = journal.iter().filter(is_executed).count();
            check(reply, executions);
        }
    }
    a.until(|it| it["reconnects"] == 10).await;

    let expected: Vec<u64> = (1..=11).collect();
    assert_eq!(lab.nas.logins().await, expected);
    lab.stop().await.unwrap();
}

async fn create(program: &mut Program, name: &str) -> u64 {
    program.send(CREATE, &dataset(name)).await
}

/// The outcome is true: a result was executed, what was not sent was not, and nothing was executed twice.
fn check(reply: &Value, executions: usize) {
    let expected = if reply["error"].is_null() {
        1..=1
    } else {
        let (_, _, maybe_executed) = outcome(reply);
        0..=usize::from(maybe_executed)
    };
    assert!(expected.contains(&executions), "{executions}: {reply}");
}
