//! Why a log could not be opened, and what people can do about it.

use std::io;
use std::path::{Path, PathBuf};

use steadfast_hub::log::io::StorageError;
use steadfast_hub::log::open::{Corruption, CorruptionKind};

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Another process, or another log of this one, has the directory.
    #[error("the data directory {} is in use by {}", directory.display(), holder_text(*holder))]
    Locked {
        /// The data directory.
        directory: PathBuf,
        /// The process that has it, when the lock file could be read.
        holder: Option<u32>,
    },
    /// The path leads to something else than a directory.
    #[error("the data directory {} is not a directory", directory.display())]
    NotADirectory {
        /// The path.
        directory: PathBuf,
    },
    /// The directory does not exist. Only the tools say so: a gateway creates its directory.
    #[error("the data directory {} does not exist", directory.display())]
    Missing {
        /// The path.
        directory: PathBuf,
    },
    /// The user may not read or write there.
    #[error("no permission to use the data directory {}", directory.display())]
    Denied {
        /// The data directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file system is mounted read-only.
    #[error("the data directory {} is on a read-only file system", directory.display())]
    ReadOnly {
        /// The data directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room even for the lock file.
    #[error("no space left for the data directory {}", directory.display())]
    NoSpace {
        /// The data directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Any other failure of the file system.
    #[error("cannot use the data directory {}", directory.display())]
    Broken {
        /// The data directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log cannot be opened without losing what was acknowledged.
    #[error("{}: {}", damage_head(damage.kind), damage_text(damage))]
    Damaged {
        /// The data directory; none for the memory store, which cannot be damaged by others.
        directory: Option<PathBuf>,
        /// What is wrong, and where.
        damage: Corruption,
    },
    /// The operating system gave no randomness for the ids of new epochs.
    #[error("the operating system gave no randomness: {reason}")]
    NoRandomness {
        /// What it said.
        reason: String,
    },
    /// The writer thread could not be started.
    #[error("cannot start the log's thread")]
    NoThread {
        /// What the system said.
        source: io::Error,
    },
    /// The writer thread ended before the log was open, which is a defect of Steadfast.
    #[error("the log's thread ended before the log was open")]
    WriterGone,
}

impl LogError {
    /// Sorts a failure of the file system by what people have to do about it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the kinds are not ours and most of them mean the same here"
    )]
    pub(super) fn from_io(directory: &Path, source: io::Error) -> Self {
        let directory = directory.to_path_buf();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied { directory, source },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { directory, source },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { directory, source }
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                Self::NotADirectory { directory }
            }
            io::ErrorKind::NotFound => Self::Missing { directory },
            _ => Self::Broken { directory, source },
        }
    }

    /// What to do about it, as whole sentences.
    pub fn advice(&self) -> String {
        match self {
            Self::Locked {
                holder: Some(pid), ..
            } => {
                format!(
                    "Stop process {pid} first, or give this gateway a data directory of its own."
                )
            }
            Self::Locked { holder: None, .. } => {
                "Stop the other process first, or give this gateway a data directory of its own."
                    .into()
            }
            Self::NotADirectory { .. } => {
                "Name a directory, or a path where one can be created.".into()
            }
            Self::Missing { .. } => {
                "Check the path; a gateway creates the directory when it starts.".into()
            }
            Self::Denied { directory, .. } => format!(
                "Run as the user who owns {0}, or make it writable: chown -R \"$USER\" {0}",
                directory.display()
            ),
            Self::ReadOnly { .. } => {
                "Mount the file system writable, or name another data directory.".into()
            }
            Self::NoSpace { .. } => {
                "Free some space, or name a data directory on another file system.".into()
            }
            Self::Broken { .. } => {
                "Check the file system and the system's log for failures of the disk.".into()
            }
            Self::Damaged {
                directory: Some(directory),
                damage,
            } => damage_advice(directory, damage.kind),
            Self::Damaged {
                directory: None, ..
            }
            | Self::WriterGone => "This is a defect of Steadfast; please report it.".into(),
            Self::NoRandomness { .. } => {
                "Check that the process may use getrandom or /dev/urandom.".into()
            }
            Self::NoThread { .. } => "Raise the limit of processes and threads (ulimit -u).".into(),
        }
    }
}

fn damage_advice(directory: &Path, why: CorruptionKind) -> String {
    let directory = directory.display();
    match why {
        CorruptionKind::InvalidRecord
        | CorruptionKind::MissingSegment
        | CorruptionKind::Inconsistent => format!(
            "Look with: steadfast log verify {directory}\n\
             Keep what is readable with: steadfast log repair {directory}\n\
             Repair keeps the damaged files and changes the channel epochs, so that clients reload."
        ),
        CorruptionKind::UnsupportedVersion { .. } => {
            "Start the version of Steadfast that wrote this log, or name another data directory."
                .into()
        }
        CorruptionKind::StorageFailed {
            error: StorageError::NoSpace,
        } => format!("Free some space on the file system of {directory} and start again."),
        CorruptionKind::StorageFailed {
            error: StorageError::Io,
        } => "Check the file system and the system's log for failures of the disk.".into(),
    }
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".into(), |pid| format!("process {pid}"))
}

/// What it means for the log: storage that cannot be used for now leaves its content as it is.
const fn damage_head(why: CorruptionKind) -> &'static str {
    match why {
        CorruptionKind::InvalidRecord
        | CorruptionKind::MissingSegment
        | CorruptionKind::Inconsistent
        | CorruptionKind::UnsupportedVersion { .. } => "the log is damaged",
        CorruptionKind::StorageFailed { .. } => "the log cannot be opened",
    }
}

/// A damage in words, as a fragment: where it is, what it is, and what proves it.
pub fn damage_text(damage: &Corruption) -> String {
    let what = match damage.kind {
        CorruptionKind::InvalidRecord => "a record is not what was written".into(),
        CorruptionKind::MissingSegment => "the segment is missing".into(),
        CorruptionKind::Inconsistent => "its records contradict each other".into(),
        CorruptionKind::UnsupportedVersion { version } => {
            format!("the format has version {version}, which this build cannot read")
        }
        CorruptionKind::StorageFailed {
            error: StorageError::NoSpace,
        } => "there is no room to open it".into(),
        CorruptionKind::StorageFailed {
            error: StorageError::Io,
        } => "the storage failed".into(),
    };
    let proof = damage.evidence.map_or_else(String::new, |(segment, at)| {
        format!(
            ", although a valid record follows in segment {} at byte {at}",
            segment.0
        )
    });
    format!(
        "segment {} at byte {}: {what}{proof}",
        damage.segment.0, damage.at
    )
}
