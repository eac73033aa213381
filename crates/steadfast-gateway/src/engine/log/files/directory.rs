//! The data directory: its lock, its names, and the durability of names.
//!
//! Independent of the contents of segments. The segment store, the segment worker and the tools use it.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use steadfast_log::io::{SegmentFound, SegmentNumber};

use crate::engine::log::LogError;

/// The file whose advisory lock says that the directory is in use; it holds the process id of the holder.
const LOCK: &str = "lock";

/// The suffix of a segment's name.
const SEGMENT: &str = ".segment";

/// The suffix of a segment that is not complete yet. A file with this suffix at a start is left over from a crash.
const PARTIAL: &str = ".segment.partial";

/// Digits of a segment's number in its name; larger numbers have more digits.
const DIGITS: usize = 16;

/// Only the owner may read records.
const FILE_MODE: u32 = 0o600;
pub(in crate::engine::log) const DIRECTORY_MODE: u32 = 0o700;

/// How a process locks the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::log) enum DirectoryAccess {
    /// Exclusively, to write.
    Write,
    /// Shared with other readers; nothing is created or changed.
    Read,
}

/// A data directory, locked by this process until it is dropped.
#[derive(Debug)]
pub(in crate::engine::log) struct Directory {
    path: PathBuf,
    /// `None` only for readers of a directory that no gateway has opened.
    _lock: Option<File>,
}

impl Directory {
    /// Locks the directory. If access is `Write`, creates it if it does not exist, and makes the names in it durable.
    pub(in crate::engine::log) fn open(
        path: &Path,
        access: DirectoryAccess,
    ) -> Result<Self, LogError> {
        let metadata = match std::fs::metadata(path) {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && access == DirectoryAccess::Write =>
            {
                create(path).map_err(|error| LogError::from_io(path, error))?;
                std::fs::metadata(path)
            }
            result => result,
        };
        if !metadata
            .map_err(|error| LogError::from_io(path, error))?
            .is_dir()
        {
            return Err(LogError::NotADirectory {
                directory: path.to_path_buf(),
            });
        }
        let lock = lock(path, access)?;
        if access == DirectoryAccess::Write {
            // A process that was killed may have given a segment its name and not made the name durable. The log writes
            // to this segment and acknowledges what it wrote, so the name must not be lost with the power.
            sync_names(path).map_err(|error| LogError::from_io(path, error))?;
        }
        Ok(Self {
            path: path.to_path_buf(),
            _lock: lock,
        })
    }

    /// Returns the path of the directory.
    pub(in crate::engine::log) fn path(&self) -> &Path {
        &self.path
    }

    /// Lists the segments in order of their numbers; ignores other files.
    pub(in crate::engine::log) fn segments(&self) -> io::Result<Vec<SegmentFound>> {
        segments(&self.path)
    }

    /// Deletes incomplete segments that a crash left.
    pub(in crate::engine::log) fn remove_partial(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if number(&entry.file_name(), PARTIAL).is_some() {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Lists the segments of a directory in order of their numbers; ignores other files.
pub(in crate::engine::log) fn segments(directory: &Path) -> io::Result<Vec<SegmentFound>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if let Some(number) = number(&entry.file_name(), SEGMENT) {
            let bytes = entry.metadata()?.len();
            found.push(SegmentFound { number, bytes });
        }
    }
    found.sort_unstable_by_key(|segment| segment.number);
    Ok(found)
}

/// Returns the path of a segment.
pub(in crate::engine::log) fn segment_path(directory: &Path, segment: SegmentNumber) -> PathBuf {
    directory.join(format!("{:0DIGITS$}{SEGMENT}", segment.0))
}

/// Returns the path of a segment while it is being created.
pub(in crate::engine::log) fn partial_path(directory: &Path, segment: SegmentNumber) -> PathBuf {
    directory.join(format!("{:0DIGITS$}{PARTIAL}", segment.0))
}

/// Returns the options for a new file that only its owner may read.
pub(in crate::engine::log) fn new_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE);
    options
}

/// Makes the directory entries durable.
pub(in crate::engine::log) fn sync_names(directory: &Path) -> io::Result<()> {
    #[cfg(test)]
    tests::SYNCED.with_borrow_mut(|synced| synced.push(directory.to_path_buf()));
    File::open(directory)?.sync_all()
}

/// Parses the number in a file name with this suffix; only the format that the gateway writes is valid.
fn number(name: &OsStr, suffix: &str) -> Option<SegmentNumber> {
    let name = name.to_str()?;
    let number = SegmentNumber(name.strip_suffix(suffix)?.parse().ok()?);
    (name == format!("{:0DIGITS$}{suffix}", number.0)).then_some(number)
}

/// Creates the directory and its missing parents, and makes each directory entry durable.
fn create(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(io::ErrorKind::NotFound.into()),
    };
    if !parent.try_exists()? {
        create(parent)?;
    }
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        // Another process created the directory first; it exists, which is all that is needed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_names(parent),
    }
}

fn lock(directory: &Path, access: DirectoryAccess) -> Result<Option<File>, LogError> {
    let path = directory.join(LOCK);
    let opened = match access {
        DirectoryAccess::Write => new_file().truncate(false).open(&path),
        DirectoryAccess::Read => File::open(&path),
    };
    let mut file = match opened {
        Ok(file) => file,
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && access == DirectoryAccess::Read =>
        {
            return Ok(None);
        }
        Err(error) => return Err(LogError::from_io(directory, error)),
    };
    let locked = match access {
        DirectoryAccess::Write => file.try_lock(),
        DirectoryAccess::Read => file.try_lock_shared(),
    };
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(LogError::Locked {
                directory: directory.to_path_buf(),
                holder: holder(&mut file),
            });
        }
        Err(TryLockError::Error(error)) => return Err(LogError::from_io(directory, error)),
    }
    if access == DirectoryAccess::Write {
        write_process_id(&mut file);
    }
    Ok(Some(file))
}

/// Returns the process id in the lock file, if it contains one.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Writes our process id to the lock file, for the error of a second process. The lock does not depend on the id: a
/// full disk is not an error.
fn write_process_id(file: &mut File) {
    let id = std::process::id();
    let written = file.set_len(0).and_then(|()| writeln!(file, "{id}"));
    if let Err(error) = written {
        tracing::warn!(%error, "failed to write the process id to the lock file");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        /// The directories whose names this thread made durable.
        pub(super) static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn a_writer_makes_the_names_durable_that_a_killed_process_left_and_a_reader_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(segment_path(directory.path(), SegmentNumber(1)), "renamed").unwrap();

        drop(Directory::open(directory.path(), DirectoryAccess::Read).unwrap());
        assert!(SYNCED.take().is_empty());
        drop(Directory::open(directory.path(), DirectoryAccess::Write).unwrap());

        assert_eq!(SYNCED.take(), [directory.path()]);
    }

    #[test]
    fn only_the_file_name_format_that_the_gateway_writes_is_a_segment() {
        let number = |name: &str| number(OsStr::new(name), SEGMENT);

        assert_eq!(number("0000000000000007.segment"), Some(SegmentNumber(7)));
        assert_eq!(
            number("18446744073709551615.segment"),
            Some(SegmentNumber(u64::MAX))
        );
        for other in [
            "7.segment",
            "+000000000000007.segment",
            "0000000000000007.segment.partial",
            ".segment",
            "lock",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
