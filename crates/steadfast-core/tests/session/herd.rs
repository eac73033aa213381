//! Jitter that is really random: full, different for each session, and not gone at the cap. R6.

use std::collections::BTreeSet;
use std::time::Duration;

use steadfast_core::io::Input;
use steadfast_core::policy::BackoffSettings;
use steadfast_machine::{Instant, Seed};
use steadfast_protocol::codes::ErrorCode;

use crate::script::{Script, settings};

const TRIES: usize = 14;

/// The pauses between the attempts of a session that never gets through.
fn ours(seed: u64) -> Vec<Duration> {
    let mut script = Script::with(settings(), seed);
    let mut pauses = Vec::new();
    for _ in 0..TRIES {
        script.dial_fails();
        pauses.push(script.pass_until_dial());
    }
    pauses
}

/// One maker whose generator is copied into each session, and whose jitter is clamped to the cap.
fn faulty(_session: u64) -> Vec<Duration> {
    let mut generator = Seed::new(1).generator();
    let BackoffSettings { base, cap, .. } = settings().backoff;
    let pause = |n| {
        let range = base * 2_u32.pow(n);
        (range + generator.between(Duration::ZERO, range)).min(cap)
    };
    (0..14).map(pause).collect()
}

fn differ(sessions: impl Fn(u64) -> Vec<Duration>) -> bool {
    sessions(1) != sessions(2)
}

/// Different pauses among those at the cap.
fn at_the_cap(sessions: impl Fn(u64) -> Vec<Duration>) -> usize {
    let pauses = (0..20).flat_map(|seed| sessions(seed).split_off(9));
    pauses.collect::<BTreeSet<_>>().len()
}

#[test]
fn r6_each_session_has_jitter_of_its_own_and_at_the_cap_as_well() {
    assert!(!differ(faulty) && at_the_cap(faulty) == 1);
    assert!(differ(ours) && at_the_cap(ours) == 100);
}

#[test]
fn pauses_are_spread_evenly_over_their_whole_range() {
    // 2,000 draws of the fifth pause, U(0, 4 s) above the floor, in ten classes: chi-square with nine degrees of
    // freedom is below 33.7 with a chance of 0.9999. The seeds are fixed, so this passes always or never.
    let mut classes = [0_u32; 10];
    for seed in 0..2_000 {
        let pause = ours(seed)[4].saturating_sub(Duration::from_millis(50));
        let class = usize::try_from(pause.as_millis() / 400).expect("small");
        classes[class.min(9)] += 1;
    }

    let square = |count: &u32| (f64::from(*count) - 200.0).powi(2) / 200.0;
    let chi_square: f64 = classes.iter().map(square).sum();
    assert!(chi_square < 33.7, "{chi_square} of {classes:?}");
}

#[test]
fn pauses_stay_within_their_range() {
    for seed in 0..200 {
        for (n, pause) in (0..).zip(ours(seed)) {
            let range = Duration::from_millis(250) * 2_u32.pow(n);
            let longest = range.min(Duration::from_secs(30)) + Duration::from_millis(50);
            assert!(pause >= Duration::from_millis(50) && pause <= longest);
        }
    }
}

#[test]
fn a_fleet_that_was_told_to_go_comes_spread_over_the_time_for_it() {
    let mut per_tenth = [0_u32; 50];
    let mut last = Duration::ZERO;
    for seed in 0..1_000 {
        let mut script = Script::with(settings(), seed);
        script.connect();
        script.lose_with(3_001, "shutdown");
        let pause = script.pass_until_dial();
        last = last.max(pause);
        let tenth = usize::try_from(pause.as_millis() / 100).expect("small");
        per_tenth[tenth.min(49)] += 1;
    }

    assert!(last <= Duration::from_secs(5), "{last:?}");
    let peak = per_tenth.iter().max().expect("some");
    assert!(*peak < 45, "20 on average, {peak} at the peak");
}

#[test]
fn a_herd_drains_within_1_6_times_the_ideal_time() {
    // 1,000 clients cut at once; the server is back after 60 s and takes 5 in each tenth of a second.
    let mut sessions: Vec<Script> = (0..1_000)
        .map(|seed| {
            let mut script = Script::with(settings(), seed);
            script.connect();
            script.lose();
            script
        })
        .collect();
    let tenth = Duration::from_millis(100);
    let back_at = Instant::START + Duration::from_mins(1);
    let mut connected_at = Vec::new();
    let mut now = Instant::START;
    while connected_at.len() < sessions.len() {
        now = now + tenth;
        let mut room = 5;
        for script in &mut sessions {
            script.pass(tenth);
            if script.account.is_dialing() {
                if now >= back_at && room > 0 {
                    room -= 1;
                    script.connect();
                    connected_at.push(now - back_at);
                } else {
                    script.dial_fails();
                }
            }
        }
    }

    // The server alone needs 20 s; nobody waits longer than the cap behind that.
    let p99 = connected_at[989];
    assert!(p99 <= Duration::from_secs(32), "p99 {p99:?}");
    assert!(connected_at[499] <= Duration::from_secs(16));
}

#[test]
fn the_longest_durations_overflow_nothing() {
    let mut settings = settings();
    settings.backoff.floor = Duration::MAX;
    settings.backoff.base = Duration::MAX;
    settings.backoff.cap = Duration::MAX;
    settings.backoff.first_within = Duration::MAX;
    settings.backoff.spread = Duration::MAX;
    settings.backoff.hint_max = Duration::MAX;
    settings.backoff.stable_after = Duration::MAX;
    settings.outbox.retry_after = Duration::MAX;
    settings.outbox.answer_timeout = Duration::MAX;
    settings.outbox.key_window = Duration::MAX;
    let mut script = Script::with(settings, 1);
    for (code, reason) in [
        (3_001, ""),
        (3_001, "; retry_in=9s"),
        (1_013, ""),
        (1_006, ""),
    ] {
        script.dial_fails();
        script.handle(Input::Kicked);
        script.connect();
        script.publish();
        for command in script.commands() {
            script.answer(command.id, Err(ErrorCode::TooManyRequests.reply()));
        }
        script.lose_with(code, reason);
        script.handle(Input::Kicked);
    }
    assert_eq!(script.dials.len(), 9);
}
