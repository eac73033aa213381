//! The state of a session, and the events that an application receives about it.

mod connection;
mod dial;
mod login;
mod migration;

use std::fmt;
use std::time::Duration;

use steadfast_machine::Instant;

pub use connection::ConnectionErrorKind;
pub use dial::{DialErrorKind, DialStage};
pub use login::LoginErrorKind;
pub use migration::{MigrationError, MigrationReason};

/// The five states of a session.
///
/// ```
/// use steadfast_core::event::SessionState;
///
/// /// Whether a service with this client can serve.
/// fn is_available(state: SessionState) -> bool {
///     state == SessionState::Connected
/// }
/// # assert!(!is_available(SessionState::default()));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionState {
    /// Never opened, or closed by the application.
    #[default]
    Disconnected,
    /// Before the first connection, or before the first connection after a restart.
    Connecting,
    /// The server accepted the connect command.
    Connected,
    /// The connection was lost; the session reconnects.
    Reconnecting,
    /// The session no longer reconnects; the application can restart it.
    Failed,
}

/// The phase of a session within its [`SessionState`].
///
/// ```
/// use steadfast_core::event::SessionPhase;
///
/// /// Whether an operator should be alerted: the outage is longer than `degraded_after`.
/// fn is_alert(phase: SessionPhase) -> bool {
///     phase == SessionPhase::Degraded
/// }
/// # assert!(!is_alert(SessionPhase::default()));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionPhase {
    /// Disconnected or failed.
    #[default]
    Idle,
    /// The attempt waits for credentials, before it opens a transport.
    FetchingCredentials,
    /// The transport is being opened: name resolution, TCP, TLS, upgrade.
    Dialing,
    /// The transport is open; the connect command awaits its reply.
    Handshake,
    /// Connected, and the server no longer knows the client: it logs in again over the open connection, and new requests
    /// wait.
    LoggingIn,
    /// Connected; subscriptions are being restored and unacknowledged publications resent.
    Resuming,
    /// Connected, and all subscriptions are restored.
    Ready,
    /// Between two attempts.
    Waiting,
    /// Between two attempts, and disconnected for longer than `degraded_after`.
    Degraded,
    /// The application closed the session; queued publications are still sent.
    Draining,
    /// The close frame was sent; the session waits for the peer.
    Closing,
}

/// Numbers the connections of a session: increases by one with each `Connected`, and never repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionEpoch(pub u64);

/// The current state of a session.
///
/// ```
/// use steadfast_core::event::SessionSnapshot;
///
/// /// One line for a status page.
/// fn status(it: &SessionSnapshot) -> String {
///     let pending = it.queued + it.in_flight;
///     let cause = it.cause.as_ref().map(|cause| format!(": {cause}"));
///     let cause = cause.unwrap_or_default();
///     format!("{:?}, {} reconnects, {pending} publications pending{cause}", it.state, it.reconnects)
/// }
/// # let expected = "Disconnected, 0 reconnects, 0 publications pending";
/// # assert_eq!(status(&SessionSnapshot::default()), expected);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionSnapshot {
    /// The state of the session.
    pub state: SessionState,
    /// The phase within the state.
    pub phase: SessionPhase,
    /// The current connection, or the last one.
    pub epoch: ConnectionEpoch,
    /// Index of the current endpoint.
    pub endpoint: usize,
    /// Attempts since the last connection, including the one in progress.
    pub attempt: u32,
    /// When the session entered its state.
    pub since: Instant,
    /// When the next attempt starts; `None` unless the session waits for an attempt.
    pub next_attempt_at: Option<Instant>,
    /// Why the session is not connected; while it is connected, the last such reason.
    pub cause: Option<DisconnectCause>,
    /// The last measured round-trip time.
    pub rtt: Option<Duration>,
    /// Publications that wait to be sent.
    pub queued: usize,
    /// Publications that were sent and not acknowledged.
    pub in_flight: usize,
    /// Reconnects since the session was created. To replace an open connection is none.
    pub reconnects: u64,
}

/// Why a connection ended, or was not established.
///
/// ```
/// use steadfast_core::event::{DialErrorKind, DisconnectCause};
///
/// /// Whether an operator has to act; everything else passes, or is retried.
/// fn needs_operator(cause: &DisconnectCause) -> bool {
///     match cause {
///         DisconnectCause::Dial { kind, .. } => {
///             matches!(kind, DialErrorKind::Certificate | DialErrorKind::HttpStatus(401 | 403))
///         }
///         DisconnectCause::ConnectRejected { .. } | DisconnectCause::Credentials(_) => true,
///         _ => false,
///     }
/// }
/// # assert!(!needs_operator(&DisconnectCause::ConnectTimeout));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectCause {
    /// The transport did not open.
    Dial {
        /// The stage that failed.
        stage: DialStage,
        /// The kind of error.
        kind: DialErrorKind,
        /// A human-readable description.
        text: String,
    },
    /// The credentials for the connection could not be fetched; the text says why.
    Credentials(String),
    /// This machine has no route to the server, or none to other networks in which a name could be resolved.
    LocalNetwork(String),
    /// The attempt exceeded `connect_timeout`.
    ConnectTimeout,
    /// The server rejected the connect command.
    ConnectRejected {
        /// The server's error code.
        code: u32,
        /// The server's error message.
        message: String,
    },
    /// The server rejected the client in its own words, after the transport had opened.
    HandshakeRejected(String),
    /// The login failed.
    LoginFailed {
        /// The kind of reason, for programs.
        kind: LoginErrorKind,
        /// The reason, for humans.
        text: String,
    },
    /// The server closed the connection.
    Closed {
        /// The close code; 1005 if there was none.
        code: u16,
        /// The reason text, possibly empty.
        reason: String,
    },
    /// The connection ended without a close frame.
    ConnectionFailed {
        /// How it ended.
        kind: ConnectionErrorKind,
        /// A human-readable description.
        text: String,
    },
    /// Nothing was received from the peer for this time.
    PongTimeout(Duration),
    /// Data was received, but no pong for this time after a ping: the peer does not receive what is sent.
    PongMissing(Duration),
    /// No byte of the send buffer was written for this time.
    WriteTimeout(Duration),
    /// The server violated the protocol.
    Protocol(String),
    /// The limit on attempts was reached.
    AttemptsExhausted(u32),
}

impl fmt::Display for DisconnectCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial { text, .. } | Self::ConnectionFailed { text, .. } => f.write_str(text),
            Self::Credentials(text) => write!(f, "failed to fetch the credentials: {text}"),
            Self::LocalNetwork(text) => write!(f, "no local network: {text}"),
            Self::ConnectTimeout => f.write_str("connection attempt timed out"),
            Self::ConnectRejected { code, message } => {
                write!(f, "connect command rejected with code {code}: {message}")
            }
            Self::HandshakeRejected(reason) => write!(f, "rejected by the server: {reason}"),
            Self::LoginFailed { kind, text } => write!(f, "login failed: {kind}: {text}"),
            Self::Closed { code, reason } if reason.is_empty() => {
                write!(f, "closed by the server with code {code}")
            }
            Self::Closed { code, reason } => {
                write!(f, "closed by the server with code {code}: {reason}")
            }
            Self::PongTimeout(time) => {
                write!(f, "no data received for {:.1} s", time.as_secs_f64())
            }
            Self::PongMissing(time) => {
                write!(
                    f,
                    "no pong for {:.1} s, although data was received",
                    time.as_secs_f64()
                )
            }
            Self::WriteTimeout(time) => {
                write!(f, "no write progress for {:.1} s", time.as_secs_f64())
            }
            Self::Protocol(text) => write!(f, "protocol error: {text}"),
            Self::AttemptsExhausted(attempts) => write!(f, "all {attempts} attempts failed"),
        }
    }
}

/// Something that happened to a session.
///
/// ```
/// use steadfast_core::event::SessionEvent;
///
/// /// What a user interface shows; `None` for events that only a log needs.
/// fn notice(event: &SessionEvent) -> Option<String> {
///     match event {
///         SessionEvent::Lost { cause, .. } => Some(format!("connection lost: {cause}")),
///         SessionEvent::Ready { .. } => Some("connected".to_owned()),
///         SessionEvent::Failed { cause } => Some(format!("please sign in again: {cause}")),
///         _ => None,
///     }
/// }
/// # assert_eq!(notice(&SessionEvent::Closed), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// An attempt starts.
    Attempting {
        /// Counts from 1 since the last connection.
        attempt: u32,
        /// Index of the endpoint.
        endpoint: usize,
    },
    /// An attempt failed or a connection ended; the session waits for the next attempt.
    Waiting {
        /// The number of the next attempt.
        attempt: u32,
        /// When the next attempt starts.
        until: Instant,
        /// Why the session is not connected.
        cause: DisconnectCause,
    },
    /// The session has been without a connection for `degraded_after`, and keeps trying: once in an outage, between two
    /// attempts.
    Degraded {
        /// The time without a connection.
        downtime: Duration,
        /// Why the session is not connected.
        cause: DisconnectCause,
    },
    /// The server accepted the connect command. Without a [`Self::Lost`] before it, the connection replaces another one.
    Connected {
        /// The new connection.
        epoch: ConnectionEpoch,
        /// Index of its endpoint.
        endpoint: usize,
        /// The time without a connection; `None` for the first connection, zero if it replaces another one.
        downtime: Option<Duration>,
    },
    /// An attempt starts whose connection is to replace the present one, which stays until then. A [`Self::Connected`] or
    /// a [`Self::MigrationFailed`] follows.
    Migrating {
        /// Index of the endpoint.
        endpoint: usize,
        /// Why the connection is to be replaced.
        reason: MigrationReason,
    },
    /// The connection is not replaced, and stays.
    MigrationFailed {
        /// Index of the endpoint; `None` if none was requested, and none was chosen.
        endpoint: Option<usize>,
        /// Why it is not replaced.
        error: MigrationError,
    },
    /// All subscriptions are restored, and unacknowledged publications are resent.
    Ready {
        /// The current connection.
        epoch: ConnectionEpoch,
    },
    /// The server no longer knows the client on the open connection: the client logs in again. Calls that the server
    /// rejected for this reason are sent again, and new ones wait.
    LoginExpired {
        /// The current connection.
        epoch: ConnectionEpoch,
    },
    /// The client has logged in again over the open connection.
    LoggedIn {
        /// The current connection.
        epoch: ConnectionEpoch,
    },
    /// The credentials of an open connection could not be renewed; the connection stays open.
    RenewalFailed {
        /// Why they could not be fetched, or were rejected.
        text: String,
        /// When they are fetched again; `None` if only the next attempt fetches them.
        retry_at: Option<Instant>,
    },
    /// The connection is lost.
    Lost {
        /// The lost connection.
        epoch: ConnectionEpoch,
        /// Why the connection was lost.
        cause: DisconnectCause,
        /// The time from the last received byte until the loss was detected.
        detection: Duration,
    },
    /// The server complains about something that belongs to no request.
    Notice {
        /// What it says, for humans.
        text: String,
    },
    /// The session no longer reconnects.
    Failed {
        /// Why the session gave up.
        cause: DisconnectCause,
    },
    /// The session ended as the application requested.
    Closed,
}
