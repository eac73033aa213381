//! A dead peer is noticed in time whatever the traffic, and a healthy one is never cut.

use std::time::Duration;

use steadfast_core::event::{Cause, Event, State};
use steadfast_core::io::Input;
use steadfast_machine::Instant;
use steadfast_protocol::message::Reply;

use crate::script::{IDLE, Script, TIMEOUT, settings};

/// A second before a silent peer is given up.
const ALMOST: Duration = Duration::from_secs(24);

#[test]
fn a_silent_peer_is_probed_twice_and_given_up_within_25_seconds() {
    let mut script = Script::connected();
    let since = script.now;

    script.pass(IDLE + TIMEOUT);

    assert_eq!(offsets(&script.probes, since), [15_000, 20_000]);
    assert!(matches!(lost(&script), Cause::Silence(time) if *time == IDLE + TIMEOUT));
    assert_eq!(script.abandoned.len(), 1);
}

/// R1: what is sent must not put the verdict off.
#[test]
fn r1_a_busy_writer_notices_a_dead_peer_as_soon_as_an_idle_one() {
    let mut script = Script::connected();
    let since = script.now;

    for number in 0..60 {
        script.publish(number);
        script.pass(Duration::from_secs(1));
        if script.snapshot().state != State::Connected {
            break;
        }
    }

    let detected = script.now.saturating_since(since);
    assert_eq!(script.snapshot().state, State::Reconnecting);
    assert!(detected <= IDLE + TIMEOUT, "{detected:?}");
}

/// R2: an idle link that answers is healthy for ever; here for a day.
#[test]
fn r2_a_link_on_which_only_probes_are_answered_is_never_cut() {
    let mut script = Script::connected();

    let end = script.now + Duration::from_hours(24);
    while script.now < end {
        let probes = script.probes.len();
        script.pass(IDLE);
        if script.probes.len() > probes {
            script.heard();
        }
    }

    assert_eq!(script.dials.len(), 1);
    assert!(script.probes.len() > 5_000, "{}", script.probes.len());
}

/// R3: a stalled write ends the connection, although no write has failed.
#[test]
fn r3_a_peer_that_takes_nothing_is_given_up_although_it_is_heard() {
    let mut script = Script::connected();
    let attempt = script.attempt;
    script.tell(Input::Unsent {
        attempt,
        bytes: 100,
    });

    for _ in 0..10 {
        script.pass(Duration::from_secs(1));
        script.receive(&Reply::Ping);
    }

    assert!(matches!(lost(&script), Cause::WriteStall(_)));
}

/// R4: misses do not add up over the life of a connection.
#[test]
fn r4_a_late_answer_each_time_is_no_reason_to_cut() {
    let mut script = Script::connected();

    for _ in 0..50 {
        script.pass(ALMOST);
        script.heard();
    }

    assert_eq!(script.dials.len(), 1);
}

/// R5: a new connection begins with a clean slate.
#[test]
fn r5_probes_of_an_old_connection_do_not_count_against_a_new_one() {
    let mut script = Script::connected();
    script.pass(IDLE + TIMEOUT / 2 + Duration::from_secs(1));
    script.break_link();
    script.until_dial();
    script.accept();

    script.pass(ALMOST);

    assert_eq!(script.snapshot().state, State::Connected);
}

#[test]
fn a_fast_profile_notices_within_5_seconds() {
    let mut fast = settings();
    fast.liveness.idle = Duration::from_secs(3);
    fast.liveness.timeout = Duration::from_secs(2);
    let mut script = Script::new(fast, 1);
    script.accept();
    let since = script.now;

    script.pass(Duration::from_secs(5));

    assert_eq!(script.snapshot().state, State::Reconnecting);
    assert!(script.now.saturating_since(since) <= Duration::from_secs(5));
}

/// A laptop whose lid was closed has not listened either.
#[test]
fn after_a_long_sleep_of_our_own_the_peer_gets_one_more_chance() {
    let mut script = Script::connected();
    script.pass(IDLE + Duration::from_secs(1));
    script.now = script.now + Duration::from_hours(1);
    script.tell(Input::Tick);

    assert_eq!(script.snapshot().state, State::Connected);
    script.pass(Duration::from_secs(1));
    script.heard();
    script.pass(Duration::from_secs(5));

    assert_eq!(script.dials.len(), 1);
}

fn lost(script: &Script) -> &Cause {
    let lost = script.events.iter().find_map(|event| match event {
        Event::Lost { cause, .. } => Some(cause),
        Event::Attempting { .. }
        | Event::Waiting { .. }
        | Event::Connected { .. }
        | Event::Ready { .. }
        | Event::Failed { .. }
        | Event::Closed => None,
    });
    lost.expect("the connection was not lost")
}

fn offsets(instants: &[Instant], since: Instant) -> Vec<u128> {
    let millis = |at: &Instant| at.saturating_since(since).as_millis();
    instants.iter().map(millis).collect()
}
