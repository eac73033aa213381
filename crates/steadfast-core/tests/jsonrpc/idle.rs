//! A connection without calls, over a proxy that cuts what is idle.

use std::time::Duration;

use steadfast_core::event::SessionEvent;

use crate::script::Script;

/// After this time without a byte of the server, many proxies cut a connection.
const CUT: Duration = Duration::from_mins(1);
/// How long a ping and its pong take.
const ROUND_TRIP: Duration = Duration::from_millis(300);
const STEP: Duration = Duration::from_millis(100);

fn is_lost(event: &SessionEvent) -> bool {
    matches!(event, SessionEvent::Lost { .. })
}

#[test]
fn a_healthy_idle_connection_is_pinged_often_enough_for_24_hours() {
    let mut script = Script::connected();
    let end = script.now + Duration::from_hours(24);
    let (mut replied, mut last_byte, mut longest) = (0, script.now, Duration::ZERO);

    while script.now < end {
        script.advance(STEP);
        if script.pings > replied {
            replied = script.pings;
            script.advance(ROUND_TRIP);
            longest = longest.max(script.now - last_byte);
            last_byte = script.now;
            script.receive_pong();
        }
    }

    assert!(replied > 4_000, "{replied} pings");
    assert!(
        longest < CUT / 3,
        "{longest:?} without a byte of the server"
    );
    assert!(!script.events.iter().any(is_lost), "{:?}", script.events);
}

#[test]
fn a_connection_without_pongs_is_lost_within_25_seconds() {
    let mut script = Script::connected();
    script.advance(Duration::from_millis(24_999));
    let before = script.events.iter().any(is_lost);

    script.advance(Duration::from_millis(1));

    assert!(!before);
    assert!(script.events.iter().any(is_lost), "{:?}", script.events);
}
