//! The locks that say that a process uses a data directory.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{DirectoryAccess, Names};
use crate::engine::log::LogError;

/// The file whose advisory lock says that the directory is in use; it holds the process id of the holder.
const LOCK: &str = "lock";

/// Locks the directory itself, which no other process can replace by a new file, and the lock file, which says who.
pub(super) fn lock(
    path: &Path,
    names: &Names,
    access: DirectoryAccess,
) -> Result<Option<File>, LogError> {
    let to_error = |error| LogError::from_io(path, error);
    let flags = match access {
        DirectoryAccess::Write => OFlags::RDWR | OFlags::CREATE,
        DirectoryAccess::Read => OFlags::RDONLY,
    };
    let mut file = match names.open_file(LOCK, flags) {
        Ok(file) => Some(file),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && access == DirectoryAccess::Read =>
        {
            None
        }
        Err(error) => return Err(to_error(error)),
    };
    let mut is_free = try_lock(&names.directory, access)
        // A network file system may be unable to lock a directory; then the lock file alone decides.
        .or_else(|error| {
            let errno = Errno::from_io_error(&error);
            let cannot = [Errno::BADF, Errno::OPNOTSUPP, Errno::NOLCK, Errno::INVAL];
            errno
                .is_some_and(|errno| cannot.contains(&errno))
                .then_some(true)
                .ok_or(error)
        })
        .map_err(to_error)?;
    if let Some(file) = &file {
        is_free &= try_lock(file, access).map_err(to_error)?;
    }
    if !is_free {
        return Err(LogError::Locked {
            directory: path.to_path_buf(),
            holder: file.as_mut().and_then(holder),
        });
    }
    if let Some(file) = &mut file
        && access == DirectoryAccess::Write
    {
        write_process_id(file);
    }
    Ok(file)
}

/// Returns false if another process has locked the file.
fn try_lock(file: &File, access: DirectoryAccess) -> io::Result<bool> {
    let locked = match access {
        DirectoryAccess::Write => file.try_lock(),
        DirectoryAccess::Read => file.try_lock_shared(),
    };
    match locked {
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
        let _first = Directory::open(directory.path(), DirectoryAccess::Write).unwrap();
        std::fs::remove_file(directory.path().join(LOCK)).unwrap();

        for access in [DirectoryAccess::Write, DirectoryAccess::Read] {
            let second = Directory::open(directory.path(), access);
            assert!(matches!(second, Err(LogError::Locked { .. })), "{second:?}");
        }
    }
}
