//! Damage at every byte of small logs whose payloads imitate records, compared with an oracle that knows what was
//! written and synced.

use std::collections::BTreeMap;

use bytes::Bytes;
use steadfast_log::open::CorruptionKind;
use steadfast_machine::Seed;

use crate::disk::{Disk, RECORDS_AT, SECTOR, TRAILER};
use crate::harness::{Harness, WALL, append};
use crate::imitation::{Victim, small, verify};
use crate::oracle::{Expected, History};

/// Compares what is found on a disk with what the oracle expects, and returns the latter.
fn check(history: &History, disk: &Disk, damage: &str) -> Expected {
    let expected = history.expected(disk);
    let found = verify(disk);
    match expected {
        Expected::Opens {
            records,
            segment,
            end,
            is_clean,
        } => {
            assert_eq!(found.corruptions, [], "{damage}");
            let report = found.report;
            assert_eq!(report.records, wide(records), "{damage}");
            assert_eq!(report.is_clean, is_clean, "{damage}");
            if let Some(torn_write) = report.torn_write {
                let place = (torn_write.segment.0, torn_write.at);
                assert_eq!(place, (segment, wide(end)), "{damage}");
            }
        }
        Expected::Corrupt { segment, at } => {
            let places: Vec<_> = found
                .corruptions
                .iter()
                .map(|corruption| (corruption.segment.0, corruption.at))
                .collect();
            assert!(places.contains(&(segment, wide(at))), "{damage}: {found:?}");
        }
    }
    expected
}

/// Every change of one byte, and every loss that begins at one byte.
fn damages(original: &[u8], at: usize) -> Vec<(String, Vec<u8>)> {
    let records_end = original.len() - TRAILER;
    let mut damages = Vec::new();
    let mut add = |name: String, bytes: Vec<u8>| {
        if bytes != original {
            damages.push((format!("{name} at {at}"), bytes));
        }
    };
    let byte = |value: u8| {
        let mut bytes = original.to_vec();
        bytes[at] = value;
        bytes
    };
    for bit in 0..8 {
        add(format!("bit {bit} flipped"), byte(original[at] ^ 1 << bit));
    }
    add("zero".into(), byte(0));
    add("0xff".into(), byte(0xff));
    add("file truncated".into(), original[..at].to_vec());
    let mut longer = original.to_vec();
    longer.insert(at, 0x55);
    add("byte inserted".into(), longer);
    if at < records_end {
        let mut lost = original.to_vec();
        lost[at..records_end].fill(0);
        add("tail lost".into(), lost.clone());
        let mut random = Seed::new(wide(at)).generator();
        for byte in &mut lost[at..records_end] {
            *byte = u8::try_from(random.below(256)).unwrap();
        }
        add("garbage tail".into(), lost);
    }
    if at.is_multiple_of(SECTOR) {
        let mut lost = original.to_vec();
        lost[at..at + SECTOR].fill(0);
        add("sector lost".into(), lost);
    }
    damages
}

/// Damages every byte of a segment and returns the number of records with which the log opened, for each such number a
/// disk.
fn damage_every_byte(
    history: &History,
    disk: &Disk,
    segment: u64,
    mut on_open: impl FnMut(usize, &str),
) -> BTreeMap<usize, Disk> {
    let mut opened = BTreeMap::new();
    let mut corrupt = 0;
    for at in 0..disk.bytes(segment).len() {
        for (damage, bytes) in damages(disk.bytes(segment), at) {
            let mut damaged = disk.clone();
            *damaged.bytes_mut(segment) = bytes;
            match check(history, &damaged, &damage) {
                Expected::Opens { records, .. } => {
                    on_open(records, &damage);
                    opened.entry(records).or_insert(damaged);
                }
                Expected::Corrupt { .. } => corrupt += 1,
            }
        }
    }
    assert!(corrupt > 1_000, "only {corrupt} of the changes were damage");
    opened
}

/// Each disk opens, with the first publications that were acknowledged and with no other bytes.
fn check_contents(opened: BTreeMap<usize, Disk>, published: &[Bytes]) {
    for (records, disk) in opened {
        let mut harness = Harness::open(small(), disk, WALL, 9);
        let found = harness.payloads("a");
        assert!(published.starts_with(&found), "{records} records");
        harness.publish_ok(append("a", "after the damage"));
    }
}

#[test]
fn in_a_killed_log_damage_before_the_last_batch_is_corruption_and_damage_of_it_a_torn_write() {
    let victim = Victim::new();
    let disk = victim.disk();
    let (tail, intact) = (victim.tail(), verify(disk).report.records);
    let last_batch = 2;

    let opened = damage_every_byte(&victim.history, disk, tail, |records, damage| {
        let lost = intact - wide(records);
        // Where the tail is lost or replaced from a byte on, nothing after the byte proves that it was written.
        // The last sector holds other records too, and then nothing is after them.
        let is_tail = ["tail lost", "garbage", "sector lost"]
            .iter()
            .any(|kind| damage.starts_with(kind));
        assert!(is_tail || lost <= last_batch, "{damage}: {lost} lost");
    });

    assert!(opened.len() >= 3, "{:?}", opened.keys());
    check_contents(opened, &victim.published);
}

#[test]
fn in_a_sealed_segment_every_damage_is_corruption() {
    let victim = Victim::new();
    let intact = verify(victim.disk()).report.records;
    for sealed in 1..victim.tail() {
        let opened =
            damage_every_byte(&victim.history, victim.disk(), sealed, |records, damage| {
                assert_eq!(wide(records), intact, "{damage}");
            });
        assert_eq!(opened.len(), 1, "after the record that seals the segment");
    }
}

#[test]
fn in_a_closed_log_every_damage_of_a_record_is_corruption() {
    let mut victim = Victim::new();
    victim.close();
    let disk = victim.disk();
    let report = verify(disk).report;
    assert!(report.is_clean);

    let opened = damage_every_byte(&victim.history, disk, victim.tail(), |records, damage| {
        assert_eq!(wide(records), report.records, "{damage}");
    });

    check_contents(opened, &victim.published);
}

#[test]
fn after_a_clean_shutdown_and_a_kill_the_end_of_the_shutdown_is_evidence_and_blocks_nothing() {
    let mut victim = Victim::new();
    victim.close();
    let closed = verify(victim.disk()).report.records;
    victim.restart();
    victim.publish_imitation();

    let opened = damage_every_byte(
        &victim.history,
        victim.disk(),
        victim.tail(),
        |records, damage| {
            // Also where the tail is lost or replaced, what the clean shutdown covers is missed.
            assert!(wide(records) >= closed, "{damage}: {records} of {closed}");
        },
    );

    assert!(opened.len() >= 3, "{:?}", opened.keys());
    check_contents(opened, &victim.published);
}

#[test]
fn the_heads_of_torn_records_are_evidence() {
    let victim = Victim::new();
    let (tail, last) = victim.last_batch();
    let mut torn = victim.disk().clone();
    let mut at = last.start;
    let mut heads = 0;
    while at < last.end {
        // A length is at byte 16 of a head of 29 bytes.
        let len = u32::from_le_bytes(*torn.bytes(tail)[at + 16..].first_chunk().unwrap());
        let body = at + 29..at + 29 + usize::try_from(len).unwrap();
        at = body.end;
        torn.bytes_mut(tail)[body].fill(0);
        heads += 1;
    }
    assert_eq!(heads, 2);
    let expected = check(&victim.history, &torn, "torn");
    assert!(matches!(expected, Expected::Opens { .. }), "{expected:?}");

    let mut damaged = torn;
    damaged.bytes_mut(tail)[last.start - 1] ^= 1;

    let expected = check(&victim.history, &damaged, "torn and damaged before it");
    assert!(matches!(expected, Expected::Corrupt { .. }), "{expected:?}");
}

#[test]
fn a_crash_at_any_point_of_a_clean_shutdown_is_fine() {
    let mut victim = Victim::new();
    let closing = victim.close_held();
    let mut clean = 0;
    for (step, (disk, history)) in closing.iter().enumerate() {
        let report = verify(disk).report;
        assert!(matches!(
            check(history, disk, &format!("step {step}")),
            Expected::Opens { .. }
        ));
        clean += usize::from(report.is_clean);
        check_contents(BTreeMap::from([(step, disk.clone())]), &victim.published);
    }
    assert!(clean >= 2, "the record of the shutdown is enough");

    // The end of the shutdown may be torn at any byte, over an earlier one or over zeros.
    let ((before, _), (after, history)) = (&closing[0], &closing[closing.len() - 1]);
    let tail = victim.tail();
    let from = after.bytes(tail).len() - TRAILER / 2;
    for torn_at in from..from + 16 {
        let mut disk = after.clone();
        let rest = before.bytes(tail)[torn_at..].to_vec();
        disk.bytes_mut(tail)[torn_at..].copy_from_slice(&rest);
        let expected = check(history, &disk, &format!("torn at {torn_at}"));
        assert!(matches!(expected, Expected::Opens { is_clean: true, .. }));
    }
}

#[test]
fn damage_of_the_recorded_end_never_hides_records_or_blocks_an_intact_log() {
    let mut victim = Victim::new();
    victim.close();
    let disk = victim.disk();
    let tail = victim.tail();
    let from = disk.bytes(tail).len() - TRAILER / 2;
    for at in from..from + 16 {
        for value in 0..=255 {
            let mut damaged = disk.clone();
            damaged.bytes_mut(tail)[at] = value;
            let expected = check(&victim.history, &damaged, &format!("{value} at {at}"));
            assert!(matches!(expected, Expected::Opens { is_clean: true, .. }));
        }
    }
    // Evidence of another segment, moved here.
    let mut moved = disk.clone();
    let end = 4_000_u64.to_le_bytes();
    moved.bytes_mut(tail)[from..from + 8].copy_from_slice(&end);
    check(&victim.history, &moved, "a higher end with the old check");
}

#[test]
fn a_named_segment_that_is_short_empty_or_too_long_is_corruption() {
    let victim = Victim::new();
    for number in victim.disk().numbers() {
        let len = victim.disk().bytes(number).len();
        for short in
            (0..len)
                .step_by(61)
                .chain([0, 1, RECORDS_AT - 1, RECORDS_AT, len - 1, len + 1])
        {
            let mut disk = victim.disk().clone();
            disk.bytes_mut(number).resize(short, 0);
            let found = verify(&disk).corruptions;
            let kind = if short < RECORDS_AT {
                CorruptionKind::InvalidHeader
            } else {
                let expected = wide(len);
                CorruptionKind::WrongSize { expected }
            };
            assert_eq!(found.len(), 1, "{number} of {short} bytes: {found:?}");
            assert_eq!(
                (found[0].segment.0, found[0].kind),
                (number, kind),
                "{short} bytes"
            );
            let log = Harness::start(small(), disk, WALL, 9);
            assert_eq!(log.corruption, Some(found[0]));
        }
    }
}

#[test]
fn any_power_loss_leaves_what_the_oracle_expects() {
    let mut torn = 0;
    for seed in 0..200 {
        let mut random = Seed::new(seed).generator();
        let mut victim = Victim::new();
        let count = random.below(6);
        let disk = victim.lose_power(count, &mut random);
        let expected = check(&victim.history, &disk, &format!("seed {seed}"));
        assert!(
            matches!(expected, Expected::Opens { .. }),
            "seed {seed}: {expected:?}"
        );
        torn += usize::from(verify(&disk).report.torn_write.is_some());
        check_contents(BTreeMap::from([(0, disk)]), &victim.published);
    }
    assert!(torn > 50, "{torn}");
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap()
}
