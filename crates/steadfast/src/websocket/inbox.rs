//! What an application receives: the messages of a server, and between which of them others are missing.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use steadfast_core::dialect::raw::{Raw, SubscriptionEvent};

use super::Frame;
use crate::subscription::Subscription;
use crate::{DisconnectCause, UnsubscribeCause};

/// The messages of a server in order, with the begin and end of each connection; a [`Stream`]. Dropping it discards what
/// is received from then on.
///
/// ```no_run
/// use steadfast::websocket::{Client, Event};
///
/// # async fn run(client: Client) {
/// let mut inbox = client.receive_with(100, 1 << 20);
/// while let Some(event) = inbox.next().await {
///     match event {
///         Event::Message(message) => println!("{:?}", message.as_text()),
///         Event::Missed { messages } => println!("too slow for {messages} messages"),
///         other => println!("{other:?}"),
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping an inbox discards what is received"]
pub struct Inbox {
    subscription: Subscription<Raw>,
    is_connected: bool,
}

/// What an [`Inbox`] yields.
///
/// ```
/// use steadfast::websocket::Event;
///
/// /// Whether messages may be missing before the next one.
/// fn may_miss_messages(event: &Event) -> bool {
///     matches!(event, Event::Connected { .. } | Event::Missed { .. })
/// }
/// # assert!(may_miss_messages(&Event::Missed { messages: 3 }));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The server has accepted the client. Except at the first time, everything that the server sent since the last
    /// [`Self::Message`] may be missing: load the state again. Without a [`Self::Disconnected`] before it, the connection
    /// replaces another one; see [`Client::migrate`](crate::Client::migrate).
    Connected {
        /// Messages of this connection that were received before the inbox existed, or while it was full.
        skipped: u64,
    },
    /// A message of the server.
    Message(Frame),
    /// The application reads too slowly: messages of this connection were discarded, because the inbox was full.
    Missed {
        /// The number of these messages; above zero.
        messages: u64,
    },
    /// The connection is lost. The session reconnects.
    Disconnected {
        /// Why the connection ended.
        cause: DisconnectCause,
    },
    /// The session has failed: nothing follows unless the application calls [`Client::restart`](crate::Client::restart).
    Failed {
        /// Why the session gave up.
        cause: DisconnectCause,
    },
    /// This inbox receives nothing, because the client has another one; the last event.
    Unavailable(UnsubscribeCause<std::convert::Infallible>),
}

impl Inbox {
    pub(super) const fn new(subscription: Subscription<Raw>) -> Self {
        Self {
            subscription,
            is_connected: false,
        }
    }

    /// Returns the next event; `None` after [`Event::Unavailable`], and when the client is closed.
    ///
    /// Cancel-safe: an event that was not returned stays in the inbox.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The event in the words of this module; `None` if it means nothing to the application.
    fn translate(&mut self, event: SubscriptionEvent) -> Option<Event> {
        let was_connected = self.is_connected;
        Some(match event {
            SubscriptionEvent::Item(frame) => Event::Message(frame),
            // The reader caught up before anything was discarded.
            SubscriptionEvent::Resumed { .. } if was_connected => return None,
            // Without a connection before, it is resumed if messages above the limit ended the last ones at once.
            SubscriptionEvent::Subscribed { position }
            | SubscriptionEvent::Resumed { position } => {
                self.is_connected = true;
                let skipped = position.offset;
                Event::Connected { skipped }
            }
            SubscriptionEvent::Gap {
                from: Some(from),
                to,
            } if was_connected => {
                let messages = to.offset.saturating_sub(from.offset);
                Event::Missed { messages }
            }
            // Also without an end of the connection before, if it was replaced by another one.
            SubscriptionEvent::Gap { to, .. } => {
                self.is_connected = true;
                let skipped = to.offset;
                Event::Connected { skipped }
            }
            SubscriptionEvent::Interrupted { cause, is_final } => {
                self.is_connected = false;
                if is_final {
                    Event::Failed { cause }
                } else {
                    Event::Disconnected { cause }
                }
            }
            SubscriptionEvent::Unsubscribed(cause) => Event::Unavailable(cause),
            // Not of this protocol.
            _ => return None,
        })
    }
}

impl Stream for Inbox {
    type Item = Event;

    /// Polls for the next event, as [`Self::next`]; after `None`, it returns `None` again.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            let Some(event) = ready!(Pin::new(&mut self.subscription).poll_next(context)) else {
                return Poll::Ready(None);
            };
            if let Some(event) = self.translate(event) {
                return Poll::Ready(Some(event));
            }
        }
    }
}
