//! The options of a subscription, and the events that it delivers to the application.

use steadfast_protocol::message::{ClientInfo, Position, Publication};

/// The options of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// The name of the channel.
    pub channel: String,
    /// Start after this position; `None` starts with the next publication.
    pub since: Option<Position>,
    /// Receive the joins and leaves of other clients.
    pub join_leave: bool,
    /// The number of events that may wait for the application; at least 1. Above it, the client unsubscribes at the
    /// server, and resumes from its position once half of the buffer is free. A single reply may exceed the limit.
    pub buffer_len_max: usize,
}

/// An event of a subscription. Events are delivered in order.
#[derive(Clone, Debug, PartialEq)]
pub enum SubscriptionEvent {
    /// The subscription is active: for the first time, or again after a [`Self::Gap`].
    Subscribed {
        /// Publications after this position follow.
        position: Position,
    },
    /// The subscription is active again, and no publication is missing.
    Resumed {
        /// Publications after this position follow.
        position: Position,
    },
    /// Publications between two positions are missing and cannot be recovered: reload the application state.
    Gap {
        /// The last position before the gap; `None` if there was none.
        from: Option<Position>,
        /// Publications after this position follow.
        to: Position,
    },
    /// A publication of the channel.
    Publication(Publication),
    /// Another client subscribed.
    Join(ClientInfo),
    /// Another client unsubscribed or disconnected.
    Leave(ClientInfo),
    /// The subscription ended permanently.
    Unsubscribed {
        /// The code of the server; 0 if the client rejected the subscription.
        code: u32,
        /// A human-readable reason.
        reason: String,
    },
}
