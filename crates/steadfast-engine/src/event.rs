//! What an engine delivers to the shards.

use steadfast_protocol::message::ChannelName;

use crate::epoch::ChannelEpoch;
use crate::response::{Record, Response};

/// A committed publication with its channel; every shard receives every committed publication.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct Committed {
    pub channel: ChannelName,
    /// The epoch of the channel in which the offset counts.
    pub epoch: ChannelEpoch,
    /// The offset of the channel's previous publication in this epoch; 0 for the first. A shard that has read the
    /// channel up to this offset or later has missed nothing.
    pub previous: u64,
    pub record: Record,
}

/// One event in the order of the engine, as delivered to a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum EngineEvent {
    /// A durable publication of any channel.
    Committed(Committed),
    /// A response to this shard.
    Response {
        /// The number that this shard gave its request.
        number: u64,
        response: Response,
    },
    /// Commits are missing at this position: the shard lagged, and entries that it had not read were overwritten. This
    /// event follows every response that belongs in the gap and precedes the first event after the gap. Responses are
    /// never lost.
    Lagged,
}
