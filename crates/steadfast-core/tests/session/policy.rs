//! The policy: a setting out of range is rejected by name, before a session exists.

use std::time::Duration;

use steadfast_core::policy::{SessionPolicy, SessionSetting, SessionSettings};

use crate::script::settings;

/// Sets one setting out of its range.
type Change = fn(&mut SessionSettings);

#[test]
fn a_setting_out_of_range_is_named() {
    let changes: [(Change, SessionSetting); 7] = [
        (|it| it.endpoints = 0, SessionSetting::Endpoints),
        (|it| it.name = "x".repeat(17), SessionSetting::Name),
        (
            |it| it.connect_timeout = Duration::ZERO,
            SessionSetting::ConnectTimeout,
        ),
        (
            |it| it.backoff.cap = Duration::ZERO,
            SessionSetting::BackoffCap,
        ),
        (
            |it| it.backoff.attempts_max = Some(0),
            SessionSetting::BackoffAttemptsMax,
        ),
        (
            |it| it.liveness.pong_timeout = Duration::ZERO,
            SessionSetting::LivenessPongTimeout,
        ),
        (
            |it| it.outbox.in_flight_max = 0,
            SessionSetting::OutboxInFlightMax,
        ),
    ];

    for (change, setting) in changes {
        let mut changed = settings();
        change(&mut changed);

        let error = SessionPolicy::new(changed).expect_err(setting.name());

        assert_eq!(error.setting, setting);
    }
    let mut changed = settings();
    changed.outbox.ack_timeout = Duration::ZERO;
    assert_eq!(
        SessionPolicy::new(changed).map_err(|error| error.to_string()),
        Err("invalid outbox.ack_timeout: must be above zero".to_owned())
    );
}
