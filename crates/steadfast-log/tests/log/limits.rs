//! Limits: a request above a limit is rejected and reported, and nothing else is affected.

use steadfast_engine::{Engine, Health, Rejection, Response};
use steadfast_log::event::{Event, LogLimit};
use steadfast_log::io::Input;
use steadfast_log::policy::{LogSetting, LogSettings};
use steadfast_machine::{ByteSize, Instant, Machine};

use crate::harness::{Harness, append, idempotent, settings};

#[test]
fn a_record_larger_than_a_quarter_of_a_segment_is_rejected() {
    let mut harness = Harness::new(settings());

    assert_eq!(
        harness.rejected(append("a", &"x".repeat(4096))),
        Rejection::TooLarge
    );
    assert_eq!(
        harness.rejected(idempotent("a", "1", "ann", &"k".repeat(65_535))),
        Rejection::TooLarge
    );
    assert_eq!(
        harness.rejected(idempotent("a", "1", "ann", &"k".repeat(1_000))),
        Rejection::TooLarge,
        "a checkpoint could not copy the key"
    );
    assert_eq!(harness.publish_ok(append("a", &"x".repeat(3900))).1, 1);
}

#[test]
fn more_channels_than_allowed_are_rejected_while_known_ones_continue() {
    let mut harness = Harness::new(LogSettings {
        channels_max: 2,
        ..settings()
    });
    harness.publish_ok(append("a", "1"));
    harness.publish_ok(append("b", "1"));

    assert_eq!(
        harness.rejected(append("c", "1")),
        Rejection::TooManyChannels
    );
    assert_eq!(harness.publish_ok(append("a", "2")).1, 2);
    assert!(harness.events.contains(&Event::LimitReached {
        limit: LogLimit::Channels
    }));
}

#[test]
fn more_channels_than_a_checkpoint_holds_are_rejected_and_the_size_of_a_segment_is_named() {
    let mut harness = Harness::new(LogSettings {
        channels_max: 1_000,
        ..settings()
    });
    let name = |number: usize| format!("{number:0>200}");

    let accepted = (0..1_000)
        .take_while(|number| {
            let response = harness.publish(append(&name(*number), "1"));
            response != Response::Rejected(Rejection::TooManyChannels)
        })
        .count();

    assert!((10..100).contains(&accepted), "{accepted}");
    let limit = LogLimit::CheckpointBytes;
    assert!(harness.events.contains(&Event::LimitReached { limit }));
    assert_eq!(limit.setting(), LogSetting::SegmentBytes);
}

#[test]
fn pending_appends_and_batches_are_bounded() {
    let small = LogSettings {
        pending_bytes_max: ByteSize::from_kib(64),
        batch_bytes_max: ByteSize::from_kib(4),
        ..settings()
    };
    let mut harness = Harness::new(small);
    harness.is_holding = true;

    let numbers = harness.publish_all((0..200).map(|_| append("a", &"x".repeat(300))).collect());
    let rejected =
        |response: Option<Response>| response == Some(Response::Rejected(Rejection::Limit));
    let waiting = numbers
        .iter()
        .filter(|number| !rejected(harness.response(**number)))
        .count();
    assert!((80..120).contains(&waiting), "{waiting}");
    harness.is_holding = false;
    let before = harness.writes;
    harness.release();
    while !harness.held.is_empty() {
        harness.release();
    }

    assert!(
        harness.writes - before >= waiting * 300 / 4096,
        "{} writes",
        harness.writes - before
    );
    assert_eq!(harness.all("a").len(), waiting);
    assert_eq!(
        usize::try_from(harness.publish_ok(append("a", "later")).1),
        Ok(waiting + 1)
    );
}

#[test]
fn requests_before_the_log_is_open_are_rejected() {
    let policy = steadfast_log::policy::LogPolicy::new(settings()).unwrap();
    let mut log = steadfast_log::Log::new(policy, Instant::START);
    let at = steadfast_machine::Timestamp::from_millis(1);

    log.handle(
        Instant::START,
        Input::Requested {
            requests: vec![steadfast_engine::Request::Append(append("a", "1"))],
            at,
        },
    );

    assert_eq!(log.health(), Health::Opening);
    let response = log.poll_output();
    assert!(
        matches!(
            response,
            Some(steadfast_log::io::Output::Respond {
                response: Response::Rejected(Rejection::Limit),
                ..
            })
        ),
        "{response:?}"
    );
}
