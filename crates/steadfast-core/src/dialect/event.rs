//! What a message of the peer means.

use std::time::Duration;

use steadfast_machine::Position;

use super::{Dialect, Topic};
use crate::event::DisconnectCause;
use crate::io::Computation;
use crate::retry_advice::RetryAdvice;

/// What a message of the peer means to a session. An event that does not fit the state of the connection, or that names
/// a request that has no pending reply, has no effect.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum DialectEvent<D: Dialect> {
    /// The peer accepted the client: the handshake is complete. Has no effect after it.
    Accepted {
        /// When the credentials expire; `None` if they do not. They are renewed 1 s later at the earliest.
        expires_after: Option<Duration>,
    },
    /// The peer accepted new credentials on the open connection.
    Authenticated {
        /// The request with which they were sent; 0 if the peer says so on its own, which is ignored while a request of
        /// the client has no reply.
        id: u32,
        /// When they expire; `None` if they do not.
        expires_after: Option<Duration>,
    },
    /// The peer rejected the client during the handshake; afterwards [`Self::Disconnected`] ends a connection.
    Rejected {
        cause: DisconnectCause,
        advice: RetryAdvice,
    },
    /// The login of the connection needs something that only the shell can do; [`Dialect::computed`] gets the result.
    Compute {
        /// Distinguishes the computations of a connection.
        id: u32,
        computation: Computation,
    },
    /// The login has to be made at one of these servers, the preferred one first: the connection ends, and the next attempt
    /// follows.
    Redirected { urls: Vec<String> },
    /// The peer has rejected a request, without executing it, because it no longer knows the client: the session logs in
    /// again over the open connection with [`Request::Authenticate`](super::Request::Authenticate), and then sends the
    /// request again.
    Unauthenticated {
        id: u32,
        /// What the peer says, for a request that it rejects for this reason again and again.
        refusal: D::Refusal,
    },
    /// The result of a call.
    Responded { id: u32, response: D::Response },
    /// The peer accepted a message.
    Acknowledged {
        id: u32,
        acknowledgement: D::Acknowledgement,
    },
    /// The peer accepted a subscription.
    Subscribed {
        id: u32,
        subscribed: Subscribed<D::Item>,
    },
    /// The peer rejected a request.
    Refused {
        id: u32,
        refusal: D::Refusal,
        advice: RetryAdvice,
        /// Whether it may have executed the request all the same.
        maybe_executed: bool,
    },
    /// The peer did not execute a call, because it has too many. The call is sent again within its deadline, whatever
    /// executing it twice does.
    TooManyCalls { id: u32 },
    /// A message was above the limit of the client and was discarded. A call to which it is the result is not repeated, since
    /// it would have the same result.
    Oversized {
        /// The request that it is the reply to; `None` if it is something else, such as an item. Then every subscription
        /// reports a gap.
        id: Option<u32>,
        /// The length of the message in bytes.
        bytes: u64,
    },
    /// Another reply: to an `Unsubscribe`, or of a type that does not fit its request.
    Replied { id: u32 },
    /// An item of a subscription that the peer has accepted; others are ignored.
    Item {
        topic: <D::Topic as Topic>::Key,
        /// The offset of the item in the history of the topic, if it has one. Offsets begin at 1 and increase: an item that
        /// is not after the position of the subscription is ignored.
        offset: Option<u64>,
        item: D::Item,
    },
    /// The peer ended a subscription.
    Unsubscribed {
        topic: <D::Topic as Topic>::Key,
        refusal: D::Refusal,
        advice: RetryAdvice,
    },
    /// The peer complains about something that belongs to no request; reported as
    /// [`SessionEvent::Notice`](crate::event::SessionEvent::Notice).
    Notice {
        /// What it says, for humans.
        text: String,
    },
    /// The peer ends the connection.
    Disconnected {
        cause: DisconnectCause,
        advice: RetryAdvice,
    },
}

/// A subscription that the peer has accepted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Subscribed<I> {
    /// The position of the topic; empty if the topic has no history.
    pub position: Position,
    /// Whether `items`, and what the peer sends afterwards, continue from the requested position. If not, a subscription
    /// that was active before reports a [`crate::io::SubscriptionEvent::Gap`].
    pub is_recovered: bool,
    /// Items before those that the peer sends afterwards, with their offsets.
    pub items: Vec<(Option<u64>, I)>,
}

impl<I> Subscribed<I> {
    /// A subscription that begins with these items, which follow the requested position if `is_recovered`.
    pub const fn new(position: Position, is_recovered: bool, items: Vec<(Option<u64>, I)>) -> Self {
        Self {
            position,
            is_recovered,
            items,
        }
    }

    /// A subscription from now on, to a topic without a history.
    pub fn without_history() -> Self {
        Self {
            position: Position::default(),
            is_recovered: false,
            items: Vec::new(),
        }
    }
}

/// The outcome of a request to which the peer does not reply; it is known as soon as the request is written.
#[derive(Debug)]
pub enum Outcome<D: Dialect> {
    /// Of a message whose delivery is [`Delivery::Unacknowledged`](super::Delivery::Unacknowledged).
    Acknowledged(D::Acknowledgement),
    /// Of a subscription.
    Subscribed(Subscribed<D::Item>),
    /// Of credentials: the peer closes the connection if it does not accept them.
    Authenticated,
}
