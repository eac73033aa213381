//! Order: offsets, batches, commits before responses, and what a read sees.

use steadfast_engine::{Page, ReadFrom, Request, Response};
use steadfast_log::policy::{Fsync, LogSettings};
use steadfast_machine::ByteSize;

use crate::harness::{Harness, Seen, append, read, settings, with_fsync};

#[test]
fn offsets_are_dense_from_1_in_each_channel_and_each_commit_precedes_its_response() {
    let mut harness = Harness::new(settings());

    harness.publish_all(vec![append("a", "1"), append("b", "2"), append("a", "3")]);

    let story: Vec<String> = harness
        .seen
        .iter()
        .map(|seen| match seen {
            Seen::Commit(committed) => format!("{} {}", committed.channel, committed.record.offset),
            Seen::Response(number, Response::Appended { offset, .. }) => {
                format!("response {number} {offset}")
            }
            Seen::Response(number, other) => format!("response {number} {other:?}"),
        })
        .collect();
    assert_eq!(
        story,
        [
            "a 1",
            "response 1 1",
            "b 1",
            "response 2 1",
            "a 2",
            "response 3 2"
        ]
    );
}

#[test]
fn appends_that_arrive_while_a_batch_is_in_flight_share_one_write_and_one_sync() {
    let mut harness = Harness::new(settings());
    harness.is_holding = true;
    let (writes, syncs) = (harness.writes, harness.syncs);

    let first = harness.publish_unacknowledged(append("a", "0"));
    let rest: Vec<u64> = (1..100)
        .map(|number| harness.publish_unacknowledged(append("a", &number.to_string())))
        .collect();
    harness.release();
    assert_eq!(harness.response(first), None, "written, not durable");
    harness.release();
    assert!(harness.response(first).is_some(), "synced, hence durable");
    assert_eq!(harness.response(rest[0]), None);
    harness.release();
    harness.release();

    assert!(
        rest.iter()
            .all(|number| harness.response(*number).is_some())
    );
    assert_eq!((harness.writes - writes, harness.syncs - syncs), (2, 2));
}

#[test]
fn without_the_always_policy_written_is_enough() {
    for fsync in [
        Fsync::Never,
        Fsync::Interval(std::time::Duration::from_millis(100)),
    ] {
        let mut harness = Harness::new(with_fsync(fsync));
        harness.is_holding = true;

        let number = harness.publish_unacknowledged(append("a", "1"));
        harness.release();

        assert!(harness.response(number).is_some(), "{fsync:?}");
        assert!(harness.held.is_empty(), "{fsync:?}");
    }
}

#[test]
fn a_read_sees_committed_publications_and_nothing_of_the_batch_in_flight() {
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("a", "1"));
    harness.is_holding = true;

    harness.publish_unacknowledged(append("a", "2"));
    let before = harness.all("a");
    harness.release();
    let written = harness.all("a");
    harness.release();

    assert_eq!(before, [(1, "1".into())]);
    assert_eq!(written, before);
    assert_eq!(harness.all("a"), [(1, "1".into()), (2, "2".into())]);
}

#[test]
fn a_channel_that_does_not_exist_yet_keeps_the_epoch_of_its_first_response() {
    let mut harness = Harness::new(settings());

    let response = harness.read(read("new", ReadFrom::Oldest, 0));
    let (epoch, offset, _) = harness.publish_ok(append("new", "1"));
    let after = harness.read(read(
        "new",
        ReadFrom::After {
            epoch: response.epoch,
            offset: response.high_watermark,
        },
        10,
    ));

    assert_eq!(
        (response.high_watermark, epoch, offset),
        (0, response.epoch, 1)
    );
    assert!(
        matches!(after.page, Page::Records { previous: 0, records, has_more: false } if records.len() == 1)
    );
}

#[test]
fn a_read_among_other_requests_sees_the_log_as_of_its_turn() {
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("a", "1"));

    let numbers = harness.request(vec![
        Request::Append(append("a", "2")),
        Request::Read(read("a", ReadFrom::Oldest, 10)),
    ]);

    let position = |number: u64| {
        harness
            .seen
            .iter()
            .position(|seen| matches!(seen, Seen::Response(n, _) if *n == number))
    };
    let Some(Response::Read(response)) = harness.response(numbers[1]) else {
        panic!("read")
    };
    let Page::Records {
        records, has_more, ..
    } = response.page
    else {
        panic!("records")
    };
    let committed_before = position(numbers[0]) < position(numbers[1]);
    let expected = if committed_before { 2 } else { 1 };
    assert_eq!(
        (response.high_watermark, records.len()),
        (expected, 1),
        "the page was chosen before the commit"
    );
    assert_eq!(
        has_more, committed_before,
        "and reports whether it reached the current high watermark"
    );
}

#[test]
fn the_newest_page_begins_at_the_high_watermark_of_its_response_although_more_was_committed_since()
{
    let mut harness = Harness::new(LogSettings {
        cache_bytes: ByteSize::from_bytes(0),
        ..settings()
    });
    for number in 1..=5 {
        harness.publish_ok(append("a", &number.to_string()));
    }
    harness.is_holding_reads = true;
    let number = harness.request(vec![Request::Read(read("a", ReadFrom::Newest, 3))])[0];
    harness.publish_ok(append("a", "6"));
    harness.is_holding_reads = false;
    while !harness.held.is_empty() {
        harness.release();
    }

    let Some(Response::Read(response)) = harness.response(number) else {
        panic!("read")
    };
    let Page::Records { records, .. } = response.page else {
        panic!("records")
    };
    let offsets: Vec<u64> = records.iter().map(|record| record.offset).collect();
    assert_eq!((response.high_watermark, offsets), (6, vec![6, 5, 4]));
}
