//! Repairs a corrupt log.
//!
//! A repair deletes no data and can be interrupted at any point:
//!
//! ```text
//! 1  create hard links of all segments in damaged-N
//! 2  write and sync new segments in repair.partial, then rename it to repaired-N: the repair will now complete
//! 3  rename the new segments into the directory, the lowest last
//! 4  remove the names of the old segments; damaged-N keeps them
//! ```
//!
//! While repaired-N exists a gateway refuses to start, so nothing is added to the log. A repair that finds repaired-N
//! continues with step 3, unless the segments have changed since.

use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use steadfast_log::identity::StartValues;
use steadfast_log::io::{SegmentFound, SegmentNumber};
use steadfast_log::repair::{Repair, RepairReport, RepairStart, RepairedSegment};
use steadfast_log::verify::Verification;
use steadfast_machine::convert;

use super::{Progress, check_repairable, policy, read_all};
use crate::engine::log::LogError;
use crate::engine::log::files::directory::marker::REPAIRED;
use crate::engine::log::files::directory::{
    DIRECTORY_MODE, Directory, Names, marker, new_file, segment_path, segments, sync_names,
};
use crate::engine::log::random;

/// The directory of the new segments until all are durable.
const PARTIAL: &str = "repair.partial";

/// The prefix of the directory with the original segments of repair N.
const ORIGINALS: &str = "damaged-";

/// The outcome of a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairOutcome {
    /// The log is intact: nothing was changed.
    Intact(Verification),
    /// The valid records are now in new segments.
    Repaired {
        /// The corruption that was found.
        found: Verification,
        /// What was kept and what was dropped.
        report: RepairReport,
        /// The directory of the original segments.
        originals: PathBuf,
    },
}

/// Copies the valid records of a corrupt log to new segments, and keeps the original segments. All channel epochs
/// change, so that clients reload. Continues a repair that was interrupted.
///
/// # Errors
///
/// When there is no log, when a gateway has locked the directory, when there is no space for the new segments, when the
/// log was written by another version, when a segment belongs to another directory, when the log has changed since an
/// interrupted repair, or when the directory cannot be read or written.
pub fn repair(path: &Path, progress: &mut dyn FnMut(Progress)) -> Result<RepairOutcome, LogError> {
    let to_error = |error| LogError::from_io(path, error);
    let names = Names::open(path).map_err(to_error)?;
    marker::check_complete(path, &names)?;
    let interrupted = last_of(path, REPAIRED).map_err(to_error)?;
    if names.segments().map_err(to_error)?.is_empty() && interrupted.is_none() {
        return Err(super::no_log(path));
    }
    let directory = Directory::open(path)?;
    if let Some(number) = interrupted {
        check_unchanged(path, number)?;
        install_repaired(path, number).map_err(to_error)?;
    }
    let found = read_all(path, directory.names(), progress)?.finish();
    if found.corruptions.is_empty() {
        return Ok(RepairOutcome::Intact(found));
    }
    check_repairable(path, &found)?;
    let values = random::start_values()?;
    let number = last_of(path, ORIGINALS).map_err(to_error)?.unwrap_or(0) + 1;
    let origin = found.directory.unwrap_or(values.directory);
    let values = StartValues {
        directory: origin,
        ..values
    };
    let report = write_repaired(&directory, number, values).map_err(to_error)?;
    install_repaired(path, number).map_err(to_error)?;
    Ok(RepairOutcome::Repaired {
        found,
        report,
        originals: path.join(format!("{ORIGINALS}{number}")),
    })
}

/// Executes steps 1 and 2 of a repair.
fn write_repaired(
    directory: &Directory,
    number: u64,
    values: StartValues,
) -> io::Result<RepairReport> {
    let path = directory.path();
    let segments = directory.segments()?;
    let originals = path.join(format!("{ORIGINALS}{number}"));
    create_directory(&originals)?;
    for segment in &segments {
        std::fs::hard_link(
            segment_path(path, segment.number),
            segment_path(&originals, segment.number),
        )?;
    }
    sync_names(&originals)?;
    sync_names(path)?;

    let partial = path.join(PARTIAL);
    remove_partial(&partial)?;
    create_directory(&partial)?;
    match write_repaired_segments(path, &segments, &partial, values) {
        Ok(report) => {
            std::fs::rename(&partial, path.join(format!("{REPAIRED}{number}")))?;
            sync_names(path)?;
            Ok(report)
        }
        Err(error) => {
            // Space may have run out; the originals are unchanged under both names.
            remove_partial(&partial)?;
            std::fs::remove_dir_all(&originals)?;
            Err(error)
        }
    }
}

fn write_repaired_segments(
    path: &Path,
    segments: &[SegmentFound],
    partial: &Path,
    values: StartValues,
) -> io::Result<RepairReport> {
    let highest = segments.last().map_or(0, |segment| segment.number.0);
    let first = highest
        .checked_add(1)
        .ok_or_else(|| io::Error::other("no segment number is left"))?;
    let start = RepairStart {
        directory: values.directory,
        incarnation: values.incarnation,
        first: SegmentNumber(first),
    };
    let mut repair = Repair::new(policy(segments)?, start, values.secret);
    let mut draw = || random::secret().map_err(io::Error::other);
    for segment in segments {
        let bytes = std::fs::read(segment_path(path, segment.number))?;
        repair.add_segment(segment.number, &bytes, &mut draw)?;
        while let Some(segment) = repair.poll_segment() {
            write_segment(partial, &segment)?;
        }
    }
    let (rest, report) = repair.finish();
    for segment in &rest {
        write_segment(partial, segment)?;
    }
    sync_names(partial)?;
    Ok(report)
}

fn write_segment(directory: &Path, segment: &RepairedSegment) -> io::Result<()> {
    let file = new_file().open(segment_path(directory, segment.number))?;
    file.write_all_at(&segment.first, 0)?;
    let zeros = vec![0; 1 << 20];
    let mut at = convert::to_u64(segment.first.len());
    while at < segment.size {
        let len = convert::saturating::<usize>(segment.size - at).min(zeros.len());
        file.write_all_at(zeros.get(..len).unwrap_or_default(), at)?;
        at += convert::to_u64(len);
    }
    let last_len = convert::to_u64(segment.last.len());
    file.write_all_at(&segment.last, segment.size.saturating_sub(last_len))?;
    file.sync_all()
}

/// Rejects an interrupted repair whose new segments would overwrite, or whose last step would remove, what is not as the
/// repair left it.
fn check_unchanged(path: &Path, number: u64) -> Result<(), LogError> {
    let to_error = |error| LogError::from_io(path, error);
    let repaired = path.join(format!("{REPAIRED}{number}"));
    let originals = path.join(format!("{ORIGINALS}{number}"));
    let inode = |path: &Path| match std::fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(to_error(error)),
    };
    let mut is_changed = false;
    for name in segment_names(&repaired).map_err(to_error)? {
        is_changed |= inode(&path.join(name))?.is_some();
    }
    for name in segment_names(&originals).map_err(to_error)? {
        let original = inode(&originals.join(&name))?;
        let current = inode(&path.join(&name))?;
        is_changed |= current.is_some() && current != original;
    }
    if is_changed {
        let directory = path.to_path_buf();
        return Err(LogError::RepairOutdated {
            directory,
            repaired,
        });
    }
    Ok(())
}

/// Executes steps 3 and 4 of a repair; either may already have been executed in part.
fn install_repaired(path: &Path, number: u64) -> io::Result<()> {
    let repaired = path.join(format!("{REPAIRED}{number}"));
    let originals = path.join(format!("{ORIGINALS}{number}"));
    for name in segment_names(&repaired)?.iter().rev() {
        std::fs::rename(repaired.join(name), path.join(name))?;
        // The renames become durable in this order as well, because the lowest segment completes the new log.
        sync_names(path)?;
    }
    for name in segment_names(&originals)? {
        match std::fs::remove_file(path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) | Ok(()) => {}
        }
    }
    sync_names(path)?;
    std::fs::remove_dir(&repaired)?;
    sync_names(path)
}

/// Returns the highest number of a directory with this prefix.
fn last_of(path: &Path, prefix: &str) -> io::Result<Option<u64>> {
    let mut last = None;
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(prefix)?.parse().ok());
        last = last.max(number);
    }
    Ok(last)
}

/// Returns the file names of the segments in a directory, in order of their numbers.
fn segment_names(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let segments = segments(directory)?;
    let names = segments
        .iter()
        .map(|segment| segment_path(Path::new(""), segment.number));
    Ok(names.collect())
}

fn create_directory(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(DIRECTORY_MODE).create(path)
}

fn remove_partial(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
