//! A disk in memory that tracks synced bytes; a power failure keeps, drops or tears each unsynced sector.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_log::io::{SegmentFound, SegmentNumber};
use steadfast_machine::Generator;

/// The unit of a disk write in bytes.
pub(crate) const SECTOR: usize = 512;

/// The byte position of the first record of a segment.
pub(crate) const RECORDS_AT: usize = 256;
/// Bytes at the end of a segment that hold no records: the copy of the header, and the end of a clean shutdown.
pub(crate) const TRAILER: usize = 1024;

/// The files of a data directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    files: BTreeMap<u64, File>,
}

#[derive(Clone, Debug, Default)]
struct File {
    durable: Vec<u8>,
    current: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl Disk {
    pub(crate) fn list(&self) -> Vec<SegmentFound> {
        let found = |(number, file): (&u64, &File)| SegmentFound {
            number: SegmentNumber(*number),
            bytes: u64::try_from(file.current.len()).unwrap(),
        };
        self.files.iter().map(found).collect()
    }

    /// Creates a file with its content at the beginning and at the end.
    pub(crate) fn reserve(&mut self, number: u64, bytes: u64, first: &[u8], last: &[u8]) {
        let mut content = vec![0; usize::try_from(bytes).unwrap()];
        let last_at = content.len() - last.len();
        content[..first.len()].copy_from_slice(first);
        content[last_at..].copy_from_slice(last);
        self.files.insert(
            number,
            File {
                durable: content.clone(),
                current: content,
                dirty: BTreeSet::new(),
            },
        );
    }

    pub(crate) fn write(&mut self, number: u64, at: u64, bytes: &[u8]) {
        let file = self
            .files
            .get_mut(&number)
            .expect("written to a segment that exists");
        let at = usize::try_from(at).unwrap();
        file.current[at..at + bytes.len()].copy_from_slice(bytes);
        file.dirty
            .extend(at / SECTOR..=(at + bytes.len() - 1) / SECTOR);
    }

    pub(crate) fn sync(&mut self, number: u64) {
        let file = self
            .files
            .get_mut(&number)
            .expect("synced a segment that exists");
        for sector in std::mem::take(&mut file.dirty) {
            let (from, to) = bounds(sector, file.current.len());
            file.durable[from..to].copy_from_slice(&file.current[from..to]);
        }
    }

    pub(crate) fn read(&self, number: u64, at: u64, len: usize) -> Option<Vec<u8>> {
        let file = self.files.get(&number)?;
        let from = usize::try_from(at).unwrap().min(file.current.len());
        let to = (from + len).min(file.current.len());
        Some(file.current[from..to].to_vec())
    }

    pub(crate) fn remove(&mut self, number: u64) {
        self.files.remove(&number);
    }

    /// The machine lost power: each sector that was not synced is kept, dropped or torn.
    pub(crate) fn lose_power(&mut self, random: &mut Generator) {
        for file in self.files.values_mut() {
            for sector in std::mem::take(&mut file.dirty) {
                let (from, to) = bounds(sector, file.current.len());
                let kept = match random.below(3) {
                    0 => from,
                    1 => to,
                    _ => {
                        from + usize::try_from(random.below(u64::try_from(to - from).unwrap()))
                            .unwrap()
                    }
                };
                file.durable[from..kept].copy_from_slice(&file.current[from..kept]);
            }
            file.current = file.durable.clone();
        }
    }

    /// The machine lost power, and nothing that was not synced reached the disk.
    pub(crate) fn lose_unsynced(&mut self) {
        for file in self.files.values_mut() {
            file.dirty.clear();
            file.current = file.durable.clone();
        }
    }

    /// Mutable bytes of a file, to corrupt them.
    pub(crate) fn bytes_mut(&mut self, number: u64) -> &mut Vec<u8> {
        let file = self.files.get_mut(&number).expect("a segment that exists");
        file.dirty.clear();
        file.dirty.extend(0..file.current.len().div_ceil(SECTOR));
        &mut file.current
    }

    pub(crate) fn bytes(&self, number: u64) -> &[u8] {
        &self.files[&number].current
    }

    /// Where the records of a segment end: after the last byte before its trailer that is not zero.
    pub(crate) fn records_end(&self, number: u64) -> usize {
        let bytes = self.bytes(number);
        let records = &bytes[RECORDS_AT..bytes.len() - TRAILER];
        let last = records.iter().rposition(|byte| *byte != 0);
        RECORDS_AT + last.map_or(0, |last| last + 1)
    }

    /// Where the records of a segment ended when the log was closed cleanly.
    pub(crate) fn clean_end(&self, number: u64) -> usize {
        let bytes = self.bytes(number);
        let end = bytes[bytes.len() - TRAILER / 2..].first_chunk().unwrap();
        usize::try_from(u64::from_le_bytes(*end)).unwrap()
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.files.keys().copied().collect()
    }
}

fn bounds(sector: usize, len: usize) -> (usize, usize) {
    (sector * SECTOR, ((sector + 1) * SECTOR).min(len))
}
