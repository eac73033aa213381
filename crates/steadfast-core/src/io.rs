//! The inputs and outputs of a session.
//!
//! Inputs about a connection name its [`Attempt`]; inputs of an attempt that has ended are ignored, so that the late
//! timeout of an old socket cannot end a new connection. Outputs with an attempt concern that attempt only.

mod call;
mod publication;
mod subscription_event;
mod transport;

use std::time::Duration;

use bytes::Bytes;
use steadfast_machine::Instant;

pub use call::{Call, CallError, CallResult};
pub use publication::{DropReason, Publish, PublishOutcome};
pub use subscription_event::{SubscribeOptions, SubscriptionEvent};
pub use transport::{ConnectionLoss, DialFailure};

use crate::event::SessionEvent;

/// Identifies one dial and the connection that results from it; counts from 1 and never repeats within a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u64);

/// A publication of the application, numbered by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicationId(pub u64);

/// A call of the application, numbered by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// A subscription of the application, numbered by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u64);

/// What happened: application requests, and reports on the transport.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Input {
    /// The application opens the session.
    OpenRequested,
    /// The application closes the session. No further publication is accepted.
    CloseRequested {
        /// How long queued publications may still be sent, also over a new connection. Zero ends immediately.
        drain: Duration,
    },
    /// The network is available again: the next attempt is due now.
    ReconnectRequested,
    /// The application restarts a failed session.
    RestartRequested,
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
    /// Bytes of any kind were received: the peer is alive.
    BytesReceived { attempt: Attempt },
    /// A complete text message was received.
    Received { attempt: Attempt, message: Bytes },
    /// Bytes that the socket has not accepted yet; reported after a partial write, and when nothing is left.
    SendBuffer { attempt: Attempt, bytes: u64 },
    /// The connection ended, by either side.
    Lost {
        attempt: Attempt,
        loss: ConnectionLoss,
    },
    /// The application publishes.
    PublishRequested(Publish),
    /// The application makes a call.
    CallRequested {
        id: CallId,
        call: Call,
        /// The latest end of the call.
        deadline: Instant,
    },
    /// The application no longer waits for this call: it is not sent, and if it was sent, its reply is ignored.
    CallWithdrawn { id: CallId },
    /// The application subscribes.
    SubscribeRequested {
        id: SubscriptionId,
        options: SubscribeOptions,
    },
    /// The application unsubscribes.
    UnsubscribeRequested { id: SubscriptionId },
    /// The application consumed events of a subscription.
    Consumed {
        id: SubscriptionId,
        /// The number of events, of any kind.
        items: usize,
    },
    /// Time has passed.
    Tick,
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Output {
    /// Open a transport, and report `Dialled` or `DialFailed`.
    Dial {
        attempt: Attempt,
        /// Index of the endpoint.
        endpoint: usize,
    },
    /// Give up a transport immediately: its later inputs are ignored.
    Abort { attempt: Attempt },
    /// Send a text message.
    Transmit { attempt: Attempt, message: Bytes },
    /// Send a WebSocket ping ahead of all queued messages.
    Probe { attempt: Attempt },
    /// Send a close frame after all queued messages, then wait for the end of the connection.
    Close {
        attempt: Attempt,
        code: u16,
        reason: &'static str,
    },
    /// Deliver an event of a subscription to the application.
    Deliver {
        id: SubscriptionId,
        event: SubscriptionEvent,
    },
    /// Report the outcome of a publication to the application.
    CompletePublication {
        id: PublicationId,
        outcome: PublishOutcome,
    },
    /// Report the outcome of a call to the application.
    CompleteCall {
        id: CallId,
        outcome: Result<CallResult, CallError>,
    },
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
    /// A publication expires, or becomes sendable.
    Outbox,
    /// The deadline of a call passes.
    Call,
    /// A subscription is requested again, or its reply is overdue.
    Resubscribe,
    /// The time to drain or to close passes.
    CloseTimeout,
    /// The session has been disconnected for so long that it becomes degraded.
    Degrade,
}
