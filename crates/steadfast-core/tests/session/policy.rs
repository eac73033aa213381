//! The policy: a setting out of range is rejected by name, before a session exists.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::{Centrifuge, CentrifugeSettings};
use steadfast_core::policy::{BackoffRange, SessionPolicy, SessionSetting, SessionSettings};

use crate::script::settings;

/// Sets one setting out of its range.
type Change = fn(&mut SessionSettings);

const fn proportional(percent: u32, min: u64, max: u64) -> BackoffRange {
    BackoffRange::Proportional {
        percent,
        min: Duration::from_secs(min),
        max: Duration::from_secs(max),
    }
}

const fn exponential(base: u64, factor: u32, cap: u64) -> BackoffRange {
    BackoffRange::Exponential {
        base: Duration::from_secs(base),
        factor,
        cap: Duration::from_secs(cap),
    }
}

#[test]
fn a_setting_out_of_range_is_named() {
    let changes: [(Change, SessionSetting); 13] = [
        (|it| it.link.priorities.clear(), SessionSetting::Priorities),
        (
            |it| it.link.priorities = vec![0; 5],
            SessionSetting::EndpointsCountMax,
        ),
        (
            |it| it.link.endpoints.hold_down = Duration::ZERO,
            SessionSetting::EndpointsHoldDown,
        ),
        (
            |it| it.link.connect_timeout = Duration::ZERO,
            SessionSetting::ConnectTimeout,
        ),
        (
            |it| it.link.backoff.range = proportional(0, 1, 20),
            SessionSetting::BackoffPercent,
        ),
        (
            |it| it.link.backoff.range = proportional(50, 0, 20),
            SessionSetting::BackoffMin,
        ),
        (
            |it| it.link.backoff.range = proportional(50, 2, 1),
            SessionSetting::BackoffMax,
        ),
        (
            |it| it.link.backoff.range = exponential(0, 2, 30),
            SessionSetting::BackoffBase,
        ),
        (
            |it| it.link.backoff.range = exponential(1, 1, 30),
            SessionSetting::BackoffFactor,
        ),
        (
            |it| it.link.backoff.range = exponential(2, 2, 1),
            SessionSetting::BackoffCap,
        ),
        (
            |it| it.link.backoff.attempts_max = Some(0),
            SessionSetting::BackoffAttemptsMax,
        ),
        (
            |it| it.link.liveness.pong_timeout = Duration::ZERO,
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

#[test]
fn a_setting_of_the_dialect_out_of_range_is_named() {
    let valid = CentrifugeSettings {
        name: "x".repeat(16),
        data: None,
        message_bytes_max: 1,
    };
    assert!(Centrifuge::new(valid.clone()).is_ok());
    let long = CentrifugeSettings {
        name: "x".repeat(17),
        ..valid.clone()
    };
    let empty = CentrifugeSettings {
        message_bytes_max: 0,
        ..valid
    };

    let error = |settings| Centrifuge::new(settings).expect_err("invalid").to_string();

    assert_eq!(error(long), "invalid name: must have at most 16 bytes");
    assert_eq!(
        error(empty),
        "invalid message_bytes_max: must be above zero"
    );
}
