//! Tests of the live report.

use steadfast::ConnectionErrorKind;

use super::*;

#[test]
fn publications_missing_in_a_reported_gap_are_lost() {
    let stats = LiveStats::new(1);
    stats.record_subscribed(0, 0, false);
    stats.record_delivery(0, 1);
    stats.record_outcome(0, Some(4));

    stats.record_gap(0, Some(&at("one", 1)), &at("one", 4));
    stats.record_delivery(0, 5);

    let report = stats.to_json();
    assert_eq!(
        (&report["lost"], &report["undelivered"]),
        (&json!(3), &json!(0))
    );
}

#[test]
fn acknowledged_publications_of_an_earlier_history_are_lost() {
    let stats = LiveStats::new(1);
    stats.record_subscribed(0, 0, false);
    stats.record_delivery(0, 1);
    stats.record_delivery(0, 2);
    stats.record_outcome(0, Some(2));

    stats.record_gap(0, Some(&at("one", 2)), &at("other", 0));

    let report = stats.to_json();
    assert_eq!(
        (&report["lost"], &report["undelivered"]),
        (&json!(2), &json!(0))
    );
}

#[test]
fn a_failed_start_does_not_begin_another_outage() {
    let stats = LiveStats::new(1);
    stats.set_gateway_state(GatewayState::Down, None);
    stats.lock().down_since_ms = Some(5);

    stats.set_gateway_state(GatewayState::Starting, None);
    stats.set_gateway_state(GatewayState::Down, None);

    assert_eq!(stats.lock().down_since_ms, Some(5));
}

#[test]
fn a_gateway_that_is_down_has_no_connections_and_each_outage_counts_once() {
    let stats = LiveStats::new(2);
    stats.set_gateway_state(GatewayState::Up, Some(1));
    stats.set_connections(3);
    stats.record_message();
    stats.update_session(0, SessionState::Connected, 0, None);
    assert_eq!(stats.to_json()["connections"], json!(3));

    stats.set_gateway_state(GatewayState::Down, None);
    stats.set_gateway_state(GatewayState::Down, None);
    stats.set_connections(3);
    let down = stats.to_json();
    assert_eq!(
        (&down["connections"], &down["gateway"]["outages"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(down["messages_per_second"], json!(0.0));

    stats.update_session(0, SessionState::Reconnecting, 1, None);
    stats.set_gateway_state(GatewayState::Starting, None);
    // The reply that arrived while the gateway was down is ignored.
    assert_eq!(stats.to_json()["connections"], json!(0));
    stats.set_gateway_state(GatewayState::Up, Some(2));
    stats.update_session(1, SessionState::Connected, 0, None);
    // The gateway has not reported its number yet.
    assert_eq!(stats.to_json()["connections"], json!(1));
}

#[test]
fn a_gateway_that_does_not_respond_has_no_connections_until_it_does() {
    let stats = LiveStats::new(1);
    stats.set_gateway_state(GatewayState::Up, Some(1));
    stats.set_connections(3);

    stats.set_responsive(false);
    let silent = stats.to_json();
    assert_eq!(
        (&silent["gateway"]["state"], &silent["connections"]),
        (&json!("unresponsive"), &json!(0))
    );
    assert!(stats.is_running());
    stats.set_responsive(true);
    assert_eq!(stats.to_json()["connections"], json!(3));

    // The outcome of a probe that began before the kill is ignored.
    stats.set_gateway_state(GatewayState::Down, None);
    for is_responsive in [false, true] {
        stats.set_responsive(is_responsive);
        assert_eq!(stats.to_json()["gateway"]["state"], json!("down"));
    }
}

#[test]
fn a_kill_is_the_cause_of_connections_that_end_until_the_next_start() {
    let stats = LiveStats::new(1);
    let ended = DisconnectCause::ConnectionFailed {
        kind: ConnectionErrorKind::Reset,
        text: "reset".to_owned(),
    };
    let last_cause = || stats.to_json()["disconnects"][0]["cause"].clone();

    stats.record_disconnect(0, &ended);
    assert_eq!(last_cause(), json!("reset"));
    stats.record_kill();
    stats.record_disconnect(0, &ended);
    assert_eq!(
        last_cause(),
        json!("connection ended (the gateway was killed)")
    );
    stats.set_gateway_state(GatewayState::Starting, None);
    stats.record_disconnect(0, &ended);
    assert_eq!(last_cause(), json!("reset"));
}

fn at(epoch: &str, offset: u64) -> Position {
    Position {
        epoch: epoch.to_owned(),
        offset,
    }
}
