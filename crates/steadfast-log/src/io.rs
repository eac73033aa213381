//! The inputs and outputs of the log.
//!
//! Upward, requests come from the shards in the terms of the engine, and responses and commits leave in one order, which
//! each shard receives unchanged: the response to a read ends exactly where the commits after it begin. Downward, the log
//! outputs operations of the storage (segment files, the simulated disk), whose results are inputs.

use bytes::Bytes;
use steadfast_engine::{Committed, Request, RequestId, Response};
use steadfast_machine::Timestamp;
use steadfast_protocol::message::ChannelName;

use crate::clock::Clocks;
use crate::identity::{SegmentSecret, StartValues};

/// The number of a segment; grows by one with each new segment and is never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(pub u64);

/// A segment that was found when the log was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFound {
    /// Its number, from its file name.
    pub number: SegmentNumber,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Whether a data directory is the one in which its log was opened last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is, since the last [`Output::Claim`]; it may have been moved within its file system.
    Known,
    /// It is new, or it was copied or restored: the log may have continued elsewhere from the same segments.
    New,
}

/// An input of the log.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Input {
    /// The storage was listed, in order of numbers. The names of the segments are durable.
    Found {
        /// The segments that exist.
        segments: Vec<SegmentFound>,
        /// Whether the log was opened in this directory last.
        place: Place,
        /// Random values for this start, from the operating system.
        values: StartValues,
        /// The clocks at this moment.
        clocks: Clocks,
    },
    /// Requests of the shards: all that were pending when the driver checked, in order. They form one batch.
    Requested {
        requests: Vec<Request>,
        /// The wall clock, with which publications are displayed. Ages follow from the time at which inputs are handled.
        at: Timestamp,
    },
    /// An operator requested that these channels are removed, with all that is known of them. Before `Found`, the removal
    /// follows the start. A name without a channel is ignored.
    ForgetRequested { channels: Vec<ChannelName> },
    /// A `Write` without a sync succeeded.
    Written,
    /// A `Sync`, or a `Write` with its sync, succeeded.
    Synced,
    /// A `Reserve` succeeded.
    Reserved {
        segment: SegmentNumber,
        /// Drawn from the operating system for the segment that is reserved after this one.
        next_secret: SegmentSecret,
    },
    /// A `Read` succeeded. The bytes are fewer than requested only at the end of the segment.
    ReadDone {
        /// The number of the `Read`.
        read: u64,
        bytes: Bytes,
    },
    /// An operation failed.
    Failed {
        operation: FailedOperation,
        error: StorageError,
    },
    /// A shutdown was requested: the log finishes what is in flight and writes the record of the clean shutdown.
    CloseRequested,
    /// A deadline may have passed.
    Tick {
        /// The wall clock.
        at: Timestamp,
    },
}

/// An operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedOperation {
    /// The `Write` in flight; it was not synced.
    Write,
    /// The `Sync` in flight, or the sync of the `Write` in flight.
    Sync,
    /// The `Reserve` of this segment.
    Reserve(SegmentNumber),
    /// The `Read` with this number.
    Read(u64),
    /// The `Remove` of this segment.
    Remove(SegmentNumber),
    /// A check of the directory that the driver makes while the log is idle.
    Check,
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// The disk or the quota is full (ENOSPC, EDQUOT).
    NoSpace,
    /// The data directory, or the segment that is written to, is no longer at its path: it was moved, replaced or
    /// removed. What is written now would be lost for the next start.
    Misplaced,
    /// Any other error, for example EIO.
    Io,
}

/// An output of the log. At most one `Write` or `Sync` is in flight. The storage may complete the operations late and in
/// any order; until a `Write` or `Sync` completes, the log accepts requests and serves reads.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Output {
    /// Create the segment with its full size: it begins with `first`, ends with `last`, and has zeros between them. It
    /// gets its name once all of it is durable; then make the name durable, and reply with `Reserved`. The operation may
    /// be slow.
    Reserve {
        segment: SegmentNumber,
        /// The full size of the segment.
        bytes: u64,
        first: Bytes,
        last: Bytes,
    },
    /// Write the bytes at this byte position of the segment; reply with `Written`. With `sync`, then make everything
    /// written to the segment durable, and reply with `Synced` only.
    Write {
        segment: SegmentNumber,
        at: u64,
        bytes: Bytes,
        /// Whether a sync follows the write.
        sync: bool,
    },
    /// Make everything written to the segment durable; reply with `Synced`.
    Sync { segment: SegmentNumber },
    /// Read from the segment; reply with `ReadDone` and the same number.
    Read {
        /// Identifies this read.
        read: u64,
        segment: SegmentNumber,
        at: u64,
        len: usize,
    },
    /// Delete the segment. There is no reply when it succeeds.
    Remove { segment: SegmentNumber },
    /// Record that the directory is the place of this log: the start is durable. There is no reply; without the record,
    /// the next start takes the directory for a copy.
    Claim,
    /// The log is open and accepts requests.
    Opened(crate::open::OpenReport),
    /// The log cannot be opened without losing acknowledged publications. It accepts no more inputs.
    Corrupt(crate::open::Corruption),
    /// Deliver this publication to every shard.
    Commit(Committed),
    /// Deliver this response to the shard in the request id.
    Respond {
        request_id: RequestId,
        response: Response,
    },
    /// Something that an operator should know.
    Notify(crate::event::Event),
    /// The log is closed; the storage may be closed too.
    Closed,
}
