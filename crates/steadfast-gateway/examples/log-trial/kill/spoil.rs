//! What a crash could have left in the files beside whole records, done on purpose.
//!
//! A killed process cannot lose what it had written, so no byte of a record is touched: an unfinished write is imitated
//! behind the last one, and a segment that was reserved ahead and holds nothing yet is taken away.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use steadfast_machine::Generator;

/// The last record may end in zeros, which cannot be told from what was never written.
const RECORD_END_BYTES: usize = 64;

/// Writes random bytes a little behind the last byte that is not zero, as an unfinished write would. False when nothing
/// was written yet or the segment is full.
pub(crate) fn append_garbage(directory: &str, generator: &mut Generator) -> io::Result<bool> {
    for path in segments(directory)?.into_iter().rev() {
        let bytes = std::fs::read(&path)?;
        let Some(last) = bytes.iter().rposition(|byte| *byte != 0) else {
            continue;
        };
        let at = last + RECORD_END_BYTES;
        let room = bytes.len().saturating_sub(at);
        let len = usize::try_from(1 + generator.below(300))
            .unwrap_or(1)
            .min(room);
        let garbage: Vec<u8> = (0..len)
            .map(|_| generator.next_u64().to_le_bytes()[0])
            .collect();
        let file = OpenOptions::new().write(true).open(&path)?;
        file.write_all_at(&garbage, u64::try_from(at).unwrap_or(u64::MAX))?;
        return Ok(len > 0);
    }
    Ok(false)
}

/// Takes away the newest segment if it holds nothing and the one before it does not say yet that the log goes on there:
/// from then on it is part of the log.
pub(crate) fn remove_reserved(directory: &str) -> io::Result<bool> {
    let segments = segments(directory)?;
    let [.., current, newest] = &segments[..] else {
        return Ok(false);
    };
    let number = newest
        .file_stem()
        .and_then(|stem| stem.to_str()?.parse().ok());
    let number = number.ok_or_else(|| io::Error::other("a segment's name is no number"))?;
    let is_used = std::fs::read(newest)?.iter().any(|byte| *byte != 0);
    if is_used || is_sealed(&std::fs::read(current)?, number) {
        return Ok(false);
    }
    std::fs::remove_file(newest)?;
    File::open(directory)?.sync_all()?;
    Ok(true)
}

/// Whether a segment has its last record, which names the next one. No payload looks like it, since payloads have no
/// NUL byte.
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
