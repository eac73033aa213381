//! Which publications, segments and channels are hidden, removed or expired, and which stay.

use std::time::Duration;

use steadfast_engine::{Page, ReadFrom, Request, Response};
use steadfast_log::Log;
use steadfast_log::event::Event;
use steadfast_log::io::Input;
use steadfast_log::policy::{LogPolicy, LogSettings};
use steadfast_machine::{ByteSize, Machine};

use crate::harness::{Harness, WALL, append, idempotent, read, settings};

#[test]
fn the_count_limit_hides_the_oldest_and_a_position_that_needs_them_is_unrecoverable() {
    let mut harness = Harness::new(LogSettings {
        history_size: 3,
        ..settings()
    });
    let mut epoch = None;
    for number in 1..=5 {
        epoch = Some(harness.publish_ok(append("a", &number.to_string())).0);
    }
    let epoch = epoch.unwrap();

    assert_eq!(
        harness.all("a"),
        [(3, "3".into()), (4, "4".into()), (5, "5".into())]
    );
    let from = |offset| ReadFrom::After { epoch, offset };
    assert_eq!(
        harness.read(read("a", from(1), 10)).page,
        Page::Unrecoverable
    );
    assert_eq!(
        harness.records(read("a", from(2), 10)).0.len(),
        3,
        "none of them is hidden"
    );
    let again = harness
        .reopen(
            LogSettings {
                history_size: 2,
                ..settings()
            },
            2,
        )
        .all("a");
    assert_eq!(again.len(), 2);
}

#[test]
fn publications_that_were_hidden_before_a_checkpoint_stay_hidden_when_the_limit_is_raised() {
    let with_size = |history_size| LogSettings {
        history_size,
        ..settings()
    };
    let mut harness = Harness::new(with_size(2));
    for number in 1..=5 {
        harness.publish_ok(append("a", &number.to_string()));
    }
    while harness.disk.numbers().len() < 4 {
        harness.publish_ok(append("busy", &"x".repeat(1000)));
    }
    assert!(harness.disk.numbers().contains(&1));

    let mut again = harness.reopen(with_size(100), 2);

    assert_eq!(again.all("a"), [(4, "4".into()), (5, "5".into())]);
}

#[test]
fn publications_are_hidden_exactly_when_history_ttl_has_passed() {
    let mut harness = Harness::new(settings());
    let (epoch, ..) = harness.publish_ok(append("a", "1"));
    harness.advance(Duration::from_hours(1));
    harness.publish_ok(append("a", "2"));

    harness.advance(Duration::from_hours(23));
    assert_eq!(harness.all("a").len(), 2);
    harness.advance(Duration::from_millis(1));
    assert_eq!(harness.all("a"), [(2, "2".into())]);
    assert_eq!(
        harness
            .read(read("a", ReadFrom::After { epoch, offset: 0 }, 1))
            .page,
        Page::Unrecoverable
    );
    harness.advance(Duration::from_hours(2));

    let response = harness.read(read("a", ReadFrom::After { epoch, offset: 2 }, 1));
    assert_eq!(
        (response.high_watermark, response.page),
        (
            2,
            Page::Records {
                previous: 2,
                records: Vec::new(),
                has_more: false
            }
        )
    );
    let mut again = harness.reopen(settings(), 2);
    assert_eq!(again.all("a"), []);
    assert_eq!(again.publish_ok(append("a", "3")), (epoch, 3, false));
}

#[test]
fn the_size_limit_removes_complete_segments_while_epoch_and_high_watermark_stay() {
    let mut harness = Harness::new(settings());
    let (epoch, ..) = harness.publish_ok(append("quiet", "1"));
    for _ in 0..400 {
        harness.publish_ok(append("busy", &"x".repeat(1000)));
    }

    let removed = harness
        .events
        .iter()
        .filter(|event| matches!(event, Event::SegmentRemoved { .. }))
        .count();
    assert!(removed >= 5, "{removed}");
    assert!(
        harness
            .disk
            .list()
            .iter()
            .map(|segment| segment.bytes)
            .sum::<u64>()
            <= 16 * 16 * 1024
    );
    let visible = harness.all("busy");
    assert_eq!(visible.last().unwrap().0, 400);
    assert_eq!(usize::try_from(visible[0].0), Ok(400 - visible.len() + 1));
    assert_eq!(harness.all("quiet"), []);

    let mut again = harness.reopen(settings(), 2);
    assert_eq!(again.all("busy"), visible);
    assert_eq!(
        again
            .read(read("quiet", ReadFrom::After { epoch, offset: 0 }, 1))
            .page,
        Page::Unrecoverable
    );
    assert_eq!(again.publish_ok(append("quiet", "2")), (epoch, 2, false));
}

#[test]
fn a_channel_expires_after_30_days_and_reappears_with_another_epoch() {
    let mut harness = Harness::new(settings());
    let (old, ..) = harness.publish_ok(append("a", "1"));
    harness.advance(Duration::from_hours(29 * 24));
    harness.publish_ok(append("b", "1"));
    assert_eq!(harness.read(read("a", ReadFrom::Oldest, 0)).epoch, old);

    harness.advance(Duration::from_hours(25));

    assert!(
        harness
            .events
            .contains(&Event::ChannelsExpired { channels: 1 })
    );
    assert_eq!(harness.log.channels(), 1);
    let response = harness.read(read(
        "a",
        ReadFrom::After {
            epoch: old,
            offset: 1,
        },
        1,
    ));
    assert_eq!(
        (response.high_watermark, response.page),
        (0, Page::Unrecoverable)
    );
    assert_ne!(response.epoch, old);
    // The epoch in the response is the epoch of the next publication, also across a crash.
    harness.disk.lose_unsynced();
    let mut again = harness.reopen(settings(), 2);
    assert_eq!(
        again.publish_ok(append("a", "2")),
        (response.epoch, 1, false)
    );
    assert_eq!(
        again.publish_ok(append("b", "2")),
        (old, 2, false),
        "another channel keeps its epoch"
    );
    let third = again.reopen(settings(), 3);
    assert_eq!(third.opened.unwrap().channels, 2);
}

#[test]
fn a_channel_expires_at_the_first_check_after_30_days() {
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("a", "1"));

    harness.advance(Duration::from_hours(30 * 24));
    assert_eq!(harness.log.channels(), 1, "exactly 30 days are kept");

    harness.advance(Duration::from_mins(1));
    assert_eq!(harness.log.channels(), 0);
}

#[test]
fn a_channel_that_is_published_to_while_it_expires_starts_again() {
    let mut harness = Harness::new(settings());
    let (old, ..) = harness.publish_ok(append("a", "1"));
    harness.is_holding = true;
    harness.advance(Duration::from_hours(31 * 24));
    assert_eq!(harness.held.len(), 1, "the expiry is in flight");

    let number = harness.publish_unacknowledged(append("a", "2"));
    let concurrent_read = harness.read(read(
        "a",
        ReadFrom::After {
            epoch: old,
            offset: 1,
        },
        1,
    ));
    while !harness.held.is_empty() {
        harness.release();
    }

    assert_eq!(
        concurrent_read.high_watermark, 1,
        "still known until the expiry is committed"
    );
    let all = harness.all("a");
    let now = harness.read(read("a", ReadFrom::Oldest, 0)).epoch;
    assert!(harness.response(number).is_some());
    assert_eq!(all, [(1, "2".into())]);
    assert_ne!(now, old);
}

#[test]
fn a_failed_removal_is_retried_and_does_not_restore_publications() {
    let mut harness = Harness::new(settings());
    harness.faults.remove = Some(steadfast_log::io::StorageError::Io);
    for _ in 0..400 {
        harness.publish_ok(append("busy", &"x".repeat(1000)));
    }
    let visible = harness.all("busy");
    assert!(harness.disk.numbers().contains(&1));
    let disk = harness.disk.clone();

    harness.faults.remove = None;
    harness.advance(Duration::from_secs(1));
    assert!(!harness.disk.numbers().contains(&1));

    let mut again = Harness::open(settings(), disk, harness.wall, 2);
    assert_eq!(
        again.all("busy"),
        visible,
        "removed from the log, although the file still exists"
    );
    assert!(!again.disk.numbers().contains(&1));
}

#[test]
fn small_segments_with_many_channels_still_hold_their_checkpoints() {
    let small = LogSettings {
        segment_bytes: ByteSize::from_kib(4),
        log_bytes: ByteSize::from_kib(16),
        ..settings()
    };
    let mut harness = Harness::new(small);
    let mut accepted = 0;
    for number in 0..100 {
        let response = harness.publish(append(&format!("channel {number}"), &"x".repeat(500)));
        accepted += usize::from(matches!(response, Response::Appended { .. }));
    }

    assert!(
        (8..12).contains(&accepted),
        "a checkpoint takes at most three eighths: {accepted}"
    );
    assert_eq!(harness.log.channels(), accepted);
    let again = harness.reopen(small, 2);
    assert_eq!(again.log.channels(), accepted);
}

#[test]
fn a_read_of_a_segment_that_is_removed_concurrently_is_not_reported_as_unreadable() {
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("busy", "1"));
    harness.is_holding_reads = true;
    let number = harness.request(vec![Request::Read(read("busy", ReadFrom::Oldest, 1))])[0];
    let removed = |event: &Event| matches!(event, Event::SegmentRemoved { .. });

    while !harness.events.iter().any(removed) {
        harness.publish_ok(append("busy", &"x".repeat(1000)));
    }
    harness.release();

    let Some(Response::Read(response)) = harness.response(number) else {
        panic!("no response");
    };
    assert_eq!(response.page, Page::Unrecoverable);
    let is_unreadable = |event: &Event| matches!(event, Event::RecordUnreadable { .. });
    assert!(
        !harness.events.iter().any(is_unreadable),
        "{:?}",
        harness.events
    );
}

#[test]
fn no_segment_is_removed_before_the_checkpoint_that_replaces_it_is_durable_even_after_a_power_failure()
 {
    let mut harness = Harness::new(settings());
    harness.is_holding = true;
    let is_removal = |event: &Event| matches!(event, Event::SegmentRemoved { .. });
    let mut before = harness.disk.clone();
    while !harness.events.iter().any(is_removal) {
        harness.publish_unacknowledged(append("a", &"x".repeat(1000)));
        while !harness.held.is_empty() && !harness.events.iter().any(is_removal) {
            before = harness.disk.clone();
            harness.release();
        }
    }
    // The process is killed after it has written the checkpoint and before the sync; power fails soon after the next
    // start.
    let mut killed = Harness::start_held(settings(), before, WALL, 2);
    assert_eq!(killed.disk.numbers()[0], 1);
    killed.disk.lose_unsynced();

    let again = Harness::start(settings(), killed.disk, WALL, 3);

    assert_eq!(again.corruption, None);
    assert!(again.opened.is_some());
}

#[test]
fn forgotten_channels_are_gone_with_their_keys_and_begin_again_with_another_epoch() {
    let mut harness = Harness::new(settings());
    let (epoch, ..) = harness.publish_ok(idempotent("a", "1", "ann", "k"));
    harness.publish_ok(append("b", "1"));
    harness.close();
    let policy = LogPolicy::new(settings()).unwrap();
    let mut log = Log::new(policy, harness.now);
    let channels = vec!["a".into(), "absent".into()];
    log.handle(harness.now, Input::ForgetRequested { channels });

    let mut forgetting = Harness::start_log(log, harness.disk, 2);
    forgetting.close();
    let mut again = forgetting.reopen(settings(), 3);

    assert_eq!(again.all("a"), []);
    assert_eq!(again.all("b"), [(1, "1".into())]);
    let (new, offset, is_duplicate) = again.publish_ok(idempotent("a", "1", "ann", "k"));
    assert_eq!((offset, is_duplicate), (1, false));
    assert_ne!(new, epoch);
}

#[test]
fn channels_are_forgotten_before_the_log_is_closed_wherever_their_records_need_another_segment() {
    let names: Vec<String> = (0..40).map(|number| format!("channel {number}")).collect();
    for padding in 0..20 {
        let mut harness = Harness::new(settings());
        for name in &names {
            harness.publish_ok(append(name, "1"));
        }
        for _ in 0..padding {
            harness.publish_ok(append("channel 0", &"x".repeat(600)));
        }
        let channels = names.iter().map(|name| name.as_str().into()).collect();

        harness.handle(Input::ForgetRequested { channels });
        harness.close();

        let mut again = harness.reopen(settings(), 2);
        assert_eq!(again.log.channels(), 0, "after {padding}");
        assert_eq!(again.all("channel 0"), [], "after {padding}");
    }
}

#[test]
fn a_channel_that_is_forgotten_twice_in_one_request_leaves_a_log_that_opens() {
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("a", "1"));
    harness.publish_ok(append("b", "1"));

    let channels = vec!["a".into(), "a".into()];
    harness.handle(Input::ForgetRequested { channels });

    let mut again = harness.reopen(settings(), 2);
    assert_eq!(again.log.channels(), 1);
    assert_eq!(again.all("b").len(), 1);
}
