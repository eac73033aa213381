//! The results of requests.

use bytes::Bytes;
use steadfast_machine::Timestamp;

use crate::epoch::ChannelEpoch;
use crate::request::Publisher;

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Response {
    /// The publication is durable, and its commit precedes this response in the order of the engine.
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

/// What was read, as of the position of this response in the order of the engine.
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

/// A publication that is durable under the configured policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct Record {
    /// The number of the publication in its channel; the first is 1, without gaps.
    pub offset: u64,
    /// The bytes of the payload.
    pub data: Bytes,
    pub publisher: Publisher,
    /// When the engine accepted the publication.
    pub at: Timestamp,
}

/// Why a request was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// The storage is full; temporary, until space is available.
    NoSpace,
    /// A write or a sync failed: publishing is disabled until a restart, and the record may or may not be stored.
    WriteFailed,
    /// A limit of the policy is reached (for example of channels or idempotency keys), or the engine is not open yet;
    /// temporary.
    Limit,
    /// The record or one of its texts is larger than the engine stores.
    TooLarge,
    /// The engine is closing.
    Closing,
}
