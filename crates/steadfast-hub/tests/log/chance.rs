//! Random publications, restarts and losses of power, against an independent account of what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_hub::epoch::ChannelEpoch;
use steadfast_hub::log::event::Event;
use steadfast_hub::log::io::{Answer, Append, Refusal, StorageFault};
use steadfast_hub::policy::log::{Fsync, LogSettings};
use steadfast_machine::{ByteSize, Generator, Seed};

use crate::bench::{Bench, Seen, WALL, append, keyed, settings};
use crate::disk::Disk;

/// What must be true, whatever happens.
#[derive(Default)]
struct Account {
    /// Acknowledged, or shown to subscribers.
    durable: BTreeMap<(String, u64), String>,
    epochs: BTreeMap<String, ChannelEpoch>,
    /// Payload of each key that was ever used.
    keys: BTreeMap<String, u64>,
    asked: BTreeMap<u64, Append>,
    published: u64,
    crashes: u64,
    repeats: u64,
    cuts: u64,
    refused: u64,
    removed: u64,
    epochs_changed: u64,
    /// True while what was acknowledged may be gone.
    lossy: bool,
    /// True when old segments are removed.
    removing: bool,
}

#[test]
fn whatever_is_acknowledged_is_there_once_and_in_order_after_any_loss_of_power() {
    let mut totals = Account::default();
    for seed in 0..400 {
        let account = run(seed, Trial::HONEST).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        totals.crashes += account.crashes;
        totals.published += account.published;
        totals.repeats += account.repeats;
        totals.cuts += account.cuts;
    }
    println!(
        "{} acknowledged, {} crashes, {} cuts, {} repeats",
        totals.published, totals.crashes, totals.cuts, totals.repeats
    );
    assert!(
        totals.crashes > 1000
            && totals.published > 10_000
            && totals.cuts > 100
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
                    lies: true,
                    ..Trial::HONEST
                },
            )
            .is_err()
        })
        .count();

    assert!(failures > 25, "only {failures} of 50 runs noticed");
}

#[test]
fn without_a_sync_for_each_group_only_unsynced_publications_are_lost_and_the_epochs_tell() {
    let mut changed = 0;
    for seed in 1_000..1_100 {
        let fsync = if seed % 2 == 0 {
            Fsync::Never
        } else {
            Fsync::Interval(Duration::from_millis(20))
        };
        let account = run(
            seed,
            Trial {
                fsync,
                ..Trial::HONEST
            },
        )
        .unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        changed += account.epochs_changed;
    }
    assert!(changed > 100, "{changed}");
}

#[test]
fn a_disk_that_is_full_now_and_then_loses_nothing_that_was_acknowledged() {
    let mut refused = 0;
    for seed in 2_000..2_100 {
        let trial = Trial {
            full: true,
            ..Trial::HONEST
        };
        refused += run(seed, trial)
            .unwrap_or_else(|why| panic!("seed {seed}: {why}"))
            .refused;
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn while_old_segments_are_removed_everything_above_the_start_is_there() {
    let mut removed = 0;
    for seed in 3_000..3_100 {
        let trial = Trial {
            segments: 4,
            ..Trial::HONEST
        };
        removed += run(seed, trial)
            .unwrap_or_else(|why| panic!("seed {seed}: {why}"))
            .removed;
    }
    assert!(removed > 100, "{removed}");
}

/// What a run is like.
#[derive(Clone, Copy)]
struct Trial {
    fsync: Fsync,
    /// The disk says that it synced and does not.
    lies: bool,
    /// The disk is full now and then.
    full: bool,
    /// How many segments the log may have.
    segments: u64,
}

impl Trial {
    const HONEST: Self = Self {
        fsync: Fsync::Always,
        lies: false,
        full: false,
        segments: 1_000,
    };
}

fn run(seed: u64, trial: Trial) -> Result<Account, String> {
    let mut chance = Seed::new(seed).generator();
    let segment = 4 + chance.below(3) * 6;
    let settings = LogSettings {
        fsync: trial.fsync,
        segment_bytes: ByteSize::from_kib(segment),
        log_bytes: ByteSize::from_kib(segment * trial.segments),
        group_bytes_max: ByteSize::from_kib(4),
        cache_bytes: ByteSize::from_bytes(chance.below(2) * 4096),
        ..settings()
    };
    let mut account = Account::default();
    let mut disk = Disk::default();
    let mut wall = WALL;
    for life in 1..=5 {
        let mut bench = Bench::start(settings, disk, wall, life);
        if let Some(damage) = bench.damaged {
            return Err(format!("life {life}: {damage:?}"));
        }
        let report = bench.opened.ok_or("not open")?;
        account.cuts += u64::from(report.torn.is_some());
        account.removing = trial.segments < 1_000;
        if report.epochs_changed {
            account.begin_epochs();
        }
        check(&mut bench, &account).map_err(|why| format!("life {life}: {why}"))?;
        if report.epochs_changed {
            account.take_over(&mut bench);
        }
        bench.faults.lies = trial.lies;
        live(&mut bench, &mut account, &mut chance, trial.full);
        wall = bench.wall;
        disk = end(bench, &mut account, &mut chance);
    }
    Ok(account)
}

impl Account {
    /// What was acknowledged may be gone: the epochs say so. Only what is there must be right.
    fn begin_epochs(&mut self) {
        self.epochs_changed += 1;
        self.epochs.clear();
        self.keys.clear();
        self.lossy = true;
    }

    /// From here on what is there is what must stay.
    fn take_over(&mut self, bench: &mut Bench) {
        self.lossy = false;
        self.durable.clear();
        for channel in (0..4).map(|number| format!("channel {number}")) {
            for (offset, data) in bench.all(&channel) {
                self.durable.insert((channel.clone(), offset), data);
            }
        }
        bench.seen.clear();
    }
}

/// Publishes at random, with the disk taking its time.
fn live(bench: &mut Bench, account: &mut Account, chance: &mut Generator, full: bool) {
    bench.hold = true;
    for _ in 0..chance.below(120) {
        if full {
            let no_space = |yes: bool| yes.then_some(StorageFault::NoSpace);
            bench.faults.write = no_space(chance.below(8) == 0);
            bench.faults.reserve = no_space(chance.below(4) == 0);
        }
        match chance.below(10) {
            0..6 => {
                let batch: Vec<Append> = (0..=chance.below(4))
                    .map(|_| next_append(account, chance))
                    .collect();
                let numbers = bench.publish_all(batch.clone());
                account.asked.extend(numbers.into_iter().zip(batch));
            }
            6 => bench.pass(Duration::from_millis(chance.below(if full {
                1500
            } else {
                200
            }))),
            _ => {}
        }
        for _ in 0..chance.below(4) {
            if !bench.held.is_empty() {
                bench.release();
            }
        }
        take_in(bench, account);
    }
    bench.faults.write = None;
    bench.faults.reserve = None;
    let gone = |event: &&Event| matches!(event, Event::SegmentRemoved { .. });
    account.removed += u64::try_from(bench.events.iter().filter(gone).count()).unwrap();
}

fn next_append(account: &mut Account, chance: &mut Generator) -> Append {
    let channel = format!("channel {}", chance.below(4));
    let filler = "x".repeat(usize::try_from(chance.below(200)).unwrap());
    if chance.below(4) == 0 {
        let key = format!("key {}", chance.below(40));
        // The payload tells key and channel, so that a second publication of a key shows.
        return keyed(&channel, &format!("{channel} {key}"), "ann", &key);
    }
    account.published += 1;
    append(&channel, &format!("{} {filler}", account.published))
}

/// Writes down what the log said.
fn take_in(bench: &mut Bench, account: &mut Account) {
    for seen in std::mem::take(&mut bench.seen) {
        match seen {
            Seen::Commit(committed) => {
                let channel = committed.channel.as_str().to_owned();
                let data = String::from_utf8(committed.record.data.to_vec()).unwrap();
                let known = account
                    .epochs
                    .entry(channel.clone())
                    .or_insert(committed.epoch);
                assert_eq!(*known, committed.epoch, "the epoch stays under always");
                let before = account
                    .durable
                    .insert((channel, committed.record.offset), data);
                assert_eq!(before, None, "an offset was given twice");
            }
            Seen::Answer(
                number,
                Answer::Appended {
                    offset, duplicate, ..
                },
            ) => {
                let append = account.asked.remove(&number).expect("answered once");
                let place = (append.channel.as_str().to_owned(), offset);
                let data = String::from_utf8(append.data.to_vec()).unwrap();
                let shown = account.durable.entry(place).or_insert_with(|| data.clone());
                assert_eq!(*shown, data, "shown before it is acknowledged");
                account.repeats += u64::from(duplicate);
                if let Some(key) = &append.key {
                    let key = format!("{} {key:?}", append.channel);
                    assert_eq!(
                        *account.keys.entry(key).or_insert(offset),
                        offset,
                        "a key has one answer"
                    );
                }
            }
            Seen::Answer(number, Answer::Refused(why)) => {
                account.asked.remove(&number);
                account.refused += 1;
                assert!(
                    matches!(why, Refusal::Closing | Refusal::NoSpace),
                    "{why:?}"
                );
            }
            Seen::Answer(_, Answer::Read(_)) => {}
        }
    }
}

/// Ends a life in one of several ways and returns the disk as the next one finds it.
fn end(mut bench: Bench, account: &mut Account, chance: &mut Generator) -> Disk {
    account.crashes += 1;
    match chance.below(8) {
        0 => {
            bench.hold = false;
            while !bench.held.is_empty() {
                bench.release();
            }
            bench.close();
            take_in(&mut bench, account);
        }
        // The process died, not the machine: what was written stays, and is still not synced.
        1 => {}
        2 => bench.disk.lose_all(),
        3 => {
            bench.write_unheard();
        }
        4..6 => {
            bench.write_unheard();
            bench.disk.lose_power(chance);
        }
        _ => bench.disk.lose_power(chance),
    }
    account.asked.clear();
    bench.disk
}

fn check(bench: &mut Bench, account: &Account) -> Result<(), String> {
    let channels: BTreeSet<&String> = account.durable.keys().map(|(channel, _)| channel).collect();
    for channel in channels {
        let all: BTreeMap<u64, String> = bench.all(channel).into_iter().collect();
        let payloads: BTreeSet<&String> = all.values().collect();
        if payloads.len() != all.len() {
            return Err(format!("{channel}: something twice in {all:?}"));
        }
        let start = all.keys().next().copied().unwrap_or(u64::MAX);
        let top = all.keys().next_back().copied().unwrap_or(0);
        if usize::try_from(top - start.min(top)) != Ok(all.len().max(1) - 1) {
            return Err(format!("{channel}: a hole in {:?}", all.keys()));
        }
        if !account.removing && !all.is_empty() && start != 1 {
            return Err(format!("{channel}: begins at {start}"));
        }
        let durable = account
            .durable
            .range((channel.clone(), 0)..=(channel.clone(), u64::MAX));
        for ((_, offset), data) in durable {
            let excused = account.removing && *offset < start || account.lossy && *offset > top;
            let found = all.get(offset);
            if !excused && found != Some(data) {
                return Err(format!(
                    "{channel}: offset {offset} should be {data}, is {found:?}"
                ));
            }
        }
    }
    bench.seen.clear();
    Ok(())
}
