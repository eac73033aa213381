//! Random publications, repeats, reads and pauses, compared with a reference model that keeps everything.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_engine::{Committed, Page, ReadFrom, ReadResponse, Record, Rejection, Response};
use steadfast_machine::{Generator, Seed, Timestamp};

use crate::engines::{Engine, Settings};
use crate::harness::{Delivery, Harness, append, idempotent, read};

const HISTORY_SIZE: usize = 5;
const HISTORY_TTL: Duration = Duration::from_mins(10);
const DEDUP_WINDOW: Duration = Duration::from_mins(2);
const CHANNELS: [&str; 3] = ["a", "b", "c"];

/// All publications of a channel, as an engine committed them.
#[derive(Debug, Default)]
struct Model {
    records: Vec<Record>,
    /// Publications before this index were removed. Once removed, they stay so.
    removed: usize,
    /// The offset, the time and the payload of the first append with each idempotency key.
    keys: BTreeMap<String, (u64, Timestamp, String)>,
}

impl Model {
    fn prune(&mut self, wall: Timestamp) {
        let is_old = |record: &Record| wall.saturating_since(record.at) > HISTORY_TTL;
        while self.records.len() - self.removed > HISTORY_SIZE
            || self.records.get(self.removed).is_some_and(is_old)
        {
            self.removed += 1;
        }
    }

    /// The offset and the payload of the first append with this key in the window.
    fn repeated(&self, key: &str, wall: Timestamp) -> Option<(u64, &str)> {
        let (offset, at, payload) = self.keys.get(key)?;
        (wall.saturating_since(*at) < DEDUP_WINDOW).then_some((*offset, payload))
    }

    fn offset_before(&self, index: usize) -> u64 {
        index
            .checked_sub(1)
            .map_or(0, |before| self.records[before].offset)
    }

    /// What a read must return.
    fn page(&self, from: &ReadFrom, limit: usize) -> Page {
        let newest = self.offset_before(self.records.len());
        let is_removed = |offset: u64| offset < self.offset_before(self.removed);
        let index_after = |offset: u64| {
            let is_after = |record: &Record| record.offset > offset;
            let index = self.records.iter().position(is_after);
            index.unwrap_or(self.records.len())
        };
        match *from {
            ReadFrom::Oldest => self.forward(self.removed, limit),
            ReadFrom::After { offset, .. } if offset > newest || is_removed(offset) => {
                Page::Unrecoverable
            }
            ReadFrom::After { offset, .. } => self.forward(index_after(offset), limit),
            ReadFrom::Newest => self.backward(self.records.len(), limit),
            ReadFrom::Before { offset, .. } if offset > newest + 1 => Page::Unrecoverable,
            ReadFrom::Before { offset, .. } => self.backward(
                index_after(offset.saturating_sub(1)).max(self.removed),
                limit,
            ),
        }
    }

    fn forward(&self, index: usize, limit: usize) -> Page {
        let end = (index + limit).min(self.records.len());
        Page::Records {
            previous: self.offset_before(index),
            records: self.records[index..end].to_vec(),
            has_more: end < self.records.len(),
        }
    }

    fn backward(&self, end: usize, limit: usize) -> Page {
        let index = end.saturating_sub(limit).max(self.removed);
        Page::Records {
            previous: self.offset_before(index),
            records: self.records[index..end].iter().rev().cloned().collect(),
            has_more: index > self.removed,
        }
    }
}

pub(crate) fn random_requests_agree_with_a_reference_model<E: Engine>() {
    for seed in 0..60 {
        let mut random = Seed::new(seed).generator();
        let mut harness = Harness::<E>::new(Settings {
            history_size: HISTORY_SIZE,
            history_ttl: HISTORY_TTL,
            dedup_window: DEDUP_WINDOW,
            ..Settings::default()
        });
        let mut models: BTreeMap<&str, Model> = BTreeMap::new();
        for step in 0..150 {
            let channel = CHANNELS[pick(&mut random, CHANNELS.len())];
            let model = models.entry(channel).or_default();
            match random.below(10) {
                0..4 => publish(&mut harness, model, channel, step, &mut random),
                4..9 => check_read(&mut harness, model, channel, &mut random),
                _ => harness.advance(Duration::from_secs(random.below(400))),
            }
        }
    }
}

fn publish<E: Engine>(
    harness: &mut Harness<E>,
    model: &mut Model,
    channel: &str,
    step: u64,
    random: &mut Generator,
) {
    let key = random
        .chance(1, 3)
        .then(|| format!("key {}", random.below(4)));
    // Most repeats of a key have the same payload.
    let payload = match &key {
        Some(key) if random.chance(3, 4) => key.clone(),
        Some(_) | None => format!("{step}"),
    };
    let delivered = harness.delivered.len();
    let response = harness.publish(match &key {
        Some(key) => idempotent(channel, &payload, "ann", key),
        None => append(channel, &payload),
    });
    let wall = harness.wall();
    let repeated = key.as_ref().and_then(|key| model.repeated(key, wall));
    let committed: Vec<Committed> = harness.delivered[delivered..]
        .iter()
        .filter_map(|delivery| match delivery {
            Delivery::Committed(committed) => Some(committed.clone()),
            Delivery::Response(..) => None,
        })
        .collect();

    if let Some((_, first)) = repeated
        && first != payload
    {
        let rejected = Response::Rejected(Rejection::KeyWithOtherData);
        assert_eq!((response, committed), (rejected, Vec::new()));
        return;
    }
    let Response::Appended {
        offset,
        is_duplicate,
        ..
    } = response
    else {
        panic!("{response:?}")
    };
    assert_eq!(is_duplicate, repeated.is_some());
    if let Some((first, _)) = repeated {
        assert_eq!((offset, committed), (first, Vec::new()));
        return;
    }
    let [committed] = &committed[..] else {
        panic!("{committed:?}")
    };
    assert_eq!(committed.previous, model.offset_before(model.records.len()));
    assert_eq!(committed.record.offset, offset);
    assert_eq!(committed.record.data, payload);
    model.records.push(committed.record.clone());
    model
        .keys
        .extend(key.map(|key| (key, (offset, wall, payload))));
    model.prune(wall);
}

fn check_read<E: Engine>(
    harness: &mut Harness<E>,
    model: &mut Model,
    channel: &str,
    random: &mut Generator,
) {
    model.prune(harness.wall());
    let newest = model.offset_before(model.records.len());
    let epoch = harness.epoch(channel);
    let offset = random.below(newest + 3);
    let from = match random.below(4) {
        0 => ReadFrom::Oldest,
        1 => ReadFrom::After { epoch, offset },
        2 => ReadFrom::Newest,
        _ => ReadFrom::Before { epoch, offset },
    };
    let limit = 1 + pick(random, HISTORY_SIZE);

    let response = harness.read(read(channel, from.clone(), limit));

    let expected = ReadResponse {
        epoch,
        high_watermark: newest,
        page: model.page(&from, limit),
    };
    assert_eq!(response, expected, "{from:?}, at most {limit}");
}

fn pick(random: &mut Generator, bound: usize) -> usize {
    usize::try_from(random.below(u64::try_from(bound).unwrap())).unwrap()
}
