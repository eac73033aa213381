//! Pages of the history: directions, limits, and how pages join.

use bytes::Bytes;
use steadfast_engine::{Append, Page, Publisher, Read, ReadFrom, Record, RetentionClass};
use steadfast_protocol::message::PayloadKind;

use crate::engines::{Engine, Settings};
use crate::harness::{Delivery, Harness, append, offsets, read};

pub(crate) fn pages_forward_return_each_publication_once_and_join_without_a_gap<E: Engine>() {
    for limit in [1, 2, 7, 20, 100] {
        let mut harness = Harness::<E>::new(Settings::default());
        harness.fill("other", 3);
        let all = harness.fill("a", 20);
        let epoch = harness.epoch("a");

        let (mut from, mut seen, mut reached) = (ReadFrom::Oldest, Vec::new(), 0);
        loop {
            let (previous, records, has_more) = harness.page(read("a", from, limit));
            assert_eq!(previous, reached, "a page follows the one before");
            assert!(records.len() <= limit);
            seen.extend(offsets(&records));
            reached = *seen.last().expect("a page is not empty");
            assert_eq!(has_more, reached < *all.last().unwrap());
            from = ReadFrom::After {
                epoch,
                offset: reached,
            };
            if !has_more {
                break;
            }
        }

        assert_eq!(seen, all);
        let last = harness.page(read("a", from, limit));
        assert_eq!(last, (reached, Vec::new(), false));
    }
}

pub(crate) fn pages_backward_return_each_publication_once<E: Engine>() {
    for limit in [1, 2, 7, 20, 100] {
        let mut harness = Harness::<E>::new(Settings::default());
        let all = harness.fill("a", 20);
        let epoch = harness.epoch("a");

        let (mut from, mut seen) = (ReadFrom::Newest, Vec::new());
        loop {
            let (previous, records, has_more) = harness.page(read("a", from, limit));
            seen.extend(offsets(&records));
            let offset = *seen.last().expect("a page is not empty");
            assert_eq!(has_more, previous != 0);
            let oldest = all.iter().position(|it| *it == offset).unwrap();
            let before = oldest.checked_sub(1).map_or(0, |before| all[before]);
            assert_eq!(previous, before, "of the oldest publication of the page");
            from = ReadFrom::Before { epoch, offset };
            if !has_more {
                break;
            }
        }

        assert_eq!(seen, all.into_iter().rev().collect::<Vec<u64>>());
        let (_, last, has_more) = harness.page(read("a", from, limit));
        assert_eq!((last, has_more), (Vec::new(), false));
    }
}

pub(crate) fn a_limit_of_zero_checks_the_position_and_returns_nothing<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings::default());
    let all = harness.fill("a", 3);
    let (epoch, newest) = (harness.epoch("a"), all[2]);

    let after = |offset| read("a", ReadFrom::After { epoch, offset }, 0);

    assert_eq!(harness.page(after(all[1])), (all[1], Vec::new(), true));
    assert_eq!(harness.page(after(newest)), (newest, Vec::new(), false));
    assert_eq!(harness.read(after(newest + 1)).page, Page::Unrecoverable);
    let (_, records, has_more) = harness.page(read("a", ReadFrom::Newest, 0));
    assert_eq!((records, has_more), (Vec::new(), true));
}

pub(crate) fn a_page_ends_at_the_byte_limit_but_has_at_least_one_publication<E: Engine>() {
    const PAYLOAD: usize = 100;
    let mut harness = Harness::<E>::new(Settings::default());
    for _ in 0..20 {
        harness.publish_ok(append("a", &"x".repeat(PAYLOAD)));
    }

    for from in [ReadFrom::Oldest, ReadFrom::Newest] {
        let mut page_of = |bytes_max| {
            let request = Read {
                bytes_max,
                ..read("a", from.clone(), 100)
            };
            let (_, records, has_more) = harness.page(request);
            (records.len(), has_more)
        };

        assert_eq!(page_of(0), (1, true));
        assert_eq!(page_of(PAYLOAD - 1), (1, true));
        assert_eq!(page_of(20 * PAYLOAD * 2), (20, false));
        let (count, has_more) = page_of(5 * PAYLOAD);
        assert!((3..=5).contains(&count) && has_more, "{count}");
    }
}

pub(crate) fn a_publication_is_read_as_it_was_committed<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings::default());
    let publisher = Publisher {
        user: Bytes::from_static("ünï".as_bytes()),
        client: Bytes::from_static(b"a client"),
    };
    harness.publish_ok(append("a", "without a publisher"));
    harness.publish_ok(Append {
        publisher: publisher.clone(),
        kind: PayloadKind::Binary,
        retention: RetentionClass::NotStored,
        ..append("a", "[\"with a publisher\"]")
    });

    let (_, records, _) = harness.page(read("a", ReadFrom::Oldest, 10));

    let committed: Vec<Record> = harness
        .delivered
        .iter()
        .filter_map(|delivery| match delivery {
            Delivery::Committed(committed) => Some(committed.record.clone()),
            Delivery::Response(..) => None,
        })
        .collect();
    assert_eq!(records, committed);
    assert_eq!(records[1].publisher, publisher);
    assert_eq!(
        (records[1].kind, records[1].retention),
        (PayloadKind::Binary, RetentionClass::NotStored)
    );
    assert_eq!(records[1].data, "[\"with a publisher\"]");
    assert_eq!(records[0].at, harness.wall());
}
