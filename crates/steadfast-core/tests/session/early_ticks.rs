//! A tick before a deadline changes nothing: a driver may call the session at any time.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::Input;

use crate::script::{Script, settings};

/// The interval of the early ticks; no deadline of the scripts is a multiple of it.
const EVERY: Duration = Duration::from_millis(130);

/// Lets time pass, with ticks at the deadlines of the session only.
fn punctual(script: &mut Script, time: Duration) {
    script.advance(time);
}

/// Lets time pass, with additional ticks.
fn restless(script: &mut Script, time: Duration) {
    let end = script.now + time;
    while script.now + EVERY < end {
        script.advance(EVERY);
        script.handle(Input::Tick);
    }
    script.advance(end.saturating_since(script.now));
}

type Wait = fn(&mut Script, Duration);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A peer that becomes silent, then servers without a reply at each stage of an attempt.
fn silence(wait: Wait) -> Script {
    let mut script = Script::ready();
    wait(&mut script, seconds(26));
    script.advance_to_next_dial();
    wait(&mut script, seconds(12));
    script.advance_to_next_dial();
    script.dial();
    wait(&mut script, seconds(12));
    script
}

/// A suspension that ends between the second probe and the end of the connection.
fn suspension(wait: Wait) -> Script {
    let mut script = Script::ready();
    wait(&mut script, seconds(16));
    script.freeze(seconds(10));
    wait(&mut script, seconds(4));
    script
}

/// A socket that accepts nothing.
fn stall(wait: Wait) -> Script {
    let mut script = Script::ready();
    let attempt = script.attempt();
    script.handle(Input::SendBuffer { attempt, bytes: 10 });
    wait(&mut script, seconds(12));
    script
}

/// A peer that does not close the connection.
fn close(wait: Wait) -> Script {
    let mut script = Script::ready();
    let drain = Duration::ZERO;
    script.handle(Input::CloseRequested { drain });
    wait(&mut script, seconds(4));
    script
}

/// A drain without a connection.
fn drain(wait: Wait) -> Script {
    let mut script = Script::new();
    script.publish();
    let drain = seconds(5);
    script.handle(Input::CloseRequested { drain });
    wait(&mut script, seconds(6));
    script
}

/// A publication that is not acknowledged in time, a call, and a subscription without a reply.
fn requests(wait: Wait) -> Script {
    let mut script = Script::ready();
    script.publish();
    script.subscribe("chat", 8);
    for _ in 0..30 {
        wait(&mut script, seconds(1));
        script.receive_pong();
    }
    script
}

/// Credentials that are fetched, and renewed before they expire.
fn credentials(wait: Wait) -> Script {
    let mut script = Script::fetching_credentials(settings());
    wait(&mut script, seconds(40));
    script
}

#[test]
fn a_tick_before_a_deadline_changes_nothing() {
    let plays: [fn(Wait) -> Script; 7] = [
        silence,
        suspension,
        stall,
        close,
        drain,
        requests,
        credentials,
    ];
    for (number, play) in plays.into_iter().enumerate() {
        let (mut expected, mut script) = (play(punctual), play(restless));

        assert_eq!(script.events, expected.events, "play {number}");
        assert_eq!(script.probes, expected.probes, "play {number}");
        assert_eq!(script.dials, expected.dials, "play {number}");
        assert_eq!(script.fetches, expected.fetches, "play {number}");
        assert_eq!(script.commands(), expected.commands(), "play {number}");
        assert_eq!(script.deadline(), expected.deadline(), "play {number}");
    }
}
