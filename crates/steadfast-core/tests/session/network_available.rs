//! The network is available again: what the session does with an attempt that is in progress.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::Input;
use steadfast_core::event::{SessionEvent, SessionPhase, SessionState};
use steadfast_core::io::DialFailure;
use steadfast_core::policy::EndpointLogs;

use crate::migration::{publish_id, subscribed_at_first, switching};
use crate::script::{Script, ack, dial_failure, settings};

#[test]
fn an_attempt_that_hangs_is_replaced_at_once() {
    for is_dialled in [false, true] {
        let mut script = Script::new();
        if is_dialled {
            script.dial();
        }
        script.advance(Duration::from_secs(1));

        script.handle(Input::ReconnectRequested);

        assert_eq!(script.dials.len(), 2, "dialled: {is_dialled}");
        assert_eq!(script.phase(), SessionPhase::Dialing);
        script.connect();
        assert_eq!(script.phase(), SessionPhase::Ready);
    }
}

#[test]
fn repeated_signals_start_at_most_one_attempt_per_second() {
    let mut script = Script::new();
    for _ in 0..50 {
        script.handle(Input::ReconnectRequested);
        script.advance(Duration::from_millis(100));
    }

    assert_eq!(script.dials.len(), 5);
}

#[test]
fn an_attempt_that_is_queued_in_the_shell_keeps_its_place() {
    let mut script = Script::new();
    let attempt = script.attempt();
    script.handle(Input::DialQueued { attempt });
    script.advance(Duration::from_mins(1));
    script.handle(Input::ReconnectRequested);

    assert_eq!(script.dials.len(), 1);
}

/// A signal every 10 ms for this time, while each attempt fails at once in this way. Returns the number of attempts.
fn attempts_under_signals(time: Duration, priorities: &[u16], failure: &DialFailure) -> usize {
    let mut settings = settings();
    settings.link.priorities = priorities.to_vec();
    let mut script = Script::with(settings, 1);
    let end = script.now + time;
    while script.now < end {
        if script.invariants.is_dialing() {
            let (attempt, failure) = (script.attempt(), failure.clone());
            script.handle(Input::DialFailed { attempt, failure });
        }
        script.handle(Input::ReconnectRequested);
        script.advance(Duration::from_millis(10));
    }
    script.dials.len()
}

#[test]
fn repeated_signals_between_attempts_cause_at_most_one_per_second() {
    let attempts = attempts_under_signals(Duration::from_mins(1), &[0], &dial_failure());

    // Some follow the backoff, whose first delays are shorter.
    assert!((60..=70).contains(&attempts), "{attempts}");
}

#[test]
fn the_first_signal_between_two_attempts_starts_the_next_one_at_once() {
    let mut script = Script::new();
    script.dial_fails();

    script.handle(Input::ReconnectRequested);

    assert_eq!(script.dials.len(), 2);
}

#[test]
fn signals_do_not_shorten_a_delay_that_the_servers_request() {
    let busy = DialFailure {
        retry_after: Some(Duration::from_secs(30)),
        ..dial_failure()
    };
    let time = Duration::from_secs(29);

    assert_eq!(attempts_under_signals(time, &[0], &busy), 1);
    assert_eq!(attempts_under_signals(time, &[0, 1], &busy), 2, "one each");
}

#[test]
fn a_signal_never_postpones_the_next_attempt() {
    for seed in 0..100 {
        let mut script = Script::with(settings(), seed);
        script.dial_fails();
        script.handle(Input::ReconnectRequested);
        script.dial_fails();
        let planned = script.snapshot().next_attempt_at;

        script.handle(Input::ReconnectRequested);

        assert!(script.snapshot().next_attempt_at <= planned);
    }
}

#[test]
fn an_attempt_that_is_replaced_says_nothing_about_its_server() {
    let mut script = subscribed_at_first(EndpointLogs::Shared);
    script.keep_alive(3_600);
    script.lose_connection();
    script.advance_to_next_dial();
    script.advance(Duration::from_secs(2));

    script.handle(Input::ReconnectRequested);

    let endpoints: Vec<usize> = script.dials.iter().rev().take(2).map(|it| it.1).collect();
    assert_eq!(endpoints, [0, 0], "the preferred server again");
}

/// The longest time until a silent peer that was probed is given up.
const PROBED_MAX: Duration = Duration::from_secs(11);

#[test]
fn a_connection_that_is_about_to_replace_another_one_is_probed_too() {
    // Everything is silent after the signal; the switch follows it at its time limit.
    let mut script = switching();
    script.handle(Input::ReconnectRequested);
    let requested_at = script.now;
    let is_lost = |script: &Script| {
        let mut events = script.events.iter();
        events.any(|it| matches!(it.1, SessionEvent::Lost { .. }))
    };
    while !is_lost(&script) && script.now - requested_at <= PROBED_MAX {
        script.advance(Duration::from_millis(100));
    }
    assert!(is_lost(&script));

    // The switch follows the signal at once.
    let mut script = subscribed_at_first(EndpointLogs::Shared);
    script.publish();
    let commands = script.commands();
    script.migrate(None);
    script.connect_standby();
    script.handle(Input::ReconnectRequested);
    let requested_at = script.now;
    script.reply_to(publish_id(&commands), Ok(ack(4, false)));
    while script.state() == SessionState::Connected {
        script.advance(Duration::from_millis(100));
    }
    assert!(script.now - requested_at <= PROBED_MAX);
}
