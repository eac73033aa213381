//! The data directory: its lock, its names, and the durability of names.
//!
//! Independent of the contents of segments. The segment store, the segment worker and the tools use it. All names are
//! relative to the open directory, so that a directory that was moved is never mixed with another one at its path.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;
use steadfast_log::io::{SegmentFound, SegmentNumber};

use self::lock::{Locks, lock};
use self::place::{FileId, Misplaced};
use crate::engine::log::LogError;

pub(in crate::engine::log) mod foreign;
pub(in crate::engine::log) mod instance;
mod lock;
pub(in crate::engine::log) mod marker;
pub(in crate::engine::log) mod place;

/// The suffix of a segment's name.
const SEGMENT: &str = ".segment";

/// The suffix of a segment that is not complete yet. A file with this suffix at a start is left over from a crash.
const PARTIAL: &str = ".segment.partial";

/// Digits of a segment's number in its name; larger numbers have more digits.
const DIGITS: usize = 16;

/// Only the owner may read records.
const FILE_MODE: u32 = 0o600;
pub(in crate::engine::log) const DIRECTORY_MODE: u32 = 0o700;

/// A data directory, locked by this process until it is dropped.
#[derive(Debug)]
pub(in crate::engine::log) struct Directory {
    path: PathBuf,
    names: Names,
    _locks: Locks,
}

/// The names in one open directory.
#[derive(Debug)]
pub(in crate::engine::log) struct Names {
    /// The absolute path at which the directory was opened.
    path: PathBuf,
    directory: File,
    id: FileId,
}

impl Directory {
    /// Locks the directory, which is created if it does not exist, and makes the names in it durable.
    pub(in crate::engine::log) fn open(path: &Path) -> Result<Self, LogError> {
        let to_error = |error| LogError::from_io(path, error);
        let names = match Names::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path).map_err(to_error)?;
                Names::open(path)
            }
            result => result,
        };
        let names = names.map_err(to_error)?;
        let locks = lock(path, &names)?;
        // Another process may have moved the directory just before it was locked.
        names.check().map_err(to_error)?;
        // A process that was killed may have given a segment its name and not made the name durable. The log writes to
        // this segment and acknowledges what it wrote, so the name must not be lost with the power.
        names.sync().map_err(to_error)?;
        if names.segments().map_err(to_error)?.is_empty() {
            sync_ancestors(&names.path, names.id.device()).map_err(to_error)?;
        }
        Ok(Self {
            path: path.to_path_buf(),
            names,
            _locks: locks,
        })
    }

    /// Locks a directory that does not exist, which is created, or that is empty.
    pub(in crate::engine::log) fn create_empty(path: &Path) -> Result<Self, LogError> {
        match Names::open(path).and_then(|names| names.all()) {
            Ok(names) if names.iter().all(|name| name == foreign::LOST_AND_FOUND) => {}
            Ok(_) => {
                let directory = path.to_path_buf();
                return Err(LogError::NotEmpty { directory });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(LogError::from_io(path, error)),
        }
        Self::open(path)
    }

    /// Returns the path of the directory, as it was configured.
    pub(in crate::engine::log) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the names in the directory.
    pub(in crate::engine::log) const fn names(&self) -> &Names {
        &self.names
    }

    /// Lists the segments in order of their numbers; ignores other files.
    pub(in crate::engine::log) fn segments(&self) -> io::Result<Vec<SegmentFound>> {
        self.names.segments()
    }

    /// Deletes incomplete segments that a crash left.
    pub(in crate::engine::log) fn remove_partial(&self) -> io::Result<()> {
        for (number, _) in self.names.numbered(PARTIAL)? {
            self.names.remove_partial(number)?;
        }
        Ok(())
    }
}

impl Names {
    /// Opens a directory that exists, without a lock.
    pub(in crate::engine::log) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let id = FileId::of(&directory.metadata()?);
        // A relative path would follow a working directory that is moved.
        let path = std::path::absolute(path)?;
        Ok(Self {
            path,
            directory,
            id,
        })
    }

    /// Returns another handle of the same directory.
    pub(in crate::engine::log) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            path: self.path.clone(),
            directory: self.directory.try_clone()?,
            id: self.id,
        })
    }

    /// Checks that the directory is still at its path.
    pub(in crate::engine::log) fn check(&self) -> io::Result<()> {
        place::check(&self.path, self.id)
    }

    /// Checks that the segment is still at its path, which includes its directory.
    pub(in crate::engine::log) fn check_segment(
        &self,
        segment: SegmentNumber,
        id: FileId,
    ) -> io::Result<()> {
        place::check(&segment_path(&self.path, segment), id)
    }

    /// Lists the segments in order of their numbers; ignores other files.
    pub(in crate::engine::log) fn segments(&self) -> io::Result<Vec<SegmentFound>> {
        let numbered = self.numbered(SEGMENT)?;
        let found = numbered
            .into_iter()
            .map(|(number, bytes)| SegmentFound { number, bytes });
        Ok(found.collect())
    }

    /// Lists the numbers and lengths of the files with this suffix, in order of numbers.
    fn numbered(&self, suffix: &str) -> io::Result<Vec<(SegmentNumber, u64)>> {
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let Some(number) = number(name, suffix) else {
                continue;
            };
            match rustix::fs::statat(&self.directory, entry.file_name(), AtFlags::empty()) {
                Ok(stat) => found.push((
                    number,
                    u64::try_from(stat.st_size).map_err(io::Error::other)?,
                )),
                // A gateway removed it while a tool lists the directory.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        found.sort_unstable_by_key(|(number, _)| *number);
        Ok(found)
    }

    /// Opens a segment to read and to write.
    pub(in crate::engine::log) fn open_segment(&self, segment: SegmentNumber) -> io::Result<File> {
        match self.open_file(&name(segment, SEGMENT), OFlags::RDWR) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Misplaced::error(&segment_path(&self.path, segment)))
            }
            opened => opened,
        }
    }

    /// Opens a segment to read.
    pub(in crate::engine::log) fn read_segment(&self, segment: SegmentNumber) -> io::Result<File> {
        self.open_file(&name(segment, SEGMENT), OFlags::RDONLY)
    }

    /// Creates a segment under the name that it has while it is not complete.
    pub(in crate::engine::log) fn create_partial(
        &self,
        segment: SegmentNumber,
    ) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC;
        self.open_file(&name(segment, PARTIAL), flags)
    }

    /// Creates a segment of a copy.
    pub(in crate::engine::log) fn create_segment(
        &self,
        segment: SegmentNumber,
    ) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        self.open_file(&name(segment, SEGMENT), flags)
    }

    /// Gives a complete segment its name.
    pub(in crate::engine::log) fn complete(&self, segment: SegmentNumber) -> io::Result<()> {
        self.rename(&name(segment, PARTIAL), &name(segment, SEGMENT))
    }

    /// Deletes a segment.
    pub(in crate::engine::log) fn remove_segment(&self, segment: SegmentNumber) -> io::Result<()> {
        self.remove(&name(segment, SEGMENT))
    }

    /// Deletes an incomplete segment.
    pub(in crate::engine::log) fn remove_partial(&self, segment: SegmentNumber) -> io::Result<()> {
        self.remove(&name(segment, PARTIAL))
    }

    /// Makes the names durable.
    pub(in crate::engine::log) fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        tests::note_sync(&self.path);
        self.directory.sync_all()
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let mode = Mode::from_raw_mode(FILE_MODE);
        let file = rustix::fs::openat(&self.directory, name, flags | OFlags::CLOEXEC, mode)?;
        Ok(file.into())
    }

    /// Returns the first name with this prefix.
    fn find_prefix(&self, prefix: &str) -> io::Result<Option<String>> {
        let mut names = self.all()?.into_iter();
        Ok(names.find(|name| name.starts_with(prefix)))
    }

    /// Returns all names, in alphabetical order.
    fn all(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_string_lossy();
            if name != "." && name != ".." {
                names.push(name.into_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        rustix::fs::renameat(&self.directory, from, &self.directory, to)?;
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        rustix::fs::unlinkat(&self.directory, name, AtFlags::empty())?;
        Ok(())
    }
}

/// Lists the segments of a directory in order of their numbers; ignores other files.
pub(in crate::engine::log) fn segments(directory: &Path) -> io::Result<Vec<SegmentFound>> {
    Names::open(directory)?.segments()
}

/// Returns the path of a segment.
pub(in crate::engine::log) fn segment_path(directory: &Path, segment: SegmentNumber) -> PathBuf {
    directory.join(name(segment, SEGMENT))
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
    tests::note_sync(directory);
    File::open(directory)?.sync_all()
}

fn name(segment: SegmentNumber, suffix: &str) -> String {
    format!("{:0DIGITS$}{suffix}", segment.0)
}

/// Parses the number in a file name with this suffix; only the format that the gateway writes is valid.
fn number(file_name: &OsStr, suffix: &str) -> Option<SegmentNumber> {
    let file_name = file_name.to_str()?;
    let number = SegmentNumber(file_name.strip_suffix(suffix)?.parse().ok()?);
    (file_name == name(number, suffix)).then_some(number)
}

/// Creates the directory and its missing parents.
fn create(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(DIRECTORY_MODE).create(path)
}

/// Makes the path of a new directory durable, up to the root of its file system: a process that was killed may have
/// created each of the parents.
fn sync_ancestors(path: &Path, device: u64) -> io::Result<()> {
    for ancestor in path.ancestors().skip(1) {
        match std::fs::metadata(ancestor) {
            Ok(metadata) if metadata.dev() == device => {}
            Ok(_) | Err(_) => return Ok(()),
        }
        match sync_names(ancestor) {
            // A directory that this user may not read was not created by it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            result => result?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        /// The directories whose names this thread made durable.
        static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn note_sync(directory: &Path) {
        SYNCED.with_borrow_mut(|synced| synced.push(directory.to_path_buf()));
    }

    #[test]
    fn a_writer_makes_the_names_durable_that_a_killed_process_left_and_a_reader_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(segment_path(directory.path(), SegmentNumber(1)), "renamed").unwrap();

        drop(Names::open(directory.path()).unwrap());
        assert!(SYNCED.take().is_empty());
        drop(Directory::open(directory.path()).unwrap());

        assert_eq!(SYNCED.take(), [directory.path()]);
    }

    #[test]
    fn the_path_of_a_directory_without_segments_is_made_durable_also_when_a_killed_process_created_it()
     {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/data");
        std::fs::create_dir_all(&path).unwrap();

        drop(Directory::open(&path).unwrap());

        let parent = path.parent().unwrap();
        let expected = [&path, parent, directory.path()].map(Path::to_path_buf);
        let synced = SYNCED.take();
        assert!(synced.starts_with(&expected), "{synced:?}");
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
