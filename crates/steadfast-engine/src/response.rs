//! The results of requests.

use bytes::Bytes;
use steadfast_machine::Timestamp;
use steadfast_protocol::message::PayloadKind;

use crate::epoch::ChannelEpoch;
use crate::request::Publisher;
use crate::retention::RetentionClass;

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Response {
    /// The publication is committed, and its commit precedes this response in the order of the engine.
    Appended {
        epoch: ChannelEpoch,
        offset: u64,
        /// True when the idempotency key was known, with the same data, and nothing was stored: epoch and offset are those
        /// of the first append with the key.
        is_duplicate: bool,
        /// True when this was the first append of its channel, which exists since then.
        creates_channel: bool,
    },
    /// The publications that were read.
    Read(ReadResponse),
    /// The request had no effect, unless the reason says otherwise.
    Rejected(Rejection),
}

/// What was read, as of the position of this response in the order of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadResponse {
    /// The channel's current epoch; before its first publication, the epoch which that publication will have.
    pub epoch: ChannelEpoch,
    /// The offset of the channel's newest committed publication; 0 before the first.
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
        /// The offset that the page's oldest publication follows in its channel: 0 for the channel's first. A reader
        /// that has everything up to this offset misses nothing before the page. For a page without publications, the
        /// offset at which it begins, but not before the oldest visible publication.
        previous: u64,
        records: Vec<Record>,
        /// True when a limit ended the page. A page that reads forward without more reaches the high watermark of its
        /// response; a page that reads backward reaches the oldest visible publication.
        has_more: bool,
    },
    /// Publications after the position are no longer available.
    Unrecoverable,
}

/// A publication that is committed: durable as the engine's policy defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct Record {
    /// The number of the publication: above 0, and above the offset of the channel's previous publication. Whether
    /// offsets are dense (1, 2, 3) is up to the engine.
    pub offset: u64,
    /// The bytes of the payload.
    pub data: Bytes,
    pub kind: PayloadKind,
    pub retention: RetentionClass,
    pub publisher: Publisher,
    /// When the engine accepted the publication.
    pub at: Timestamp,
}

/// Why a request was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// The storage of the engine is full; temporary, until space is available. Reads continue. If the process ends before
    /// there is space, the next start may find this publication nevertheless: a part of the write may be stored.
    NoSpace,
    /// An operation of the storage fails and is retried; temporary, until it succeeds. Reads continue.
    Unavailable,
    /// The engine cannot store publications until a restart; this one may or may not be stored. Reads continue.
    WriteFailed,
    /// A limit of the policy is reached (for example of idempotency keys, or of the bytes of one channel), or the engine is
    /// not open yet; temporary.
    Limit,
    /// The channel is new, and there are as many channels with visible publications as the engine stores; until one of
    /// them has no visible publication, waiting does not help.
    TooManyChannels,
    /// The channel does not exist, and the append may not create it; temporary.
    NewChannel,
    /// The idempotency key was used with other data; the first publication stays. Waiting does not help.
    KeyWithOtherData,
    /// The record or one of its texts is larger than the engine stores.
    TooLarge,
    /// The engine is closing.
    Closing,
}
