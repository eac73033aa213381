//! The data directory: its lock, its names, and the durability of names.
//!
//! Knows nothing of what stands inside a segment. The segment store, the keeper thread and the tools use it.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use steadfast_hub::log::io::{SegmentFound, SegmentNumber};

use crate::log::LogError;

/// The file whose advisory lock says that the directory is in use; it holds the process id of the holder.
const LOCK: &str = "lock";

/// The ending of a segment's name.
const SEGMENT: &str = ".segment";

/// The ending of a segment that is not complete yet. Whatever has it after a start is left over from a crash.
const PARTIAL: &str = ".segment.partial";

/// Digits of a segment's number in its name; larger numbers get more.
const DIGITS: usize = 16;

/// Records are their owner's business.
const FILE_MODE: u32 = 0o600;
pub(in crate::log) const DIRECTORY_MODE: u32 = 0o700;

/// How a process uses the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) enum Access {
    /// Alone, to write.
    Write,
    /// Beside other readers; nothing is created or changed.
    Read,
}

/// A data directory that this process holds the lock of, until it is dropped.
#[derive(Debug)]
pub(in crate::log) struct Directory {
    path: PathBuf,
    /// `None` only for readers of a directory that no gateway ever opened.
    _lock: Option<File>,
}

impl Directory {
    /// Takes the directory; creates it when it is to be written and does not exist.
    pub(in crate::log) fn open(path: &Path, access: Access) -> Result<Self, LogError> {
        let metadata = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && access == Access::Write => {
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
        Ok(Self {
            path: path.to_path_buf(),
            _lock: lock,
        })
    }

    /// Where it is.
    pub(in crate::log) fn path(&self) -> &Path {
        &self.path
    }

    /// The segments in order of numbers. Other files are left alone.
    pub(in crate::log) fn segments(&self) -> io::Result<Vec<SegmentFound>> {
        segments(&self.path)
    }

    /// Deletes what a crash left of a segment that was being created.
    pub(in crate::log) fn remove_partial(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if number(&entry.file_name(), PARTIAL).is_some() {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// The segments inside, in order of numbers. Other files are left alone.
pub(in crate::log) fn segments(directory: &Path) -> io::Result<Vec<SegmentFound>> {
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

/// The path of a segment.
pub(in crate::log) fn segment_path(directory: &Path, segment: SegmentNumber) -> PathBuf {
    directory.join(format!("{:0DIGITS$}{SEGMENT}", segment.0))
}

/// The path of a segment while it is being created.
pub(in crate::log) fn partial_path(directory: &Path, segment: SegmentNumber) -> PathBuf {
    directory.join(format!("{:0DIGITS$}{PARTIAL}", segment.0))
}

/// Options for a new file that only its owner may read.
pub(in crate::log) fn new_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE);
    options
}

/// Makes the names inside the directory durable.
pub(in crate::log) fn sync_names(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The number in a name with this ending; only the spelling that we write counts.
fn number(name: &OsStr, ending: &str) -> Option<SegmentNumber> {
    let name = name.to_str()?;
    let number = SegmentNumber(name.strip_suffix(ending)?.parse().ok()?);
    (name == format!("{:0DIGITS$}{ending}", number.0)).then_some(number)
}

/// Creates the directory and all above it, each durable by name.
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
        // Somebody else was quicker; what matters is that it is there.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_names(parent),
    }
}

fn lock(directory: &Path, access: Access) -> Result<Option<File>, LogError> {
    let path = directory.join(LOCK);
    let opened = match access {
        Access::Write => new_file().truncate(false).open(&path),
        Access::Read => File::open(&path),
    };
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && access == Access::Read => {
            return Ok(None);
        }
        Err(error) => return Err(LogError::from_io(directory, error)),
    };
    let locked = match access {
        Access::Write => file.try_lock(),
        Access::Read => file.try_lock_shared(),
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
    if access == Access::Write {
        leave_id(&mut file);
    }
    Ok(Some(file))
}

/// The process id in the lock file, if one stands there.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Leaves our process id for whoever comes second. It is a courtesy only: on a full disk the lock holds without it.
fn leave_id(file: &mut File) {
    let id = std::process::id();
    let written = file.set_len(0).and_then(|()| writeln!(file, "{id}"));
    if let Err(error) = written {
        tracing::warn!(%error, "cannot leave the process id in the lock file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_spelling_that_we_write_is_a_segment() {
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
