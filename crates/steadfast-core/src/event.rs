//! What an application sees of a session: its state, everything that happened, and why.

use std::time::Duration;

use steadfast_machine::Instant;

/// The five states of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not wanted: never opened, or closed.
    #[default]
    Disconnected,
    /// On the way to its first connection, or to the first after it was revived.
    Connecting,
    /// Connected.
    Connected,
    /// The connection was lost; the next one is on its way.
    Reconnecting,
    /// It does not try any more by itself; it can be revived.
    Failed,
}

/// Where in its state a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing happens.
    #[default]
    Idle,
    /// The transport opens: name, TCP, TLS, upgrade.
    Dialing,
    /// The transport is open, the server is asked to open the session.
    Authenticating,
    /// Connected; subscriptions are made again and unanswered publications sent again.
    Resuming,
    /// Connected, and everything is as it was.
    Ready,
    /// Between two attempts.
    Waiting,
    /// Between two attempts, and away for longer than the session's time to live.
    Degraded,
    /// The application closed it; what is queued is still sent.
    Draining,
    /// The close frame is on its way.
    Closing,
}

/// Counts the connections of a session: grows by one with each `Connected`, never repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionEpoch(pub u64);

/// The current truth about a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The state.
    pub state: State,
    /// Where in it.
    pub phase: Phase,
    /// Which connection it is, or was last.
    pub epoch: ConnectionEpoch,
    /// Which of the endpoints.
    pub endpoint: usize,
    /// Attempts since the last connection, the one under way included.
    pub attempt: u32,
    /// Since when it is in its state.
    pub since: Instant,
    /// When it tries next; `None` unless it waits.
    pub next_try_at: Option<Instant>,
    /// Why it is not connected, or was not last.
    pub cause: Option<Cause>,
    /// The last measured round trip.
    pub rtt: Option<Duration>,
    /// Publications that wait to be sent.
    pub queued: usize,
    /// Publications that were sent and not answered.
    pub unanswered: usize,
    /// Reconnects since the session was made.
    pub reconnects: u64,
}

/// Why a connection ended, or did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The transport did not open.
    Dial(String),
    /// This machine has no network.
    LocalNetwork(String),
    /// The attempt took longer than it may.
    AttemptTimeout,
    /// The server refused to open the session.
    Refused {
        /// Its error code.
        code: u32,
        /// Its text.
        message: String,
    },
    /// The server closed the connection.
    Closed {
        /// Its code; 1005 when it gave none.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// The connection broke without a close frame.
    Broken(String),
    /// Nothing was heard from the peer for so long.
    Silence(Duration),
    /// The peer took nothing of what waits for so long.
    WriteStall(Duration),
    /// The server broke the protocol.
    Protocol(String),
    /// The limit on attempts was reached.
    AttemptsExhausted(u32),
}

/// Something happened to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An attempt begins.
    Attempting {
        /// Counts from 1 since the last connection.
        attempt: u32,
        /// Which of the endpoints.
        endpoint: usize,
    },
    /// An attempt failed or a connection ended; the next attempt comes then.
    Waiting {
        /// The attempt to come.
        attempt: u32,
        /// When.
        until: Instant,
        /// Why.
        cause: Cause,
    },
    /// Connected: the server has opened the session.
    Connected {
        /// Which connection.
        epoch: ConnectionEpoch,
        /// How long there was none; `None` the first time.
        downtime: Option<Duration>,
    },
    /// Subscriptions stand again and what was unanswered is sent again.
    Ready {
        /// Which connection.
        epoch: ConnectionEpoch,
    },
    /// The connection is lost.
    Lost {
        /// Which connection.
        epoch: ConnectionEpoch,
        /// Why.
        cause: Cause,
        /// From the last byte that was heard until the loss was known.
        detection: Duration,
    },
    /// It does not try any more by itself.
    Failed {
        /// Why.
        cause: Cause,
    },
    /// It ended as the application wanted.
    Closed,
}
