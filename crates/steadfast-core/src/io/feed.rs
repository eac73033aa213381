//! What a subscription wants, and what it hands to the application.

use steadfast_protocol::message::{ClientInfo, Position, Publication};

/// What a subscription wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// The channel.
    pub channel: String,
    /// Begin behind this position; `None` begins with what is published from now on.
    pub since: Option<Position>,
    /// Hear who joins and leaves.
    pub join_leave: bool,
    /// At least 1: feeds that may wait for the application. Over it the subscription pauses at the server, and goes on
    /// from its position once half of it is free. One answer of the server may go beyond it.
    pub buffer_len_max: usize,
}

/// What a subscription hands to the application, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Feed {
    /// It stands: for the first time, or behind a [`Self::Gap`] that was told.
    Started {
        /// Everything behind this position follows.
        position: Position,
    },
    /// It stands again and nothing is missing.
    Resumed {
        /// Everything behind this position follows.
        position: Position,
    },
    /// What was published between two positions is not coming: load the state anew.
    Gap {
        /// The last position before it; `None` when there was none.
        from: Option<Position>,
        /// Everything behind this position follows.
        to: Position,
    },
    /// A publication.
    Item(Publication),
    /// Somebody came.
    Joined(ClientInfo),
    /// Somebody went.
    Left(ClientInfo),
    /// It is over for good.
    Ended {
        /// The code of the server.
        code: u32,
        /// Plain text.
        reason: String,
    },
}
