//! What the snapshot says about the session.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::Input;
use steadfast_core::event::{SessionPhase, SessionState};

use crate::script::{Script, ack, settings};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_snapshot_says_since_when_the_session_is_in_its_state_and_not_in_its_phase() {
    let mut script = Script::new();
    let opened_at = script.now;
    script.advance(SECOND);
    script.dial();
    script.advance(SECOND);
    assert_eq!(script.state(), SessionState::Connecting);
    assert_eq!(script.snapshot().since, opened_at);

    script.accept_connect();
    let connected_at = script.now;
    script.advance(SECOND);
    script.handle(Input::CloseRequested { drain: SECOND });
    assert_eq!(script.state(), SessionState::Connected);
    assert_eq!(script.snapshot().since, connected_at);
    assert!(connected_at > opened_at);
}

#[test]
fn the_snapshot_counts_reconnects_and_not_the_first_connection() {
    let mut script = Script::ready();
    assert_eq!(script.snapshot().reconnects, 0);

    for reconnects in 1..=3 {
        script.lose_connection();
        script.advance_to_next_dial();
        script.connect();
        assert_eq!(script.snapshot().reconnects, reconnects);
    }
}

#[test]
fn the_snapshot_counts_what_waits_and_what_is_in_flight() {
    let limit = settings().outbox.in_flight_max;
    let mut script = Script::ready();
    for _ in 0..limit + 2 {
        script.publish();
    }
    assert_eq!(script.snapshot().in_flight, limit);
    assert_eq!(script.snapshot().queued, 2);

    let command = script.commands().remove(0);
    script.reply_to(command.id, Ok(ack(1, false)));
    assert_eq!(script.snapshot().in_flight, limit);
    assert_eq!(script.snapshot().queued, 1);
}

#[test]
fn a_session_that_waits_long_for_its_next_attempt_becomes_degraded_before_it() {
    let mut script = Script::ready();
    script.lose_with(1_013, "retry_in=200s");
    let degraded_after = settings().link.degraded_after;

    script.advance(degraded_after.saturating_sub(SECOND));
    assert_eq!(script.phase(), SessionPhase::Waiting);
    script.advance(SECOND);

    assert_eq!(script.phase(), SessionPhase::Degraded);
}
