//! A server that no longer knows the client: a login over the open connection, and what is sent again after it.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::Renewal;
use steadfast_core::dialect::jsonrpc::{
    CallError, Class, ErrorObject, Feed, Input, LoginCall, LoginRequest, SubscriptionEvent,
};
use steadfast_core::event::{DisconnectCause, LoginErrorKind, SessionEvent, SessionPhase};

use crate::login_steps::TwoSteps;
use crate::script::{Script, settings};

/// The error of the server, for the request with this id.
fn expired(id: u32) -> String {
    format!(r#"{{"id":{id},"error":{{"code":401,"message":"log in"}}}}"#)
}

const fn is_unauthenticated(error: &ErrorObject) -> bool {
    error.code == 401
}

/// A session that is logged in with the request 1.
fn logged_in() -> Script {
    let login = TwoSteps::new(Renewal::OtherConnection);
    let settings = settings().login(login).unauthenticated(is_unauthenticated);
    let mut script = Script::new(settings);
    script.dial();
    script.receive(r#"{"id":1,"result":true}"#);
    script.take_sent();
    script
}

fn count(script: &Script, is: impl Fn(&SessionEvent) -> bool) -> usize {
    script.events.iter().filter(|event| is(event)).count()
}

#[test]
fn any_number_of_rejected_calls_causes_one_login_and_they_are_sent_again_in_order() {
    let mut script = logged_in();
    for n in 0..3 {
        script.call(&format!("m{n}"), "", Class::Write);
    }
    script.take_sent();

    script.receive(&expired(2));
    script.receive(&expired(4));
    script.receive(&expired(3));
    let login = script.take_sent();
    assert_eq!(script.snapshot().phase, SessionPhase::LoggingIn);
    script.receive(r#"{"id":5,"result":true}"#);

    assert_eq!(login.len(), 1, "{login:?}");
    assert!(login[0].contains(r#""id":5,"method":"hello","params":[2]"#));
    let again = script.take_sent();
    assert_eq!(
        again,
        [
            r#"{"jsonrpc":"2.0","id":6,"method":"m0"}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"m1"}"#,
            r#"{"jsonrpc":"2.0","id":8,"method":"m2"}"#
        ]
    );
    for id in 6..9 {
        script.receive(&format!(r#"{{"id":{id},"result":{id}}}"#));
    }
    assert_eq!(script.take_results(), ["1: 6", "2: 7", "3: 8"]);
    let is_expired = |event: &SessionEvent| matches!(event, SessionEvent::LoginExpired { .. });
    let is_logged_in = |event: &SessionEvent| matches!(event, SessionEvent::LoggedIn { .. });
    assert_eq!(count(&script, is_expired), 1);
    assert_eq!(count(&script, is_logged_in), 1);
    assert_eq!(script.snapshot().phase, SessionPhase::Ready);
    assert_eq!(script.snapshot().epoch.0, 1, "the same connection");
}

#[test]
fn new_calls_wait_for_the_login_and_others_in_flight_keep_waiting_for_their_responses() {
    let mut script = logged_in();
    script.call("in_flight", "", Class::Write);
    script.call("rejected", "", Class::Write);
    script.receive(&expired(3));
    script.take_sent();

    script.call("new", "", Class::Write);
    assert!(script.take_sent().is_empty(), "it waits");
    script.receive(r#"{"id":2,"result":"first"}"#);
    assert_eq!(script.take_results(), ["1: \"first\""]);
    script.receive(r#"{"id":4,"result":true}"#);

    let sent = script.take_sent().join("\n");
    let (rejected, new) = (sent.find("rejected"), sent.find("new"));
    assert!(rejected.is_some() && rejected < new, "{sent}");
}

#[test]
fn a_rejection_that_arrives_after_the_login_causes_no_further_one() {
    let mut script = logged_in();
    script.call("a", "", Class::Write);
    script.call("b", "", Class::Write);
    script.receive(&expired(2));
    script.receive(r#"{"id":4,"result":true}"#);
    script.take_sent();

    script.receive(&expired(3));

    let sent = script.take_sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].contains("\"b\""), "{sent:?}");
}

#[test]
fn a_call_that_is_rejected_for_this_reason_each_time_gets_the_error() {
    let mut script = logged_in();
    script.call("a", "", Class::Write);
    for (rejected, login, other) in [(2, 3, 5), (4, 6, 8)] {
        script.receive(&expired(rejected));
        script.receive(&format!(r#"{{"id":{login},"result":true}}"#));
        // The server executes another call, so that the login was of use.
        script.call("b", "", Class::Read);
        script.receive(&format!(r#"{{"id":{other},"result":true}}"#));
    }
    script.receive(&expired(7));

    let results = script.take_results();
    let error = "1: Rejected(ErrorObject { code: 401, message: \"log in\", data_bytes: None })";
    assert!(results.contains(&error.to_owned()), "{results:?}");
}

#[test]
fn a_login_that_changes_nothing_ends_the_connection_with_backoff() {
    let mut script = logged_in();
    script.call("a", "", Class::Write);
    script.receive(&expired(2));
    script.receive(r#"{"id":3,"result":true}"#);
    script.receive(&expired(4));
    script.receive(r#"{"id":5,"result":true}"#);
    script.call("b", "", Class::Write);
    let before = script.snapshot().epoch;
    assert_eq!(before.0, 1);

    script.receive(&expired(6));
    script.receive(&expired(7));

    assert!(script.waits().is_some(), "it waits for the next attempt");
    let lost = |event: &SessionEvent| {
        matches!(
            event,
            SessionEvent::Lost {
                cause: DisconnectCause::LoginFailed {
                    kind: LoginErrorKind::Other,
                    ..
                },
                ..
            }
        )
    };
    assert_eq!(count(&script, lost), 1);
}

#[test]
fn a_login_that_fails_over_the_open_connection_is_followed_by_a_fresh_one() {
    let is_busy = r#"{"id":3,"error":{"code":-32001,"message":"busy"}}"#;
    for (response, wait) in [
        (Some(is_busy), Duration::from_secs(30)),
        (None, Duration::ZERO),
    ] {
        let mut script = logged_in();
        script.call("a", "", Class::Write);
        script.receive(&expired(2));
        match response {
            Some(response) => script.receive(response),
            None => script.advance_with_pongs(Duration::from_secs(10)),
        }
        let waits = script.waits().expect("it tries again");
        assert!(waits >= wait);

        script.advance(waits);
        script.dial();
        script.take_sent();
        script.receive(r#"{"id":4,"result":true}"#);

        assert!(
            script.take_sent()[0].contains("\"a\""),
            "it was not executed"
        );
        assert_eq!(script.take_results(), [""; 0]);
    }
}

#[test]
fn a_call_that_waits_for_the_login_ends_at_its_deadline_and_was_not_executed() {
    let mut script = logged_in();
    script.call("a", "", Class::Write);
    script.receive(&expired(2));

    script.advance_with_pongs(Duration::from_secs(9));
    script.lose();
    script.advance(Duration::from_mins(1));

    assert_eq!(
        script.take_results(),
        ["1: TimedOut { maybe_executed: false }"]
    );
}

fn item(subscription: &str, n: u32) -> String {
    format!(r#"{{"method":"m","params":{{"subscription":"{subscription}","result":{n}}}}}"#)
}

#[test]
fn subscriptions_stay_over_a_login_with_a_gap_and_one_that_was_rejected_is_requested_again() {
    let mut script = logged_in();
    let feed = |name: &str| Feed::subscription(name.to_owned(), Bytes::new(), "unsubscribe");
    script.subscribe(feed("first"));
    script.receive(r#"{"id":2,"result":"s1"}"#);
    script.subscribe(feed("second"));
    script.take_sent();

    script.receive(&expired(3));
    script.receive(&item("s1", 1));
    assert!(script.take_sent()[0].contains("hello"));
    script.receive(r#"{"id":4,"result":true}"#);
    let again = script.take_sent();
    script.receive(r#"{"id":5,"result":"s2"}"#);
    script.receive(&item("s1", 2));
    script.receive(&item("s2", 3));

    assert_eq!(again.len(), 1, "{again:?}");
    assert!(again[0].contains("second"), "only the rejected one");
    let text = |event: &SubscriptionEvent| {
        if let SubscriptionEvent::Item(item) = event {
            String::from_utf8_lossy(item).into_owned()
        } else if matches!(event, SubscriptionEvent::Gap { .. }) {
            "gap".to_owned()
        } else if matches!(event, SubscriptionEvent::Subscribed { .. }) {
            "subscribed".to_owned()
        } else {
            format!("{event:?}")
        }
    };
    let items: Vec<_> = script.items.iter().map(text).collect();
    assert_eq!(
        items,
        ["subscribed", "1", "gap", "subscribed", "2", "3"],
        "none is doubled, and what may be missing is reported"
    );
}

#[test]
fn the_end_of_a_subscription_that_was_rejected_is_sent_again_after_the_login() {
    let mut script = logged_in();
    let feed = Feed::subscription("subscribe", Bytes::new(), "unsubscribe");
    let id = script.subscribe(feed);
    script.receive(r#"{"id":2,"result":"s1"}"#);
    script.handle(Input::UnsubscribeRequested { id });
    script.take_sent();

    script.receive(&expired(3));
    let login = script.take_sent();
    script.receive(r#"{"id":4,"result":true}"#);
    let again = script.take_sent();
    script.receive(r#"{"id":5,"result":true}"#);
    script.call("a", "", Class::Write);
    script.receive(&expired(6));
    script.take_sent();
    script.receive(r#"{"id":7,"result":true}"#);

    assert!(login[0].contains("hello"), "{login:?}");
    assert_eq!(
        again,
        [r#"{"jsonrpc":"2.0","id":5,"method":"unsubscribe","params":["s1"]}"#]
    );
    let sent = script.take_sent();
    assert_eq!(sent.len(), 1, "it has its response: {sent:?}");
}

#[test]
fn a_request_that_is_rejected_during_the_login_causes_no_second_one() {
    let mut script = logged_in();
    let feed = Feed::subscription("subscribe", Bytes::new(), "unsubscribe");
    let id = script.subscribe(feed);
    script.receive(r#"{"id":2,"result":"s1"}"#);
    script.call("a", "", Class::Write);
    script.receive(&expired(3));
    script.handle(Input::UnsubscribeRequested { id });
    script.take_sent();

    script.receive(&expired(5));
    assert_eq!(script.take_sent(), [""; 0], "the login is in progress");
    script.receive(r#"{"id":4,"result":true}"#);

    let sent = script.take_sent().join("\n");
    assert!(
        sent.contains("unsubscribe") && sent.contains("\"a\""),
        "{sent}"
    );
    assert!(!sent.contains("hello"), "{sent}");
}

#[test]
fn without_a_rule_the_error_is_the_outcome_of_the_call() {
    let login = TwoSteps::new(Renewal::SameConnection);
    let mut script = Script::new(settings().login(login));
    script.dial();
    script.receive(r#"{"id":1,"result":true}"#);
    script.call("a", "", Class::Write);

    script.receive(&expired(2));

    assert_eq!(script.take_results().len(), 1);
    assert_eq!(script.snapshot().phase, SessionPhase::Ready);
}

#[test]
fn an_idempotent_call_that_may_have_been_executed_before_a_loss_says_so_when_it_is_rejected() {
    for (class, outcome) in [
        (Class::Idempotent, "1: Interrupted { maybe_executed: true }"),
        (
            Class::Read,
            "1: Rejected(ErrorObject { code: 401, message: \"log in\", data_bytes: None })",
        ),
    ] {
        let mut script = logged_in();
        script.call("set", "", class);
        script.lose();
        script.redial();
        script.receive(r#"{"id":3,"result":true}"#);
        for id in [4, 6, 8] {
            assert!(script.take_sent().join("").contains("set"));
            script.receive(&expired(id));
            script.receive(&format!(r#"{{"id":{},"result":true}}"#, id + 1));
        }

        assert_eq!(script.take_results(), [outcome]);
    }
}

/// The server accepts each login, executes calls of `ping`, and rejects all others as from an unknown client. The client
/// makes both every second, and a write is in flight if `with_write`. Returns the number of logins and of connections.
fn serve_pings_only(time: Duration, with_write: bool) -> (usize, u64, Script) {
    let mut script = logged_in();
    let mut logins = 0;
    let until = script.now + time;
    while script.now < until {
        if with_write && !script.debug().contains("\"endless\"") {
            script.call("endless", "", Class::Write);
        }
        script.call("ping", "", Class::Read);
        script.call("query", "", Class::Read);
        loop {
            let sent = script.take_sent();
            if sent.is_empty() {
                break;
            }
            for text in sent {
                let mut parts = text.split(['"', ':', ',']);
                let id = parts.rfind(|it| it.parse::<u32>().is_ok());
                let id = id.expect("an id").parse().expect("a number");
                if text.contains("hello") {
                    logins += 1;
                    script.receive(&format!(r#"{{"id":{id},"result":true}}"#));
                } else if text.contains("ping") {
                    script.receive(&format!(r#"{{"id":{id},"result":"pong"}}"#));
                } else if text.contains("query") {
                    script.receive(&expired(id));
                }
            }
        }
        script.advance_with_pongs(Duration::from_secs(1));
        if script.snapshot().phase == SessionPhase::Dialing {
            script.dial();
        }
    }
    let epoch = script.snapshot().epoch.0;
    (logins, epoch, script)
}

#[test]
fn logins_that_change_nothing_have_a_backoff_although_calls_without_a_login_succeed() {
    let (logins, epoch, script) = serve_pings_only(Duration::from_mins(10), false);

    // Twice at once, then after pauses of 5 s to 1 min.
    assert!((5..=16).contains(&logins), "{logins}");
    assert!(epoch > 1, "over a fresh connection in the end");
    let results = script.results.iter();
    let pongs = results.filter(|it| it.1.as_deref() == Ok(b"\"pong\""));
    assert!(
        pongs.count() > 500,
        "what the server executes has its result"
    );
}

#[test]
fn such_logins_do_not_interrupt_a_write() {
    let (logins, epoch, script) = serve_pings_only(Duration::from_mins(5), true);

    assert!((4..=12).contains(&logins), "{logins}");
    assert_eq!(epoch, 1, "the connection stays");
    let mut results = script.results.iter();
    assert!(!results.any(|it| matches!(it.1, Err(CallError::Interrupted { .. }))));
}

#[test]
fn a_session_that_ends_again_after_a_while_is_followed_by_a_login_at_once() {
    let mut script = logged_in();
    let mut id = 2;
    for _ in 0..10 {
        script.call("a", "", Class::Write);
        script.receive(&expired(id));
        assert!(script.take_sent().join("").contains("hello"));
        script.receive(&format!(r#"{{"id":{},"result":true}}"#, id + 1));
        script.receive(&format!(r#"{{"id":{},"result":true}}"#, id + 2));
        script.take_sent();
        id += 3;
        script.advance_with_pongs(Duration::from_mins(5));
    }
    assert_eq!(script.snapshot().epoch.0, 1);
    assert_eq!(script.take_results().len(), 10);
}

/// A session whose login shows the credentials, and which logs in again with the request 3.
fn logging_in_again() -> Script {
    let login = LoginCall::new(|key| LoginRequest {
        method: "login".to_owned(),
        params: format!("[\"{}\"]", key.expose()).into(),
    });
    let settings = settings().login(login).unauthenticated(is_unauthenticated);
    let mut script = Script::new(settings);
    script.dial();
    script.receive(r#"{"id":1,"result":true}"#);
    script.call("a", "", Class::Write);
    script.receive(&expired(2));
    script.take_sent();
    script
}

#[test]
fn credentials_that_are_replaced_during_a_login_are_used_when_it_is_rejected() {
    let mut script = logging_in_again();
    script.replace_credentials("new");
    assert_eq!(script.take_sent(), [""; 0], "a login is in progress");

    script.receive(r#"{"id":3,"result":false}"#);
    let second = script.take_sent();
    script.receive(r#"{"id":4,"result":true}"#);

    assert!(
        second.len() == 1 && second[0].contains(r#"["new"]"#),
        "{second:?}"
    );
    assert!(script.take_sent().join("").contains("\"a\""));
    assert_eq!(script.snapshot().epoch.0, 1, "the same connection");
    let is_login = |event: &SessionEvent| matches!(event, SessionEvent::LoginExpired { .. });
    assert_eq!(count(&script, is_login), 2, "each login is reported");

    let mut script = logging_in_again();
    script.replace_credentials("new");
    script.receive(r#"{"id":3,"result":false}"#);
    script.receive(r#"{"id":4,"result":false}"#);
    assert!(script.waits().is_some() || script.snapshot().phase != SessionPhase::Ready);
    assert!(
        !script.take_sent().join("").contains("\"id\":5"),
        "not again"
    );
}

#[test]
fn credentials_that_are_replaced_during_a_login_are_used_after_it_is_accepted() {
    let mut script = logging_in_again();
    script.replace_credentials("new");

    script.receive(r#"{"id":3,"result":true}"#);

    let sent = script.take_sent().join("");
    assert!(
        sent.contains(r#""method":"login","params":["new"]"#),
        "{sent}"
    );
    assert!(sent.contains("\"a\""), "{sent}");
}
