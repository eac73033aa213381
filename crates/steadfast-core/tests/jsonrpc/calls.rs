//! Calls and notifications: their form, their outcomes, and what is repeated.

use std::time::Duration;

use steadfast_core::dialect::jsonrpc::{Class, IdForm};
use steadfast_core::event::SessionEvent;

use crate::script::{IN_FLIGHT_MAX, Script, settings};

#[test]
fn a_call_has_the_result_of_the_response_with_its_id_in_any_form() {
    for form in ["1", "\"1\"", "1.0"] {
        let mut script = Script::connected();
        script.call("pool.query", "[1]", Class::Read);
        assert_eq!(
            script.take_sent(),
            [r#"{"jsonrpc":"2.0","id":1,"method":"pool.query","params":[1]}"#]
        );

        script.receive(&format!(
            r#"{{"jsonrpc":"2.0","id":{form},"result":{{"a":1}}}}"#
        ));

        assert_eq!(script.take_results(), [r#"1: {"a":1}"#]);
    }
}

#[test]
fn responses_in_another_order_belong_to_their_calls() {
    let mut script = Script::connected();
    for method in ["a", "b", "c"] {
        script.call(method, "", Class::Read);
    }

    script.receive(r#"{"id":3,"result":"c"}"#);
    script
        .receive(r#"[{"id":1,"result":"a"},{"id":2,"error":{"code":-32601,"message":"unknown"}}]"#);

    let results = script.take_results();
    assert_eq!(results[..2], [r#"3: "c""#, r#"1: "a""#]);
    assert!(
        results[2].starts_with("2: Rejected(ErrorObject { code: -32601"),
        "{results:?}"
    );
}

#[test]
fn an_error_without_an_id_ends_the_only_call_in_flight_and_otherwise_none() {
    let parse_error =
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#;
    let mut script = Script::connected();
    script.call("a", "", Class::Write);
    script.receive(parse_error);
    assert!(script.take_results()[0].starts_with("1: Rejected(ErrorObject { code: -32700"));

    script.call("b", "", Class::Write);
    script.call("c", "", Class::Write);
    script.receive(parse_error);

    assert!(script.take_results().is_empty());
    let notice = script.events.iter().find_map(|event| {
        if let SessionEvent::Notice { text } = event {
            Some(text.as_str())
        } else {
            None
        }
    });
    assert_eq!(
        notice,
        Some("an error without an id: Parse error (error -32700)")
    );
    for _ in 0..120 {
        script.advance(Duration::from_secs(1));
        script.receive_pong();
    }
    assert_eq!(
        script.take_results(),
        [
            "2: TimedOut { maybe_executed: true }",
            "3: TimedOut { maybe_executed: true }"
        ]
    );
}

#[test]
fn after_a_loss_a_write_is_not_repeated_and_others_are() {
    let mut script = Script::connected();
    script.call("write", "", Class::Write);
    script.call("read", "", Class::Read);
    script.call("set", "", Class::Idempotent);
    script.lose();
    assert_eq!(
        script.take_results(),
        ["1: Interrupted { maybe_executed: true }"]
    );
    script.call("later", "", Class::Write);

    script.redial();

    let sent = script.take_sent().join("\n");
    let methods = ["read", "set", "later"].map(|it| sent.contains(&format!("\"{it}\"")));
    assert_eq!(methods, [true; 3], "{sent}");
    assert!(!sent.contains("\"write\""), "{sent}");
}

/// R13, and a request that the peer punishes with the end of the connection.
#[test]
fn a_call_that_ends_its_connection_is_not_repeated() {
    for code in [1003, 1007, 1009] {
        let mut script = Script::connected();
        script.call("read", "", Class::Read);
        script.lose_with(code);
        assert_eq!(
            script.take_results(),
            ["1: Interrupted { maybe_executed: true }"],
            "{code}"
        );
        script.redial();
        assert!(script.take_sent().is_empty());
    }
    let mut script = Script::connected();
    script.call("read", "", Class::Read);
    script.lose_with(1001);
    assert!(script.take_results().is_empty());
}

#[test]
fn a_call_that_three_connections_did_not_survive_is_given_up() {
    let mut script = Script::connected();
    script.call("crash", "", Class::Read);
    for _ in 0..2 {
        script.lose();
        assert!(script.take_results().is_empty());
        script.redial();
        assert_eq!(script.take_sent().len(), 1);
    }

    script.lose();

    assert_eq!(
        script.take_results(),
        ["1: Interrupted { maybe_executed: true }"]
    );
}

#[test]
fn more_calls_than_may_be_in_flight_wait_in_order() {
    let mut script = Script::connected();
    for number in 0..IN_FLIGHT_MAX + 2 {
        script.call(&format!("m{number}"), "", Class::Read);
    }
    assert_eq!(script.take_sent().len(), IN_FLIGHT_MAX);

    script.receive(r#"{"id":2,"result":1}"#);
    let sent = script.take_sent();
    assert!(sent.len() == 1 && sent[0].contains("\"m4\""), "{sent:?}");
    script.lose();
    script.redial();
    assert_eq!(script.take_sent().len(), IN_FLIGHT_MAX);
}

#[test]
fn a_call_above_the_limit_of_the_server_fails_alone() {
    let mut script = Script::connected();
    let fits = format!("[\"{}\"]", "a".repeat(138));
    let exceeds = format!("[\"{}\"]", "a".repeat(160));
    script.call("m", &fits, Class::Write);
    script.call("m", &exceeds, Class::Write);
    script.call("m", "1", Class::Write);

    let results = script.take_results();
    assert!(
        results[0].starts_with("2: Unsendable(TooLarge"),
        "{results:?}"
    );
    assert!(
        results[1].starts_with("3: Unsendable(Unserializable"),
        "{results:?}"
    );
    let sent = script.take_sent();
    assert!(sent.len() == 1 && sent[0].len() <= 200, "{sent:?}");
}

#[test]
fn calls_share_a_batch_only_if_the_server_accepts_batches() {
    let mut script = Script::new(settings().batch_max(2).id_form(IdForm::String));
    for method in ["a", "b", "c"] {
        script.call(method, "", Class::Read);
    }
    script.dial();

    assert_eq!(
        script.take_sent(),
        [
            r#"[{"jsonrpc":"2.0","id":"1","method":"a"},{"jsonrpc":"2.0","id":"2","method":"b"}]"#,
            r#"{"jsonrpc":"2.0","id":"3","method":"c"}"#
        ]
    );
}

#[test]
fn notifications_have_no_id_and_requests_of_the_peer_are_rejected() {
    let mut script = Script::connected();
    script.notify("log");
    assert_eq!(script.take_sent(), [r#"{"jsonrpc":"2.0","method":"log"}"#]);
    assert_eq!(script.messages, 1);

    script.receive(r#"{"jsonrpc":"2.0","id":"p-1","method":"client.version"}"#);

    let rejected =
        r#"{"jsonrpc":"2.0","id":"p-1","error":{"code":-32601,"message":"Method not found"}}"#;
    assert_eq!(script.take_sent(), [rejected]);
}

#[test]
fn what_is_no_json_rpc_ends_the_connection() {
    let mut script = Script::connected();
    script.call("a", "", Class::Read);
    script.receive("<html>");
    let is_lost = script
        .events
        .iter()
        .any(|event| matches!(event, SessionEvent::Lost { .. }));
    assert!(is_lost, "{:?}", script.events);
    assert!(script.take_results().is_empty());
}
