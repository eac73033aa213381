//! The options of a subscription, and the events that it delivers to the application.

use steadfast_protocol::message::{ClientInfo, Position, Publication};

/// The options of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

impl SubscribeOptions {
    /// The options of a subscription to this channel from now on, with a buffer of this many events.
    pub fn new(channel: &str, buffer_len_max: usize) -> Self {
        Self {
            channel: channel.to_owned(),
            since: None,
            join_leave: false,
            buffer_len_max: buffer_len_max.max(1),
        }
    }

    /// Starts after this position, for example the last one of an earlier run of the program.
    #[must_use]
    pub fn since(mut self, position: Position) -> Self {
        self.since = Some(position);
        self
    }

    /// Receives the joins and leaves of other clients.
    #[must_use]
    pub const fn join_leave(mut self) -> Self {
        self.join_leave = true;
        self
    }
}

/// An event of a subscription. Events are delivered in order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
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
