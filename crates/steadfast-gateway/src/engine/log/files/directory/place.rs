//! Whether an open directory and its open segments are still at their paths.
//!
//! A directory that was moved or removed stays usable through its descriptor, and so does a deleted segment: what is
//! written there is gone for the next start. The log acknowledges nothing after such a difference is found.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The identity of a file or a directory within the running system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::log) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Returns the identity of a file.
    pub(in crate::engine::log) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// Returns the device of the file system.
    pub(in crate::engine::log) const fn device(self) -> u64 {
        self.device
    }
}

/// A directory or a segment that is no longer at its path.
#[derive(Debug, thiserror::Error)]
#[error("{} was moved, replaced or removed while the gateway was using it", path.display())]
pub(in crate::engine::log) struct Misplaced {
    path: PathBuf,
}

impl Misplaced {
    /// Returns the error for a path.
    pub(in crate::engine::log) fn error(path: &Path) -> io::Error {
        let path = path.to_path_buf();
        io::Error::other(Self { path })
    }

    /// Returns whether an error is one.
    pub(in crate::engine::log) fn is(error: &io::Error) -> bool {
        error
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

/// Checks that a path still leads to the file with this identity.
///
/// # Errors
///
/// [`Misplaced`] if it certainly does not. A path that cannot be checked now, for example because a parent directory is
/// not accessible, proves nothing.
pub(in crate::engine::log) fn check(path: &Path, expected: FileId) -> io::Result<()> {
    match std::fs::metadata(path) {
        Ok(metadata) if FileId::of(&metadata) == expected => Ok(()),
        Ok(_) => Err(Misplaced::error(path)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Err(Misplaced::error(path))
        }
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_replaced_or_removed_is_misplaced_and_a_link_to_it_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("a"), directory.path().join("b"));
        std::fs::write(&path, "").unwrap();
        let id = FileId::of(&std::fs::metadata(&path).unwrap());
        assert!(check(&path, id).is_ok());

        std::fs::rename(&path, &other).unwrap();
        assert!(Misplaced::is(&check(&path, id).unwrap_err()));
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(check(&path, id).is_ok(), "the path leads to the file again");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();

        assert!(Misplaced::is(&check(&path, id).unwrap_err()));
        assert!(Misplaced::is(&check(&path.join("below"), id).unwrap_err()));
        assert!(!Misplaced::is(&io::ErrorKind::NotFound.into()));
    }
}
