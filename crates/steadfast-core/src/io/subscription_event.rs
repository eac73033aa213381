//! The options of a subscription, and the events that it delivers to the application.

use std::fmt;

use steadfast_machine::Position;

use crate::dialect::Unsendable;
use crate::event::DisconnectCause;

/// The options of a subscription.
///
/// ```
/// use steadfast_core::io::SubscribeOptions;
///
/// let options = SubscribeOptions::to("news", 100).report_interruptions();
/// assert_eq!(options.buffer_len_max, 100);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscribeOptions<T> {
    /// What to subscribe to.
    pub topic: T,
    /// Start after this position; `None` starts with the next item.
    pub since: Option<Position>,
    /// The number of events that may wait for the application; at least 1. Above it, the client unsubscribes at the
    /// server, and resumes from its position once half of the buffer is free. A single reply may exceed the limit.
    pub buffer_len_max: usize,
    /// The size of the items that may wait for the application, in bytes; unlimited by default. Above it, the same happens
    /// as above `buffer_len_max`. One item and a single reply may exceed it.
    pub buffer_bytes_max: usize,
    /// Deliver [`SubscriptionEvent::Interrupted`]; not by default.
    pub reports_interruptions: bool,
}

impl<T> SubscribeOptions<T> {
    /// The options of a subscription from now on, with a buffer of this many events.
    pub fn to(topic: T, buffer_len_max: usize) -> Self {
        Self {
            topic,
            since: None,
            buffer_len_max: buffer_len_max.max(1),
            buffer_bytes_max: usize::MAX,
            reports_interruptions: false,
        }
    }

    /// Limits the size of the items that may wait for the application, in bytes.
    #[must_use]
    pub fn buffer_bytes_max(mut self, bytes: usize) -> Self {
        self.buffer_bytes_max = bytes;
        self
    }

    /// Whether the size of the items is limited.
    pub(crate) const fn has_bytes_max(&self) -> bool {
        self.buffer_bytes_max < usize::MAX
    }

    /// Delivers [`SubscriptionEvent::Interrupted`], in order with the items.
    #[must_use]
    pub fn report_interruptions(mut self) -> Self {
        self.reports_interruptions = true;
        self
    }

    /// Starts after this position, for example the last one of an earlier run of the program.
    #[must_use]
    pub fn since(mut self, position: Position) -> Self {
        self.since = Some(position);
        self
    }
}

/// An event of a subscription. Events are delivered in order. `I` is an item, `R` what the peer says when it rejects or
/// ends a subscription.
///
/// ```
/// use steadfast_core::io::SubscriptionEvent;
///
/// /// Whether the state of the application may lack items.
/// fn must_reload<I, R>(event: &SubscriptionEvent<I, R>) -> bool {
///     matches!(event, SubscriptionEvent::Gap { .. })
/// }
/// # assert!(!must_reload(&SubscriptionEvent::<u8, u8>::Item(1)));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SubscriptionEvent<I, R> {
    /// The subscription is active for the first time.
    Subscribed {
        /// Items after this position follow.
        position: Position,
    },
    /// The subscription is active again, and no item is missing.
    Resumed {
        /// Items after this position follow.
        position: Position,
    },
    /// Items between two positions are missing and cannot be recovered: reload the application state. After a loss this
    /// takes the place of [`Self::Resumed`].
    Gap {
        /// The last position before the gap; `None` if there was none.
        from: Option<Position>,
        /// Items after this position follow.
        to: Position,
    },
    /// The connection ended, or the session has failed: nothing follows until the subscription is active again. Only with
    /// [`SubscribeOptions::report_interruptions`].
    Interrupted {
        /// Why the connection ended, or the session failed.
        cause: DisconnectCause,
        /// The session has failed: the subscription becomes active again only if the application restarts the session.
        is_final: bool,
    },
    /// An item of the topic.
    Item(I),
    /// The subscription ended permanently.
    Unsubscribed(UnsubscribeCause<R>),
}

/// Why a subscription ended.
///
/// ```
/// use steadfast_core::io::UnsubscribeCause;
///
/// let cause = UnsubscribeCause::<String>::TooMany(128);
/// assert_eq!(cause.to_string(), "the limit of 128 subscriptions is reached");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnsubscribeCause<R> {
    /// The client has reached its own limit of subscriptions, which is given.
    TooMany(usize),
    /// The client has a subscription to this topic already.
    Duplicate,
    /// The subscription cannot be requested over any connection.
    Unsendable(Unsendable),
    /// The server rejected or ended it.
    Server(R),
}

impl<R: fmt::Display> fmt::Display for UnsubscribeCause<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(limit) => write!(f, "the limit of {limit} subscriptions is reached"),
            Self::Duplicate => f.write_str("this client has already subscribed to it"),
            Self::Unsendable(problem) => write!(f, "invalid subscription: {problem}"),
            Self::Server(refusal) => refusal.fmt(f),
        }
    }
}
