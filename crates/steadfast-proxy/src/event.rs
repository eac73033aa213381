//! What happens in a proxy, as a bounded stream of events.

use std::net::SocketAddr;

use steadfast_faults::toxic::CloseMode;
use steadfast_machine::Instant;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// The number of events that are kept for a slow reader.
const KEPT_MAX: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The time since the start of the proxy, or of its set, on a monotonic clock.
    pub at: Instant,
    /// The name of the proxy; empty for [`EventKind::Missed`].
    pub proxy: String,
    /// The kind with its details.
    pub kind: EventKind,
}

/// The kinds of events, with what each is about.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// The proxy listens on this address.
    Listening(SocketAddr),
    /// The proxy listens no more.
    Stopped,
    /// A toxic was added.
    ToxicAdded(String),
    /// The toxicity or the attributes of a toxic changed.
    ToxicUpdated(String),
    /// A toxic was removed by a call.
    ToxicRemoved(String),
    /// The duration of a toxic passed, so that it was removed.
    ToxicExpired(String),
    /// A client connected.
    Accepted {
        /// The number of the connection.
        connection: u64,
        /// The address of the client.
        peer: SocketAddr,
    },
    /// A client was reset, because the proxy has as many connections as it may have.
    Refused {
        /// The address of the client.
        peer: SocketAddr,
    },
    /// The operating system did not let the proxy accept, for example for lack of file descriptors. It tries again.
    AcceptFailed(String),
    /// The upstream accepted a connection.
    Connected {
        /// The number of the connection.
        connection: u64,
        /// The address of the upstream.
        upstream: SocketAddr,
    },
    /// The upstream did not accept a connection.
    DialFailed {
        /// The number of the connection.
        connection: u64,
        /// The error of the resolver or of the operating system.
        problem: String,
    },
    /// A toxic began to affect a connection.
    Affected {
        /// The number of the connection.
        connection: u64,
        /// The name of the toxic.
        toxic: String,
    },
    /// A connection ended.
    Ended {
        /// The number of the connection.
        connection: u64,
        /// Who or what ended it.
        reason: EndReason,
    },
    /// The reader of the events was slow, and this number of events was lost.
    Missed(u64),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// Both sides sent a FIN.
    Finished,
    /// A socket reported an error, such as a reset by its peer.
    Failed(String),
    /// A toxic ended it.
    Toxic {
        /// The name of the toxic.
        name: String,
        /// With a FIN, a reset, or silently.
        mode: CloseMode,
    },
    /// A toxic closed one side without notice to the other one.
    HalfOpen {
        /// The name of the toxic.
        name: String,
    },
    /// [`Proxy::close_connection`](crate::Proxy::close_connection) ended it.
    Closed(CloseMode),
    /// The proxy was disabled or moved.
    Stopped,
    /// The upstream was not reached.
    DialFailed,
}

/// Where events are published.
#[derive(Clone, Debug)]
pub(crate) struct Publisher(broadcast::Sender<Event>);

impl Publisher {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(KEPT_MAX))
    }

    /// Whether there is a reader; without one, an event need not be built.
    pub(crate) fn has_readers(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub(crate) fn publish(&self, event: Event) {
        // Without a reader it is lost, as intended.
        drop(self.0.send(event));
    }

    pub(crate) fn subscribe(&self, proxy: Option<String>) -> Events {
        Events {
            receiver: self.0.subscribe(),
            proxy,
        }
    }
}

/// The events from now on; created by [`Proxy::events`](crate::Proxy::events) and
/// [`ProxySet::events`](crate::ProxySet::events).
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
    /// Only the events of this proxy.
    proxy: Option<String>,
}

impl Events {
    /// Waits for the next event; `None` after the end of the proxy. Up to 1,024 events are kept for a slow reader;
    /// [`EventKind::Missed`] counts those that it lost, of all proxies of a set.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.receiver.recv().await {
                Ok(event) if self.is_included(&event) => return Some(event),
                Ok(_other) => {}
                Err(RecvError::Lagged(count)) => return Some(missed(count)),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Returns the next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            match self.receiver.try_recv() {
                Ok(event) if self.is_included(&event) => return Some(event),
                Ok(_other) => {}
                Err(TryRecvError::Lagged(count)) => return Some(missed(count)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    fn is_included(&self, event: &Event) -> bool {
        self.proxy.as_ref().is_none_or(|name| *name == event.proxy)
    }
}

fn missed(count: u64) -> Event {
    Event {
        at: Instant::START,
        proxy: String::new(),
        kind: EventKind::Missed(count),
    }
}
