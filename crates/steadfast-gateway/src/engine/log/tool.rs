//! Operations on a data directory for the command line: verify, back up, restore, repair, forget channels.
//!
//! Owns the file access of these operations; `steadfast_log` decides which records are valid. A verification and a backup
//! need no lock: they read what the directory holds at one moment, also while a gateway writes to it.

use std::io;
use std::path::{Path, PathBuf};

use steadfast_log::io::SegmentFound;
use steadfast_log::open::CorruptionKind;
pub use steadfast_log::open::OpenReport;
use steadfast_log::policy::{LogPolicy, LogSettings};
pub use steadfast_log::repair::RepairReport;
pub use steadfast_log::verify::Verification;
use steadfast_log::verify::Verifier;
use steadfast_machine::{ByteSize, convert};

use self::copy::CopyKind;
pub use self::forget::forget;
pub use self::repair::{RepairOutcome, repair};
use self::snapshot::Snapshot;
use super::error::LogError;
use super::files::directory::{Names, marker, segments};
use crate::config::StoreConfig;
use crate::config::policy::log_settings;

mod copy;
mod forget;
mod repair;
mod snapshot;

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct Progress {
    pub done_bytes: u64,
    pub total_bytes: u64,
}

impl Progress {
    fn of(segments: &[SegmentFound]) -> Self {
        Self {
            done_bytes: 0,
            total_bytes: segments.iter().map(|segment| segment.bytes).sum(),
        }
    }
}

/// Reads the complete log and returns what opening the log would find, with every corruption. Changes nothing. A gateway
/// may use the directory.
///
/// # Errors
///
/// When there is no log, when the directory is a copy that is not complete, when the log was written by another version,
/// when a segment belongs to another directory, or when the directory cannot be read. Corruption that can be repaired is
/// not an error.
pub fn verify(path: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Verification, LogError> {
    let to_error = |error| LogError::from_io(path, error);
    let names = Names::open(path).map_err(to_error)?;
    marker::check_complete(path, &names)?;
    crate::listen::raise_files_max();
    let found = read_all(path, &names, progress)?.finish();
    check_repairable(path, &found)?;
    Ok(found)
}

/// Copies a log to a new or empty directory, also while a gateway uses it, and verifies every byte of the copy. The copy
/// is usable only through [`restore`].
///
/// # Errors
///
/// The errors of [`verify`], when the log is corrupt, and when the target is not empty or cannot be written. The target
/// is then marked as incomplete, unless it was not empty.
pub fn back_up(
    path: &Path,
    target: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verification, LogError> {
    copy::copy(path, target, CopyKind::Backup, progress)
}

/// Copies a backup to a new or empty directory, and verifies every byte of the copy. At the next start of a gateway all
/// channel epochs change.
///
/// # Errors
///
/// The errors of [`back_up`].
pub fn restore(
    backup: &Path,
    path: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verification, LogError> {
    copy::copy(backup, path, CopyKind::Restore, progress)
}

/// Rejects a log that a repair would harm: it must not drop records that another version can read, nor mix two logs.
fn check_repairable(path: &Path, found: &Verification) -> Result<(), LogError> {
    let is_repairable = |kind: CorruptionKind| match kind {
        CorruptionKind::InvalidRecord
        | CorruptionKind::InvalidHeader
        | CorruptionKind::WrongSize { .. }
        | CorruptionKind::MissingSegment
        | CorruptionKind::Inconsistent
        | CorruptionKind::StorageFailed { .. } => true,
        CorruptionKind::OtherDirectory { .. }
        | CorruptionKind::UnsupportedVersion { .. }
        | CorruptionKind::UnsupportedRecord => false,
    };
    let mut corruptions = found.corruptions.iter();
    match corruptions.find(|corruption| !is_repairable(corruption.kind)) {
        Some(corruption) => Err(LogError::from_corruption(path, *corruption)),
        None => Ok(()),
    }
}

/// The directories below a data directory in which a log may be instead: the demo keeps its own in `demo/log`.
const LOGS_BELOW: [&str; 2] = ["log", "demo/log"];

/// The error for a directory without a log.
fn no_log(path: &Path) -> LogError {
    let holds_log = |path: &PathBuf| segments(path).is_ok_and(|found| !found.is_empty());
    let mut candidates = LOGS_BELOW.iter().map(|name| path.join(name));
    LogError::NoLog {
        directory: path.to_path_buf(),
        below: candidates.find(holds_log),
    }
}

fn read_all(
    path: &Path,
    names: &Names,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verifier, LogError> {
    let to_error = |error| LogError::from_io(path, error);
    let snapshot = Snapshot::take(names).map_err(to_error)?;
    let segments = snapshot.segments().to_vec();
    if segments.is_empty() {
        return Err(no_log(path));
    }
    let mut report = Progress::of(&segments);
    let policy = policy(&segments).map_err(to_error)?;
    let mut verifier = Verifier::new(policy, segments);
    while let Some(request) = verifier.next_read() {
        let bytes = snapshot.read(&request).map_err(to_error)?;
        verifier.feed(&bytes);
        report.done_bytes += convert::to_u64(bytes.len());
        progress(report);
    }
    Ok(verifier)
}

/// Returns settings for a log of these segments: new segments are as large as the largest old one.
fn policy(segments: &[SegmentFound]) -> io::Result<LogPolicy> {
    LogPolicy::new(settings(segments)).map_err(io::Error::other)
}

fn settings(segments: &[SegmentFound]) -> LogSettings {
    let defaults = log_settings(&StoreConfig::default());
    let largest = segments
        .iter()
        .map(|segment| segment.bytes)
        .max()
        .unwrap_or(0);
    let bytes = match largest {
        0..4096 => defaults.segment_bytes.as_bytes(),
        size => size.min(256 << 20),
    };
    LogSettings {
        segment_bytes: ByteSize::from_bytes(bytes),
        log_bytes: ByteSize::from_bytes(u64::MAX),
        ..defaults
    }
}
