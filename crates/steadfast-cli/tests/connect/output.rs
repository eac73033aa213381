//! What `steadfast connect` prints: results on standard output, as text and as JSON.

use std::io::{BufRead as _, BufReader};

use serde_json::{Value, json};

use crate::gateway::{Gateway, code, stderr, stdout, steadfast};

#[test]
fn it_exits_cleanly_when_stdout_is_closed() {
    let gateway = Gateway::start();
    let mut listener = gateway.connect(&["--subscribe", "a"]);
    let mut lines = BufReader::new(listener.stdout.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("subscribed") {
        assert_ne!(lines.read_line(&mut seen).unwrap(), 0, "{seen}");
    }
    drop(lines);

    let published = gateway.connect(&["--publish", "a", "1"]).wait().unwrap();

    assert_eq!(published.code(), Some(0));
    assert_eq!(listener.wait().unwrap().code(), Some(0));
}

#[test]
fn payloads_are_stored_and_shown_as_they_were_typed() {
    let gateway = Gateway::start();
    let typed = [
        "12345678901234567890123",
        "[1e400,1.50]",
        r#""half \ud83d""#,
        r#"{"k":1,"k":2}"#,
    ];
    let mut listener = gateway.connect(&["--json", "--subscribe", "a"]);
    let mut lines = BufReader::new(listener.stdout.take().unwrap()).lines();
    let subscribed = lines.next().unwrap().unwrap();
    assert!(
        subscribed.contains(r#""event":"subscribed""#),
        "{subscribed}"
    );

    for data in typed {
        let published = gateway.connect(&["--publish", "a", data]).wait().unwrap();
        assert_eq!(published.code(), Some(0), "{data}");
    }

    for data in typed {
        let shown = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains(r#""event":"publication""#))
            .unwrap();
        assert!(shown.contains(&format!(r#""data":{data},"#)), "{shown}");
    }
    listener.kill().unwrap();
    listener.wait().unwrap();
}

#[test]
fn the_result_of_a_publication_is_on_standard_output() {
    let gateway = Gateway::start();

    let text = gateway.run(&["--publish", "lobby", r#"{"text": "x"}"#]);
    let json = gateway.run(&["--publish", "lobby", "-1", "--json"]);

    assert_eq!(stdout(&text), "acknowledged at offset 1 of lobby\n");
    let mut result: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(result["epoch"].take().is_string());
    assert_eq!(
        result,
        json!({"event": "acknowledged", "channel": "lobby", "offset": 2, "epoch": null, "duplicate": false})
    );
}

#[test]
fn a_message_that_begins_like_json_and_is_not_is_rejected_before_anything_is_connected() {
    for (message, place) in [
        (r#"{"text": "x""#, "line 1 column 12"),
        ("[1,", "line 1 column 3"),
        ("\"a", "line 1 column 2"),
    ] {
        let arguments = ["connect", "host.invalid", "--publish", "lobby", message];
        let output = steadfast(&arguments);
        let with_json = steadfast(&[&arguments[..], &["--json"]].concat());

        let text = stderr(&output);
        assert_eq!(code(&output), Some(2), "{text}");
        assert!(text.contains("not valid JSON: EOF while parsing"), "{text}");
        assert!(text.contains(place), "{text}");
        assert!(text.contains(r#"quote it: '"hello"'"#), "{text}");
        assert_eq!(stdout(&output), "");
        let failure: Value = serde_json::from_slice(&with_json.stdout).unwrap();
        assert_eq!(failure["event"], "failed");
        assert!(
            failure["reason"].as_str().unwrap().contains(place),
            "{failure}"
        );
    }
}

#[test]
fn text_is_published_as_a_json_string_and_the_command_says_so() {
    let gateway = Gateway::start();

    let published = gateway.run(&["--publish", "lobby", "hello there"]);
    let history = gateway.run_with_input(&["--json"], "/history lobby\n/publish a 1\n");

    assert_eq!(code(&published), Some(0));
    assert!(stderr(&published).contains("published as the string \"hello there\""));
    assert!(
        stdout(&history).contains(r#""data":"hello there""#),
        "{}",
        stdout(&history)
    );
}

#[test]
fn the_history_shows_the_newest_20_publications_oldest_first() {
    let gateway = Gateway::start();
    let publications = "/publish lobby 1\n".repeat(23);

    let published = gateway.run_with_input(&[], &publications);
    let shown = gateway.run_with_input(&["--json"], "/history lobby\n/publish a 1\n");

    assert_eq!(code(&published), Some(0));
    let text = stdout(&shown);
    let mut events = text.lines().map(|it| serde_json::from_str(it).unwrap());
    let history: Value = events.find(|it: &Value| it["event"] == "history").unwrap();
    let shown = history["publications"].as_array().unwrap().iter();
    assert!(
        shown.map(|it| it["offset"].as_u64().unwrap()).eq(4..=23),
        "{text}"
    );
}

#[test]
fn a_publication_that_cannot_be_sent_fails_with_the_reason_in_both_forms() {
    let gateway = Gateway::start();
    let channel = "c".repeat(300);

    let text = gateway.run(&["--publish", &channel, "1"]);
    let json = gateway.run(&["--publish", &channel, "1", "--json"]);

    assert_eq!((code(&text), code(&json)), (Some(1), Some(1)));
    let reason = "not sent: the name has 300 bytes, above the limit of 255 bytes";
    assert!(stderr(&text).contains(reason), "{}", stderr(&text));
    let failure: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(failure["event"], "failed");
    assert!(
        failure["reason"].as_str().unwrap().contains(reason),
        "{failure}"
    );
}

#[test]
fn an_invalid_channel_is_rejected_before_anything_is_connected() {
    for arguments in [["--subscribe", ""].as_slice(), &["--publish", "", "1"]] {
        let output = steadfast(&[&["connect", "host.invalid"], arguments].concat());

        assert_eq!(code(&output), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("lobby"), "{}", stderr(&output));
    }
}
