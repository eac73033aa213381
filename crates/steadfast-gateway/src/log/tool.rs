//! Looks at a data directory, and rescues what is valid from a damaged one; for the command line.
//!
//! Owns the files of both; what is valid is judged by `steadfast_hub::log::verify` and `repair`. Both refuse a
//! directory that a gateway has: it writes and removes while they read, so what they find could be wrong. Several
//! looks at one directory may run at a time.
//!
//! A repair deletes nothing and can be interrupted anywhere:
//!
//! ```text
//! 1  hard links of all segments in damaged-N
//! 2  new segments in repair.partial, synced, then renamed to repaired-N: from here on the repair is certain
//! 3  new segments renamed into the directory, the lowest last: until then a gateway refuses to start
//! 4  names of the old segments removed; damaged-N keeps them
//! ```
//!
//! A repair that finds repaired-N goes on with step 3.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use steadfast_hub::log::io::{SegmentFound, SegmentNumber};
use steadfast_hub::log::open::CorruptionKind;
pub use steadfast_hub::log::repair::RepairReport;
use steadfast_hub::log::repair::{Repair, RepairedSegment};
pub use steadfast_hub::log::verify::Verification;
use steadfast_hub::log::verify::Verifier;
use steadfast_hub::policy::log::{LogPolicy, LogSettings};
use steadfast_machine::ByteSize;

use super::error::LogError;
use super::files::directory::{
    Access, DIRECTORY_MODE, Directory, new_file, segment_path, sync_names,
};
use super::files::read_at;
use crate::clock::Clock;

/// New segments are collected here until all are durable.
const PARTIAL: &str = "repair.partial";

/// The originals of repair N are in the directory with this name and its number.
const DAMAGED: &str = "damaged-";

/// The new segments of repair N that are not in place yet.
const REPAIRED: &str = "repaired-";

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// The log is whole: nothing was changed.
    Whole(Verification),
    /// The valid records are in new segments now.
    Rescued {
        /// What was wrong.
        found: Verification,
        /// What was kept, and what not.
        report: RepairReport,
        /// Where the old segments are.
        originals: PathBuf,
    },
}

/// Reads a whole log and says what an opening would find, with every damage. Changes nothing.
///
/// # Errors
///
/// When a gateway has the directory, or it cannot be read. Damage is no error.
pub fn verify(path: &Path) -> Result<Verification, LogError> {
    let directory = Directory::open(path, Access::Read)?;
    look(&directory).map_err(|error| LogError::from_io(path, error))
}

/// Moves the valid records of a damaged log to new segments, and keeps the old ones beside them. All channel epochs
/// change, so that clients reload. Goes on with a repair that was interrupted.
///
/// # Errors
///
/// When a gateway has the directory, when there is no room for the new segments, when the log was written by another
/// version, or when the directory cannot be read or written.
pub fn repair(path: &Path) -> Result<Repaired, LogError> {
    if !path
        .try_exists()
        .map_err(|error| LogError::from_io(path, error))?
    {
        return Err(LogError::Missing {
            directory: path.to_path_buf(),
        });
    }
    let directory = Directory::open(path, Access::Write)?;
    let to_error = |error| LogError::from_io(path, error);
    if let Some(number) = last_of(path, REPAIRED).map_err(to_error)? {
        put_in_place(path, number).map_err(to_error)?;
    }
    let found = look(&directory).map_err(to_error)?;
    if found.corruptions.is_empty() {
        return Ok(Repaired::Whole(found));
    }
    for damage in &found.corruptions {
        if matches!(damage.kind, CorruptionKind::UnsupportedVersion { .. }) {
            return Err(LogError::Damaged {
                directory: Some(path.to_path_buf()),
                damage: *damage,
            });
        }
    }
    let incarnation = getrandom::u64().map_err(|error| LogError::NoRandomness {
        reason: error.to_string(),
    })?;
    let number = last_of(path, DAMAGED).map_err(to_error)?.unwrap_or(0) + 1;
    let report = rescue(&directory, number, incarnation).map_err(to_error)?;
    put_in_place(path, number).map_err(to_error)?;
    Ok(Repaired::Rescued {
        found,
        report,
        originals: path.join(format!("{DAMAGED}{number}")),
    })
}

fn look(directory: &Directory) -> io::Result<Verification> {
    let segments = directory.segments()?;
    let mut verifier = Verifier::new(policy(&segments)?, segments, Clock::wall());
    let mut open: Option<(SegmentNumber, File)> = None;
    while let Some(wanted) = verifier.next_read() {
        let file = match open.take() {
            Some((number, file)) if number == wanted.segment => file,
            Some(_) | None => File::open(segment_path(directory.path(), wanted.segment))?,
        };
        verifier.feed(&read_at(&file, wanted.at, wanted.len)?);
        open = Some((wanted.segment, file));
    }
    Ok(verifier.finish())
}

/// Steps 1 and 2.
fn rescue(directory: &Directory, number: u64, incarnation: u64) -> io::Result<RepairReport> {
    let path = directory.path();
    let segments = directory.segments()?;
    let originals = path.join(format!("{DAMAGED}{number}"));
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
    match write_rescued(path, &segments, &partial, incarnation) {
        Ok(report) => {
            std::fs::rename(&partial, path.join(format!("{REPAIRED}{number}")))?;
            sync_names(path)?;
            Ok(report)
        }
        Err(error) => {
            // Room is what may have been missing; the originals are untouched under both their names.
            remove_partial(&partial)?;
            std::fs::remove_dir_all(&originals)?;
            Err(error)
        }
    }
}

fn write_rescued(
    path: &Path,
    segments: &[SegmentFound],
    partial: &Path,
    incarnation: u64,
) -> io::Result<RepairReport> {
    let highest = segments.last().map_or(0, |segment| segment.number.0);
    let first = highest
        .checked_add(1)
        .ok_or_else(|| io::Error::other("no segment number is left"))?;
    let mut repair = Repair::new(
        policy(segments)?,
        incarnation,
        Clock::wall(),
        SegmentNumber(first),
    );
    for segment in segments {
        repair.add_segment(
            segment.number,
            &std::fs::read(segment_path(path, segment.number))?,
        );
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
    file.write_all_at(&segment.bytes, 0)?;
    let zeros = vec![0; 1 << 20];
    let mut at = u64::try_from(segment.bytes.len()).unwrap_or(u64::MAX);
    while at < segment.size {
        let len = usize::try_from(segment.size - at)
            .unwrap_or(zeros.len())
            .min(zeros.len());
        file.write_all_at(zeros.get(..len).unwrap_or_default(), at)?;
        at += u64::try_from(len).unwrap_or(u64::MAX);
    }
    file.sync_all()
}

/// Steps 3 and 4; each may have been done in part before.
fn put_in_place(path: &Path, number: u64) -> io::Result<()> {
    let repaired = path.join(format!("{REPAIRED}{number}"));
    let originals = path.join(format!("{DAMAGED}{number}"));
    for name in segment_names(&repaired)?.iter().rev() {
        std::fs::rename(repaired.join(name), path.join(name))?;
        // One after the other also on the disk, since the lowest makes the new log complete.
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

/// Settings for a log of these segments: new ones are as large as the largest old one.
fn policy(segments: &[SegmentFound]) -> io::Result<LogPolicy> {
    let typical = LogSettings::for_tests();
    let largest = segments
        .iter()
        .map(|segment| segment.bytes)
        .max()
        .unwrap_or(0);
    let bytes = match largest {
        0..4096 => typical.segment_bytes.as_bytes(),
        size => size.min(256 << 20),
    };
    let settings = LogSettings {
        segment_bytes: ByteSize::from_bytes(bytes),
        log_bytes: ByteSize::from_bytes(u64::MAX),
        ..typical
    };
    LogPolicy::new(settings).map_err(io::Error::other)
}

/// The highest number of a directory with this beginning.
fn last_of(path: &Path, beginning: &str) -> io::Result<Option<u64>> {
    let mut last = None;
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(beginning)?.parse().ok());
        last = last.max(number);
    }
    Ok(last)
}

/// The names of the segments inside, in order of their numbers.
fn segment_names(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let segments = super::files::directory::segments(directory)?;
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
