//! Calls and notifications: their form, their outcomes, and what is repeated.

use std::time::Duration;

use steadfast_core::dialect::jsonrpc::{Class, IdForm, Input, LoginCall, LoginRequest};
use steadfast_core::event::{SessionEvent, SessionState};
use steadfast_core::io::CallId;

use crate::script::{CALL_TIMEOUT, IN_FLIGHT_MAX, Script, settings};

/// What else a client does before a call.
type Send = fn(&mut Script);

/// The texts of all notices.
fn notices(script: &Script) -> Vec<&str> {
    let events = script.events.iter();
    events
        .filter_map(|event| {
            if let SessionEvent::Notice { text } = event {
                Some(text.as_str())
            } else {
                None
            }
        })
        .collect()
}

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
fn a_peer_that_sends_requests_and_reads_nothing_gets_a_limited_number_of_responses() {
    let mut script = Script::connected();
    script.report_send_buffer(1);
    for _ in 0..100 {
        script.receive(r#"{"id":"p","method":"client.version"}"#);
    }
    assert_eq!(script.take_sent().len(), 64);
    assert_eq!(notices(&script).len(), 1);

    script.report_send_buffer(0);
    script.receive(r#"{"id":"p","method":"client.version"}"#);
    assert_eq!(script.take_sent().len(), 1);
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
    assert_eq!(
        notices(&script),
        ["an error without an id: Parse error (error -32700)"]
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
fn an_error_without_an_id_that_may_be_about_something_else_ends_no_call() {
    let parse_error = r#"{"id":null,"error":{"code":-32700,"message":"Parse error"}}"#;
    let others: [Send; 4] = [
        |script| {
            let id = CallId(script.call("withdrawn", "", Class::Write));
            script.handle(Input::CallWithdrawn { id });
        },
        |script| {
            script.call("timed out", "", Class::Write);
            for _ in 0..60 {
                script.advance(Duration::from_secs(1));
                script.receive_pong();
            }
            script.take_results();
        },
        |script| script.notify("log"),
        |script| script.receive(r#"{"id":"p","method":"client.version"}"#),
    ];
    for other in others {
        let mut script = Script::connected();
        other(&mut script);
        script.call("write", "", Class::Write);
        script.receive(parse_error);
        assert_eq!(script.take_results(), [""; 0]);
        assert_eq!(notices(&script).len(), 1);
    }
    // The response to a later request shows that the peer had no complaint about the notification.
    let mut script = Script::connected();
    script.notify("log");
    script.call("a", "", Class::Write);
    script.receive(r#"{"id":2,"result":1}"#);
    script.call("b", "", Class::Write);
    script.receive(parse_error);
    assert_eq!(script.take_results().len(), 2);
}

#[test]
fn at_its_deadline_a_call_with_an_effect_may_have_been_executed_if_it_was_sent() {
    for (class, is_sent, maybe_executed) in [
        (Class::Read, true, false),
        (Class::Idempotent, true, true),
        (Class::Write, true, true),
        (Class::Idempotent, false, false),
        (Class::Write, false, false),
    ] {
        let mut script = Script::new(settings());
        if is_sent {
            script.dial();
        }
        script.call("a", "", class);
        for _ in 0..=CALL_TIMEOUT.as_secs() {
            script.advance(Duration::from_secs(1));
            script.receive_pong();
        }
        let expected = format!("1: TimedOut {{ maybe_executed: {maybe_executed} }}");
        assert_eq!(script.take_results(), [expected], "{class:?}");
    }
    // The session ends while the call is in flight.
    let mut script = Script::connected();
    script.call("set", "", Class::Idempotent);
    let drain = Duration::ZERO;
    script.handle(Input::CloseRequested { drain });
    script.advance(Duration::from_mins(1));
    assert_eq!(
        script.take_results(),
        ["1: Interrupted { maybe_executed: true }"]
    );
}

/// The server closes the connection during the handshake because of a message; that says nothing about later calls.
#[test]
fn the_reason_of_one_loss_is_not_that_of_the_next() {
    let login = LoginCall::new(|_| LoginRequest {
        method: "login".to_owned(),
        params: "[]".into(),
    });
    let mut script = Script::new(settings().login(login));
    script.dial();
    script.lose_with(1009);
    script.redial();
    script.receive(r#"{"id":2,"result":true}"#);
    script.call("read", "", Class::Read);
    script.take_sent();

    // Nothing is received any more.
    while script.snapshot().state == SessionState::Connected {
        script.advance(Duration::from_secs(1));
    }
    assert!(script.take_results().is_empty());
    script.redial();
    script.receive(r#"{"id":4,"result":true}"#);

    let sent = script.take_sent();
    assert!(sent.iter().any(|it| it.contains("read")), "{sent:?}");
}

#[test]
fn a_notice_is_short_whatever_the_peer_sends() {
    let mut script = Script::connected();
    let long = "\u{e9}".repeat(10_000);
    script.receive(&format!(r#"{{"id":"{long}","result":1}}"#));

    let lengths: Vec<usize> = notices(&script).iter().map(|text| text.len()).collect();
    assert!(lengths.len() == 1 && lengths[0] <= 256, "{lengths:?}");
}

#[test]
fn params_may_be_surrounded_by_white_space() {
    let mut script = Script::connected();
    script.call("a", " [1]\n", Class::Write);
    assert_eq!(script.take_sent().len(), 1);
    script.call("b", " ", Class::Write);
    assert!(script.take_sent().is_empty());
    assert!(script.take_results()[0].starts_with("2: Unsendable"));
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
