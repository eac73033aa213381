//! What an engine delivers to the shards without a request.

use steadfast_protocol::message::ChannelName;

use crate::epoch::ChannelEpoch;
use crate::response::Record;

/// A durable publication with its channel; every shard receives every durable publication.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct Committed {
    pub channel: ChannelName,
    /// The epoch of the channel in which the offset counts.
    pub epoch: ChannelEpoch,
    pub record: Record,
}
