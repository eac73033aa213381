//! Every fact that a session is told and every order that it gives, in one place.
//!
//! Facts about a connection carry its [`Attempt`]; those of an attempt that is over are ignored, so that the late
//! time-out of an old socket can never end a new session. Orders with an attempt concern that one alone.

mod call;
mod feed;
mod publication;
mod transport;

use std::time::Duration;

use bytes::Bytes;
use steadfast_machine::Instant;

pub use call::{Call, CallError, CallResult};
pub use feed::{Feed, SubscribeOptions};
pub use publication::{Delivery, DropReason, Publish};
pub use transport::{DialFailure, Loss};

use crate::event::Event;

/// One dial and the connection that may come of it; counts from 1 and never repeats within a session.
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

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The application wants the session to be connected from now on.
    OpenRequested,
    /// The application wants it to end. What is queued may still be sent for so long, also over a connection that comes
    /// back meanwhile; nothing more is taken in.
    CloseRequested {
        /// Zero ends at once.
        drain: Duration,
    },
    /// The application knows that the network is back: the next attempt is due now.
    Kicked,
    /// The application wants a failed session to try again.
    Revived,
    /// The shell holds the dial back, because too many are under way: the time of the attempt does not run.
    DialHeld {
        /// Which.
        attempt: Attempt,
    },
    /// The dial that was held back goes on.
    DialBegan {
        /// Which.
        attempt: Attempt,
    },
    /// The transport is open; nothing was sent yet.
    Dialled {
        /// Which.
        attempt: Attempt,
    },
    /// The transport did not open.
    DialFailed {
        /// Which.
        attempt: Attempt,
        /// Why.
        failure: DialFailure,
    },
    /// Raw bytes arrived, whatever they are: a sign of life.
    Heard {
        /// Where.
        attempt: Attempt,
    },
    /// A whole text message arrived.
    Received {
        /// Where.
        attempt: Attempt,
        /// Its payload.
        message: Bytes,
    },
    /// What the socket has not taken yet; told after a write that was cut short, and when nothing is left.
    Unsent {
        /// Where.
        attempt: Attempt,
        /// How much waits.
        bytes: u64,
    },
    /// The connection is over, whoever ended it.
    Lost {
        /// Which.
        attempt: Attempt,
        /// How.
        loss: Loss,
    },
    /// The application publishes.
    PublishRequested(Publish),
    /// The application calls.
    CallRequested {
        /// Its number.
        id: CallId,
        /// What it asks.
        call: Call,
        /// It gives up then, whatever has happened.
        deadline: Instant,
    },
    /// The application subscribes.
    SubscribeRequested {
        /// Its number.
        id: SubscriptionId,
        /// What it wants.
        options: SubscribeOptions,
    },
    /// The application does not want it any more.
    UnsubscribeRequested {
        /// Which.
        id: SubscriptionId,
    },
    /// The application took so many feeds of a subscription, of whatever kind, out of its buffer.
    Taken {
        /// Which.
        id: SubscriptionId,
        /// How many.
        items: usize,
    },
    /// Time has passed.
    Tick,
}

/// What the shell shall do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a transport; answered by `Dialled` or `DialFailed`.
    Dial {
        /// Tag of everything that comes of it.
        attempt: Attempt,
        /// Which of the endpoints.
        endpoint: usize,
    },
    /// Give up a transport at once: nothing that comes of it counts any more.
    Abandon {
        /// Which.
        attempt: Attempt,
    },
    /// Send a text message.
    Transmit {
        /// Where.
        attempt: Attempt,
        /// Its payload.
        message: Bytes,
    },
    /// Send a WebSocket ping ahead of everything else.
    Probe {
        /// Where.
        attempt: Attempt,
    },
    /// Send a close frame behind everything else, then wait for the end.
    HangUp {
        /// Which.
        attempt: Attempt,
        /// The code.
        code: u16,
        /// The reason.
        reason: &'static str,
    },
    /// Hand something of a subscription to the application.
    Deliver {
        /// Which.
        id: SubscriptionId,
        /// What.
        feed: Feed,
    },
    /// Tell the application what a publication came to.
    Resolve {
        /// Which.
        id: PublicationId,
        /// What.
        delivery: Delivery,
    },
    /// Tell the application what a call came to.
    Answer {
        /// Which.
        id: CallId,
        /// What.
        outcome: Result<CallResult, CallError>,
    },
    /// Tell everyone who listens.
    Notify(Event),
}

/// Why the session wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The next attempt is due.
    Redial,
    /// The attempt has taken too long.
    AttemptDeadline,
    /// Silence: a probe is due, or the peer is dead.
    Liveness,
    /// Something queued expires, or may be sent again.
    Outbox,
    /// A call's deadline.
    Call,
    /// A subscription may ask again.
    Resubscribe,
    /// The time for an orderly end is over.
    CloseDeadline,
    /// The session was away for so long that it is called degraded.
    Degrade,
}
