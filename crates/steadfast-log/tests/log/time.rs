//! The wall clock jumps: while the log runs, over a restart within a boot, and over a start of the machine.
//!
//! Whatever it shows, no acknowledged publication is missing, no key is applied twice, and no channel is forgotten.

use std::time::Duration;

use steadfast_engine::{ChannelEpoch, Page, ReadFrom};
use steadfast_log::clock::SETTLED_AFTER;
use steadfast_log::event::Event;

use crate::harness::{Harness, NextBoot, Restart, append, idempotent, read, settings};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// More than a deduplication window, than the age of the history, than the age of channels, and as far as a clock is
/// wrong that was lost; in both directions, in milliseconds.
fn jumps() -> impl Iterator<Item = i64> {
    let hour = 3_600_000;
    [3 * 60_000, 25 * hour, 31 * 24 * hour, 10 * 365 * 24 * hour]
        .into_iter()
        .flat_map(|millis| [millis, -millis])
}

/// A log with a publication in channel `a` and one with a key in channel `b`, one second ago.
fn filled() -> (Harness, ChannelEpoch) {
    let mut harness = Harness::new(settings());
    let (epoch, ..) = harness.publish_ok(append("a", "1"));
    harness.publish_ok(idempotent("b", "1", "ann", "k"));
    harness.advance(Duration::from_secs(1));
    (harness, epoch)
}

/// Whether everything is as it was.
fn check(harness: &mut Harness, epoch: ChannelEpoch, case: &str) {
    assert_eq!(harness.all("a"), [(1, "1".into())], "{case}");
    let from = ReadFrom::After { epoch, offset: 0 };
    let page = harness.read(read("a", from, 10)).page;
    assert_ne!(page, Page::Unrecoverable, "{case}");
    let repeat = harness.publish_ok(idempotent("b", "1", "ann", "k"));
    assert_eq!((repeat.1, repeat.2), (1, true), "{case}");
    assert_eq!(harness.log.channels(), 2, "{case}");
    let expired = |event: &Event| matches!(event, Event::ChannelsExpired { .. });
    assert!(!harness.events.iter().any(expired), "{case}");
}

fn wall_jumps(harness: &Harness) -> Vec<i64> {
    let jumps = harness.events.iter().filter_map(|event| {
        if let Event::WallClockJumped(jump) = event {
            return Some(jump.millis);
        }
        None
    });
    jumps.collect()
}

#[test]
fn a_jump_of_a_running_log_is_reported_once_and_changes_nothing() {
    for jump in jumps() {
        let (mut harness, epoch) = filled();

        harness.wall_error = jump;
        harness.advance(MINUTE);
        check(&mut harness, epoch, &format!("{jump} ms"));
        assert_eq!(wall_jumps(&harness), [jump]);

        harness.wall_error = 0;
        harness.advance(Duration::from_secs(15));
        check(&mut harness, epoch, &format!("{jump} ms and back"));
        assert_eq!(wall_jumps(&harness), [jump, -jump]);
    }
}

#[test]
fn a_jump_over_a_restart_within_a_boot_changes_nothing() {
    for jump in jumps() {
        let (harness, epoch) = filled();
        let restart = Restart {
            down: MINUTE,
            wall_error: jump,
            boot: NextBoot::Same,
        };

        let mut harness = harness.restart(settings(), 2, restart);

        check(&mut harness, epoch, &format!("{jump} ms"));
        assert_eq!(wall_jumps(&harness), [jump]);
        harness.advance(Duration::from_secs(58));
        check(&mut harness, epoch, "almost 2 min later");
        harness.advance(Duration::from_secs(1));
        let (_, offset, is_duplicate) = harness.publish_ok(idempotent("b", "2", "ann", "k"));
        assert_eq!((offset, is_duplicate), (2, false), "2 min have passed");
    }
}

#[test]
fn history_is_hidden_after_24_real_hours_of_one_boot_whatever_the_wall_clock_shows() {
    for jump in jumps() {
        let (harness, _) = filled();
        let restart = |seconds| Restart {
            down: DAY.saturating_sub(Duration::from_secs(seconds)),
            wall_error: jump,
            boot: NextBoot::Same,
        };

        let (mut early, _) = filled();
        early = early.restart(settings(), 2, restart(1));
        assert_eq!(early.all("a").len(), 1, "{jump} ms: exactly 24 h");
        let mut late = harness.restart(settings(), 2, restart(0));
        assert_eq!(late.all("a"), [], "{jump} ms: 24 h and 1 s");
    }
}

#[test]
fn a_start_of_the_machine_with_a_wrong_clock_removes_nothing_and_shows_everything_once_it_is_right()
{
    for jump in jumps() {
        for boot in [Some(2), None] {
            let case = format!("{jump} ms, boot {boot:?}");
            let (harness, epoch) = filled();
            let restart = Restart {
                down: 30 * MINUTE,
                wall_error: jump,
                boot: NextBoot::New(boot),
            };

            let mut harness = harness.restart(settings(), 2, restart);
            let repeat = harness.publish_ok(idempotent("b", "1", "ann", "k"));
            assert_eq!((repeat.1, repeat.2), (1, true), "{case}");
            let is_hidden = harness.all("a").is_empty();
            let is_beyond = jump > 24 * 3_600_000;
            assert_eq!(is_hidden, is_beyond, "{case}");

            harness.wall_error = 0;
            harness.advance(MINUTE);
            check(&mut harness, epoch, &case);
            for _ in 0..3 {
                harness.advance(HOUR);
            }
            assert_eq!(harness.all("a").len(), 1, "{case}");
            assert_eq!(harness.log.channels(), 2, "{case}");
        }
    }
}

#[test]
fn a_downtime_hides_old_publications_at_once_and_counts_after_an_hour() {
    let (harness, _) = filled();
    let restart = |down| Restart {
        down,
        wall_error: 0,
        boot: NextBoot::New(Some(2)),
    };
    let mut harness = harness.restart(settings(), 2, restart(31 * DAY));
    let downtimes = harness.events.iter().filter_map(|event| {
        if let Event::DowntimeEstimated { downtime } = event {
            return Some(downtime.as_secs() / 86_400);
        }
        None
    });
    assert_eq!(downtimes.collect::<Vec<_>>(), [31]);
    assert_eq!(harness.all("a"), []);
    harness.publish_ok(append("c", "new"));

    harness.advance(SETTLED_AFTER.saturating_sub(MINUTE));
    assert_eq!(harness.log.channels(), 3, "nothing is removed yet");
    harness.advance(MINUTE);
    harness.advance(MINUTE);

    assert_eq!(harness.log.channels(), 1);
    assert_eq!(harness.all("c").len(), 1);
    let mut again = harness.restart(settings(), 3, restart(MINUTE));
    assert_eq!(again.all("a"), []);
    assert_eq!(again.all("c").len(), 1);
}

/// The state of the clock is in the records: it survives restarts, and the removal of the segment that held it.
#[test]
fn the_estimate_of_a_downtime_survives_restarts_and_rollovers() {
    let (harness, epoch) = filled();
    let years = 10 * 365 * 24 * 3_600_000;
    let wrong = Restart {
        down: 30 * MINUTE,
        wall_error: years,
        boot: NextBoot::New(Some(2)),
    };
    let mut harness = harness.restart(settings(), 2, wrong);
    for _ in 0..40 {
        harness.publish_ok(append("busy", &"x".repeat(1_000)));
    }
    assert!(harness.disk.numbers().len() > 3);

    let again = Restart {
        boot: NextBoot::Same,
        ..wrong
    };
    let mut harness = harness.restart(settings(), 3, again);
    assert_eq!(harness.all("a"), []);
    harness.wall_error = 0;
    harness.advance(MINUTE);

    assert_eq!(harness.all("a").len(), 1);
    assert_eq!(harness.read(read("a", ReadFrom::Oldest, 0)).epoch, epoch);
}

#[test]
fn a_machine_that_starts_in_1970_keeps_its_publications_when_its_clock_is_set() {
    let error = -1_700_000_000_000;
    let mut harness = Harness::with_wall_error(settings(), error);
    let (epoch, ..) = harness.publish_ok(append("a", "1"));
    harness.publish_ok(idempotent("b", "1", "ann", "k"));
    for incarnation in 2..5 {
        harness.wall_error = 0;
        harness.advance(Duration::from_secs(10));
        check(&mut harness, epoch, &format!("run {incarnation}"));
        let restart = Restart {
            down: Duration::from_secs(20),
            wall_error: error,
            boot: NextBoot::New(Some(u8::try_from(incarnation).unwrap())),
        };
        harness = harness.restart(settings(), incarnation, restart);
        check(&mut harness, epoch, &format!("start {incarnation}"));
    }
    harness.wall_error = 0;
    harness.advance(MINUTE);
    for _ in 0..3 {
        harness.advance(HOUR);
    }

    assert_eq!(harness.all("a").len(), 1);
    assert_eq!(harness.log.channels(), 2);
}
