//! A disk that guarantees only the durability of synced bytes.
//!
//! A write is visible to reads at once, as with the page cache. A crash drops the first sector that was written and not
//! synced, and decides independently for each further one: it is kept, dropped, or torn in the middle. So a later write
//! may survive when an earlier write does not, as on a real disk between two syncs. The creation and removal of a
//! segment are durable at once here; the shell syncs the directory for that.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use steadfast_log::io::{SegmentFound, SegmentNumber};
use steadfast_machine::{Generator, Instant, convert};

/// The size of a sector, which is the unit of a write.
const SECTOR_BYTES: usize = 512;

#[derive(Debug)]
struct Segment {
    /// The bytes that survive a crash.
    durable: Vec<u8>,
    /// The bytes that a read returns.
    current: Vec<u8>,
    /// The numbers of the sectors in which `durable` and `current` may differ.
    unsynced: BTreeSet<usize>,
}

/// The simulated disk with its segments.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    segments: BTreeMap<SegmentNumber, Segment>,
    /// Whether reservations and some writes fail for lack of space.
    pub(crate) is_full: bool,
    /// No operation completes before this time.
    pub(crate) stalled_until: Instant,
    /// Whether a log has claimed the directory.
    pub(crate) is_claimed: bool,
}

/// The numbers of unsynced sectors that a crash kept, dropped and tore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CrashOutcome {
    pub(crate) kept: u64,
    pub(crate) dropped: u64,
    pub(crate) torn: u64,
}

impl Disk {
    pub(crate) fn list(&self) -> Vec<SegmentFound> {
        let found = |(number, segment): (&SegmentNumber, &Segment)| SegmentFound {
            number: *number,
            bytes: convert::to_u64(segment.current.len()),
        };
        self.segments.iter().map(found).collect()
    }

    /// Creates a segment of this size, which begins with `first` and ends with `last`.
    ///
    /// # Panics
    ///
    /// If the segment is too small for both.
    pub(crate) fn reserve(&mut self, number: SegmentNumber, bytes: u64, first: &[u8], last: &[u8]) {
        let bytes = usize::try_from(bytes).expect("a simulated segment is small");
        let zeros = bytes.checked_sub(first.len() + last.len());
        let zeros = zeros.expect("a segment has space for both of its ends");
        let content = [first, &vec![0; zeros], last].concat();
        let segment = Segment {
            durable: content.clone(),
            current: content,
            unsynced: BTreeSet::new(),
        };
        self.segments.insert(number, segment);
    }

    /// # Panics
    ///
    /// If the write is outside its segment: the log writes only to space that it has reserved.
    pub(crate) fn write(&mut self, number: SegmentNumber, at: u64, bytes: &[u8]) {
        let segment = self
            .segments
            .get_mut(&number)
            .expect("the log writes to segments that exist");
        let at = usize::try_from(at).expect("the log writes inside its segment");
        let target = segment.current.get_mut(at..at.saturating_add(bytes.len()));
        target
            .expect("the log writes inside its segment")
            .copy_from_slice(bytes);
        let sectors = at / SECTOR_BYTES..(at + bytes.len()).div_ceil(SECTOR_BYTES);
        segment.unsynced.extend(sectors);
    }

    pub(crate) fn sync(&mut self, number: SegmentNumber) {
        let Some(segment) = self.segments.get_mut(&number) else {
            return;
        };
        for sector in std::mem::take(&mut segment.unsynced) {
            segment.persist(sector, SECTOR_BYTES);
        }
    }

    pub(crate) fn remove(&mut self, number: SegmentNumber) {
        self.segments.remove(&number);
    }

    /// Reads at most up to the end of the segment.
    pub(crate) fn read(&self, number: SegmentNumber, at: u64, len: usize) -> Bytes {
        let Some(segment) = self.segments.get(&number) else {
            return Bytes::new();
        };
        let start = convert::saturating::<usize>(at).min(segment.current.len());
        let end = start.saturating_add(len).min(segment.current.len());
        Bytes::copy_from_slice(segment.current.get(start..end).unwrap_or_default())
    }

    /// Whether there are unsynced sectors.
    pub(crate) fn has_unsynced(&self) -> bool {
        self.segments
            .values()
            .any(|segment| !segment.unsynced.is_empty())
    }

    /// Simulates a power failure. At least one unsynced sector is dropped completely, if there is any.
    pub(crate) fn crash(&mut self, generator: &mut Generator) -> CrashOutcome {
        let mut outcome = CrashOutcome::default();
        for segment in self.segments.values_mut() {
            for sector in std::mem::take(&mut segment.unsynced) {
                match generator.below(4) {
                    0 if outcome.dropped > 0 => {
                        segment.persist(sector, SECTOR_BYTES);
                        outcome.kept += 1;
                    }
                    1 if outcome.dropped > 0 => {
                        let len = generator.below_len(512);
                        segment.persist(sector, len);
                        outcome.torn += 1;
                    }
                    _ => outcome.dropped += 1,
                }
            }
            segment.current.clone_from(&segment.durable);
        }
        outcome
    }
}

impl Segment {
    /// Makes the first `len` bytes of a sector durable.
    fn persist(&mut self, sector: usize, len: usize) {
        let start = sector * SECTOR_BYTES;
        let end = (start + len).min(self.current.len());
        if let (Some(to), Some(from)) = (
            self.durable.get_mut(start..end),
            self.current.get(start..end),
        ) {
            to.copy_from_slice(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use steadfast_machine::Seed;

    use super::*;

    const FIRST: SegmentNumber = SegmentNumber(1);

    #[test]
    fn a_crash_keeps_synced_sectors_and_drops_at_least_one_unsynced_sector() {
        for seed in 0..100 {
            let mut disk = Disk::default();
            disk.reserve(FIRST, 4096, &[], &[]);
            disk.write(FIRST, 0, &[1; 600]);
            disk.sync(FIRST);
            disk.write(FIRST, 600, &[2; 2000]);

            let outcome = disk.crash(&mut Seed::new(seed).generator());

            assert_eq!(&disk.read(FIRST, 0, 600)[..], [1; 600]);
            assert!(outcome.dropped >= 1, "seed {seed}: {outcome:?}");
            assert_ne!(&disk.read(FIRST, 600, 2000)[..], [2; 2000]);
            assert!(!disk.has_unsynced());
        }
    }

    #[test]
    fn later_sectors_may_survive_when_earlier_ones_do_not() {
        let has_only_later_sectors = (0..100).any(|seed| {
            let mut disk = Disk::default();
            disk.reserve(FIRST, 4096, &[], &[]);
            disk.write(FIRST, 0, &[3; 2048]);
            disk.crash(&mut Seed::new(seed).generator());
            disk.read(FIRST, 0, 1)[0] == 0
                && disk.read(FIRST, 1536, 512).iter().all(|byte| *byte == 3)
        });

        assert!(has_only_later_sectors);
    }
}
