//! Files whose existence says what a directory is: a backup, or a copy that is not complete.
//!
//! A marker is durable before what it marks begins, and a marker of an incomplete copy is removed when everything else is
//! durable, so that no crash leaves a directory that looks like more than it is.

use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::Names;
use crate::engine::log::LogError;

/// The prefix of the directory with the new segments of a repair that has not finished.
pub(in crate::engine::log) const REPAIRED: &str = "repaired-";

/// What a marker says about its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::log) enum Marker {
    /// A copy into this directory has not finished.
    Incomplete,
    /// The directory is a backup, which only a restore makes usable.
    Backup,
}

impl Marker {
    const fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Backup => "backup",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Incomplete => {
                "The copy into this directory has not finished. Remove the directory and copy again.\n"
            }
            Self::Backup => {
                "This directory is a backup. Restore it with: steadfast log restore BACKUP DIR\n"
            }
        }
    }

    /// Creates the marker and makes it durable.
    pub(in crate::engine::log) fn create(self, names: &Names) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        let mut file = names.open_file(self.name(), flags)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        names.sync()
    }

    /// Removes the marker and makes the removal durable.
    pub(in crate::engine::log) fn remove(self, names: &Names) -> io::Result<()> {
        names.remove(self.name())?;
        names.sync()
    }

    fn exists(self, names: &Names) -> io::Result<bool> {
        names.exists(self.name())
    }
}

/// Refuses a copy that is not complete.
pub(in crate::engine::log) fn check_complete(path: &Path, names: &Names) -> Result<(), LogError> {
    let directory = path.to_path_buf();
    match Marker::Incomplete.exists(names) {
        Ok(true) => Err(LogError::Incomplete { directory }),
        Ok(false) => Ok(()),
        Err(error) => Err(LogError::from_io(path, error)),
    }
}

/// Refuses a directory in which no log may be opened: a copy that is not complete, a backup, and one whose repair has not
/// finished.
pub(in crate::engine::log) fn check_usable(path: &Path, names: &Names) -> Result<(), LogError> {
    check_complete(path, names)?;
    let directory = path.to_path_buf();
    let to_error = |error| LogError::from_io(path, error);
    if Marker::Backup.exists(names).map_err(to_error)? {
        return Err(LogError::IsBackup { directory });
    }
    match names.find_prefix(REPAIRED).map_err(to_error)? {
        Some(name) => Err(LogError::RepairPending {
            repaired: path.join(name),
            directory,
        }),
        None => Ok(()),
    }
}
