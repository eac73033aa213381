//! The policy: a setting out of range is rejected by name, before a session exists.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::{Centrifuge, CentrifugeSettings};
use steadfast_core::policy::{
    BackoffRange, BackoffSettings, EndpointsSettings, FailbackSettings, LinkSettings,
    LivenessSettings, OutboxSettings, SessionPolicy, SessionSetting, SessionSettings,
};

use crate::script::settings;

/// Sets one setting out of its range.
type Change = fn(&mut SessionSettings);

const fn proportional(percent: u32, min: u64, max: u64) -> BackoffRange {
    BackoffRange::proportional(percent, Duration::from_secs(min), Duration::from_secs(max))
}

const fn exponential(base: u64, factor: u32, cap: u64) -> BackoffRange {
    BackoffRange::exponential(Duration::from_secs(base), factor, Duration::from_secs(cap))
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
    let valid = CentrifugeSettings::new(&"x".repeat(16), 1);
    assert!(Centrifuge::new(valid.clone()).is_ok());
    let long = valid.clone().name(&"x".repeat(17));
    let empty = valid.message_bytes_max(0);

    let error = |settings| Centrifuge::new(settings).expect_err("invalid").to_string();

    assert_eq!(error(long), "invalid name: must have at most 16 bytes");
    assert_eq!(
        error(empty),
        "invalid message_bytes_max: must be above zero"
    );
}

/// Settings of which only the arguments of their constructors are set.
fn constructed(range: BackoffRange) -> SessionSettings {
    let second = Duration::from_secs(1);
    let failback = FailbackSettings::new(second);
    let link = LinkSettings::new(
        second,
        EndpointsSettings::new(1, second, second).failback(failback),
        BackoffSettings::new(range),
        LivenessSettings::new(second, second),
    );
    SessionSettings::new(link, OutboxSettings::new(1, 1, second))
}

#[test]
fn settings_are_valid_without_any_setter_if_the_arguments_are_above_zero() {
    for range in [proportional(50, 1, 20), exponential(1, 2, 20)] {
        let settings = constructed(range);

        assert_eq!(SessionPolicy::new(settings).map(drop), Ok(()), "{range:?}");
    }
}

#[test]
fn without_setters_nothing_is_resent_and_every_client_spreads_its_return() {
    let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
    let outbox = OutboxSettings::new(64, 1 << 16, second);
    let liveness = LivenessSettings::new(minute, second);
    let backoff = BackoffSettings::new(proportional(50, 1, 20));
    let endpoints = EndpointsSettings::new(4, second, minute);

    assert_eq!(outbox, outbox.resend_window(Duration::ZERO));
    assert_eq!(outbox, outbox.in_flight_max(64).channel_in_flight_max(1));
    assert_eq!(
        liveness,
        liveness.ping_after_request(minute).pong_timeout_min(second)
    );
    assert_eq!(backoff, backoff.floor(Duration::ZERO));
    assert_eq!(backoff.attempts_max, None);
    assert_eq!(endpoints.failback, None);
    assert_eq!(endpoints.hold_down_jitter, minute);
    assert_eq!(FailbackSettings::new(minute).jitter, minute);
}

#[test]
fn the_cap_changes_the_largest_range_of_either_kind_and_nothing_else() {
    for (range, capped) in [
        (proportional(50, 1, 20), proportional(50, 1, 5)),
        (exponential(1, 2, 20), exponential(1, 2, 5)),
    ] {
        let backoff = BackoffSettings::new(range);

        let changed = backoff.cap(Duration::from_secs(5));

        assert_eq!(changed, backoff.range(capped));
        assert_eq!(changed.stable_after, Duration::from_secs(20));
    }
}

#[test]
fn each_limit_of_the_outbox_is_above_zero() {
    let changes: [(Change, SessionSetting); 4] = [
        (
            |it| it.outbox.messages_max = 0,
            SessionSetting::OutboxMessagesMax,
        ),
        (|it| it.outbox.bytes_max = 0, SessionSetting::OutboxBytesMax),
        (
            |it| it.outbox.in_flight_max = 0,
            SessionSetting::OutboxInFlightMax,
        ),
        (
            |it| it.outbox.channel_in_flight_max = 0,
            SessionSetting::OutboxChannelInFlightMax,
        ),
    ];
    for (change, setting) in changes {
        let mut changed = settings();
        change(&mut changed);

        let error = SessionPolicy::new(changed).expect_err(setting.name());

        assert_eq!(error.setting, setting);
    }
}
