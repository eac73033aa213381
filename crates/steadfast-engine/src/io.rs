//! The inputs and outputs of an engine that needs only requests and time.
//!
//! Such an engine is a `Machine` of these types. An engine with storage has inputs and outputs of its own for the
//! results and operations of its storage, and the same ones as here for the shards.

use steadfast_machine::Timestamp;

use crate::event::Committed;
use crate::request::{Request, RequestId};
use crate::response::Response;
use crate::time::WallJump;

/// An input of an engine.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Input {
    /// Requests of the shards: all that were pending when the driver checked, in order.
    Requested {
        requests: Vec<Request>,
        /// The wall clock, with which publications are displayed. Ages follow from the time at which inputs are handled.
        at: Timestamp,
    },
    /// A shutdown was requested: the engine finishes what is in flight; later requests are rejected.
    CloseRequested,
    /// A deadline may have passed.
    Tick {
        /// The wall clock.
        at: Timestamp,
    },
}

/// What the driver must do for an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Output {
    /// Deliver this publication to every shard.
    Commit(Committed),
    /// Deliver this response to the shard in the request id.
    Respond {
        request_id: RequestId,
        response: Response,
    },
    /// Report this event for diagnostics.
    Notify(Event),
    /// The engine is closed: it only rejects requests from now on.
    Closed,
}

/// Something that an operator should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Event {
    /// Appends were rejected because a limit was reached; each limit is reported at most once between two checks of
    /// ages.
    LimitReached { limit: Limit },
    /// Channels were removed, because their last publication is too old.
    ChannelsExpired { channels: u64 },
    /// New channels take the place of the oldest channels without visible publications, because a limit was reached; each
    /// limit is reported at most once between two checks of ages.
    ChannelReplaced { limit: Limit },
    /// The wall clock was set. Ages are not affected.
    WallClockJumped(WallJump),
}

/// A limit at which an engine rejects appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// The number of channels.
    Channels,
    /// The memory of the channels, without their publications.
    ChannelMemory,
    /// The number of idempotency keys in the deduplication window.
    Keys,
    /// The memory of the idempotency keys in the deduplication window.
    KeyMemory,
}
