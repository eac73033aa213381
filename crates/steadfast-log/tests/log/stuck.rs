//! A disk that does not complete an operation: what is served, what is reported, and what is rejected.

use std::time::Duration;

use steadfast_engine::{Engine, Health, ReadFrom, Rejection, Request, Response, StorageOperation};
use steadfast_log::event::Event;
use steadfast_log::policy::{Fsync, LogSettings};
use steadfast_machine::{ByteSize, Machine};

use crate::harness::{Harness, append, read, settings, with_fsync};

#[test]
fn an_operation_that_does_not_return_is_reported_at_doubling_times_and_so_is_its_end() {
    for fsync in [Fsync::Always, Fsync::Never] {
        let mut harness = Harness::new(with_fsync(fsync));
        harness.is_holding = true;
        harness.publish_unacknowledged(append("a", "1"));

        pass(&mut harness, Duration::from_millis(999));
        assert_eq!(slow(&harness), []);
        pass(&mut harness, Duration::from_secs(19));
        let write = |seconds| (StorageOperation::Write, seconds, false);
        let reported = [1, 2, 4, 8, 16].map(write);
        assert_eq!(slow(&harness), reported);
        harness.is_holding = false;
        harness.release();

        let (operation, seconds, has_ended) = *slow(&harness).last().unwrap();
        assert_eq!(
            (operation, seconds, has_ended),
            (StorageOperation::Write, 19, true)
        );
        pass(&mut harness, Duration::from_mins(1));
        assert_eq!(slow(&harness).len(), 6, "nothing is in flight");
    }
}

#[test]
fn a_log_is_stalled_by_an_operation_of_ten_seconds_until_it_completes() {
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("a", "1"));
    harness.is_holding = true;
    pass(&mut harness, Duration::from_secs(5));
    let began = harness.now;
    let waiting = harness.publish_unacknowledged(append("a", "2"));

    pass(&mut harness, Duration::from_millis(9_999));
    assert_eq!(harness.log.health(), Health::Serving);
    assert!(harness.log.poll_timeout().is_some());
    pass(&mut harness, Duration::from_millis(1));

    let stalled = Health::Stalled {
        operation: StorageOperation::Write,
        since: began,
    };
    assert_eq!(harness.log.health(), stalled);
    pass(&mut harness, Duration::from_mins(1));
    assert_eq!(harness.log.health(), stalled);
    harness.is_holding = false;
    harness.release();
    assert_eq!(harness.log.health(), Health::Serving);
    assert!(matches!(
        harness.response(waiting),
        Some(Response::Appended { offset: 2, .. })
    ));
}

#[test]
fn a_read_and_a_missing_segment_stall_the_log_as_a_write_does() {
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("a", "1"));
    harness.is_holding_reads = true;
    harness.request(vec![Request::Read(read("a", ReadFrom::Oldest, 1))]);
    pass(&mut harness, Duration::from_secs(11));
    assert!(matches!(
        harness.log.health(),
        Health::Stalled {
            operation: StorageOperation::Read,
            ..
        }
    ));
    harness.is_holding_reads = false;
    harness.release();
    assert_eq!(harness.log.health(), Health::Serving);

    harness.faults.is_reserve_held = true;
    let publish = |harness: &mut Harness| {
        let number = harness.publish_unacknowledged(append("a", &"x".repeat(1_000)));
        harness.response(number)
    };
    while publish(&mut harness).is_some() {
        pass(&mut harness, Duration::from_mins(1));
        assert_eq!(harness.log.health(), Health::Serving, "nothing waits");
    }
    pass(&mut harness, Duration::from_secs(11));
    assert!(matches!(
        harness.log.health(),
        Health::Stalled {
            operation: StorageOperation::Reserve,
            ..
        }
    ));
    harness.faults.is_reserve_held = false;
    harness.release();
    assert_eq!(harness.log.health(), Health::Serving);
}

#[test]
fn reads_that_complete_one_after_the_other_do_not_stall_the_log_however_many_wait() {
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("a", "1"));
    harness.is_holding_reads = true;
    for _ in 0..20 {
        harness.request(vec![Request::Read(read("a", ReadFrom::Oldest, 1))]);
    }

    for _ in 0..20 {
        pass(&mut harness, Duration::from_millis(900));
        harness.release();
    }

    assert_eq!(slow(&harness), []);
    assert_eq!(harness.log.health(), Health::Serving);
}

#[test]
fn everything_that_is_committed_is_read_while_a_write_does_not_return() {
    for cache in [ByteSize::from_bytes(0), ByteSize::from_mib(1)] {
        let mut harness = Harness::new(LogSettings {
            cache_bytes: cache,
            ..settings()
        });
        // More than one segment.
        for number in 0..30 {
            harness.publish_ok(append("a", &format!("{number:01000}")));
        }
        harness.is_holding = true;
        harness.publish_unacknowledged(append("a", "stuck"));
        harness.publish_unacknowledged(append("new", "stuck"));

        pass(&mut harness, Duration::from_mins(1));

        assert_eq!(harness.all("a").len(), 30);
        assert_eq!(harness.all("new"), []);
    }
}

#[test]
fn above_the_limit_of_bytes_publications_are_rejected_and_what_was_accepted_is_committed_later() {
    let mut harness = Harness::new(LogSettings {
        pending_bytes_max: ByteSize::from_kib(16),
        ..settings()
    });
    harness.is_holding = true;
    let payload = "x".repeat(1_000);
    let sent: Vec<_> = (0..40)
        .map(|_| harness.publish_unacknowledged(append("a", &payload)))
        .collect();
    pass(&mut harness, Duration::from_secs(30));

    harness.is_holding = false;
    harness.release();

    let responses = harness.responses();
    let rejected = sent
        .iter()
        .filter(|number| responses[number] == Response::Rejected(Rejection::Limit));
    let rejected = rejected.count();
    assert!((20..30).contains(&rejected), "{rejected}");
    assert_eq!(harness.all("a").len(), sent.len() - rejected);
    assert_eq!(responses.len(), sent.len());
}

/// Lets time pass, with a tick at each deadline of the log.
fn pass(harness: &mut Harness, time: Duration) {
    let end = harness.now + time;
    while let Some(at) = harness.log.poll_timeout().filter(|at| *at <= end) {
        harness.advance(at - harness.now);
    }
    harness.advance(end - harness.now);
}

/// What was reported: the operation, its duration in whole seconds, and whether it has ended.
fn slow(harness: &Harness) -> Vec<(StorageOperation, u64, bool)> {
    let slow = harness.events.iter().filter_map(|event| {
        if let Event::OperationSlow {
            operation,
            duration,
        } = event
        {
            Some((*operation, duration.as_secs(), false))
        } else if let Event::SlowOperationEnded {
            operation,
            duration,
        } = event
        {
            Some((*operation, duration.as_secs(), true))
        } else {
            None
        }
    });
    slow.collect()
}
