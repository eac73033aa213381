//! Which field the JSON codec uses if a message has several of those that determine its kind.

use bytes::Bytes;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::error::{DecodeError, JsonErrorKind};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Command, Reply, Request};

/// The methods of a command in the order of the protocol's fields.
const METHODS: [(&str, &str); 12] = [
    ("connect", r#"{"name":"n"}"#),
    ("subscribe", r#"{"channel":"a"}"#),
    ("unsubscribe", r#"{"channel":"a"}"#),
    ("publish", r#"{"channel":"a","data":1}"#),
    ("presence", r#"{"channel":"a"}"#),
    ("presence_stats", r#"{"channel":"a"}"#),
    ("history", r#"{"channel":"a","limit":1}"#),
    ("ping", "{}"),
    ("send", r#"{"data":1}"#),
    ("rpc", r#"{"method":"m","data":1}"#),
    ("refresh", r#"{"token":"t"}"#),
    ("sub_refresh", r#"{"channel":"a","token":"t"}"#),
];

/// An error and the results of a reply in the order of the protocol's fields.
const OUTCOMES: [(&str, &str); 12] = [
    ("error", r#"{"code":100}"#),
    ("connect", r#"{"client":"c"}"#),
    ("subscribe", r#"{"offset":1}"#),
    ("unsubscribe", "{}"),
    ("publish", "{}"),
    ("presence", r#"{"presence":{"c":{}}}"#),
    ("presence_stats", r#"{"num_clients":1}"#),
    ("history", r#"{"offset":1}"#),
    ("ping", "{}"),
    ("rpc", r#"{"data":1}"#),
    ("refresh", r#"{"client":"c"}"#),
    ("sub_refresh", r#"{"ttl":1}"#),
];

/// The kinds of a push in the order of the protocol's fields.
const EVENTS: [(&str, &str); 9] = [
    ("pub", r#"{"data":1,"offset":1}"#),
    ("join", r#"{"info":{"user":"u"}}"#),
    ("leave", r#"{"info":{"user":"u"}}"#),
    ("unsubscribe", r#"{"code":2500}"#),
    ("message", r#"{"data":1}"#),
    ("subscribe", r#"{"offset":1}"#),
    ("connect", r#"{"client":"c"}"#),
    ("disconnect", r#"{"code":3000}"#),
    ("refresh", r#"{"ttl":1}"#),
];

#[test]
fn the_first_method_in_the_order_of_the_protocol_is_used_whatever_the_order_of_the_text() {
    for [one, both, reversed] in pairs(&METHODS) {
        for text in [both, reversed] {
            assert_eq!(command(&text), command(&one), "{text}");
        }
        assert!(matches!(command(&one)[..], [Ok(_)]), "{one}");
    }
}

#[test]
fn the_first_result_in_the_order_of_the_protocol_is_used_unless_there_is_an_error() {
    for [one, both, reversed] in pairs(&OUTCOMES) {
        for text in [both, reversed] {
            assert_eq!(reply(&text), reply(&one), "{text}");
        }
        assert!(matches!(reply(&one)[..], [Ok(_)]), "{one}");
    }
}

#[test]
fn the_first_kind_of_push_in_the_order_of_the_protocol_is_used() {
    for texts in pairs(&EVENTS) {
        let [one, both, reversed] = texts.map(|fields| format!(r#"{{"push":{fields}}}"#));
        for text in [both, reversed] {
            assert_eq!(reply(&text), reply(&one), "{text}");
        }
        assert!(matches!(reply(&one)[..], [Ok(Reply::Push(_))]), "{one}");
    }
}

#[test]
fn without_an_id_only_a_send_command_or_a_push_is_used() {
    for (method, arguments) in METHODS {
        let send = r#"{"data":2}"#;
        let text = format!(r#"{{"{method}":{arguments},"send":{send},"id":0}}"#);
        if method != "send" {
            let command = command(&text);
            assert!(
                matches!(&command[..], [Ok(Command { id: 0, request: Request::Send(it) })] if it.data == "2"),
                "{text}: {command:?}"
            );
        }
    }
    for (outcome, body) in OUTCOMES {
        let text = format!(r#"{{"{outcome}":{body},"push":{{"message":{{}}}},"id":0}}"#);
        assert!(matches!(reply(&text)[..], [Ok(Reply::Push(_))]), "{text}");
        let text = format!(r#"{{"{outcome}":{body},"id":0}}"#);
        assert_eq!(reply(&text), [Ok(Reply::Ping)], "{text}");
    }
}

#[test]
fn a_field_that_is_not_used_must_be_valid_and_must_not_be_repeated() {
    for (field, body) in METHODS {
        for second in [r#""ping":1"#, &format!(r#""{field}":null"#)] {
            let decoded = command(&format!(r#"{{"id":1,"{field}":{body},{second}}}"#));
            assert!(is_invalid_field(&decoded), "{field}, {second}: {decoded:?}");
        }
    }
    for (field, body) in OUTCOMES {
        for second in [r#""push":1"#, &format!(r#""{field}":null"#)] {
            let decoded = reply(&format!(r#"{{"id":1,"{field}":{body},{second}}}"#));
            assert!(is_invalid_field(&decoded), "{field}, {second}: {decoded:?}");
        }
    }
    for (field, body) in EVENTS {
        for second in [r#""refresh":1"#, &format!(r#""{field}":null"#)] {
            let decoded = reply(&format!(r#"{{"push":{{"{field}":{body},{second}}}}}"#));
            assert!(is_invalid_field(&decoded), "{field}, {second}: {decoded:?}");
        }
    }
}

#[test]
fn a_field_that_is_null_is_not_used() {
    let fields = [(&METHODS[..], false), (&OUTCOMES[..], true)];
    for (fields, are_replies) in fields {
        let decoded = |text: &str| {
            if are_replies {
                format!("{:?}", reply(text))
            } else {
                format!("{:?}", command(text))
            }
        };
        for (index, (field, body)) in fields.iter().enumerate() {
            for (other, _) in fields.iter().take(index) {
                let text = format!(r#"{{"id":1,"{other}":null,"{field}":{body}}}"#);
                let alone = format!(r#"{{"id":1,"{field}":{body}}}"#);
                assert_eq!(decoded(&text), decoded(&alone), "{text}");
            }
        }
    }
}

/// For two of these fields: an object with the first field only, and objects with both in either order.
fn pairs(fields: &[(&str, &str)]) -> Vec<[String; 3]> {
    let mut pairs = Vec::new();
    for (index, (first, first_body)) in fields.iter().enumerate() {
        for (second, second_body) in fields.iter().skip(index + 1) {
            let first = format!(r#""{first}":{first_body}"#);
            let second = format!(r#""{second}":{second_body}"#);
            pairs.push([
                format!(r#"{{"id":1,{first}}}"#),
                format!(r#"{{"id":1,{first},{second}}}"#),
                format!(r#"{{"id":1,{second},{first}}}"#),
            ]);
        }
    }
    pairs
}

fn is_invalid_field<T>(decoded: &[Result<T, DecodeError>]) -> bool {
    matches!(
        decoded,
        [Err(DecodeError::Malformed {
            kind: JsonErrorKind::Field,
            ..
        } | DecodeError::InvalidCommand {
            kind: JsonErrorKind::Field,
            ..
        })]
    )
}

fn command(text: &str) -> Vec<Result<Command, DecodeError>> {
    let message = Bytes::copy_from_slice(text.as_bytes());
    Encoding::Json
        .decode_commands(&message, &Limits::DEFAULT)
        .collect()
}

fn reply(text: &str) -> Vec<Result<Reply, DecodeError>> {
    let message = Bytes::copy_from_slice(text.as_bytes());
    Encoding::Json
        .decode_replies(&message, &Limits::DEFAULT)
        .collect()
}
