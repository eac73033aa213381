//! Failback: a session that is connected to a fallback endpoint returns to the preferred one when this may be available
//! again, and not before.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::Input;
use steadfast_core::event::{MigrationReason, SessionEvent, SessionPhase};
use steadfast_core::io::DialFailure;
use steadfast_core::policy::{FailbackSettings, SessionSettings};

use crate::script::{Script, dial_failure, settings};

const AFTER: Duration = Duration::from_mins(20);
const JITTER: Duration = Duration::from_mins(4);
const PREFERRED: usize = 0;
const FALLBACK: usize = 1;

fn with_failback() -> SessionSettings {
    let mut settings = settings();
    settings.link.priorities = vec![0, 1];
    let (after, jitter) = (AFTER, JITTER);
    settings.link.endpoints.failback = Some(FailbackSettings::new(after).jitter(jitter));
    settings
}

/// Connected to the fallback endpoint, because the preferred one refused the first attempt.
fn at_fallback(settings: SessionSettings, seed: u64) -> Script {
    let mut script = Script::with(settings, seed);
    script.dial_fails();
    script.advance_to_next_dial();
    script.connect();
    assert_eq!(script.snapshot().endpoint, FALLBACK);
    script
}

/// The number of attempts to replace the connection.
fn migrations(script: &Script) -> usize {
    let is_migrating = |it: &&(_, SessionEvent)| matches!(it.1, SessionEvent::Migrating { .. });
    script.events.iter().filter(is_migrating).count()
}

/// Lets the time pass until a failback begins. Returns the time.
fn wait_for_failback(script: &mut Script) -> Duration {
    let (began, before) = (script.now, migrations(script));
    while migrations(script) == before {
        assert!(script.now - began <= AFTER + JITTER, "no failback");
        script.keep_alive(1);
    }
    script.now - began
}

#[test]
fn a_session_returns_to_the_preferred_endpoint_after_the_delay_with_jitter() {
    let mut times = Vec::new();
    for seed in 0..20 {
        let mut script = at_fallback(with_failback(), seed);
        let old = script.attempt();

        let time = wait_for_failback(&mut script);

        assert!(time >= AFTER && time <= AFTER + JITTER, "{time:?}");
        assert_eq!(script.dials.last().map(|it| it.1), Some(PREFERRED));
        let reason = MigrationReason::Failback;
        let endpoint = PREFERRED;
        let last = script.events.last().map(|it| &it.1);
        assert_eq!(last, Some(&SessionEvent::Migrating { endpoint, reason }));
        assert_eq!(script.attempt(), old, "the present connection stays");
        script.connect_standby();
        assert_eq!(script.snapshot().endpoint, PREFERRED);
        assert_eq!(script.phase(), SessionPhase::Ready);
        times.push(time);
    }
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 10, "spread over time: {times:?}");
}

#[test]
fn the_hold_down_of_the_preferred_endpoint_delays_a_failback() {
    let mut settings = with_failback();
    settings.link.endpoints.hold_down = Duration::from_mins(23);
    settings.link.endpoints.hold_down_jitter = Duration::ZERO;
    settings.link.endpoints.failback =
        Some(FailbackSettings::new(Duration::from_secs(10)).jitter(Duration::ZERO));
    let mut script = at_fallback(settings, 1);

    script.keep_alive(22 * 60);
    assert_eq!(migrations(&script), 0);
    script.keep_alive(61);

    assert_eq!(migrations(&script), 1);
}

#[test]
fn a_failed_failback_is_repeated_once_for_each_delay() {
    let mut script = at_fallback(with_failback(), 1);
    for round in 1..=3 {
        wait_for_failback(&mut script);
        let attempt = script.standby();
        let failure = dial_failure();
        script.handle(Input::DialFailed { attempt, failure });
        assert_eq!(migrations(&script), round);
        // The shortest hold-down.
        script.keep_alive(5 * 60);
        assert_eq!(migrations(&script), round, "not before the next delay");
    }
    assert_eq!(script.snapshot().endpoint, FALLBACK);
}

#[test]
fn a_delay_that_the_preferred_server_requests_postpones_the_failback() {
    let mut settings = with_failback();
    settings.link.backoff.retry_after_max = Duration::from_hours(2);
    let mut script = at_fallback(settings, 1);
    wait_for_failback(&mut script);
    let attempt = script.standby();
    let failure = DialFailure {
        retry_after: Some(Duration::from_hours(1)),
        ..dial_failure()
    };
    script.handle(Input::DialFailed { attempt, failure });

    script.keep_alive(3_600);

    assert_eq!(migrations(&script), 1);
    script.keep_alive(15 * 60);
    assert_eq!(migrations(&script), 2, "with at most a quarter of jitter");
}

#[test]
fn a_session_at_the_preferred_endpoint_or_without_the_setting_stays() {
    let mut preferred = Script::with(with_failback(), 1);
    preferred.connect();
    let mut without = with_failback();
    without.link.endpoints.failback = None;
    let mut fallback = at_fallback(without, 1);

    for script in [&mut preferred, &mut fallback] {
        script.keep_alive(2 * 3_600);
        assert_eq!(migrations(script), 0);
        assert_eq!(script.invariants.transports(), 1);
    }
}

#[test]
fn a_session_that_drains_does_not_fail_back() {
    let mut settings = with_failback();
    settings.link.endpoints.hold_down = Duration::from_secs(1);
    settings.link.endpoints.hold_down_jitter = Duration::ZERO;
    settings.link.endpoints.failback =
        Some(FailbackSettings::new(Duration::from_secs(30)).jitter(Duration::ZERO));
    let mut script = at_fallback(settings, 1);
    script.publish();
    let drain = Duration::from_mins(2);
    script.handle(Input::CloseRequested { drain });

    script.keep_alive(60);

    assert_eq!(script.phase(), SessionPhase::Draining);
    assert_eq!(migrations(&script), 0);
}

#[test]
fn after_a_requested_migration_the_failback_begins_after_its_own_delay() {
    let mut script = Script::with(with_failback(), 1);
    script.connect();
    script.keep_alive(60);
    script.migrate(Some(FALLBACK));
    script.connect_standby();
    assert_eq!(script.snapshot().endpoint, FALLBACK);

    let time = wait_for_failback(&mut script);

    assert!(time >= AFTER, "{time:?}");
    script.connect_standby();
    assert_eq!(script.snapshot().endpoint, PREFERRED);
}
