//! Segments to create, the completions of operations that were started, and failed operations as inputs of the log.

use std::{fmt, io};

use bytes::Bytes;
use steadfast_log::io::{FailedOperation, Input, SegmentNumber, StorageError};

use super::files::directory::place::Misplaced;
use super::random;

/// A segment to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reservation {
    pub(super) segment: SegmentNumber,
    /// The full size of the segment.
    pub(super) bytes: u64,
    /// The content at the beginning of the segment.
    pub(super) first: Bytes,
    /// The content at the end of the segment.
    pub(super) last: Bytes,
}

/// The completion of an operation that was started.
#[derive(Debug)]
pub(super) enum Completion {
    /// The segment was created.
    Reserved(SegmentNumber),
    /// The segment could not be created.
    NotReserved(SegmentNumber, io::Error),
    /// The segment could not be deleted.
    NotRemoved(SegmentNumber, io::Error),
    /// The bytes were written.
    Written,
    /// The bytes could not be written.
    NotWritten(io::Error),
    /// The segment was synced, after its bytes were written if there were any.
    Synced,
    /// The segment could not be synced.
    NotSynced(io::Error),
    /// The bytes of the read with this number.
    Read(u64, Bytes),
    /// The read with this number failed.
    NotRead(u64, io::Error),
    /// Whether the directory is still at its path.
    Checked(io::Result<()>),
}

impl Completion {
    /// Converts the completion to an input of the state machine. A check that found nothing is none.
    pub(super) fn into_input(self) -> Option<Result<Input, Failure>> {
        Some(match self {
            // Without the next secret the log cannot continue after this segment: it reserves the segment again later.
            Self::Reserved(segment) => match random::secret() {
                Ok(next_secret) => Ok(Input::Reserved {
                    segment,
                    next_secret,
                }),
                Err(error) => failed(FailedOperation::Reserve(segment), io::Error::other(error)),
            },
            Self::NotReserved(segment, error) => failed(FailedOperation::Reserve(segment), error),
            Self::NotRemoved(segment, error) => failed(FailedOperation::Remove(segment), error),
            Self::Written => Ok(Input::Written),
            Self::NotWritten(error) => failed(FailedOperation::Write, error),
            Self::Synced => Ok(Input::Synced),
            Self::NotSynced(error) => failed(FailedOperation::Sync, error),
            Self::Read(read, bytes) => Ok(Input::ReadDone { read, bytes }),
            Self::NotRead(read, error) => failed(FailedOperation::Read(read), error),
            Self::Checked(Ok(())) => return None,
            Self::Checked(Err(error)) => failed(FailedOperation::Check, error),
        })
    }
}

const fn failed(operation: FailedOperation, error: io::Error) -> Result<Input, Failure> {
    Err(Failure { operation, error })
}

/// An operation that failed, with the error of the operating system.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) operation: FailedOperation,
    pub(super) error: io::Error,
}

impl Failure {
    /// Returns whether publishing depends on the operation.
    pub(super) const fn is_of_publishing(&self) -> bool {
        match self.operation {
            FailedOperation::Write
            | FailedOperation::Sync
            | FailedOperation::Reserve(_)
            | FailedOperation::Check => true,
            FailedOperation::Read(_) | FailedOperation::Remove(_) => false,
        }
    }

    /// Returns the input for the state machine, which decides by the kind of the error.
    pub(super) fn input(&self) -> Input {
        Input::Failed {
            operation: self.operation,
            error: classify(&self.error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = &self.error;
        match self.operation {
            FailedOperation::Write => write!(f, "failed to write to the log: {error}"),
            FailedOperation::Sync => write!(f, "failed to sync the log: {error}"),
            FailedOperation::Reserve(segment) => {
                write!(f, "failed to create log segment {}: {error}", segment.0)
            }
            FailedOperation::Read(_) => write!(f, "failed to read the log: {error}"),
            FailedOperation::Remove(segment) => {
                write!(f, "failed to remove log segment {}: {error}", segment.0)
            }
            FailedOperation::Check => write!(f, "{error}"),
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kinds are defined by std, and most of them are equivalent here"
)]
fn classify(error: &io::Error) -> StorageError {
    if Misplaced::is(error) {
        return StorageError::Misplaced;
    }
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::NoSpace,
        _ => StorageError::Io,
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_full_disk_and_an_exceeded_quota_are_no_space_and_all_other_errors_are_failures() {
        for (errno, expected) in [
            (Errno::NOSPC, StorageError::NoSpace),
            (Errno::DQUOT, StorageError::NoSpace),
            (Errno::IO, StorageError::Io),
            (Errno::FBIG, StorageError::Io),
            (Errno::ROFS, StorageError::Io),
        ] {
            assert_eq!(classify(&io::Error::from(errno)), expected, "{errno}");
        }
    }
}
