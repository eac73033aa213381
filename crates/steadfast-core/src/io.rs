//! Every fact that a session is told and every order that it gives, in one place.
//!
//! Facts about a connection carry its [`Attempt`]; those of an attempt that is over are ignored, so that the late
//! time-out of an old socket can never end a new session. Orders with an attempt concern that one alone.

use std::time::Duration;

use bytes::Bytes;
use steadfast_machine::Instant;
use steadfast_protocol::message::{
    ClientInfo, HistoryResult, Position, PresenceStats, Publication, ReplyError,
};

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
    /// The application wants it to end. What is queued may still be sent for so long.
    CloseRequested {
        /// Zero ends at once.
        drain: Duration,
    },
    /// The application knows that the network is back: the next attempt is due now.
    Kicked,
    /// The application wants a failed session to try again.
    Revived,
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

/// Why a transport did not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialFailure {
    /// For people.
    pub text: String,
    /// This machine has no network: no server is to blame.
    pub is_local: bool,
    /// No further attempt can go better.
    pub is_final: bool,
    /// What the server wants waited.
    pub retry_after: Option<Duration>,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// With a close frame of the server.
    Closed {
        /// Its code, if it had one.
        code: Option<u16>,
        /// Its reason, maybe empty.
        reason: String,
    },
    /// Without one; says how, for people.
    Broken(String),
}

/// A publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Its number.
    pub id: PublicationId,
    /// The channel.
    pub channel: String,
    /// Raw JSON.
    pub data: Bytes,
    /// Makes repeats recognisable; unique for each publication, 1 to 64 bytes.
    pub key: String,
    /// Nobody wants it after this time; `None`: as long as it takes.
    pub ttl: Option<Duration>,
}

/// What a publication comes to: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is durable at the server.
    Acknowledged {
        /// Where it stands.
        position: Position,
        /// An earlier sending of it had arrived already.
        duplicate: bool,
    },
    /// Its time ran out before it was sent.
    Expired,
    /// It was not delivered and will not be.
    Dropped(DropReason),
    /// It was sent, no answer came, and repeating it is not safe or not wanted any more.
    Interrupted {
        /// True: it may have been applied.
        maybe_delivered: bool,
    },
}

/// Why a publication was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The outbox holds its most messages or bytes.
    OutboxFull,
    /// It does not fit into a message, which the server would take as a reason to end the connection for good.
    TooLarge,
    /// The session ended.
    Closed,
    /// The server refused it for good.
    Refused(ReplyError),
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A method with raw JSON as its argument; not repeated when its answer is lost.
    Rpc {
        /// The method.
        method: String,
        /// Its argument.
        data: Bytes,
    },
    /// Publications of the past.
    History {
        /// The channel.
        channel: String,
        /// At most so many; -1 as many as the server gives, 0 only the position.
        limit: i32,
        /// Behind this position; `None` from the start.
        since: Option<Position>,
        /// Newest first.
        reverse: bool,
    },
    /// Who is in a channel.
    Presence {
        /// The channel.
        channel: String,
    },
    /// How many are in a channel.
    PresenceStats {
        /// The channel.
        channel: String,
    },
}

impl Call {
    /// Whether doing it twice is the same as doing it once.
    pub const fn is_idempotent(&self) -> bool {
        match self {
            Self::Rpc { .. } => false,
            Self::History { .. } => true,
            Self::Presence { .. } => true,
            Self::PresenceStats { .. } => true,
        }
    }
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallResult {
    /// What the method returned, raw JSON.
    Rpc(Bytes),
    /// The publications.
    History(HistoryResult),
    /// Who is there.
    Presence(Vec<ClientInfo>),
    /// How many are there.
    PresenceStats(PresenceStats),
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The server refused it.
    #[error("the server refused: {} ({})", .0.message, .0.code)]
    Refused(ReplyError),
    /// The connection ended before the answer came.
    #[error("the connection ended before the answer came")]
    Interrupted {
        /// True: it may have been executed.
        maybe_executed: bool,
    },
    /// Its deadline passed.
    #[error("the deadline passed before the answer came")]
    TimedOut {
        /// True: it may have been executed.
        maybe_executed: bool,
    },
    /// It does not fit into a message, which the server would take as a reason to end the connection for good.
    #[error("the call does not fit into a message")]
    TooLarge,
    /// Too many calls wait already.
    #[error("too many calls wait already")]
    Busy,
    /// The session ended.
    #[error("the session is closed")]
    Closed,
    /// The answer is of another kind than the call.
    #[error("the answer does not fit the call")]
    Misfit,
}

/// What a subscription wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// The channel.
    pub channel: String,
    /// Begin behind this position; `None` begins with what is published from now on.
    pub since: Option<Position>,
    /// Hear who joins and leaves.
    pub join_leave: bool,
    /// At least 1: feeds that may wait for the application. Over it the subscription pauses at the server, and goes on
    /// from its position once half of it is free. One answer of the server may go beyond it.
    pub buffer_len_max: usize,
}

/// What a subscription hands to the application, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Feed {
    /// It stands: for the first time, or behind a [`Self::Gap`] that was told.
    Started {
        /// Everything behind this position follows.
        position: Position,
    },
    /// It stands again and nothing is missing.
    Resumed {
        /// Everything behind this position follows.
        position: Position,
    },
    /// What was published between two positions is not coming: load the state anew.
    Gap {
        /// The last position before it; `None` when there was none.
        from: Option<Position>,
        /// Everything behind this position follows.
        to: Position,
    },
    /// A publication.
    Item(Publication),
    /// Somebody came.
    Joined(ClientInfo),
    /// Somebody went.
    Left(ClientInfo),
    /// It is over for good.
    Ended {
        /// The code of the server.
        code: u32,
        /// Plain text.
        reason: String,
    },
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
