//! What a shard requests from an engine.

use bytes::Bytes;
use steadfast_protocol::message::ChannelName;

use crate::epoch::ChannelEpoch;

/// Identifies a request and the shard that receives the response.
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

/// Stores a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct Append {
    pub request_id: RequestId,
    pub channel: ChannelName,
    /// The bytes of the payload, which the engine does not interpret.
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
