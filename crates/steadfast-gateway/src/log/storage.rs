//! What the writer needs from files or memory to carry out the log's orders.

use std::io;

use bytes::Bytes;
use steadfast_hub::log::io::{FailedOperation, Input, SegmentFound, SegmentNumber, StorageError};

/// Carries out the storage orders of one log. Called by the writer thread only.
pub(super) trait Storage {
    /// What is there, in order of numbers.
    fn list(&mut self) -> io::Result<Vec<SegmentFound>>;

    /// Begins to create a segment. `finished` tells the end unless it is told at once.
    fn reserve(&mut self, segment: SegmentNumber, bytes: u64) -> Option<Done>;

    /// Writes the bytes at this place.
    fn write(&mut self, segment: SegmentNumber, at: u64, bytes: Bytes) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync(&mut self, segment: SegmentNumber) -> io::Result<()>;

    /// Reads; shorter than asked for only at the end of the segment.
    fn read(&mut self, segment: SegmentNumber, at: u64, len: usize) -> io::Result<Bytes>;

    /// Begins to delete a segment. `finished` tells a failure unless it is told at once.
    fn remove(&mut self, segment: SegmentNumber) -> Option<Done>;

    /// The next thing that ended meanwhile.
    fn finished(&mut self) -> Option<Done>;
}

/// Something that was begun and has ended.
#[derive(Debug)]
pub(super) enum Done {
    /// The segment exists.
    Reserved(SegmentNumber),
    /// It could not be created.
    NotReserved(SegmentNumber, io::Error),
    /// It could not be deleted.
    NotRemoved(SegmentNumber, io::Error),
}

impl Done {
    /// The same as a fact for the machine.
    pub(super) fn into_input(self) -> Input {
        match self {
            Self::Reserved(segment) => Input::Reserved { segment },
            Self::NotReserved(segment, error) => failed(FailedOperation::Reserve(segment), &error),
            Self::NotRemoved(segment, error) => failed(FailedOperation::Remove(segment), &error),
        }
    }
}

/// The fact that an order failed; also says it to people, since the machine does not learn the system's words.
pub(super) fn failed(order: FailedOperation, error: &io::Error) -> Input {
    let fault = fault(error);
    match fault {
        StorageError::NoSpace => tracing::warn!(?order, %error, "no room for the log"),
        StorageError::Io => tracing::error!(?order, %error, "an order of the log failed"),
    }
    Input::Failed {
        operation: order,
        error: fault,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kinds are not ours and most of them mean the same here"
)]
fn fault(error: &io::Error) -> StorageError {
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
    fn a_full_disk_and_a_used_up_quota_are_no_space_and_all_else_is_broken() {
        for (errno, expected) in [
            (Errno::NOSPC, StorageError::NoSpace),
            (Errno::DQUOT, StorageError::NoSpace),
            (Errno::IO, StorageError::Io),
            (Errno::FBIG, StorageError::Io),
            (Errno::ROFS, StorageError::Io),
        ] {
            assert_eq!(fault(&io::Error::from(errno)), expected, "{errno}");
        }
    }
}
