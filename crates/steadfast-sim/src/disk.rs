//! A disk that keeps what was synced and nothing else for certain.
//!
//! A write changes what is read at once, as the page cache does. A crash decides for each sector that was written and
//! not synced, on its own: it is there, it is not, or it is torn in the middle. So later writes may survive earlier
//! ones, which is what a real disk does between two syncs. Whether a segment was created or removed is durable at once
//! here; the shell syncs the directory for that.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use steadfast_hub::log::io::{SegmentFound, SegmentNumber};
use steadfast_machine::Generator;

/// The unit that a disk writes.
const SECTOR_BYTES: usize = 512;

#[derive(Debug)]
struct Segment {
    /// What survives a crash.
    durable: Vec<u8>,
    /// What a read sees.
    current: Vec<u8>,
    /// Sectors in which the two may differ, by number.
    unsynced: BTreeSet<usize>,
}

/// The disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    segments: BTreeMap<SegmentNumber, Segment>,
    /// True while nothing more fits.
    pub(crate) is_full: bool,
}

/// What a crash did to the sectors that were not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wreck {
    pub(crate) kept: u64,
    pub(crate) dropped: u64,
    pub(crate) torn: u64,
}

impl Disk {
    pub(crate) fn list(&self) -> Vec<SegmentFound> {
        let found = |(number, segment): (&SegmentNumber, &Segment)| SegmentFound {
            number: *number,
            bytes: u64::try_from(segment.current.len()).unwrap_or(u64::MAX),
        };
        self.segments.iter().map(found).collect()
    }

    pub(crate) fn reserve(&mut self, number: SegmentNumber, bytes: u64) {
        let zeros = vec![0; usize::try_from(bytes).unwrap_or(0)];
        let segment = Segment {
            durable: zeros.clone(),
            current: zeros,
            unsynced: BTreeSet::new(),
        };
        self.segments.insert(number, segment);
    }

    /// # Panics
    ///
    /// If the write lies outside its segment: the log ordered something that it never reserved.
    pub(crate) fn write(&mut self, number: SegmentNumber, at: u64, bytes: &[u8]) {
        let segment = self
            .segments
            .get_mut(&number)
            .expect("the log writes to segments that exist");
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let place = segment.current.get_mut(at..at.saturating_add(bytes.len()));
        place
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
            segment.settle(sector, SECTOR_BYTES);
        }
    }

    pub(crate) fn remove(&mut self, number: SegmentNumber) {
        self.segments.remove(&number);
    }

    /// Reads up to the end of the segment.
    pub(crate) fn read(&self, number: SegmentNumber, at: u64, len: usize) -> Bytes {
        let Some(segment) = self.segments.get(&number) else {
            return Bytes::new();
        };
        let start = usize::try_from(at)
            .unwrap_or(usize::MAX)
            .min(segment.current.len());
        let end = start.saturating_add(len).min(segment.current.len());
        Bytes::copy_from_slice(segment.current.get(start..end).unwrap_or_default())
    }

    /// Whether a crash now would lose something.
    pub(crate) fn has_unsynced(&self) -> bool {
        self.segments
            .values()
            .any(|segment| !segment.unsynced.is_empty())
    }

    /// The power fails. At least one unsynced sector is lost whole, if there is any.
    pub(crate) fn crash(&mut self, generator: &mut Generator) -> Wreck {
        let mut wreck = Wreck::default();
        for segment in self.segments.values_mut() {
            for sector in std::mem::take(&mut segment.unsynced) {
                match generator.below(4) {
                    0 if wreck.dropped > 0 => {
                        segment.settle(sector, SECTOR_BYTES);
                        wreck.kept += 1;
                    }
                    1 if wreck.dropped > 0 => {
                        let cut = usize::try_from(generator.below(512)).unwrap_or(0);
                        segment.settle(sector, cut);
                        wreck.torn += 1;
                    }
                    _ => wreck.dropped += 1,
                }
            }
            segment.current.clone_from(&segment.durable);
        }
        wreck
    }
}

impl Segment {
    /// Makes the first `len` bytes of a sector durable.
    fn settle(&mut self, sector: usize, len: usize) {
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
    fn a_crash_keeps_what_was_synced_and_loses_at_least_one_sector_that_was_not() {
        for seed in 0..100 {
            let mut disk = Disk::default();
            disk.reserve(FIRST, 4096);
            disk.write(FIRST, 0, &[1; 600]);
            disk.sync(FIRST);
            disk.write(FIRST, 600, &[2; 2000]);

            let wreck = disk.crash(&mut Seed::new(seed).generator());

            assert_eq!(&disk.read(FIRST, 0, 600)[..], [1; 600]);
            assert!(wreck.dropped >= 1, "seed {seed}: {wreck:?}");
            assert_ne!(&disk.read(FIRST, 600, 2000)[..], [2; 2000]);
            assert!(!disk.has_unsynced());
        }
    }

    #[test]
    fn sectors_may_survive_in_any_order() {
        let survived_later = (0..100).any(|seed| {
            let mut disk = Disk::default();
            disk.reserve(FIRST, 4096);
            disk.write(FIRST, 0, &[3; 2048]);
            disk.crash(&mut Seed::new(seed).generator());
            disk.read(FIRST, 0, 1)[0] == 0
                && disk.read(FIRST, 1536, 512).iter().all(|byte| *byte == 3)
        });

        assert!(survived_later);
    }
}
