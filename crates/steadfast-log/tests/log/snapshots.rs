//! Copies of segments that are read while the log writes to them: valid, with everything that had been acknowledged.

use bytes::Bytes;
use steadfast_log::io::SegmentNumber;
use steadfast_log::snapshot::{SegmentCopy, SegmentSnapshot, SnapshotStep};
use steadfast_machine::{Generator, Seed};

use crate::harness::{Harness, WALL};
use crate::imitation::{Victim, small, verify};

/// A read that begins at a moment and sees each sector as it was then, or at a later moment.
fn torn_read(moments: &[Vec<u8>], moment: &mut usize, random: &mut Generator) -> Vec<u8> {
    let last = moments.len() - 1;
    let mut read = Vec::new();
    for start in (0..moments[0].len()).step_by(512) {
        if random.chance(1, 4) {
            *moment += usize::try_from(random.below(2)).unwrap();
        }
        let source = &moments[(*moment).min(last)];
        read.extend_from_slice(&source[start..(start + 512).min(source.len())]);
    }
    read
}

/// Copies a segment with these reads.
fn copy(number: u64, mut read: impl FnMut() -> Vec<u8>) -> SegmentCopy {
    let mut snapshot = SegmentSnapshot::new(SegmentNumber(number));
    for _ in 0..2 {
        if let SnapshotStep::Done(copy) = snapshot.on_read(read()) {
            return copy;
        }
    }
    panic!("more than two reads")
}

/// The segment that is written to at each of some moments, during which the log is also closed or restarted.
fn moments(seed: u64) -> (Victim, u64, Vec<Vec<u8>>, usize) {
    let mut victim = Victim::new();
    // A new segment has space for all moments.
    let before = victim.tail();
    while victim.tail() == before {
        victim.publish_imitation();
    }
    let tail = victim.tail();
    let acknowledged = victim.published.len();
    let mut moments = vec![victim.disk().bytes(tail).to_vec()];
    for step in 0..3 {
        if seed % 3 == step {
            victim.close();
            moments.push(victim.disk().bytes(tail).to_vec());
            victim.restart();
        }
        victim.publish_imitation();
        moments.push(victim.disk().bytes(tail).to_vec());
    }
    (victim, tail, moments, acknowledged)
}

#[test]
fn a_copy_of_a_growing_segment_is_valid_and_has_what_was_acknowledged_before_the_first_read() {
    let mut again = 0;
    for seed in 0..300 {
        let (victim, tail, moments, acknowledged) = moments(seed);
        let mut random = Seed::new(seed).generator();
        let (mut reads, mut moment) = (0, 0);

        let copied = copy(tail, || {
            reads += 1;
            torn_read(&moments, &mut moment, &mut random)
        });

        again += usize::from(reads == 2);
        let mut disk = victim.disk().clone();
        // The segments after this one are read before it, when they have no records.
        for later in disk.numbers() {
            if later > tail && disk.records_end(later) > crate::disk::RECORDS_AT {
                disk.remove(later);
            }
        }
        assert!(copied.has_records);
        *disk.bytes_mut(tail) = copied.bytes;
        if let Some(next) = copied.next
            && !disk.numbers().contains(&next.0)
        {
            continue;
        }
        let found = verify(&disk);
        assert_eq!(found.corruptions, [], "seed {seed}");
        let published: Vec<Bytes> = Harness::open(small(), disk, WALL, 9).payloads("a");
        assert!(
            published.len() >= acknowledged,
            "seed {seed}: {}",
            published.len()
        );
        assert!(victim.published.starts_with(&published), "seed {seed}");
    }
    assert!(again > 30, "only {again} reads saw a later write");
}

#[test]
fn damage_of_a_segment_that_nothing_writes_to_is_kept_so_that_its_verification_reports_it() {
    let victim = Victim::new();
    let tail = victim.tail();
    let intact = victim.disk().bytes(tail).to_vec();
    let end = victim.disk().records_end(tail);
    let mut kept = 0;
    for at in (crate::disk::RECORDS_AT..end).step_by(97) {
        let mut disk = victim.disk().clone();
        disk.bytes_mut(tail)[at] ^= 1;
        let expected = verify(&disk).corruptions;
        let damaged = disk.bytes(tail).to_vec();

        let copied = copy(tail, || damaged.clone());

        *disk.bytes_mut(tail) = copied.bytes;
        assert_eq!(verify(&disk).corruptions, expected, "at {at}");
        kept += usize::from(!expected.is_empty());
    }
    assert!(kept > 5, "{kept}");
    assert_eq!(copy(tail, || intact.clone()).bytes, intact);
}
