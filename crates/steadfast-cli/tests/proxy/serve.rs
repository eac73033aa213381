//! How `proxy serve` starts, and how it reports a configuration that cannot be used.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::server::{Printed, Server, program, run};

/// Starts a server that must fail.
fn fails(arguments: &[&str]) -> Printed {
    let output = program().args(["proxy", "serve"]).args(arguments).output();
    Printed::of(output.unwrap())
}

fn fails_with_config(text: &str) -> Printed {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("proxies.json");
    fs::write(&path, text).unwrap();
    fails(&["--port", "0", "--config", path.to_str().unwrap()])
}

#[test]
fn the_proxies_of_a_file_are_created_with_their_toxics() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("proxies.json");
    let text = r#"[
        {"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1",
         "toxics": [{"type": "latency", "attributes": {"latency": 5}}]},
        {"name": "b", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "enabled": false}
    ]"#;
    fs::write(&path, text).unwrap();

    let server = Server::start(&["--config", path.to_str().unwrap(), "--seed", "9"]);

    assert_eq!(
        (&server.banner["proxies"], &server.banner["seed"]),
        (&2.into(), &9.into())
    );
    let list = run(&server.url(), "list").stdout;
    let columns: Vec<Vec<&str>> = list
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(columns[0][3..], ["enabled", "1"]);
    assert_eq!(columns[1][3..], ["disabled", "0"]);
}

#[test]
fn a_file_that_is_invalid_is_an_error_with_its_line_and_what_to_do() {
    let proxy = r#""name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1""#;
    for (text, line, texts) in [
        (
            "[\n  {\"name\" 1}\n]".to_owned(),
            2,
            ["invalid JSON", "POST /populate"],
        ),
        (
            "name = 1\n".to_owned(),
            1,
            ["invalid JSON", "JSON array of proxies"],
        ),
        ("{}".to_owned(), 1, ["expected an array", "{}"]),
        (
            "[\n {\"upstream\": \"x:1\"}]".to_owned(),
            2,
            ["the proxy has no `name`", "^"],
        ),
        (
            format!("[{{{proxy},\n \"toxics\": [{{\"type\": \"latncy\"}}]}}]"),
            2,
            ["unknown type of toxic `latncy`", "did you mean `latency`?"],
        ),
        (
            format!(
                "[{{{proxy}, \"toxics\": [{{\"type\": \"latency\",\n \"attributes\": {{\"latncy\": 5}}}}]}}]"
            ),
            2,
            [
                "latency has no attribute `latncy`",
                "did you mean `latency`?",
            ],
        ),
        (
            format!(
                "[{{{proxy}, \"toxics\": [{{\"type\": \"latency\", \"attributes\":\n {{\"latency\": \"5 s\"}}}}]}}]"
            ),
            2,
            ["must be an integer, in milliseconds", "\"5 s\""],
        ),
        (
            format!("[{{{proxy},\n \"enable\": false}}]"),
            2,
            ["unknown key `enable`", "did you mean `enabled`?"],
        ),
        (
            format!(
                "[{{{proxy}}},\n {{{proxy}, \"toxics\": [{{\"type\": \"noop\", \"stream\": \"up\"}}]}}]"
            ),
            2,
            ["unknown stream `up`", "upstream, downstream, both"],
        ),
    ] {
        let Printed {
            code,
            stderr,
            stdout,
        } = fails_with_config(&text);

        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{text}: {stderr}");
        assert!(
            stderr.contains(&format!("proxies.json:{line}:")),
            "{text}: {stderr}"
        );
        for part in texts {
            assert!(stderr.contains(part), "{part}: {stderr}");
        }
    }
}

#[test]
fn a_port_in_use_has_its_exit_code_whether_of_the_api_or_of_a_proxy() {
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = occupied.local_addr().unwrap();

    let api = fails(&["--host", "127.0.0.1", "--port", &address.port().to_string()]);
    let proxy = fails_with_config(&format!(
        "[{{\"name\": \"a\",\n\"listen\": \"{address}\", \"upstream\": \"127.0.0.1:1\"}}]"
    ));

    assert_eq!(api.code, Some(3), "{api:?}");
    assert!(
        api.stderr.contains("another process is listening there"),
        "{api:?}"
    );
    assert!(api.stderr.contains("--port 8475"), "{api:?}");
    assert_eq!(proxy.code, Some(3), "{proxy:?}");
    assert!(proxy.stderr.contains("proxies.json:1:"), "{proxy:?}");
    assert!(proxy.stderr.contains(&address.to_string()), "{proxy:?}");
}

#[test]
fn other_invalid_settings_are_errors() {
    let missing = fails(&["--port", "0", "--config", "/nowhere/proxies.json"]);
    let host = fails(&["--host", "host.invalid", "--port", "0"]);
    let looped = fails_with_config(
        "[{\"name\": \"a\", \"listen\": \"127.0.0.1:23456\", \"upstream\": \"localhost:23456\"}]",
    );

    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(
        missing.stderr.contains("/nowhere/proxies.json"),
        "{missing:?}"
    );
    assert_eq!(host.code, Some(2), "{host:?}");
    assert!(host.stderr.contains("host.invalid"), "{host:?}");
    assert_eq!(looped.code, Some(2), "{looped:?}");
    assert!(looped.stderr.contains("is the proxy itself"), "{looped:?}");
    assert!(!Path::new("/nowhere").exists());
}
