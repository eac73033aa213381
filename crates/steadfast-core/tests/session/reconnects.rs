//! When a session dials again: with jitter, for ever, never twice at a time, and never because of old news.

use std::collections::BTreeSet;
use std::time::Duration;

use steadfast_core::event::{Phase, State};
use steadfast_core::io::{Attempt, Input, Loss};

use crate::script::{CAP, Script, settings};

/// R6: sessions with different seeds wait differently, at the cap too.
#[test]
fn r6_waits_differ_between_sessions_and_at_the_cap() {
    let waits = |seed| {
        let mut script = Script::new(settings(), seed);
        for _ in 0..20 {
            script.refuse_dial();
            script.until_dial();
        }
        let pairs = script.dials.windows(2);
        pairs
            .map(|pair| pair[1].saturating_since(pair[0]))
            .collect::<Vec<_>>()
    };

    let one = waits(1);

    assert_ne!(one, waits(2));
    assert_eq!(one, waits(1));
    let at_cap: BTreeSet<Duration> = one[10..].iter().copied().collect();
    assert_eq!(at_cap.len(), 10, "{at_cap:?}");
    assert!(
        one.iter()
            .all(|wait| *wait <= CAP + Duration::from_millis(50))
    );
}

/// R8: a server that accepts and drops is dialled less and less often.
#[test]
fn r8_a_server_that_accepts_and_drops_is_not_hammered() {
    let mut script = Script::connected();

    for _ in 0..40 {
        script.break_link();
        script.until_dial();
        script.accept();
    }

    let took = script.now.saturating_since(script.dials[0]);
    assert!(took > Duration::from_mins(5), "40 dials in {took:?}");
}

#[test]
fn a_loss_after_a_stable_life_is_answered_within_a_second() {
    let mut script = Script::connected();
    for _ in 0..6 {
        script.break_link();
        script.until_dial();
        script.accept();
    }
    for _ in 0..12 {
        script.pass(Duration::from_secs(10));
        script.heard();
    }

    let lost_at = script.now;
    script.break_link();
    script.until_dial();

    assert!(script.now.saturating_since(lost_at) <= Duration::from_secs(1));
}

/// R9: it never gives up by itself, and finds the server soon after it is back.
#[test]
fn r9_a_server_that_was_down_for_an_hour_is_found_within_the_cap() {
    let mut script = Script::connected();
    script.break_link();
    let end = script.now + Duration::from_hours(1);
    while script.now < end {
        script.until_dial();
        script.refuse_dial();
    }
    assert_eq!(script.snapshot().state, State::Reconnecting);
    assert_eq!(script.snapshot().phase, Phase::Degraded);

    let back_at = script.now;
    script.until_dial();
    script.accept();

    assert_eq!(script.snapshot().phase, Phase::Ready);
    let took = script.now.saturating_since(back_at);
    assert!(took <= CAP + Duration::from_millis(50), "{took:?}");
}

/// R14 and R15: one transport at a time, and nothing that an old one says counts.
#[test]
fn r15_late_news_of_an_old_connection_change_nothing() {
    let mut script = Script::connected();
    let old = script.attempt;
    script.break_link();
    script.until_dial();
    script.accept();
    let snapshot = script.snapshot().clone();

    for input in late(old) {
        script.tell(input);
    }

    assert_eq!(*script.snapshot(), snapshot);
    assert_eq!(script.dials.len(), 2);
}

#[test]
fn r14_a_kick_during_an_attempt_opens_no_second_transport() {
    let mut script = Script::new(settings(), 1);

    script.tell(Input::Kicked);
    script.tell(Input::OpenRequested);
    script.accept();
    script.tell(Input::Kicked);

    assert_eq!(script.dials.len(), 1);
    assert_eq!(
        script.probes.len(),
        1,
        "a kicked connection must show that it lives"
    );
}

#[test]
fn a_kick_ends_a_wait() {
    let mut script = Script::new(settings(), 1);
    script.refuse_dial();

    script.tell(Input::Kicked);

    assert_eq!(script.dials.len(), 2);
}

#[test]
fn an_attempt_that_takes_too_long_is_abandoned() {
    let mut script = Script::new(settings(), 1);
    let first = script.attempt;

    script.pass(Duration::from_secs(10));

    assert_eq!(script.abandoned, [first]);
    script.until_dial();
    assert_ne!(script.attempt, first);
}

#[test]
fn a_hint_of_the_server_is_kept() {
    let mut script = Script::connected();
    let lost_at = script.now;

    script.close_with(1013, "at capacity; retry_in=12s");
    script.until_dial();

    let waited = script.now.saturating_since(lost_at);
    assert!(waited >= Duration::from_secs(12), "{waited:?}");
    assert!(waited <= Duration::from_secs(15), "{waited:?}");
}

fn late(attempt: Attempt) -> Vec<Input> {
    vec![
        Input::Dialled { attempt },
        Input::Heard { attempt },
        Input::Received {
            attempt,
            message: bytes::Bytes::from_static(b"not json"),
        },
        Input::Unsent { attempt, bytes: 1 },
        Input::Lost {
            attempt,
            loss: Loss::Closed {
                code: Some(3500),
                reason: "invalid token".to_owned(),
            },
        },
    ]
}
