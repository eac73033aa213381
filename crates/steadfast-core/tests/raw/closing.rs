//! How a connection ends, and what follows.

use std::time::Duration;

use steadfast_core::dialect::raw::Input;
use steadfast_core::event::{DialErrorKind, DialStage, SessionEvent, SessionState};
use steadfast_core::io::DialFailure;
use steadfast_core::retry_advice::RetryAdvice;

use crate::script::{Script, raw, text};

/// The longest delay before the next attempt over many losses with this code.
fn longest_delay(code: Option<u16>) -> Duration {
    let mut script = Script::connected(raw());
    let delays = (0..50).map(|_| {
        script.advance(Duration::from_secs(1));
        script.receive(text("a"));
        let lost_at = script.now;
        script.lose_with(code);
        assert_eq!(script.snapshot().state, SessionState::Reconnecting);
        script.redial();
        let delay = script.now.saturating_since(lost_at);
        // So that the losses do not add up.
        for _ in 0..200 {
            script.advance(Duration::from_secs(1));
            script.receive(text("a"));
        }
        delay
    });
    delays.max().expect("some")
}

#[test]
fn every_code_is_followed_by_another_attempt_and_that_of_a_shutdown_by_a_spread_one() {
    for code in (1000..=1015).chain(3000..3003).chain(4000..4003) {
        let longest = longest_delay(Some(code));

        let is_spread = matches!(code, 1001 | 1012);
        let limit = if is_spread { 5_000 } else { 1_050 };
        assert!(
            longest <= Duration::from_millis(limit),
            "{code}: {longest:?}"
        );
        assert_eq!(longest > Duration::from_secs(2), is_spread, "{code}");
    }
    assert!(longest_delay(None) <= Duration::from_millis(1_050));
}

#[test]
fn only_an_overloaded_server_is_left_for_the_fallback_after_a_close_code() {
    for code in (1000..=1015).chain([3008, 4008]) {
        let mut script = Script::with_fallback(raw());
        script.dial();
        for _ in 0..20 {
            script.advance(Duration::from_secs(1));
            script.receive(text("a"));
        }

        script.lose_with(Some(code));
        script.redial();

        let is_fallback = script.snapshot().endpoint == 1;
        assert_eq!(is_fallback, code == 1013, "{code}");
    }
}

#[test]
fn the_application_can_require_that_a_code_ends_the_session() {
    let mut script = Script::connected(raw().on_close(4001, RetryAdvice::GIVE_UP));
    script.lose_with(Some(4002));
    assert_eq!(script.snapshot().state, SessionState::Reconnecting);
    script.redial();

    script.lose_with(Some(4001));

    assert_eq!(script.snapshot().state, SessionState::Failed);
    let words = script.words();
    let end =
        ["interrupted", "failed"].map(|it| format!("{it}: closed by the server with code 4001"));
    assert!(words.ends_with(&end), "{words:?}");
}

#[test]
fn a_failure_is_reported_again_only_after_the_last_one_was_read() {
    let mut script = Script::new(raw().on_close(4001, RetryAdvice::GIVE_UP));
    let reader = script.read(16);
    let fail = |script: &mut Script| {
        let loss = DialFailure {
            stage: DialStage::Connect,
            kind: DialErrorKind::Refused,
            text: "refused".to_owned(),
            is_local: false,
            is_final: true,
            retry_after: None,
        };
        script.fail_dial(loss);
        script.handle(Input::RestartRequested);
        script.words()
    };

    assert_eq!(fail(&mut script), ["failed: refused"]);
    assert!(fail(&mut script).is_empty(), "the first one was not read");
    script.consume(reader, 1);
    assert_eq!(fail(&mut script), ["failed: refused"]);
}

#[test]
fn a_close_by_the_application_sends_what_is_queued_first_and_is_no_loss() {
    let mut script = Script::connected(raw());
    script.send_buffer(1);
    script.send(text("last"));
    script.handle(Input::CloseRequested {
        drain: Duration::from_secs(5),
    });
    script.send_buffer(0);
    script.lose_with(Some(1000));

    assert_eq!(script.sent, [text("last")]);
    assert_eq!(script.events.last(), Some(&SessionEvent::Closed));
    assert_eq!(script.words(), ["subscribed 0"]);
}

#[test]
fn the_delay_that_a_code_requires_is_kept() {
    let delay = Duration::from_mins(1);
    let advice = RetryAdvice::RETRY.after(Some(delay));
    let mut script = Script::connected(raw().on_close(4000, advice));

    script.lose_with(Some(4000));

    let next = script.snapshot().next_attempt_at.expect("it tries again");
    assert!(next >= script.now + delay, "{next:?}");
}
