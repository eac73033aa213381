//! Reads: pages in both directions, positions, memory and storage, and a replay that joins live publications without a
//! gap.

use std::time::Duration;

use steadfast_engine::{ChannelEpoch, Page, ReadFrom, Request, Response};
use steadfast_log::event::Event;
use steadfast_log::io::StorageError;
use steadfast_log::policy::LogSettings;
use steadfast_machine::ByteSize;

use crate::harness::{Harness, Seen, append, read, settings};

fn filled(cache: ByteSize) -> Harness {
    let mut harness = Harness::new(LogSettings {
        cache_bytes: cache,
        ..settings()
    });
    for number in 1..=50 {
        harness.publish_all(vec![
            append("a", &format!("{number:0>100}")),
            append("b", &"x".repeat(700)),
        ]);
    }
    harness
}

#[test]
fn pages_forward_and_backward_hold_every_publication_once() {
    for cache in [
        ByteSize::from_bytes(0),
        ByteSize::from_kib(8),
        ByteSize::from_mib(8),
    ] {
        let mut harness = filled(cache);
        let epoch = harness.read(read("a", ReadFrom::Oldest, 0)).epoch;
        let mut forward = Vec::new();
        let mut backward = Vec::new();

        loop {
            let offset = forward.last().copied().unwrap_or(0);
            let (records, has_more) =
                harness.records(read("a", ReadFrom::After { epoch, offset }, 7));
            forward.extend(records.iter().map(|record| record.offset));
            assert!(
                records
                    .iter()
                    .all(|record| record.data == format!("{:0>100}", record.offset))
            );
            if !has_more {
                break;
            }
        }
        let mut from = ReadFrom::Newest;
        loop {
            let (records, has_more) = harness.records(read("a", from, 7));
            backward.extend(records.iter().map(|record| record.offset));
            from = ReadFrom::Before {
                epoch,
                offset: *backward.last().unwrap(),
            };
            if !has_more {
                break;
            }
        }

        assert_eq!(forward, (1..=50).collect::<Vec<u64>>());
        assert_eq!(backward, (1..=50).rev().collect::<Vec<u64>>());
    }
}

#[test]
fn fresh_publications_are_read_from_memory_and_old_ones_with_few_reads() {
    let mut harness = filled(ByteSize::from_mib(8));
    harness.reads = 0;
    harness.all("a");
    assert_eq!(harness.reads, 0);

    let mut harness = filled(ByteSize::from_bytes(0));
    harness.reads = 0;
    harness.all("a");
    assert!(
        harness.reads > 0 && harness.reads <= 25,
        "adjacent records share a read: {}",
        harness.reads
    );
}

#[test]
fn a_page_ends_at_the_byte_limit_but_holds_at_least_one_publication() {
    let mut harness = filled(ByteSize::from_bytes(0));
    let mut pages_of = |bytes_max| {
        let request = steadfast_engine::Read {
            bytes_max,
            ..read("a", ReadFrom::Oldest, 100)
        };
        let (records, has_more) = harness.records(request);
        (records.len(), has_more)
    };

    assert_eq!(pages_of(350), (3, true));
    assert_eq!(pages_of(1), (1, true));
    assert_eq!(pages_of(100_000), (50, false));
}

#[test]
fn a_position_is_recoverable_or_rejected() {
    let mut harness = filled(ByteSize::from_bytes(0));
    let response = harness.read(read("a", ReadFrom::Oldest, 0));
    let (epoch, end) = (response.epoch, response.high_watermark);
    let nothing = |previous, has_more| Page::Records {
        previous,
        records: Vec::new(),
        has_more,
    };
    assert_eq!(response.page, nothing(0, true));
    let unknown = ChannelEpoch::new(epoch.incarnation(), epoch.counter() + 1);

    for (from, recoverable) in [
        (ReadFrom::After { epoch, offset: 0 }, true),
        (ReadFrom::After { epoch, offset: end }, true),
        (
            ReadFrom::After {
                epoch,
                offset: end + 1,
            },
            false,
        ),
        (
            ReadFrom::After {
                epoch,
                offset: u64::MAX,
            },
            false,
        ),
        (
            ReadFrom::After {
                epoch: unknown,
                offset: 0,
            },
            false,
        ),
        (
            ReadFrom::Before {
                epoch,
                offset: end + 1,
            },
            true,
        ),
        (ReadFrom::Before { epoch, offset: 0 }, true),
        (
            ReadFrom::Before {
                epoch,
                offset: u64::MAX,
            },
            false,
        ),
        (
            ReadFrom::Before {
                epoch: unknown,
                offset: 1,
            },
            false,
        ),
    ] {
        let page = harness.read(read("a", from.clone(), 3)).page;
        assert_eq!(page != Page::Unrecoverable, recoverable, "{from:?}");
    }
    let after = harness.read(read("a", ReadFrom::After { epoch, offset: end }, 3));
    assert_eq!(after.page, nothing(end, false));
}

#[test]
fn a_paged_replay_joins_live_publications_without_a_gap() {
    let mut harness = filled(ByteSize::from_bytes(0));
    let epoch = harness.read(read("a", ReadFrom::Oldest, 0)).epoch;
    harness.seen.clear();
    let mut received: Vec<u64> = Vec::new();
    let mut live = false;
    let mut read_number = None;

    // Each step publishes once more; the subscriber is live once a page has reached the high watermark.
    for step in 0..30 {
        if live {
            harness.publish_unacknowledged(append("a", &format!("live {step}")));
        } else {
            let offset = received.last().copied().unwrap_or(0);
            let request = Request::Read(read("a", ReadFrom::After { epoch, offset }, 9));
            let requests = vec![
                Request::Append(append("a", &format!("live {step}"))),
                request,
            ];
            read_number = Some(harness.request(requests)[1]);
        }
        for seen in std::mem::take(&mut harness.seen) {
            match seen {
                Seen::Commit(committed) if live => received.push(committed.record.offset),
                Seen::Commit(_) => {}
                Seen::Response(number, Response::Read(response)) if read_number == Some(number) => {
                    let Page::Records {
                        records, has_more, ..
                    } = response.page
                    else {
                        panic!("unrecoverable")
                    };
                    received.extend(records.iter().map(|record| record.offset));
                    live = !has_more;
                }
                Seen::Response(..) => {}
            }
        }
    }

    assert!(live);
    assert_eq!(received, (1..=80).collect::<Vec<u64>>());
}

#[test]
fn a_page_of_a_channel_that_expires_while_it_is_read_is_not_returned_under_another_epoch() {
    for is_created_again in [false, true] {
        let mut harness = Harness::new(LogSettings {
            history_ttl: Duration::from_mins(1),
            channel_ttl: Duration::from_mins(2),
            ..settings()
        });
        let (old, ..) = harness.publish_ok(append("a", "old"));
        harness.is_holding_reads = true;
        let number = harness.request(vec![Request::Read(read("a", ReadFrom::Oldest, 10))])[0];
        for _ in 0..4 {
            harness.advance(Duration::from_mins(1));
        }
        assert_eq!(harness.log.channels(), 0);
        if is_created_again {
            harness.publish_ok(append("a", "new"));
        }

        harness.release();

        let Some(Response::Read(response)) = harness.response(number) else {
            panic!("{:?}", harness.response(number))
        };
        assert_eq!(response.page, Page::Unrecoverable);
        assert_ne!(response.epoch, old);
        assert_eq!(response.high_watermark, u64::from(is_created_again));
    }
}

#[test]
fn a_page_that_is_read_again_from_memory_is_returned_at_once() {
    let mut harness = filled(ByteSize::from_bytes(512));
    harness.is_holding_reads = true;
    let number = harness.request(vec![Request::Read(read("a", ReadFrom::Newest, 1))])[0];
    assert_eq!(harness.response(number), None, "it is read from the disk");
    harness.publish_ok(append("a", "newer"));

    harness.release();

    assert!(harness.held.is_empty(), "{:?}", harness.held);
    let Some(Response::Read(response)) = harness.response(number) else {
        panic!("{:?}", harness.response(number))
    };
    let Page::Records { records, .. } = response.page else {
        panic!("{response:?}")
    };
    assert_eq!(response.high_watermark, 51);
    assert_eq!(
        (records[0].offset, &records[0].data[..]),
        (51, &b"newer"[..])
    );
}

#[test]
fn corrupt_bytes_are_never_returned() {
    let mut harness = filled(ByteSize::from_bytes(0));
    let position = harness
        .disk
        .bytes(1)
        .windows(100)
        .position(|bytes| bytes == format!("{:0>100}", 3).as_bytes());
    harness.disk.bytes_mut(1)[position.unwrap() + 50] ^= 1;

    let response = harness.read(read("a", ReadFrom::Oldest, 10));
    let after_corruption = harness.read(read(
        "a",
        ReadFrom::After {
            epoch: response.epoch,
            offset: 3,
        },
        10,
    ));

    assert_eq!(response.page, Page::Unrecoverable);
    assert!(
        matches!(after_corruption.page, Page::Records { .. }),
        "intact records are still read"
    );
    let is_unreadable = |event: &&Event| matches!(event, Event::RecordUnreadable { .. });
    assert_eq!(harness.events.iter().filter(is_unreadable).count(), 1);
    harness.faults.read = Some(StorageError::Io);
    assert_eq!(
        harness.read(read("a", ReadFrom::Oldest, 10)).page,
        Page::Unrecoverable
    );
}
