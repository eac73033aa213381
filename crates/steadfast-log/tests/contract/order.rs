//! The order in which commits and responses leave an engine.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_engine::{Append, Page, Read, ReadFrom, ReadResponse, Request, RequestId, Response};
use steadfast_machine::Seed;
use steadfast_protocol::message::ChannelName;

use crate::engines::{Engine, Settings};
use crate::harness::{Delivery, Harness, append, offsets, read};

/// Requests of several shards for several channels.
fn mixed_requests() -> Vec<Request> {
    (0..60_u16)
        .map(|number| {
            let channel = ["a", "b", "c"][usize::from(number % 3)];
            let request_id = RequestId {
                shard: number % 4,
                number: 0,
            };
            if number % 5 == 4 {
                return Request::Read(Read {
                    request_id,
                    ..read(channel, ReadFrom::Oldest, 2)
                });
            }
            Request::Append(Append {
                request_id,
                ..append(channel, &number.to_string())
            })
        })
        .collect()
}

pub(crate) fn each_request_has_one_response<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings::default());

    let sent = harness.send(mixed_requests());
    harness.settle();

    let responded: Vec<RequestId> = harness
        .delivered
        .iter()
        .filter_map(|delivery| match delivery {
            Delivery::Response(id, _) => Some(*id),
            Delivery::Committed(_) => None,
        })
        .collect();
    assert_eq!(responded.len(), sent.len());
    assert_eq!(
        responded.into_iter().collect::<BTreeSet<_>>(),
        sent.into_iter().collect()
    );
}

pub(crate) fn publications_are_committed_once_in_the_order_of_their_requests_and_before_they_are_acknowledged<
    E: Engine,
>() {
    let mut harness = Harness::<E>::new(Settings::default());
    let requests = mixed_requests();
    let requested: Vec<_> = requests
        .iter()
        .filter_map(|request| match request {
            Request::Append(append) => Some(append.data.clone()),
            Request::Read(_) => None,
        })
        .collect();

    harness.send(requests);
    harness.settle();

    let mut committed = Vec::new();
    let mut acknowledged = Vec::new();
    for delivery in &harness.delivered {
        match delivery {
            Delivery::Committed(commit) => {
                committed.push((
                    commit.epoch,
                    commit.record.offset,
                    commit.record.data.clone(),
                ));
            }
            Delivery::Response(_, Response::Appended { epoch, offset, .. }) => {
                let is_committed = committed
                    .iter()
                    .any(|(of, at, _)| of == epoch && at == offset);
                assert!(is_committed, "offset {offset} is acknowledged too early");
                acknowledged.push(*offset);
            }
            Delivery::Response(_, Response::Read(_)) => {}
            Delivery::Response(_, Response::Rejected(rejection)) => panic!("{rejection:?}"),
        }
    }
    let data: Vec<_> = committed.iter().map(|(.., data)| data.clone()).collect();
    assert_eq!(data, requested);
    assert_eq!(acknowledged.len(), requested.len());
}

pub(crate) fn a_commit_names_the_offset_before_it_in_its_channel<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings::default());

    for _ in 0..5 {
        harness.send(mixed_requests());
    }
    harness.settle();

    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    for delivery in &harness.delivered {
        if let Delivery::Committed(committed) = delivery {
            let newest = newest
                .entry(committed.channel.as_str().to_owned())
                .or_insert(0);
            assert_eq!(committed.previous, *newest);
            assert!(committed.record.offset > *newest);
            *newest = committed.record.offset;
        }
    }
    assert_eq!(newest.len(), 3);
}

/// Publications and reads in random batches: a reader that takes a complete page, and then the commits after its
/// response in the order of the engine, misses nothing and sees nothing twice.
pub(crate) fn a_read_ends_where_the_commits_after_it_begin<E: Engine>() {
    let mut complete = 0;
    for seed in 0..50 {
        let mut random = Seed::new(seed).generator();
        let mut harness = Harness::<E>::new(Settings::default());
        let mut reads: BTreeMap<RequestId, ChannelName> = BTreeMap::new();
        for step in 0..20 {
            let requests: Vec<Request> = (0..=random.below(8))
                .map(|_| {
                    let channel = if random.chance(1, 2) { "a" } else { "b" };
                    if random.chance(1, 3) {
                        Request::Read(read(channel, ReadFrom::Oldest, usize::MAX))
                    } else {
                        Request::Append(append(channel, &step.to_string()))
                    }
                })
                .collect();
            let channels = requests.clone();
            for (id, request) in harness.send(requests).into_iter().zip(channels) {
                if let Request::Read(read) = request {
                    reads.insert(id, read.channel);
                }
            }
        }
        harness.settle();
        for (index, delivery) in harness.delivered.iter().enumerate() {
            let Delivery::Response(id, Response::Read(response)) = delivery else {
                continue;
            };
            let channel = &reads[id];
            if let Some(mut seen) = complete_page(response) {
                seen.extend(committed(&harness.delivered[index..], channel));
                assert_eq!(seen, committed(&harness.delivered, channel), "seed {seed}");
                complete += 1;
            }
        }
    }
    assert!(complete > 500, "{complete} reads were complete");
}

/// The offsets of a page from the beginning; `None` if a limit ended it.
fn complete_page(response: &ReadResponse) -> Option<Vec<u64>> {
    let Page::Records {
        previous: 0,
        records,
        has_more,
    } = &response.page
    else {
        panic!("{response:?}")
    };
    let seen = offsets(records);
    if *has_more {
        return None;
    }
    assert_eq!(seen.last().copied().unwrap_or(0), response.high_watermark);
    Some(seen)
}

fn committed(delivered: &[Delivery], channel: &ChannelName) -> Vec<u64> {
    delivered
        .iter()
        .filter_map(|delivery| match delivery {
            Delivery::Committed(committed) if committed.channel == *channel => {
                Some(committed.record.offset)
            }
            Delivery::Committed(_) | Delivery::Response(..) => None,
        })
        .collect()
}
