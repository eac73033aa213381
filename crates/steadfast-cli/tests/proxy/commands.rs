//! Every command with its aliases: the requests that it sends, what it prints, and its exit code.

use crate::recorder::Recorder;
use crate::server::{Printed, Server, run};

/// Runs a command, and checks what it prints on standard output and what it sends.
fn check(recorder: &Recorder, line: &str, stdout: &str, requests: &[&str]) {
    let printed = run(&recorder.url, line);

    assert_eq!(printed.code, Some(0), "{line}: {printed:?}");
    assert_eq!(printed.stdout, stdout, "{line}");
    assert_eq!(recorder.requests(), requests, "{line}");
}

#[test]
fn a_session_sends_and_prints_what_toxiproxy_cli_does() {
    let server = Server::start(&[]);
    let recorder = Recorder::start(server.address);
    let check =
        |line: &str, stdout: &str, requests: &[&str]| check(&recorder, line, stdout, requests);

    check("list", "", &["GET /proxies"]);
    check(
        "create -l 127.0.0.1:0 -u 127.0.0.1:1 a",
        "Created new proxy a\n",
        &[
            r#"POST /proxies {"enabled":true,"listen":"127.0.0.1:0","name":"a","upstream":"127.0.0.1:1"}"#,
        ],
    );
    check(
        "toggle a",
        "Proxy a is now disabled\n",
        &["GET /proxies/a", &toggle(&server, "a", false)],
    );
    check(
        "toxic add -t latency -a latency=100 -a jitter=50 a",
        "Added downstream latency toxic 'latency_downstream' on proxy 'a'\n",
        &[
            "GET /proxies/a",
            r#"POST /proxies/a/toxics {"attributes":{"jitter":50,"latency":100},"stream":"downstream","type":"latency"}"#,
        ],
    );
    check(
        "toxic update -n latency_downstream -a jitter=25 a",
        "Updated toxic 'latency_downstream' on proxy 'a'\n",
        &[
            "GET /proxies/a",
            // Without a toxicity: that of the toxic stays.
            r#"PATCH /proxies/a/toxics/latency_downstream {"attributes":{"jitter":25}}"#,
        ],
    );
    check(
        "toxic update -n latency_downstream -tox 0.5 a",
        "Updated toxic 'latency_downstream' on proxy 'a'\n",
        &[
            "GET /proxies/a",
            r#"PATCH /proxies/a/toxics/latency_downstream {"toxicity":0.5}"#,
        ],
    );
    check(
        "inspect a",
        "latency_downstream\ttype=latency\tstream=downstream\ttoxicity=0.50\tattributes=[\tjitter=25\tlatency=100\t]\n",
        &["GET /proxies/a"],
    );
    let listen = server_listen(&server, "a");
    check(
        "list",
        &format!("a\t{listen}\t127.0.0.1:1\tdisabled\t1\n"),
        &["GET /proxies"],
    );
    check(
        "toxic remove -n latency_downstream a",
        "Removed toxic 'latency_downstream' on proxy 'a'\n",
        &[
            "GET /proxies/a",
            "DELETE /proxies/a/toxics/latency_downstream",
        ],
    );
    check(
        "delete a",
        "Deleted proxy a\n",
        &["GET /proxies/a", "DELETE /proxies/a"],
    );
}

#[test]
fn every_alias_is_its_command() {
    let server = Server::start(&[]);
    let url = server.url();
    let ok = |line: &str| {
        let printed = run(&url, line);
        assert_eq!(printed.code, Some(0), "{line}: {printed:?}");
        printed.stdout
    };

    for alias in ["c", "new"] {
        let line = format!("{alias} {alias} -l 127.0.0.1:0 -u 127.0.0.1:1");
        assert_eq!(ok(&line), format!("Created new proxy {alias}\n"));
    }
    for alias in ["l", "li", "ls"] {
        assert!(ok(alias).starts_with("c\t127.0.0.1:"), "{alias}");
    }
    for (alias, expected) in [
        ("toxic a", "Added upstream noop toxic 'a' on proxy 'c'\n"),
        ("t a", "Added upstream noop toxic 'b' on proxy 'c'\n"),
        ("t add", "Added upstream noop toxic 'd' on proxy 'c'\n"),
    ] {
        let name = expected.split('\'').nth(1).unwrap();
        let line = format!("{alias} c --type noop --toxicName {name} --upstream");
        assert_eq!(ok(&line), expected);
    }
    for alias in ["i", "ins"] {
        assert_eq!(ok(&format!("{alias} c")).lines().count(), 3);
    }
    assert_eq!(
        ok("t u c -n a --toxicity 0"),
        "Updated toxic 'a' on proxy 'c'\n"
    );
    for (alias, name) in [("r", "a"), ("delete", "b"), ("d", "d")] {
        let expected = format!("Removed toxic '{name}' on proxy 'c'\n");
        assert_eq!(ok(&format!("toxic {alias} c -n {name}")), expected);
    }
    assert_eq!(ok("tog c"), "Proxy c is now disabled\n");
    assert_eq!(ok("tog c"), "Proxy c is now enabled\n");
    assert_eq!(ok("d c"), "Deleted proxy c\n");
}

/// Commands that the server rejects, with what the text of the error contains.
const REJECTED: [(&str, &str); 9] = [
    (
        "inspect b",
        "error: Failed to retrieve proxy b: HTTP 404: proxy not found\n",
    ),
    (
        "toggle b",
        "error: Failed to retrieve proxy b: HTTP 404: proxy not found\n",
    ),
    (
        "delete b",
        "error: Failed to retrieve proxy b: HTTP 404: proxy not found\n",
    ),
    (
        "create a -l 127.0.0.1:0 -u 127.0.0.1:1",
        "error: Failed to create proxy: HTTP 409: proxy already exists\n",
    ),
    (
        "toxic add a -t lag",
        "error: Failed to add toxic: HTTP 400: invalid toxic type\n",
    ),
    (
        "toxic add b -t noop",
        "error: Failed to add toxic: HTTP 404: proxy not found\n",
    ),
    (
        "toxic update a -n x",
        "error: Failed to update toxic: HTTP 404: toxic not found\n",
    ),
    (
        "toxic remove a -n x",
        "error: Failed to remove toxic: HTTP 404: toxic not found\n",
    ),
    (
        "toxic add a -t latency -a latency=soon",
        "HTTP 400: bad request body: attribute \"latency\" must be an integer, in milliseconds\n",
    ),
];

/// Command lines that are not sent, with what the text of the error contains.
const INVALID: [(&str, &str); 6] = [
    ("toxic add a -t noop -tox 2", "must be a number from 0 to 1"),
    ("toxic add a -t noop -a latency", "must be KEY=VALUE"),
    ("toxic add a -t noop -u -d", "cannot be used with"),
    ("create a -l 127.0.0.1:0", "--upstream"),
    ("list --host ftp://a", "it must begin with http://"),
    ("list --host http://a/b", "it must have no path"),
];

#[test]
fn a_failure_is_reported_with_its_reason_and_code() {
    let server = Server::start(&[]);
    let url = server.url();
    let created = run(&url, "create a -l 127.0.0.1:0 -u 127.0.0.1:1");
    assert_eq!(created.code, Some(0), "{created:?}");

    let rejected = REJECTED.map(|(line, text)| (line, 1, text));
    let invalid = INVALID.map(|(line, text)| (line, 2, text));
    for (line, code, text) in rejected.into_iter().chain(invalid) {
        let printed = run(&url, line);
        assert_eq!(printed.code, Some(code), "{line}: {printed:?}");
        assert!(printed.stderr.contains(text), "{line}: {printed:?}");
        assert_eq!(printed.stdout, "", "{line}");
    }
    // Port 1 of loopback is not in use.
    let Printed { code, stderr, .. } = run("http://127.0.0.1:1", "list");
    assert_eq!(code, Some(1));
    let start = "error: Failed to retrieve proxies: no response from http://127.0.0.1:1: ";
    assert!(stderr.starts_with(start), "{stderr}");
    assert!(stderr.contains("steadfast proxy serve"), "{stderr}");
}

/// The request of a toggle: the whole proxy, as the server has returned it.
fn toggle(server: &Server, name: &str, is_enabled: bool) -> String {
    let listen = server_listen(server, name);
    format!(
        r#"POST /proxies/{name} {{"enabled":{is_enabled},"listen":"{listen}","name":"{name}","upstream":"127.0.0.1:1"}}"#
    )
}

fn server_listen(server: &Server, name: &str) -> String {
    let list = run(&server.url(), "list").stdout;
    let mut rows = list
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let row = rows.find(|row| row[0] == name).unwrap();
    row[1].to_owned()
}
