//! The network is available again: what the session does with an attempt that is in progress.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::Input;
use steadfast_core::event::SessionPhase;

use crate::script::Script;

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
