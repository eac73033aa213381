//! Messages of the server above the limit of the client.

use std::time::Duration;

use steadfast_core::dialect::jsonrpc::{
    Class, Feed, Input, LoginCall, LoginRequest, SubscriptionEvent,
};
use steadfast_core::event::{SessionEvent, SessionState};
use steadfast_core::io::CallId;

use crate::script::{Script, settings};

fn notices(script: &Script) -> usize {
    let events = script.events.iter();
    events
        .filter(|event| matches!(event, SessionEvent::Notice { .. }))
        .count()
}

#[test]
fn a_result_above_the_limit_fails_its_call_only_and_the_call_is_not_repeated() {
    let mut script = Script::connected();
    for method in ["a", "b", "c"] {
        script.call(method, "", Class::Read);
    }
    script.take_sent();

    script.receive_oversized(r#"{"jsonrpc":"2.0","result":[{"id":1},{"id":3}],"id":"2"}"#);
    script.receive(r#"{"id":1,"result":1}"#);

    assert_eq!(
        script.take_results(),
        ["2: ResultTooLarge { bytes: 55 }", "1: 1"]
    );
    assert_eq!(script.snapshot().state, SessionState::Connected);
    script.lose();
    script.redial();
    let sent = script.take_sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].contains(r#""method":"c""#), "{sent:?}");
}

#[test]
fn a_message_above_the_limit_without_an_id_is_a_gap_and_calls_end_at_their_deadlines() {
    for text in [
        r#"{"method":"items","params":[1,2,3]}"#,
        r#"{"method":"items","id":1,"params":[1,2,3]}"#,
        r#"[{"id":1,"result":1}]"#,
        r#"{"result":[1,2,3]}"#,
    ] {
        let mut script = Script::connected();
        script.subscribe(Feed::notifications("items"));
        script.call("a", "", Class::Write);

        script.receive_oversized(text);

        assert_eq!(notices(&script), 1);
        assert!(script.results.is_empty());
        assert!(matches!(
            script.items.as_slice(),
            [
                SubscriptionEvent::Subscribed { .. },
                SubscriptionEvent::Gap { .. }
            ]
        ));
        for _ in 0..60 {
            script.advance(Duration::from_secs(1));
            script.receive_pong();
        }
        let results = script.take_results();
        assert_eq!(results, ["2: TimedOut { maybe_executed: true }"]);
    }
}

#[test]
fn a_response_to_a_call_that_was_withdrawn_has_no_effect() {
    let mut script = Script::connected();
    script.subscribe(Feed::notifications("items"));
    let id = CallId(script.call("a", "", Class::Read));
    script.handle(Input::CallWithdrawn { id });
    script.receive_oversized(r#"{"id":1,"result":[1,2,3]}"#);

    assert_eq!(notices(&script), 0);
    assert_eq!(script.items.len(), 1);
}

#[test]
fn gaps_of_discarded_messages_count_in_the_buffer() {
    let mut script = Script::connected();
    script.subscribe_with(Feed::notifications("items"), 4);
    for _ in 0..10 {
        script.receive_oversized(r#"{"method":"items"}"#);
    }

    assert_eq!(script.items.len(), 5);
}

#[test]
fn a_login_whose_response_is_above_the_limit_is_rejected() {
    let login = LoginCall::new(|_| LoginRequest {
        method: "login".to_owned(),
        params: "[]".into(),
    });
    let mut script = Script::new(settings().login(login));
    script.dial();
    script.receive_oversized(r#"{"id":1,"result":[1,2,3]}"#);

    assert_ne!(script.snapshot().state, SessionState::Connected);
    let is_reported = script.events.iter().any(|event| {
        let text = format!("{event:?}");
        text.contains("the response to the login has 25 bytes")
    });
    assert!(is_reported, "{:?}", script.events);
}
