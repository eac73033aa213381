//! What happens in a proxy, as a bounded stream of events.

use std::net::SocketAddr;

use steadfast_faults::toxic::CloseMode;
use steadfast_machine::Instant;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The time since the start of the proxy, or of its set, on a monotonic clock.
    pub at: Instant,
    /// The name of the proxy.
    pub proxy: String,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
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
        /// Why.
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
        /// Why.
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
        /// How.
        mode: CloseMode,
    },
    /// [`Proxy::close_connection`](crate::Proxy::close_connection) ended it.
    Closed(CloseMode),
    /// The proxy was disabled or moved.
    Stopped,
    /// The upstream was not reached.
    DialFailed,
}

/// The events of a proxy from now on; created by [`Proxy::events`](crate::Proxy::events).
#[derive(Debug)]
pub struct Events {
    _private: (),
}

impl Events {
    /// Waits for the next event; `None` after the end of the proxy. Up to 1,024 events are kept for a slow reader;
    /// [`EventKind::Missed`] counts those that it lost.
    #[expect(clippy::should_implement_trait, reason = "it is asynchronous")]
    pub async fn next(&mut self) -> Option<Event> {
        todo!()
    }

    /// Returns the next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        todo!()
    }
}
