//! Backups of a data directory, also next to a serving gateway, and restoring them.
//!
//! ```text
//! 1  create the target, or use an empty one, and mark it as incomplete, durably
//! 2  copy every segment; the copied bytes are verified as an opening would
//! 3  sync the copies and their names
//! 4  mark a backup as a backup; remove the first mark, durably
//! ```
//!
//! Neither the backup nor the restored directory has the file that identifies a directory, so that the next start of a
//! gateway gives every channel another epoch.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use steadfast_log::io::SegmentNumber;
use steadfast_log::verify::{Verification, Verifier};
use steadfast_machine::convert;

use super::Progress;
use super::snapshot::Snapshot;
use crate::engine::log::LogError;
use crate::engine::log::files::directory::marker::{self, Marker};
use crate::engine::log::files::directory::{Directory, Names};

/// What a copy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CopyKind {
    Backup,
    Restore,
}

/// Copies a log into a directory that does not exist or is empty.
pub(super) fn copy(
    source: &Path,
    target: &Path,
    kind: CopyKind,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verification, LogError> {
    let names = Names::open(source).map_err(|error| LogError::from_io(source, error))?;
    marker::check_complete(source, &names)?;
    crate::listen::raise_files_max();
    let snapshot = Snapshot::take(&names).map_err(|error| LogError::from_io(source, error))?;
    if snapshot.segments().is_empty() {
        return Err(super::no_log(source));
    }
    let to_error = |error| LogError::from_io(target, error);
    let directory = Directory::create_empty(target)?;
    Marker::Incomplete
        .create(directory.names())
        .map_err(to_error)?;
    let found = copy_segments(source, &snapshot, directory.names(), target, progress)?;
    if let Some(corruption) = found.corruptions.first() {
        return Err(LogError::from_corruption(source, *corruption));
    }
    if kind == CopyKind::Backup {
        Marker::Backup.create(directory.names()).map_err(to_error)?;
    }
    Marker::Incomplete
        .remove(directory.names())
        .map_err(to_error)?;
    Ok(found)
}

/// Copies the segments and verifies what was copied.
fn copy_segments(
    source: &Path,
    snapshot: &Snapshot,
    names: &Names,
    target: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verification, LogError> {
    let segments = snapshot.segments().to_vec();
    let mut report = Progress::of(&segments);
    let policy = super::policy(&segments).map_err(|error| LogError::from_io(source, error))?;
    let mut verifier = Verifier::new(policy, segments);
    let mut copies = BTreeMap::<SegmentNumber, File>::new();
    while let Some(request) = verifier.next_read() {
        let bytes = snapshot
            .read(&request)
            .map_err(|error| LogError::from_io(source, error))?;
        write(names, &mut copies, request.segment, request.at, &bytes)
            .map_err(|error| LogError::from_io(target, error))?;
        verifier.feed(&bytes);
        report.done_bytes += convert::to_u64(bytes.len());
        progress(report);
    }
    let synced = copies.values().try_for_each(File::sync_all);
    synced
        .and_then(|()| names.sync())
        .map_err(|error| LogError::from_io(target, error))?;
    Ok(verifier.finish())
}

fn write(
    names: &Names,
    copies: &mut BTreeMap<SegmentNumber, File>,
    segment: SegmentNumber,
    at: u64,
    bytes: &[u8],
) -> io::Result<()> {
    // One copy is open at a time: the one before it is complete.
    if !copies.contains_key(&segment) {
        for (_, file) in std::mem::take(copies) {
            file.sync_all()?;
        }
        copies.insert(segment, names.create_segment(segment)?);
    }
    match copies.get(&segment) {
        Some(file) => file.write_all_at(bytes, at),
        None => Ok(()),
    }
}
