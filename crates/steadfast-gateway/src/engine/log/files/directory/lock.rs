//! The locks that say that a process uses a data directory.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::Names;
use crate::engine::log::LogError;

/// The file whose advisory lock says that the directory is in use; it holds the process id of the holder.
const LOCK: &str = "lock";

/// The locks of a directory, until they are dropped.
#[derive(Debug)]
pub(super) struct Locks {
    _directory: File,
    _file: File,
}

/// Locks the directory itself, which no other process can replace by a new file, and the lock file, which says who.
///
/// The directory is locked through a description of its own: a lock is held until every handle of its description is
/// closed, and a thread that is stuck in a read keeps its handle of the names.
pub(super) fn lock(path: &Path, names: &Names) -> Result<Locks, LogError> {
    let to_error = |error| LogError::from_io(path, error);
    let mut file = names
        .open_file(LOCK, OFlags::RDWR | OFlags::CREATE)
        .map_err(to_error)?;
    let directory = names
        .open_file(".", OFlags::RDONLY | OFlags::DIRECTORY)
        .map_err(to_error)?;
    let is_directory_free = match try_lock(&directory) {
        Err(error) if cannot_lock(&error) => Ok(true),
        locked => locked,
    };
    let is_free = is_directory_free.and_then(|is_free| Ok(is_free && try_lock(&file)?));
    if !is_free.map_err(to_error)? {
        return Err(LogError::Locked {
            directory: path.to_path_buf(),
            holder: holder(&mut file),
        });
    }
    write_process_id(&mut file);
    Ok(Locks {
        _directory: directory,
        _file: file,
    })
}

/// Returns whether a file system, such as one over a network, cannot lock a directory; then the lock file decides.
fn cannot_lock(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    let cannot = [Errno::BADF, Errno::OPNOTSUPP, Errno::NOLCK, Errno::INVAL];
    errno.is_some_and(|errno| cannot.contains(&errno))
}

/// Returns false if another process has locked the file.
fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
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
    use super::super::Directory;
    use super::*;

    #[test]
    fn a_directory_is_locked_also_when_its_lock_file_was_removed() {
        let directory = tempfile::tempdir().unwrap();
        let _first = Directory::open(directory.path()).unwrap();
        std::fs::remove_file(directory.path().join(LOCK)).unwrap();

        let second = Directory::open(directory.path());

        assert!(matches!(second, Err(LogError::Locked { .. })), "{second:?}");
    }

    #[test]
    fn a_thread_that_is_stuck_with_a_handle_of_the_names_does_not_keep_the_locks() {
        let directory = tempfile::tempdir().unwrap();
        let first = Directory::open(directory.path()).unwrap();
        let _handle_of_a_stuck_thread = first.names().try_clone().unwrap();

        drop(first);

        Directory::open(directory.path()).unwrap();
    }
}
