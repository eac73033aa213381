//! Random publications, restarts and losses of power, against an independent account of what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_hub::epoch::ChannelEpoch;
use steadfast_hub::log::io::{Answer, Append, Refusal};
use steadfast_hub::policy::log::LogSettings;
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
}

#[test]
fn whatever_is_acknowledged_is_there_once_and_in_order_after_any_loss_of_power() {
    let mut totals = Account::default();
    for seed in 0..400 {
        let account = run(seed, Lies::No).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
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
        .filter(|seed| run(*seed, Lies::Yes).is_err())
        .count();

    assert!(failures > 25, "only {failures} of 50 runs noticed");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lies {
    No,
    Yes,
}

fn run(seed: u64, lies: Lies) -> Result<Account, String> {
    let mut chance = Seed::new(seed).generator();
    let settings = LogSettings {
        segment_bytes: ByteSize::from_kib(4 + chance.below(3) * 6),
        log_bytes: ByteSize::from_mib(4),
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
        check(&mut bench, &account).map_err(|why| format!("life {life}: {why}"))?;
        bench.faults.lies = lies == Lies::Yes;
        live(&mut bench, &mut account, &mut chance);
        wall = bench.wall;
        disk = end(bench, &mut account, &mut chance);
    }
    Ok(account)
}

/// Publishes at random, with the disk taking its time.
fn live(bench: &mut Bench, account: &mut Account, chance: &mut Generator) {
    bench.hold = true;
    for _ in 0..chance.below(120) {
        match chance.below(10) {
            0..6 => {
                let batch: Vec<Append> = (0..=chance.below(4))
                    .map(|_| next_append(account, chance))
                    .collect();
                let numbers = bench.publish_all(batch.clone());
                account.asked.extend(numbers.into_iter().zip(batch));
            }
            6 => bench.pass(Duration::from_millis(chance.below(200))),
            _ => {}
        }
        for _ in 0..chance.below(4) {
            if !bench.held.is_empty() {
                bench.release();
            }
        }
        take_in(bench, account);
    }
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
                assert_eq!(why, Refusal::Closing, "nothing else is refused here");
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
        1 => bench.disk.kill(),
        2 => bench.disk.lose_all(),
        3 => {
            bench.write_unheard();
            bench.disk.kill();
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
        let all = bench.all(channel);
        let mut payloads = BTreeSet::new();
        for (index, (offset, data)) in all.iter().enumerate() {
            if usize::try_from(*offset) != Ok(index + 1) {
                return Err(format!("{channel}: offset {offset} at place {index}"));
            }
            if !payloads.insert(data) {
                return Err(format!("{channel}: {data} twice"));
            }
        }
        let durable = account
            .durable
            .range((channel.clone(), 0)..=(channel.clone(), u64::MAX));
        for ((_, offset), data) in durable {
            let found = usize::try_from(*offset)
                .ok()
                .and_then(|offset| all.get(offset - 1));
            if found.map(|(_, found)| found) != Some(data) {
                return Err(format!(
                    "{channel}: offset {offset} should be {data}, is {found:?}"
                ));
            }
        }
    }
    bench.seen.clear();
    Ok(())
}
