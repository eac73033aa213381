//! What a shard requests from an engine.

use bytes::Bytes;
use steadfast_protocol::message::{ChannelName, PayloadKind};

use crate::epoch::ChannelEpoch;
use crate::retention::RetentionClass;

/// Identifies a request among the pending requests of all shards, and the shard that receives the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId {
    /// The shard that sent the request.
    pub shard: u16,
    /// Chosen by the shard; returned with the response.
    pub number: u64,
}

/// A request of a shard to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Stores a publication.
    Append(Append),
    /// Reads publications of the history.
    Read(Read),
}

impl Request {
    /// The id, which the response contains.
    pub const fn id(&self) -> RequestId {
        match self {
            Self::Append(append) => append.request_id,
            Self::Read(read) => read.request_id,
        }
    }
}

/// Stores a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct Append {
    pub request_id: RequestId,
    pub channel: ChannelName,
    /// The bytes of the payload, which the engine does not interpret.
    pub data: Bytes,
    /// The kind of the payload, which the engine stores and does not check.
    pub kind: PayloadKind,
    pub retention: RetentionClass,
    pub publisher: Publisher,
    /// Identifies repeats; scoped to user and channel. A repeat has the same kind and the same bytes of payload, and is
    /// otherwise rejected with [`Rejection::KeyWithOtherData`](crate::Rejection::KeyWithOtherData). Anonymous users are
    /// one user: they share their keys.
    pub idempotency_key: Option<Bytes>,
    /// Whether the append may be the first of its channel; otherwise it is rejected with
    /// [`Rejection::NewChannel`](crate::Rejection::NewChannel) if the channel does not exist.
    pub may_create_channel: bool,
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
    /// The maximum number of publications to return; with 0 the position is checked and nothing is returned.
    pub limit: usize,
    /// The maximum number of bytes of payload to return; the first publication is returned regardless of its size. An
    /// engine may count other bytes of a publication too, and return fewer publications.
    pub bytes_max: usize,
}

/// Where a read begins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum ReadFrom {
    /// At the oldest visible publication.
    Oldest,
    /// After this position. Unrecoverable unless the epoch matches, the offset is at most the high watermark, and no
    /// later publication was removed. The position need not be that of a publication.
    After {
        epoch: ChannelEpoch,
        /// The offset of the last publication received.
        offset: u64,
    },
    /// Newest first, from the high watermark.
    Newest,
    /// Newest first, before this position. Unrecoverable unless the epoch matches and the offset is at most one above
    /// the high watermark; publications before the position may have been removed.
    Before {
        epoch: ChannelEpoch,
        /// The first offset that is not returned.
        offset: u64,
    },
}
