//! Jitter: random over the full range, different for each session, and not lost at the cap.

use std::collections::BTreeSet;
use std::time::Duration;

use steadfast_core::policy::{BackoffRange, SessionSettings};
use steadfast_machine::{Instant, Seed};
use steadfast_protocol::codes::ErrorCode;

use crate::script::{EXPONENTIAL, Script, settings};

/// After this number of attempts both kinds of ranges have reached their maximum.
const GROWING: usize = 40;
const TRIES: usize = GROWING + 5;

fn exponential() -> SessionSettings {
    let mut settings = settings();
    settings.link.backoff.range = EXPONENTIAL;
    settings
}

/// The delays between the attempts of a session that never connects.
fn delays(settings: SessionSettings, seed: u64) -> Vec<Duration> {
    let mut script = Script::with(settings, seed);
    let mut pauses = Vec::new();
    for _ in 0..TRIES {
        script.dial_fails();
        pauses.push(script.advance_to_next_dial());
    }
    pauses
}

fn ours(seed: u64) -> Vec<Duration> {
    delays(settings(), seed)
}

/// A faulty design whose generator is copied into each session, and whose jitter is clamped to the cap.
fn faulty(_session: u64) -> Vec<Duration> {
    let mut generator = Seed::new(1).generator();
    let (base, cap) = (Duration::from_millis(250), Duration::from_secs(30));
    let pause = |n| {
        let range = base.saturating_mul(2_u32.saturating_pow(n));
        range
            .saturating_add(generator.between(Duration::ZERO, range.min(cap)))
            .min(cap)
    };
    (0..).map(pause).take(TRIES).collect()
}

fn differ(sessions: impl Fn(u64) -> Vec<Duration>) -> bool {
    sessions(1) != sessions(2)
}

/// The number of different delays at the cap.
fn at_the_cap(sessions: impl Fn(u64) -> Vec<Duration>) -> usize {
    let pauses = (0..20).flat_map(|seed| sessions(seed).split_off(GROWING));
    pauses.collect::<BTreeSet<_>>().len()
}

#[test]
fn each_session_has_its_own_jitter_also_at_the_cap() {
    assert!(!differ(faulty) && at_the_cap(faulty) == 1);
    for settings in [settings(), exponential()] {
        let ours = |seed| delays(settings.clone(), seed);
        assert!(differ(ours) && at_the_cap(ours) == 100);
    }
}

#[test]
fn delays_are_evenly_distributed_over_their_range() {
    // 2,000 draws of the first delay, U(0, 1 s) above the floor, in ten classes: chi-square with nine degrees of freedom
    // is below 33.7 with a probability of 0.9999. The seeds are fixed, so the result is always the same.
    let mut classes = [0_u32; 10];
    for seed in 0..2_000 {
        let mut script = Script::with(settings(), seed);
        script.dial_fails();
        let pause = script.advance_to_next_dial();
        let pause = pause.saturating_sub(Duration::from_millis(50));
        let class = usize::try_from(pause.as_millis() / 100).expect("small");
        classes[class.min(9)] += 1;
    }

    let square = |count: &u32| (f64::from(*count) - 200.0).powi(2) / 200.0;
    let chi_square: f64 = classes.iter().map(square).sum();
    assert!(chi_square < 33.7, "{chi_square} of {classes:?}");
}

#[test]
fn delays_are_at_most_half_of_the_time_away() {
    let floor = Duration::from_millis(50);
    let (min, max) = (Duration::from_secs(1), Duration::from_secs(20));
    for seed in 0..200 {
        let mut away = Duration::ZERO;
        for pause in ours(seed) {
            let longest = floor + (away / 2).clamp(min, max);
            assert!(pause >= floor && pause <= longest, "{pause:?} {away:?}");
            away += pause;
        }
    }
}

#[test]
fn exponential_delays_double_up_to_their_cap() {
    let floor = Duration::from_millis(50);
    for seed in 0..200 {
        for (n, pause) in (0..).zip(delays(exponential(), seed)) {
            let range = Duration::from_millis(250).saturating_mul(2_u32.saturating_pow(n));
            let longest = range.min(Duration::from_secs(30)) + floor;
            assert!(pause >= floor && pause <= longest);
        }
    }
}

#[test]
fn a_fleet_whose_server_goes_away_reconnects_spread_over_the_jitter() {
    let mut per_tenth = [0_u32; 50];
    let mut last = Duration::ZERO;
    for seed in 0..1_000 {
        let mut script = Script::with(settings(), seed);
        script.connect();
        script.lose_with(3_001, "shutdown");
        let pause = script.advance_to_next_dial();
        last = last.max(pause);
        let tenth = usize::try_from(pause.as_millis() / 100).expect("small");
        per_tenth[tenth.min(49)] += 1;
    }

    assert!(last <= Duration::from_secs(5), "{last:?}");
    let peak = per_tenth.iter().max().expect("some");
    assert!(*peak < 45, "20 on average, {peak} at the peak");
}

#[test]
fn a_thundering_herd_drains_within_1_6_times_the_ideal_time() {
    // 1,000 clients lose their connection at once; after 60 s the server accepts 5 in each tenth of a second.
    let mut sessions: Vec<Script> = (0..1_000)
        .map(|seed| {
            let mut script = Script::with(settings(), seed);
            script.connect();
            script.lose_connection();
            script
        })
        .collect();
    let tenth = Duration::from_millis(100);
    let back_at = Instant::START + Duration::from_mins(1);
    let mut connected_at = Vec::new();
    let mut now = Instant::START;
    while connected_at.len() < sessions.len() {
        now = now + tenth;
        let mut capacity = 5;
        for script in &mut sessions {
            script.advance(tenth);
            if script.invariants.is_dialing() {
                if now >= back_at && capacity > 0 {
                    capacity -= 1;
                    script.connect();
                    connected_at.push(now - back_at);
                } else {
                    script.dial_fails();
                }
            }
        }
    }

    // The server alone needs 20 s; no client waits longer than the cap after these 20 s.
    let p99 = connected_at[989];
    assert!(p99 <= Duration::from_secs(32), "p99 {p99:?}");
    assert!(connected_at[499] <= Duration::from_secs(16));
}

#[test]
fn the_longest_durations_do_not_overflow() {
    let longest = Duration::MAX;
    for range in [
        BackoffRange::proportional(u32::MAX, longest, longest),
        BackoffRange::exponential(longest, u32::MAX, longest),
    ] {
        check_longest_durations(range);
    }
}

fn check_longest_durations(range: BackoffRange) {
    let mut settings = settings();
    settings.link.backoff.floor = Duration::MAX;
    settings.link.backoff.range = range;
    settings.link.backoff.going_away_jitter = Duration::MAX;
    settings.link.backoff.retry_after_max = Duration::MAX;
    settings.link.backoff.stable_after = Duration::MAX;
    settings.outbox.retry_after = Duration::MAX;
    settings.outbox.ack_timeout = Duration::MAX;
    settings.outbox.resend_window = Duration::MAX;
    let mut script = Script::with(settings, 1);
    for (code, reason) in [
        (3_001, ""),
        (3_001, "; retry_in=9s"),
        (1_013, ""),
        (1_006, ""),
    ] {
        script.dial_fails();
        script.redial();
        script.connect();
        script.publish();
        for command in script.commands() {
            script.reply_to(command.id, Err(ErrorCode::TooManyRequests.reply()));
        }
        script.lose_with(code, reason);
        script.redial();
    }
    assert_eq!(script.dials.len(), 9);
}
