//! Reads: pages in both directions, positions, memory and storage, and a replay that meets live without a hole.

use steadfast_hub::log::io::{Answer, Page, ReadFrom, Request, StorageFault};
use steadfast_hub::policy::log::LogSettings;
use steadfast_machine::ByteSize;

use crate::bench::{Bench, Seen, append, read, settings};

fn filled(cache: ByteSize) -> Bench {
    let mut bench = Bench::new(LogSettings {
        cache_bytes: cache,
        ..settings()
    });
    for number in 1..=50 {
        bench.publish_all(vec![
            append("a", &format!("{number:0>100}")),
            append("b", &"x".repeat(700)),
        ]);
    }
    bench
}

#[test]
fn pages_forward_and_backward_hold_every_publication_once() {
    for cache in [
        ByteSize::from_bytes(0),
        ByteSize::from_kib(8),
        ByteSize::from_mib(8),
    ] {
        let mut bench = filled(cache);
        let epoch = bench.read(read("a", ReadFrom::Start, 0)).epoch;
        let mut forward = Vec::new();
        let mut backward = Vec::new();

        loop {
            let offset = forward.last().copied().unwrap_or(0);
            let (records, more) = bench.records(read("a", ReadFrom::After { epoch, offset }, 7));
            forward.extend(records.iter().map(|record| record.offset));
            assert!(
                records
                    .iter()
                    .all(|record| record.data == format!("{:0>100}", record.offset))
            );
            if !more {
                break;
            }
        }
        let mut from = ReadFrom::Top;
        loop {
            let (records, more) = bench.records(read("a", from, 7));
            backward.extend(records.iter().map(|record| record.offset));
            from = ReadFrom::Before {
                epoch,
                offset: *backward.last().unwrap(),
            };
            if !more {
                break;
            }
        }

        assert_eq!(forward, (1..=50).collect::<Vec<u64>>());
        assert_eq!(backward, (1..=50).rev().collect::<Vec<u64>>());
    }
}

#[test]
fn fresh_publications_are_read_from_memory_and_old_ones_with_few_reads() {
    let mut bench = filled(ByteSize::from_mib(8));
    bench.reads = 0;
    bench.all("a");
    assert_eq!(bench.reads, 0);

    let mut bench = filled(ByteSize::from_bytes(0));
    bench.reads = 0;
    bench.all("a");
    assert!(
        bench.reads > 0 && bench.reads <= 25,
        "neighbours share a read: {}",
        bench.reads
    );
}

#[test]
fn the_page_stops_at_the_bytes_but_holds_at_least_one() {
    let mut bench = filled(ByteSize::from_bytes(0));
    let mut ask = |bytes_max| {
        let request = steadfast_hub::log::io::Read {
            bytes_max,
            ..read("a", ReadFrom::Start, 100)
        };
        let (records, more) = bench.records(request);
        (records.len(), more)
    };

    assert_eq!(ask(350), (3, true));
    assert_eq!(ask(1), (1, true));
    assert_eq!(ask(100_000), (50, false));
}

#[test]
fn a_position_is_whole_or_refused() {
    let mut bench = filled(ByteSize::from_bytes(0));
    let answer = bench.read(read("a", ReadFrom::Start, 0));
    let (epoch, top) = (answer.epoch, answer.top);
    let nothing = |more| Page::Records {
        records: Vec::new(),
        more,
    };
    assert_eq!(answer.page, nothing(true));
    let foreign = steadfast_hub::epoch::ChannelEpoch {
        counter: epoch.counter + 1,
        ..epoch
    };

    for (from, recoverable) in [
        (ReadFrom::After { epoch, offset: 0 }, true),
        (ReadFrom::After { epoch, offset: top }, true),
        (
            ReadFrom::After {
                epoch,
                offset: top + 1,
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
                epoch: foreign,
                offset: 0,
            },
            false,
        ),
        (
            ReadFrom::Before {
                epoch,
                offset: top + 1,
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
                epoch: foreign,
                offset: 1,
            },
            false,
        ),
    ] {
        let page = bench.read(read("a", from.clone(), 3)).page;
        assert_eq!(page != Page::Unrecoverable, recoverable, "{from:?}");
    }
    let after = bench.read(read("a", ReadFrom::After { epoch, offset: top }, 3));
    assert_eq!(after.page, nothing(false));
}

#[test]
fn a_replay_in_pages_meets_live_without_a_hole() {
    let mut bench = filled(ByteSize::from_bytes(0));
    let epoch = bench.read(read("a", ReadFrom::Start, 0)).epoch;
    bench.seen.clear();
    let mut received: Vec<u64> = Vec::new();
    let mut live = false;
    let mut asked = None;

    // One more publication with each page; a subscriber goes live when a page reached the top.
    for step in 0..30 {
        if live {
            bench.publish_fast(append("a", &format!("live {step}")));
        } else {
            let offset = received.last().copied().unwrap_or(0);
            let request = Request::Read(read("a", ReadFrom::After { epoch, offset }, 9));
            let batch = vec![
                Request::Append(append("a", &format!("live {step}"))),
                request,
            ];
            asked = Some(bench.request(batch)[1]);
        }
        for seen in std::mem::take(&mut bench.seen) {
            match seen {
                Seen::Commit(committed) if live => received.push(committed.record.offset),
                Seen::Commit(_) => {}
                Seen::Answer(number, Answer::Read(answer)) if asked == Some(number) => {
                    let Page::Records { records, more } = answer.page else {
                        panic!("whole")
                    };
                    received.extend(records.iter().map(|record| record.offset));
                    live = !more;
                }
                Seen::Answer(..) => {}
            }
        }
    }

    assert!(live);
    assert_eq!(received, (1..=80).collect::<Vec<u64>>());
}

#[test]
fn bytes_that_are_not_what_was_written_are_never_handed_out() {
    let mut bench = filled(ByteSize::from_bytes(0));
    let place = bench
        .disk
        .bytes(1)
        .windows(100)
        .position(|bytes| bytes == format!("{:0>100}", 3).as_bytes());
    bench.disk.bytes_mut(1)[place.unwrap() + 50] ^= 1;

    let answer = bench.read(read("a", ReadFrom::Start, 10));
    let behind = bench.read(read(
        "a",
        ReadFrom::After {
            epoch: answer.epoch,
            offset: 3,
        },
        10,
    ));

    assert_eq!(answer.page, Page::Unrecoverable);
    assert!(
        matches!(behind.page, Page::Records { .. }),
        "what is whole is still read"
    );
    assert_eq!(bench.log.counters().unreadable, 1);
    bench.faults.read = Some(StorageFault::Broken);
    assert_eq!(
        bench.read(read("a", ReadFrom::Start, 10)).page,
        Page::Unrecoverable
    );
}
