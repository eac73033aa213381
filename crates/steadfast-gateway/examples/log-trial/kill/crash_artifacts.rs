//! Adds artifacts that a crash could leave in the files in addition to complete records.
//!
//! A killed process cannot lose what it had written, so no byte of a record is changed: a torn write is imitated after
//! the last record, and a preallocated segment without a record is removed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use steadfast_machine::{Generator, convert};

/// Distance from the last non-zero byte: a record may end in zeros, which look like unwritten bytes.
const RECORD_END_BYTES: usize = 64;

/// The byte position of the first record of a segment.
const RECORDS_AT: usize = 256;
/// Bytes at the end of a segment that hold no records.
const TRAILER_BYTES: usize = 1024;

/// Writes random bytes shortly after the last record, as a torn write would. Returns `false` if nothing was written yet
/// or the segment is full.
pub(crate) fn append_garbage(directory: &str, generator: &mut Generator) -> io::Result<bool> {
    for path in segments(directory)?.into_iter().rev() {
        let bytes = std::fs::read(&path)?;
        let records = records(&bytes);
        let Some(last) = records.iter().rposition(|byte| *byte != 0) else {
            continue;
        };
        let after = last + RECORD_END_BYTES;
        let at = RECORDS_AT + after;
        let free = records.len().saturating_sub(after);
        let len = (1 + generator.below_len(300)).min(free);
        let garbage: Vec<u8> = (0..len)
            .map(|_| generator.next_u64().to_le_bytes()[0])
            .collect();
        let file = OpenOptions::new().write(true).open(&path)?;
        file.write_all_at(&garbage, convert::to_u64(at))?;
        return Ok(len > 0);
    }
    Ok(false)
}

/// Removes the newest segment if it has no record and the previous one does not yet refer to it as the next segment; after
/// that it is part of the log. Returns whether it was removed.
pub(crate) fn remove_reserved(directory: &str) -> io::Result<bool> {
    let segments = segments(directory)?;
    let [.., current, newest] = &segments[..] else {
        return Ok(false);
    };
    let number = newest
        .file_stem()
        .and_then(|stem| stem.to_str()?.parse().ok());
    let number = number.ok_or_else(|| io::Error::other("a segment's name is not a number"))?;
    let newest_bytes = std::fs::read(newest)?;
    let is_used = records(&newest_bytes).iter().any(|byte| *byte != 0);
    if is_used || is_sealed(&std::fs::read(current)?, number) {
        return Ok(false);
    }
    std::fs::remove_file(newest)?;
    File::open(directory)?.sync_all()?;
    Ok(true)
}

/// The bytes of a segment that hold records.
fn records(bytes: &[u8]) -> &[u8] {
    let end = bytes.len().saturating_sub(TRAILER_BYTES);
    bytes.get(RECORDS_AT..end).unwrap_or_default()
}

/// Whether a segment has its last record, which contains the number of the next one. No payload of the trial has the
/// same bytes, because they are text.
fn is_sealed(bytes: &[u8], next: u64) -> bool {
    const KIND: u8 = 9;
    let end = [&[KIND][..], &next.to_le_bytes()].concat();
    bytes.windows(end.len()).any(|window| window == end)
}

fn segments(directory: &str) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "segment")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
