//! The inputs and outputs of a session.
//!
//! Inputs about a connection name its [`Attempt`]; inputs of an attempt that has ended are ignored, so that the late
//! timeout of an old socket cannot end a new connection. Outputs with an attempt concern that attempt only.

mod call;
mod computation;
mod credentials;
mod frame;
mod send;
mod subscription_event;
mod transport;

use std::time::Duration;

use steadfast_machine::Instant;

pub use call::CallError;
pub use computation::{Computation, Computed, DerivedKey, KEY_BYTES, KeyDerivation, NONCE_BYTES};
pub use credentials::{CredentialsError, CredentialsSource, FetchId, RenewalReason};
pub use frame::Frame;
pub use send::{Outgoing, SendError};
pub use subscription_event::{SubscribeOptions, SubscriptionEvent, UnsubscribeCause};
pub(crate) use transport::NO_CODE;
pub use transport::{ConnectionLoss, DialFailure};

use crate::dialect::{Dialect, Oversized};
use crate::event::SessionEvent;
use crate::secret::Secret;

/// Identifies one dial and the connection that results from it; counts from 1 and never repeats within a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u64);

/// A message of the application, numbered by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

/// A call of the application, numbered by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// A subscription of the application, numbered by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u64);

/// The outcome of a message of a dialect.
pub type SendResult<D> =
    Result<<D as Dialect>::Acknowledgement, SendError<<D as Dialect>::Refusal>>;

/// The result of a call of a dialect.
pub type CallResult<D> = Result<<D as Dialect>::Response, CallError<<D as Dialect>::Refusal>>;

/// An event of a subscription of a dialect.
pub type EventOf<D> = SubscriptionEvent<<D as Dialect>::Item, <D as Dialect>::Refusal>;

/// What happened: application requests, and reports on the transport.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Input<D: Dialect> {
    /// The application opens the session.
    OpenRequested,
    /// The application closes the session. No further message is accepted.
    CloseRequested {
        /// How long queued messages may still be sent, also over a new connection. Zero ends immediately.
        drain: Duration,
    },
    /// The network is available again: the next attempt is due now, or as soon as
    /// [`Link::reconnect_now`](crate::link::Link::reconnect_now) permits; one that hangs is replaced, and an open
    /// connection is probed.
    ReconnectRequested,
    /// The application restarts a failed session.
    RestartRequested,
    /// The application requests another connection instead of the present one, which stays until the other one is
    /// accepted; see [`SessionEvent::Migrating`].
    MigrateRequested {
        /// Index of its endpoint; `None` for the next one that is available, or the same one if there is no other.
        endpoint: Option<usize>,
    },
    /// The shell queued the dial, because too many are in progress: the connect timeout does not run.
    DialQueued { attempt: Attempt },
    /// The queued dial started.
    DialStarted { attempt: Attempt },
    /// The transport is open; nothing was sent yet.
    Dialled { attempt: Attempt },
    /// The transport did not open.
    DialFailed {
        attempt: Attempt,
        failure: DialFailure,
    },
    /// This number of bytes of any kind was received: the peer is alive.
    BytesReceived { attempt: Attempt, bytes: u64 },
    /// A pong was received, the reply to a ping of [`Output::Probe`]: the peer receives what is sent. Reported after the
    /// bytes that contain it.
    PongReceived { attempt: Attempt },
    /// A complete message was received.
    Received { attempt: Attempt, frame: Frame },
    /// A complete message was received that is above the limit of the client and was not kept; only with
    /// [`Dialect::EXCERPT`].
    ReceivedOversized {
        attempt: Attempt,
        oversized: Oversized,
    },
    /// Bytes that the socket has not accepted yet; reported after a partial write, and when nothing is left.
    SendBuffer { attempt: Attempt, bytes: u64 },
    /// The connection ended, by either side.
    Lost {
        attempt: Attempt,
        loss: ConnectionLoss,
    },
    /// The application sends a message.
    SendRequested(Outgoing<D::Message>),
    /// The application makes a call.
    CallRequested {
        id: CallId,
        call: D::Call,
        /// The latest end of the call.
        deadline: Instant,
    },
    /// The application no longer waits for this call: it is not sent, and if it was sent, its reply is ignored.
    CallWithdrawn { id: CallId },
    /// The application subscribes.
    SubscribeRequested {
        id: SubscriptionId,
        options: SubscribeOptions<D::Topic>,
    },
    /// The application unsubscribes.
    UnsubscribeRequested { id: SubscriptionId },
    /// The application consumed events of a subscription.
    Consumed {
        id: SubscriptionId,
        /// The number of events, of any kind.
        items: usize,
    },
    /// The credentials were fetched, or could not be.
    CredentialsFetched {
        id: FetchId,
        outcome: Result<Secret, CredentialsError>,
    },
    /// The application has other credentials: an open connection is authenticated with them, and later ones use them.
    CredentialsReplaced(Secret),
    /// The result of `Compute`, with its id. Without effect if the login no longer waits for it.
    Computed {
        attempt: Attempt,
        id: u32,
        computed: Computed,
    },
    /// Time has passed.
    Tick,
}

/// What the shell must do.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Output<D: Dialect> {
    /// Open a transport, and report `Dialled` or `DialFailed`. An open transport stays: the new one may replace it.
    Dial {
        attempt: Attempt,
        /// Index of the endpoint.
        endpoint: usize,
    },
    /// Fetch credentials, and report `CredentialsFetched`. An earlier fetch that is in progress is obsolete.
    FetchCredentials { id: FetchId, reason: RenewalReason },
    /// Do this for the login of an attempt, without blocking the event loop, and report `Computed` with the same id. An
    /// earlier computation of the attempt is obsolete.
    Compute {
        attempt: Attempt,
        id: u32,
        computation: Computation,
    },
    /// Dial one of these servers instead of an endpoint from the next attempt on, if one is valid and as secure: the
    /// preferred one is the first.
    Redirect {
        /// Index of the endpoint.
        endpoint: usize,
        /// URLs as the peer writes them.
        urls: Vec<String>,
    },
    /// Give up a transport immediately: its later inputs are ignored.
    Abort { attempt: Attempt },
    /// Send a message.
    Transmit { attempt: Attempt, frame: Frame },
    /// Send a ping of the transport ahead of all queued messages, and report its reply as `PongReceived`.
    Probe { attempt: Attempt },
    /// Send a close frame after all queued messages, then wait for the end of the connection. The connection may have been
    /// replaced by another one, which is in use.
    Close {
        attempt: Attempt,
        code: u16,
        reason: &'static str,
    },
    /// Deliver an event of a subscription to the application.
    Deliver {
        id: SubscriptionId,
        event: EventOf<D>,
    },
    /// Report the outcome of a message to the application.
    CompleteMessage {
        id: MessageId,
        outcome: SendResult<D>,
    },
    /// Report the outcome of a call to the application.
    CompleteCall { id: CallId, outcome: CallResult<D> },
    /// Report an event of the session to all listeners.
    Notify(SessionEvent),
}

/// Why the session has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The next attempt is due.
    Redial,
    /// The attempt exceeds its timeout.
    ConnectTimeout,
    /// A probe is due, or the peer is unresponsive.
    Liveness,
    /// A message expires, or becomes sendable.
    Outbox,
    /// The deadline of a call passes.
    Call,
    /// The credentials of the connection have to be renewed, or fetching them takes too long.
    Credentials,
    /// A subscription is requested again, or its reply is overdue.
    Resubscribe,
    /// The time to drain or to close passes, also that of a connection that was replaced.
    CloseTimeout,
    /// A session that is connected to a fallback endpoint tries the preferred one.
    Failback,
    /// A connection is replaced although requests are in flight on it.
    Switch,
    /// The session has been disconnected for so long that it becomes degraded.
    Degrade,
}
