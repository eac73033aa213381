//! URLs without a gateway: each error names host and port, and what to change.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::gateway::{Gateway, code, free_port, program, stderr, steadfast};

#[test]
fn a_script_fails_after_one_attempt_with_host_port_and_what_to_change() {
    let gateway = Gateway::start();
    let of_gateway = gateway.url().replace("ws://", "");
    let free = free_port();
    for (url, parts) in [
        (
            format!("ws://127.0.0.1:{free}"),
            vec![
                format!("TCP connection to 127.0.0.1:{free} failed"),
                format!("steadfast serve --port {free}"),
            ],
        ),
        (
            "127.0.0.1".to_owned(),
            vec![
                "TCP connection to 127.0.0.1:80 failed".to_owned(),
                "port 8000 by default: ws://127.0.0.1:8000".to_owned(),
            ],
        ),
        (
            format!("wss://{of_gateway}"),
            vec!["does not speak TLS on this port: use ws://".to_owned()],
        ),
        (
            format!("https://{of_gateway}"),
            vec!["does not speak TLS on this port: use ws://".to_owned()],
        ),
        (
            format!("ws://{of_gateway}/socket?token=secret"),
            vec![
                "the server has no /socket (HTTP status 404)".to_owned(),
                "the path of a gateway is /connection/websocket".to_owned(),
            ],
        ),
    ] {
        let output = steadfast(&["connect", &url, "--subscribe", "lobby"]);

        let text = stderr(&output);
        assert_eq!(code(&output), Some(1), "{text}");
        for part in parts {
            assert!(text.contains(&part), "{text}");
        }
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn a_failed_connection_is_an_object_with_json() {
    let address = format!("127.0.0.1:{}", free_port());
    let output = steadfast(&[
        "connect",
        &format!("ws://{address}"),
        "--publish",
        "a",
        "1",
        "--json",
    ]);

    let failure: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(code(&output), Some(1));
    assert_eq!(failure["event"], "failed");
    let reason = failure["reason"].as_str().unwrap();
    assert!(
        reason.contains(&format!("TCP connection to {address} failed")),
        "{reason}"
    );
}

#[test]
fn with_wait_a_script_retries_until_the_gateway_listens() {
    let port = free_port();
    let mut client = program()
        .args(["connect", &format!("ws://127.0.0.1:{port}"), "--wait", "60"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut messages = BufReader::new(client.stderr.take().unwrap()).lines();
    let mut expect = |part: &str| {
        let found = messages
            .by_ref()
            .map(Result::unwrap)
            .any(|line| line.contains(part));
        assert!(found, "{part}");
    };
    expect("; next attempt in ");

    let _gateway = Gateway::start_on(port);

    expect("connected");
    kill_process(Pid::from_child(&client), Signal::TERM).unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(0));
}

#[test]
fn with_wait_a_script_fails_once_the_time_is_over() {
    let url = format!("ws://127.0.0.1:{}", free_port());

    let output = steadfast(&["connect", &url, "--wait", "1"]);

    assert_eq!(code(&output), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("error: cannot connect to "));
}
