//! Random replacements of channels with idempotency keys, full disks, power losses and changed settings, compared with a
//! reference model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_engine::{Append, ChannelEpoch, Rejection, Response};
use steadfast_log::event::Event;
use steadfast_log::io::StorageError;
use steadfast_log::policy::LogSettings;
use steadfast_machine::{ByteSize, Generator, Seed};

use crate::disk::Disk;
use crate::harness::{Harness, Seen, WALL, append, idempotent, settings};

/// How long a key is known, in milliseconds.
const WINDOW: u64 = 5_000;

/// The publication of a key.
#[derive(Clone, Debug)]
struct Acked {
    epoch: ChannelEpoch,
    offset: u64,
    at: u64,
    data: String,
}

/// The reference model.
#[derive(Default)]
struct Model {
    /// The data and the time of all that was ever committed, by channel, epoch and offset.
    committed: BTreeMap<(String, String, u64), (String, u64)>,
    keys: BTreeMap<(String, String), Acked>,
    requested: BTreeMap<u64, (Append, u64)>,
    replaced: u64,
    repeats: u64,
    other_data: u64,
    number: u64,
}

fn pick(random: &mut Generator, bound: usize) -> usize {
    usize::try_from(random.below(u64::try_from(bound).unwrap())).unwrap()
}

fn next_append(model: &mut Model, random: &mut Generator) -> Append {
    let name = format!("{:0>1$}", random.below(14), 1 + pick(random, 2) * 30);
    model.number += 1;
    if random.below(3) == 0 {
        let key = format!("key {}", random.below(30));
        let data = format!("{name} {key} {}", u64::from(random.below(8) == 0));
        return idempotent(&name, &data, "ann", &key);
    }
    let filler = "x".repeat(pick(random, 300));
    append(&name, &format!("{} {filler}", model.number))
}

/// Compares the outputs of the log with the model, and adds them to it.
fn record(harness: &mut Harness, model: &mut Model, seed: u64) {
    let now = harness.wall;
    for seen in std::mem::take(&mut harness.seen) {
        match seen {
            Seen::Commit(committed) => {
                let position = (
                    committed.channel.as_str().to_owned(),
                    format!("{:?}", committed.epoch),
                    committed.record.offset,
                );
                let data = String::from_utf8(committed.record.data.to_vec()).unwrap();
                let before = model
                    .committed
                    .insert(position.clone(), (data, committed.record.at.as_millis()));
                assert!(before.is_none(), "seed {seed}: {position:?} twice");
            }
            Seen::Response(
                number,
                Response::Appended {
                    epoch,
                    offset,
                    is_duplicate,
                    ..
                },
            ) => {
                let (append, at) = model.requested.remove(&number).expect("requested");
                let data = String::from_utf8(append.data.to_vec()).unwrap();
                let channel = append.channel.as_str().to_owned();
                model.repeats += u64::from(is_duplicate);
                if let Some(key) = &append.idempotency_key {
                    let key = (channel.clone(), String::from_utf8(key.to_vec()).unwrap());
                    if let Some(first) = model.keys.get(&key)
                        && now < first.at + WINDOW
                    {
                        assert!(
                            is_duplicate && (first.epoch, first.offset) == (epoch, offset),
                            "seed {seed}: {key:?} {first:?} is {offset} {epoch:?} {is_duplicate}"
                        );
                        assert_eq!(first.data, data, "seed {seed}: other data accepted");
                    }
                    if !is_duplicate {
                        model.keys.insert(
                            key,
                            Acked {
                                epoch,
                                offset,
                                at,
                                data: data.clone(),
                            },
                        );
                    }
                }
                let position = (channel, format!("{epoch:?}"), offset);
                if let Some((stored, _)) = model.committed.get(&position) {
                    assert_eq!(*stored, data, "seed {seed}: acknowledged with other data");
                } else {
                    // It was committed before a crash, but the commit was not seen.
                    assert!(is_duplicate, "seed {seed}: acknowledged without a commit");
                }
            }
            Seen::Response(number, Response::Rejected(reason)) => {
                model.requested.remove(&number);
                model.other_data += u64::from(reason == Rejection::KeyWithOtherData);
            }
            Seen::Response(_, Response::Read(_)) => {}
        }
    }
}

/// Requires the publications that are young enough: a channel with one of them is not replaced.
fn check_visible(harness: &mut Harness, model: &Model, settings: &LogSettings, seed: u64) {
    let ttl = u64::try_from(settings.history_ttl.as_millis()).unwrap();
    let now = harness.wall;
    let names: BTreeSet<String> = model.committed.keys().map(|it| it.0.clone()).collect();
    for name in names {
        let all = harness.all(&name);
        let data: Vec<&String> = all.iter().map(|it| &it.1).collect();
        for ((channel, epoch, offset), (stored, at)) in &model.committed {
            if *channel == name && now - at < ttl {
                assert!(
                    data.contains(&stored),
                    "seed {seed}: {channel} {epoch} {offset} is lost"
                );
            }
        }
    }
    harness.seen.clear();
}

/// The conditions of a run.
struct Trial {
    seed: u64,
    /// Whether the log has few segments, so that publications are removed with them.
    is_small: bool,
    /// Whether the disk is full at times.
    is_full: bool,
    /// Whether each start has other settings.
    is_varied: bool,
    settings: LogSettings,
}

impl Trial {
    fn new(seed: u64, is_small: bool, random: &mut Generator) -> Self {
        let segment = [4, 8, 16][pick(random, 3)];
        let segments = if is_small { 4 + random.below(4) } else { 1_000 };
        let history_ttl = 1 + random.below(8);
        Self {
            seed,
            is_small,
            is_full: random.below(3) == 0,
            is_varied: random.below(2) == 0,
            settings: LogSettings {
                segment_bytes: ByteSize::from_kib(segment),
                log_bytes: ByteSize::from_kib(segment * segments),
                batch_bytes_max: ByteSize::from_kib(4),
                cache_bytes: ByteSize::from_bytes(random.below(2) * 4096),
                history_ttl: Duration::from_secs(history_ttl),
                channel_ttl: Duration::from_secs(history_ttl.max(5) + random.below(40)),
                dedup_window: Duration::from_millis(WINDOW),
                channels_max: 3 + pick(random, 5),
                ..settings()
            },
        }
    }

    /// The settings of a later start.
    fn next_settings(&self, random: &mut Generator) -> LogSettings {
        if !self.is_varied {
            return self.settings;
        }
        let segments = if self.is_small { 7 } else { 1_000 };
        LogSettings {
            channels_max: 1 + pick(random, 8),
            segment_bytes: ByteSize::from_kib([4, 8, 16][pick(random, 3)]),
            log_bytes: ByteSize::from_kib(16 * segments),
            ..self.settings
        }
    }

    fn run(&self, model: &mut Model, random: &mut Generator) {
        let seed = self.seed;
        let (mut disk, mut wall) = (Disk::default(), WALL);
        let mut settings = self.settings;
        for incarnation in 1..=6 {
            let mut harness = Harness::start(settings, disk, wall, incarnation);
            assert!(
                harness.opened.is_some(),
                "seed {seed}: {:?}",
                harness.corruption
            );
            if !self.is_small {
                check_visible(&mut harness, model, &settings, seed);
            }
            harness.is_holding = true;
            for _ in 0..random.below(150) {
                self.step(&mut harness, model, random);
                let bytes = harness.bytes_peak;
                assert!(
                    self.is_varied || bytes <= settings.log_bytes.as_bytes(),
                    "seed {seed}: {bytes}"
                );
            }
            (disk, wall) = stop(harness, model, seed, random);
            settings = self.next_settings(random);
        }
    }

    fn step(&self, harness: &mut Harness, model: &mut Model, random: &mut Generator) {
        if self.is_full {
            let no_space = |yes: bool| yes.then_some(StorageError::NoSpace);
            harness.faults.write = no_space(random.below(10) == 0);
            harness.faults.reserve = no_space(random.below(6) == 0);
        }
        match random.below(10) {
            0..6 => {
                let count = 1 + random.below(6);
                let appends: Vec<Append> = (0..count).map(|_| next_append(model, random)).collect();
                let at = harness.wall;
                let numbers = harness.publish_all(appends.clone());
                let timed = appends.into_iter().map(|it| (it, at));
                model.requested.extend(numbers.into_iter().zip(timed));
            }
            6 | 7 => harness.advance(Duration::from_millis(random.below(900))),
            8 if random.below(4) == 0 => {
                harness.advance(Duration::from_millis(random.below(20_000)));
            }
            _ => {}
        }
        for _ in 0..random.below(5) {
            if !harness.held.is_empty() {
                harness.release();
            }
        }
        record(harness, model, self.seed);
    }
}

/// Stops the log in one of several ways; returns the disk and the time.
fn stop(mut harness: Harness, model: &mut Model, seed: u64, random: &mut Generator) -> (Disk, u64) {
    harness.faults.write = None;
    harness.faults.reserve = None;
    let replaced = |event: &&Event| matches!(event, Event::ChannelReplaced { .. });
    let count = harness.events.iter().filter(replaced).count();
    model.replaced += u64::try_from(count).unwrap();
    match random.below(6) {
        0 => {
            harness.is_holding = false;
            while !harness.held.is_empty() {
                harness.release();
            }
            harness.close_requested();
            record(&mut harness, model, seed);
        }
        1 => {}
        2 => harness.disk.lose_unsynced(),
        3 => harness.write_unreported(),
        4 => {
            harness.write_unreported();
            harness.disk.lose_power(random);
        }
        _ => harness.disk.lose_power(random),
    }
    model.requested.clear();
    (harness.disk, harness.wall)
}

#[test]
fn replaced_channels_lose_neither_keys_nor_visible_publications_and_the_size_stays_bounded() {
    for is_small in [false, true] {
        let (mut replaced, mut repeats, mut other_data) = (0, 0, 0);
        for seed in 0..600 {
            let mut random = Seed::new(seed).generator();
            let mut model = Model::default();
            Trial::new(seed, is_small, &mut random).run(&mut model, &mut random);
            replaced += model.replaced;
            repeats += model.repeats;
            other_data += model.other_data;
        }
        assert!(
            replaced > 1_000 && repeats > 200 && other_data > 50,
            "{replaced} {repeats} {other_data}"
        );
    }
}
