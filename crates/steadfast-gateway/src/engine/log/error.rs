//! Why a log could not be opened, and what an operator can do about it.

use std::io;
use std::path::{Path, PathBuf};

use steadfast_log::FORMAT_VERSION;
use steadfast_log::io::StorageError;
use steadfast_log::open::{Corruption, CorruptionKind};

use super::files::directory::segment_path;

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum LogError {
    /// Another process, or another log of this process, has locked the directory.
    #[error("the data directory {} is in use by {}", directory.display(), holder_text(*holder))]
    Locked {
        directory: PathBuf,
        /// The id of that process, if the lock file could be read.
        holder: Option<u32>,
    },
    /// The path exists but is not a directory.
    #[error("the data directory {} is not a directory", directory.display())]
    NotADirectory { directory: PathBuf },
    /// The directory does not exist. Only the tools return this error: a gateway creates its directory.
    #[error("data directory {} not found", directory.display())]
    NotFound { directory: PathBuf },
    /// The directory holds no log. Only the tools return this error.
    #[error("there is no log in {}", directory.display())]
    NoLog {
        directory: PathBuf,
        /// A directory below it that holds one.
        below: Option<PathBuf>,
    },
    /// The directory holds files of others and no log. Only a gateway returns this error.
    #[error(
        "{} is not empty and has no log: it contains {}",
        directory.display(),
        names_text(names, *count)
    )]
    Foreign {
        directory: PathBuf,
        /// The first names, in alphabetical order.
        names: Vec<String>,
        /// The number of all names.
        count: usize,
    },
    /// The log has no channel of this name.
    #[error("the log in {} has no channel {channel:?}", directory.display())]
    UnknownChannel { directory: PathBuf, channel: String },
    /// The removal of channels could not be written.
    #[error("the channels were not removed from the log in {}: {reason}", directory.display())]
    NotForgotten { directory: PathBuf, reason: String },
    /// A copy was requested into a directory that is not empty.
    #[error("the directory {} is not empty", directory.display())]
    NotEmpty { directory: PathBuf },
    /// The directory is a copy that has not finished.
    #[error("the copy in {} is incomplete: a backup or a restore into it did not finish", directory.display())]
    Incomplete { directory: PathBuf },
    /// The directory is a backup, which a gateway must not change.
    #[error("{} is a backup", directory.display())]
    IsBackup { directory: PathBuf },
    /// A repair was interrupted.
    #[error("a repair of {} did not finish", directory.display())]
    RepairPending {
        directory: PathBuf,
        /// The segments that are not installed yet.
        repaired: PathBuf,
    },
    /// The log has changed since a repair was interrupted; the repair refuses to continue.
    #[error("a repair of {} did not finish, and the log has changed since", directory.display())]
    RepairOutdated {
        directory: PathBuf,
        /// The segments that are not installed.
        repaired: PathBuf,
    },
    /// The user may not read or write the directory.
    #[error("no permission to use the data directory {}", directory.display())]
    PermissionDenied {
        directory: PathBuf,
        source: io::Error,
    },
    /// The file system is mounted read-only.
    #[error("the data directory {} is on a read-only file system", directory.display())]
    ReadOnly {
        directory: PathBuf,
        source: io::Error,
    },
    /// There is not enough space even for the lock file.
    #[error("no space left for the data directory {}", directory.display())]
    NoSpace {
        directory: PathBuf,
        source: io::Error,
    },
    /// Any other error of the file system.
    #[error("failed to use the data directory {}", directory.display())]
    Io {
        directory: PathBuf,
        source: io::Error,
    },
    /// The log cannot be opened without losing what was acknowledged.
    #[error("{}: {}", corruption_headline(corruption.kind), corruption)]
    Corrupt {
        directory: PathBuf,
        corruption: Corruption,
    },
    /// The log was written by another version of Steadfast.
    #[error(
        "the data directory {} has format version {found}; this version of Steadfast reads format version {expected}",
        directory.display()
    )]
    UnsupportedVersion {
        directory: PathBuf,
        /// The version of the format in the segments.
        found: u32,
        /// The only version that can be read.
        expected: u32,
    },
    /// The operating system could not provide randomness for ids and secrets.
    #[error("failed to get randomness from the operating system: {reason}")]
    NoRandomness { reason: String },
    /// The writer thread could not be started.
    #[error("failed to start the log's thread")]
    ThreadNotStarted { source: io::Error },
    /// The writer thread exited before the log was open, which is a defect of Steadfast.
    #[error("the log's thread exited before the log was open")]
    WriterExited,
}

impl LogError {
    /// Classifies an error of the file system by what an operator can do about it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the kinds are defined by std, and most of them are equivalent here"
    )]
    pub(super) fn from_io(directory: &Path, source: io::Error) -> Self {
        let directory = directory.to_path_buf();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { directory, source },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { directory, source },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { directory, source }
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                Self::NotADirectory { directory }
            }
            io::ErrorKind::NotFound => Self::NotFound { directory },
            _ => Self::Io { directory, source },
        }
    }

    /// The error for a log that cannot be opened.
    pub(super) fn from_corruption(directory: &Path, corruption: Corruption) -> Self {
        let directory = directory.to_path_buf();
        if let CorruptionKind::UnsupportedVersion { version } = corruption.kind {
            return Self::UnsupportedVersion {
                directory,
                found: version,
                expected: FORMAT_VERSION,
            };
        }
        Self::Corrupt {
            directory,
            corruption,
        }
    }

    /// Returns what to do about it, as complete sentences.
    pub fn help(&self) -> String {
        match self {
            Self::Locked { holder, .. } => format!(
                "Stop {} first, or choose another directory.",
                holder.map_or_else(
                    || "the other process".to_owned(),
                    |pid| format!("process {pid}")
                )
            ),
            Self::NotADirectory { .. } => {
                "Specify a directory, or a path where one can be created.".into()
            }
            Self::NotFound { .. } => {
                "Check the path; a gateway creates the directory when it starts.".into()
            }
            Self::NoLog { below, .. } => no_log_help(below.as_deref()),
            Self::Foreign { .. } => "Choose an empty or new directory: --data DIR".into(),
            Self::UnknownChannel { .. } => "Check the name; nothing was changed.".into(),
            Self::NotForgotten { .. } => {
                "Check the space on the disk, and run the command again.".into()
            }
            Self::NotEmpty { .. } => {
                "Specify a directory that does not exist or is empty: nothing is overwritten."
                    .into()
            }
            Self::Incomplete { directory } => {
                format!("Remove it and copy again: rm -r {}", directory.display())
            }
            Self::IsBackup { directory } => format!(
                "Restore it to another directory, and start the gateway there: steadfast log restore {} DIR",
                directory.display()
            ),
            Self::RepairPending {
                directory,
                repaired,
            } => format!(
                "Finish it: steadfast log repair {}\n{}",
                directory.display(),
                keep_help(repaired)
            ),
            Self::RepairOutdated { repaired, .. } => keep_help(repaired),
            Self::PermissionDenied { directory, .. } => permission_help(directory),
            Self::ReadOnly { .. } => {
                "Mount the file system writable, or specify another data directory.".into()
            }
            Self::NoSpace { .. } => {
                "Free some space, or specify a data directory on another file system.".into()
            }
            Self::Io { .. } => "Check the file system, and the system log for disk errors.".into(),
            Self::Corrupt {
                directory,
                corruption,
            } => corruption_help(directory, corruption),
            Self::UnsupportedVersion {
                directory, found, ..
            } => version_help(directory, *found),
            Self::WriterExited => "This is a defect of Steadfast; please report it.".into(),
            Self::NoRandomness { .. } => {
                "Check that the process can use getrandom or /dev/urandom.".into()
            }
            Self::ThreadNotStarted { .. } => {
                "Raise the limit of processes and threads (ulimit -u).".into()
            }
        }
    }
}

fn keep_help(repaired: &Path) -> String {
    let repaired = repaired.display();
    format!(
        "To keep the log as it is now, remove the segments of the repair, and repair again if necessary: rm -r {repaired}"
    )
}

/// The way to a log that was not found at the path of the command.
fn no_log_help(below: Option<&Path>) -> String {
    below.map_or_else(
        || "Check the path; a log consists of files named NUMBER.segment.".to_owned(),
        |below| {
            let below = below.display();
            format!("There is one in {below}: use this path.")
        },
    )
}

/// How to get a directory that this user may use: one that cannot be created has no owner yet.
fn permission_help(directory: &Path) -> String {
    let is_missing = directory.try_exists().is_ok_and(|exists| !exists);
    let directory = directory.display();
    if is_missing {
        format!("Create it for your user: sudo install -d -m 700 -o \"$USER\" {directory}")
    } else {
        format!(
            "Run as the user who owns {directory}, or make it yours: sudo chown -R \"$USER\" {directory}"
        )
    }
}

fn names_text(names: &[String], count: usize) -> String {
    let listed = names.join(", ");
    match count.saturating_sub(names.len()) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

fn version_help(directory: &Path, found: u32) -> String {
    format!(
        "Start the version of Steadfast that wrote it, or keep it under another name and start with an empty \
         directory: mv {0} {0}.format-{found}\n\
         Its messages cannot be converted.",
        // Without a slash at the end, which would put the new name into the directory.
        directory.components().as_path().display()
    )
}

fn corruption_help(directory: &Path, corruption: &Corruption) -> String {
    let segment = segment_path(directory, corruption.segment);
    let directory = directory.display();
    match corruption.kind {
        CorruptionKind::InvalidRecord
        | CorruptionKind::InvalidHeader
        | CorruptionKind::WrongSize { .. }
        | CorruptionKind::MissingSegment
        | CorruptionKind::Inconsistent => format!(
            "Check it with: steadfast log verify {directory}\n\
             Keep all valid records with: steadfast log repair {directory}\n\
             Repair keeps the corrupt files and changes all channel epochs, so that clients reload."
        ),
        CorruptionKind::OtherDirectory { .. } => format!(
            "Move the file {} out of the directory. If it replaced a segment of this log, restore that segment from a \
             backup, or keep all other records with: steadfast log repair {directory}",
            segment.display()
        ),
        CorruptionKind::UnsupportedVersion { .. } | CorruptionKind::UnsupportedRecord => {
            "Start the version of Steadfast that wrote this log, or specify another data directory."
                .into()
        }
        CorruptionKind::StorageFailed {
            error: StorageError::NoSpace,
        } => format!("Free some space on the file system of {directory} and start again."),
        CorruptionKind::StorageFailed {
            error: StorageError::Misplaced,
        } => format!("Leave the data directory at {directory} and start again."),
        CorruptionKind::StorageFailed {
            error: StorageError::Io,
        } => "Check the file system, and the system log for disk errors.".into(),
    }
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".into(), |pid| format!("process {pid}"))
}

/// Returns the headline of the error: storage that temporarily cannot be used does not make the log corrupt.
const fn corruption_headline(why: CorruptionKind) -> &'static str {
    match why {
        CorruptionKind::InvalidRecord
        | CorruptionKind::InvalidHeader
        | CorruptionKind::WrongSize { .. }
        | CorruptionKind::MissingSegment
        | CorruptionKind::Inconsistent => "the log is corrupt",
        CorruptionKind::OtherDirectory { .. }
        | CorruptionKind::UnsupportedVersion { .. }
        | CorruptionKind::UnsupportedRecord
        | CorruptionKind::StorageFailed { .. } => "the log cannot be opened",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_permission_is_created_or_given_to_the_user() {
        let existing = tempfile::tempdir().unwrap();
        let missing = existing.path().join("steadfast");
        for (directory, expected) in [
            (missing.as_path(), "sudo install -d -m 700 -o \"$USER\" "),
            (existing.path(), "sudo chown -R \"$USER\" "),
        ] {
            let error = io::Error::from(io::ErrorKind::PermissionDenied);

            let help = LogError::from_io(directory, error).help();

            let command = format!("{expected}{}", directory.display());
            assert!(help.contains(&command), "{help}");
        }
    }

    #[test]
    fn a_directory_of_another_version_is_renamed_also_when_its_path_ends_with_a_slash() {
        for directory in ["data", "data/"] {
            let error = LogError::UnsupportedVersion {
                directory: PathBuf::from(directory),
                found: 1,
                expected: 2,
            };

            let help = error.help();
            assert!(help.contains("mv data data.format-1\n"), "{help}");
        }
    }
}
