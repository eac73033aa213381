//! The inputs and outputs of the log.
//!
//! Requests come from the shards; results of storage operations come from the storage (segment files, memory, the
//! simulated disk). Responses and commits leave in one order, which each shard receives unchanged: the response to a
//! read ends exactly where the commits after it begin.

use bytes::Bytes;
use steadfast_machine::Timestamp;
use steadfast_protocol::message::ChannelName;

use crate::epoch::ChannelEpoch;

/// The number of a segment; grows by one with each new segment and is never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(pub u64);

/// Identifies a request and the shard that receives the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId {
    /// The shard that sent the request.
    pub shard: u16,
    /// Chosen by the shard; returned with the response.
    pub number: u64,
}

/// A request of a shard to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Stores a publication.
    Append(Append),
    /// Reads publications of the history.
    Read(Read),
}

/// Stores a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct Append {
    pub request_id: RequestId,
    pub channel: ChannelName,
    /// The payload, raw JSON.
    pub data: Bytes,
    pub publisher: Publisher,
    /// Identifies repeats; scoped to user and channel.
    pub idempotency_key: Option<Bytes>,
}

/// The user and the client that published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publisher {
    /// The user, UTF-8; empty for an anonymous user.
    pub user: Bytes,
    /// The id of the connection's client, UTF-8; empty when the publication did not come from a client.
    pub client: Bytes,
}

/// Reads publications of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct Read {
    pub request_id: RequestId,
    pub channel: ChannelName,
    pub from: ReadFrom,
    /// The maximum number of publications to return; 0 requests the position only.
    pub limit: usize,
    /// The maximum number of bytes of payload to return; the first publication is returned regardless of its size.
    pub bytes_max: usize,
}

/// Where a read begins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum ReadFrom {
    /// At the oldest visible publication.
    Oldest,
    /// After this position. Unrecoverable unless the epoch matches, the offset is at most the high watermark, and no
    /// later publication was removed.
    After {
        epoch: ChannelEpoch,
        /// The offset of the last publication received.
        offset: u64,
    },
    /// Newest first, from the high watermark.
    Newest,
    /// Newest first, before this position.
    Before {
        epoch: ChannelEpoch,
        /// The first offset that is not returned.
        offset: u64,
    },
}

/// A publication that is durable under the configured policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct Record {
    /// The number of the publication in its channel; the first is 1, without gaps.
    pub offset: u64,
    /// The payload, raw JSON.
    pub data: Bytes,
    pub publisher: Publisher,
    /// When the log accepted the publication.
    pub at: Timestamp,
}

/// A durable publication with its channel; every shard receives every durable publication.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct Committed {
    pub channel: ChannelName,
    /// The epoch of the channel in which the offset counts.
    pub epoch: ChannelEpoch,
    pub record: Record,
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Response {
    /// The publication is durable, and its commit precedes this response in the order of the log.
    Appended {
        epoch: ChannelEpoch,
        offset: u64,
        /// True when the idempotency key was known and nothing was stored.
        is_duplicate: bool,
    },
    /// The publications that were read.
    Read(ReadResponse),
    /// The request had no effect.
    Rejected(Rejection),
}

/// What was read, as of the position of this response in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadResponse {
    /// The channel's current epoch.
    pub epoch: ChannelEpoch,
    /// The channel's newest committed offset; 0 before the first publication.
    pub high_watermark: u64,
    /// The publications, or why there are none.
    pub page: Page,
}

/// The publications of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Page {
    /// The publications, in the requested order.
    Records {
        records: Vec<Record>,
        /// True when a limit ended the page before the high watermark or the oldest visible publication.
        has_more: bool,
    },
    /// Publications after the position are no longer available.
    Unrecoverable,
}

/// Why a request was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// The disk is full; temporary, until space is available.
    NoSpace,
    /// A write or a sync failed: publishing is disabled until a restart, and the record may or may not be on the disk.
    WriteFailed,
    /// A limit of the policy is reached (for example of channels or idempotency keys), or the log is not open yet;
    /// temporary.
    Limit,
    /// The record is larger than a quarter of a segment, or one of its texts is too long.
    TooLarge,
    /// The log is closing.
    Closing,
}

/// A segment that was found when the log was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFound {
    /// Its number, from its file name.
    pub number: SegmentNumber,
    /// Its length in bytes.
    pub bytes: u64,
}

/// An input of the log.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Input {
    /// The storage was listed, in order of numbers. `incarnation` comes from the operating system's randomness.
    Found {
        /// The segments that exist.
        segments: Vec<SegmentFound>,
        /// Distinguishes the new epochs of this start from all other epochs.
        incarnation: u64,
        at: Timestamp,
    },
    /// Requests of the shards: all that were pending when the driver checked, in order. They form one batch.
    Requested {
        requests: Vec<Request>,
        at: Timestamp,
    },
    /// A `Write` succeeded.
    Written,
    /// A `Sync` succeeded.
    Synced,
    /// A `Reserve` succeeded.
    Reserved { segment: SegmentNumber },
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
    CloseRequested { at: Timestamp },
    /// A deadline may have passed.
    Tick {
        /// The wall clock, from which ages are computed.
        at: Timestamp,
    },
}

/// An operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedOperation {
    /// The `Write` in flight.
    Write,
    /// The `Sync` in flight.
    Sync,
    /// The `Reserve` of this segment.
    Reserve(SegmentNumber),
    /// The `Read` with this number.
    Read(u64),
    /// The `Remove` of this segment.
    Remove(SegmentNumber),
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// The disk or the quota is full (ENOSPC, EDQUOT).
    NoSpace,
    /// Any other error, for example EIO.
    Io,
}

/// An output of the log. At most one `Write` or `Sync` is in flight.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Output {
    /// Create the segment with its full size, filled with zeros and with a durable name; reply with `Reserved`. The
    /// operation may be slow.
    Reserve {
        segment: SegmentNumber,
        /// The full size of the segment.
        bytes: u64,
    },
    /// Write the bytes at this byte position of the segment; reply with `Written`.
    Write {
        segment: SegmentNumber,
        at: u64,
        bytes: Bytes,
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
    /// The log is open and accepts requests.
    Opened(crate::log::open::OpenReport),
    /// The log cannot be opened without losing acknowledged publications. It accepts no more inputs.
    Corrupt(crate::log::open::Corruption),
    /// Deliver this publication to every shard.
    Commit(Committed),
    /// Deliver this response to the shard in the request id.
    Respond {
        request_id: RequestId,
        response: Response,
    },
    /// Something that an operator should know.
    Notify(crate::log::event::Event),
    /// The log is closed; the storage may be closed too.
    Closed,
}

/// The deadline for which the log is to be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The next sync of the `interval` policy.
    Sync,
    /// The retry of an operation that failed.
    Retry,
    /// The check of ages: visible publications, idempotency keys, expired channels.
    Age,
}
