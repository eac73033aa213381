//! Random publications, restarts and power losses, compared with a reference model of what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_engine::{Append, ChannelEpoch, Rejection, Response};
use steadfast_log::event::Event;
use steadfast_log::io::StorageError;
use steadfast_log::policy::{Fsync, LogSettings};
use steadfast_machine::{ByteSize, Generator, Seed};

use crate::disk::Disk;
use crate::harness::{Harness, Seen, WALL, append, idempotent, settings};

/// The reference model: what must be true in every run.
#[derive(Default)]
struct Model {
    /// The publications that were acknowledged, or delivered to subscribers.
    durable: BTreeMap<(String, u64), String>,
    epochs: BTreeMap<String, ChannelEpoch>,
    /// The offset of each key that was ever acknowledged.
    keys: BTreeMap<String, u64>,
    requested: BTreeMap<u64, Append>,
    published: u64,
    crashes: u64,
    repeats: u64,
    truncations: u64,
    rejected: u64,
    removed: u64,
    epochs_changed: u64,
    /// True while acknowledged publications may be lost.
    is_lossy: bool,
    /// True when old segments are removed.
    is_removing: bool,
}

#[test]
fn acknowledged_publications_exist_once_and_in_order_after_any_power_loss() {
    let mut totals = Model::default();
    for seed in 0..400 {
        let model =
            run(seed, Trial::RELIABLE).unwrap_or_else(|reason| panic!("seed {seed}: {reason}"));
        totals.crashes += model.crashes;
        totals.published += model.published;
        totals.repeats += model.repeats;
        totals.truncations += model.truncations;
    }
    println!(
        "{} acknowledged, {} crashes, {} truncations, {} repeats",
        totals.published, totals.crashes, totals.truncations, totals.repeats
    );
    assert!(
        totals.crashes > 1000
            && totals.published > 10_000
            && totals.truncations > 100
            && totals.repeats > 100
    );
}

#[test]
fn without_the_sync_acknowledged_publications_are_lost() {
    let failures = (0..50)
        .filter(|seed| {
            run(
                *seed,
                Trial {
                    is_sync_ignored: true,
                    ..Trial::RELIABLE
                },
            )
            .is_err()
        })
        .count();

    assert!(failures > 25, "only {failures} of 50 runs failed");
}

#[test]
fn without_a_sync_for_each_batch_only_unsynced_publications_are_lost_and_the_epochs_change() {
    let mut changed = 0;
    for seed in 1_000..1_100 {
        let fsync = if seed % 2 == 0 {
            Fsync::Never
        } else {
            Fsync::Interval(Duration::from_millis(20))
        };
        let model = run(
            seed,
            Trial {
                fsync,
                ..Trial::RELIABLE
            },
        )
        .unwrap_or_else(|reason| panic!("seed {seed}: {reason}"));
        changed += model.epochs_changed;
    }
    assert!(changed > 100, "{changed}");
}

#[test]
fn a_disk_that_is_full_at_times_loses_nothing_that_was_acknowledged() {
    let mut rejected = 0;
    for seed in 2_000..2_100 {
        let trial = Trial {
            is_full: true,
            ..Trial::RELIABLE
        };
        rejected += run(seed, trial)
            .unwrap_or_else(|reason| panic!("seed {seed}: {reason}"))
            .rejected;
    }
    assert!(rejected > 1000, "{rejected}");
}

#[test]
fn while_old_segments_are_removed_every_publication_from_the_start_on_exists() {
    let mut removed = 0;
    for seed in 3_000..3_100 {
        let trial = Trial {
            segments: 4,
            ..Trial::RELIABLE
        };
        removed += run(seed, trial)
            .unwrap_or_else(|reason| panic!("seed {seed}: {reason}"))
            .removed;
    }
    assert!(removed > 100, "{removed}");
}

/// The conditions of a run.
#[derive(Clone, Copy)]
struct Trial {
    fsync: Fsync,
    /// The disk reports syncs as successful without syncing.
    is_sync_ignored: bool,
    /// The disk is full at times.
    is_full: bool,
    /// The maximum number of segments of the log.
    segments: u64,
}

impl Trial {
    const RELIABLE: Self = Self {
        fsync: Fsync::Always,
        is_sync_ignored: false,
        is_full: false,
        segments: 1_000,
    };
}

fn run(seed: u64, trial: Trial) -> Result<Model, String> {
    let mut random = Seed::new(seed).generator();
    let segment = 4 + random.below(3) * 6;
    let settings = LogSettings {
        fsync: trial.fsync,
        segment_bytes: ByteSize::from_kib(segment),
        log_bytes: ByteSize::from_kib(segment * trial.segments),
        batch_bytes_max: ByteSize::from_kib(4),
        cache_bytes: ByteSize::from_bytes(random.below(2) * 4096),
        ..settings()
    };
    let mut model = Model::default();
    let mut disk = Disk::default();
    let mut wall = WALL;
    for incarnation in 1..=5 {
        let mut harness = Harness::start(settings, disk, wall, incarnation);
        if let Some(corruption) = harness.corruption {
            return Err(format!("incarnation {incarnation}: {corruption:?}"));
        }
        let report = harness.opened.ok_or("not open")?;
        model.truncations += u64::from(report.torn_write.is_some());
        model.is_removing = trial.segments < 1_000;
        if report.has_new_epochs {
            model.on_new_epochs();
        }
        check(&mut harness, &model)
            .map_err(|reason| format!("incarnation {incarnation}: {reason}"))?;
        if report.has_new_epochs {
            model.adopt(&mut harness);
        }
        harness.faults.is_sync_ignored = trial.is_sync_ignored;
        run_workload(&mut harness, &mut model, &mut random, trial.is_full);
        wall = harness.wall;
        disk = stop(harness, &mut model, &mut random);
    }
    Ok(model)
}

impl Model {
    /// The epochs changed, so acknowledged publications may be lost; the existing publications must be correct.
    fn on_new_epochs(&mut self) {
        self.epochs_changed += 1;
        self.epochs.clear();
        self.keys.clear();
        self.is_lossy = true;
    }

    /// Requires that the publications that exist now are kept from now on.
    fn adopt(&mut self, harness: &mut Harness) {
        self.is_lossy = false;
        self.durable.clear();
        for channel in (0..4).map(|number| format!("channel {number}")) {
            for (offset, data) in harness.all(&channel) {
                self.durable.insert((channel.clone(), offset), data);
            }
        }
        harness.seen.clear();
    }
}

/// Publishes at random, on a slow disk.
fn run_workload(harness: &mut Harness, model: &mut Model, random: &mut Generator, is_full: bool) {
    harness.is_holding = true;
    for _ in 0..random.below(120) {
        if is_full {
            let no_space = |yes: bool| yes.then_some(StorageError::NoSpace);
            harness.faults.write = no_space(random.below(8) == 0);
            harness.faults.reserve = no_space(random.below(4) == 0);
        }
        match random.below(10) {
            0..6 => {
                let appends: Vec<Append> = (0..=random.below(4))
                    .map(|_| next_append(model, random))
                    .collect();
                let numbers = harness.publish_all(appends.clone());
                model.requested.extend(numbers.into_iter().zip(appends));
            }
            6 => harness.advance(Duration::from_millis(random.below(if is_full {
                1500
            } else {
                200
            }))),
            _ => {}
        }
        for _ in 0..random.below(4) {
            if !harness.held.is_empty() {
                harness.release();
            }
        }
        record_seen(harness, model);
    }
    harness.faults.write = None;
    harness.faults.reserve = None;
    let gone = |event: &&Event| matches!(event, Event::SegmentRemoved { .. });
    model.removed += u64::try_from(harness.events.iter().filter(gone).count()).unwrap();
}

fn next_append(model: &mut Model, random: &mut Generator) -> Append {
    let channel = format!("channel {}", random.below(4));
    let filler = "x".repeat(usize::try_from(random.below(200)).unwrap());
    if random.below(4) == 0 {
        let key = format!("key {}", random.below(40));
        // The payload contains key and channel, so that a second publication of a key is detected.
        return idempotent(&channel, &format!("{channel} {key}"), "ann", &key);
    }
    model.published += 1;
    append(&channel, &format!("{} {filler}", model.published))
}

/// Updates the model from the outputs of the log.
fn record_seen(harness: &mut Harness, model: &mut Model) {
    for seen in std::mem::take(&mut harness.seen) {
        match seen {
            Seen::Commit(committed) => {
                let channel = committed.channel.as_str().to_owned();
                let data = String::from_utf8(committed.record.data.to_vec()).unwrap();
                let known = model
                    .epochs
                    .entry(channel.clone())
                    .or_insert(committed.epoch);
                assert_eq!(
                    *known, committed.epoch,
                    "the epoch is stable under `always`"
                );
                let before = model
                    .durable
                    .insert((channel, committed.record.offset), data);
                assert_eq!(before, None, "an offset was assigned twice");
            }
            Seen::Response(
                number,
                Response::Appended {
                    offset,
                    is_duplicate,
                    ..
                },
            ) => {
                let append = model
                    .requested
                    .remove(&number)
                    .expect("one response per request");
                let position = (append.channel.as_str().to_owned(), offset);
                let data = String::from_utf8(append.data.to_vec()).unwrap();
                let shown = model
                    .durable
                    .entry(position)
                    .or_insert_with(|| data.clone());
                assert_eq!(*shown, data, "committed before it is acknowledged");
                model.repeats += u64::from(is_duplicate);
                if let Some(key) = &append.idempotency_key {
                    let key = format!("{} {key:?}", append.channel);
                    assert_eq!(
                        *model.keys.entry(key).or_insert(offset),
                        offset,
                        "a key has one offset"
                    );
                }
            }
            Seen::Response(number, Response::Rejected(reason)) => {
                model.requested.remove(&number);
                model.rejected += 1;
                assert!(
                    matches!(reason, Rejection::Closing | Rejection::NoSpace)
                        // A log of few segments holds few keys.
                        || model.is_removing && reason == Rejection::Limit,
                    "{reason:?}"
                );
            }
            Seen::Response(_, Response::Read(_)) => {}
        }
    }
}

/// Stops the log in one of several ways and returns the disk that the next incarnation starts with.
fn stop(mut harness: Harness, model: &mut Model, random: &mut Generator) -> Disk {
    model.crashes += 1;
    match random.below(8) {
        0 => {
            harness.is_holding = false;
            while !harness.held.is_empty() {
                harness.release();
            }
            harness.close();
            record_seen(&mut harness, model);
        }
        // The process crashed, not the machine: written bytes are kept, and are still not synced.
        1 => {}
        2 => harness.disk.lose_unsynced(),
        3 => {
            harness.write_unreported();
        }
        4..6 => {
            harness.write_unreported();
            harness.disk.lose_power(random);
        }
        _ => harness.disk.lose_power(random),
    }
    model.requested.clear();
    harness.disk
}

fn check(harness: &mut Harness, model: &Model) -> Result<(), String> {
    let channels: BTreeSet<&String> = model.durable.keys().map(|(channel, _)| channel).collect();
    for channel in channels {
        let all: BTreeMap<u64, String> = harness.all(channel).into_iter().collect();
        let payloads: BTreeSet<&String> = all.values().collect();
        if payloads.len() != all.len() {
            return Err(format!("{channel}: a duplicate in {all:?}"));
        }
        let start = all.keys().next().copied().unwrap_or(u64::MAX);
        let high_watermark = all.keys().next_back().copied().unwrap_or(0);
        if usize::try_from(high_watermark - start.min(high_watermark)) != Ok(all.len().max(1) - 1) {
            return Err(format!("{channel}: a gap in {:?}", all.keys()));
        }
        if !model.is_removing && !all.is_empty() && start != 1 {
            return Err(format!("{channel}: begins at {start}"));
        }
        let durable = model
            .durable
            .range((channel.clone(), 0)..=(channel.clone(), u64::MAX));
        for ((_, offset), data) in durable {
            let excused =
                model.is_removing && *offset < start || model.is_lossy && *offset > high_watermark;
            let found = all.get(offset);
            if !excused && found != Some(data) {
                return Err(format!(
                    "{channel}: offset {offset} should be {data}, is {found:?}"
                ));
            }
        }
    }
    harness.seen.clear();
    Ok(())
}
