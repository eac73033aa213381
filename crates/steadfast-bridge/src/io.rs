//! The inputs and outputs of the bridge.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use steadfast_protocol::jsonrpc::ErrorObject;

/// A connection of a local program, numbered by the shell from 1; a number is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProgramId(pub u64);

/// A call of the bridge to the server; counts from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallNumber(pub u64);

/// A subscription of the bridge at the server; counts from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicNumber(pub u64);

/// What happened, to programs or to the session.
#[derive(Clone)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Input {
    /// A program connected.
    Opened { program: ProgramId },
    /// A program sent a message: a line, or a text message of a WebSocket.
    Received {
        program: ProgramId,
        /// The message, of a length that the shell limits.
        text: Bytes,
    },
    /// The oldest messages were written to the socket of a program, as many as this.
    Written { program: ProgramId, messages: usize },
    /// A program sends no more, and still reads.
    Finished { program: ProgramId },
    /// The connection of a program ended.
    Left { program: ProgramId },
    /// The state of the session to the server.
    Session {
        /// What it is.
        state: SessionState,
        /// Numbers the connections to the server; a greater one is a new connection with a new login.
        connection: u64,
        /// Why the session is not connected, or was not the last time.
        cause: Option<String>,
    },
    /// A call to the server ended.
    CallEnded {
        call: CallNumber,
        /// What became of it.
        end: CallEnd,
    },
    /// Something happened to a subscription at the server.
    Topic {
        topic: TopicNumber,
        event: TopicEvent,
    },
    /// The server sent an event of a collection.
    Notified {
        /// The params of the notification, raw JSON.
        params: Bytes,
    },
    /// Notifications of the server were dropped, because the bridge received more than it could handle.
    EventsDropped,
    /// The bridge has to end.
    StopRequested,
    /// Time has passed.
    Ticked,
}

/// The state of the session to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Connected and logged in.
    Connected,
    /// Connecting, for the first time or again.
    Connecting,
    /// No further attempt is made.
    Failed,
}

/// What became of a call to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// The server returned this result, raw JSON.
    Result(Bytes),
    /// The server returned this error.
    Error(ErrorObject),
    /// The call was not sent, for this reason.
    NotSent(String),
    /// The connection was lost after the call was sent.
    Interrupted {
        /// Whether the server may have executed it with an effect.
        maybe_executed: bool,
    },
    /// The call was sent, and there was no reply in time.
    TimedOut {
        /// Whether the server may have executed it with an effect.
        maybe_executed: bool,
    },
}

/// What happened to a subscription at the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicEvent {
    /// It is active for the first time.
    Started,
    /// The connection is lost: no events arrive until it is active again.
    Interrupted,
    /// It is active again over another connection, and events may be missing.
    Restarted,
    /// The server rejected or ended it.
    Ended(ErrorObject),
}

/// What the shell must do.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Output {
    /// Send a message to a program, and report [`Input::Written`].
    Send {
        program: ProgramId,
        /// The message without a line break.
        text: Bytes,
    },
    /// End the connection of a program; nothing else follows for it. [`Input::Left`] is reported for one that has finished,
    /// which counts until then, and for no other.
    Disconnect {
        program: ProgramId,
        reason: DisconnectReason,
    },
    /// Call a method of the server, and report [`Input::CallEnded`].
    Call {
        call: CallNumber,
        method: String,
        /// Raw JSON: an array, or empty for none.
        params: Bytes,
        /// The longest time until its end.
        timeout: Duration,
    },
    /// Subscribe at the server, and report [`Input::Topic`].
    Subscribe {
        topic: TopicNumber,
        /// The name of the event, with its argument if it has one.
        name: String,
    },
    /// End a subscription at the server.
    Unsubscribe { topic: TopicNumber },
    /// Everything has ended: the shell writes what is queued, and returns.
    Stopped,
}

/// Why the bridge ends the connection of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// It sends no more, and all its calls have ended.
    Finished,
    /// It does not read what it is sent: its send buffer is full.
    SlowReader,
    /// What all programs have not read is too much, and this one has read the least.
    TooMuchUnread,
    /// There are too many programs.
    TooManyPrograms,
    /// The bridge ends.
    Stopping,
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "it sends no more, and all its calls have ended",
            Self::SlowReader => "it does not read: its send buffer is full",
            Self::TooMuchUnread => {
                "the send buffers of all programs are full, and it has read the least"
            }
            Self::TooManyPrograms => "too many programs are connected",
            Self::Stopping => "the bridge ends",
        })
    }
}

impl fmt::Debug for Input {
    /// Without the content of messages, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { program } => write!(f, "Opened({})", program.0),
            Self::Received { program, text } => {
                write!(f, "Received({}, {} bytes)", program.0, text.len())
            }
            Self::Written { program, messages } => {
                write!(f, "Written({}, {messages} messages)", program.0)
            }
            Self::Finished { program } => write!(f, "Finished({})", program.0),
            Self::Left { program } => write!(f, "Left({})", program.0),
            Self::Session { state, .. } => write!(f, "Session({state:?})"),
            Self::CallEnded { call, .. } => write!(f, "CallEnded({})", call.0),
            Self::Topic { topic, .. } => write!(f, "Topic({})", topic.0),
            Self::Notified { params } => write!(f, "Notified({} bytes)", params.len()),
            Self::EventsDropped => f.write_str("EventsDropped"),
            Self::StopRequested => f.write_str("StopRequested"),
            Self::Ticked => f.write_str("Ticked"),
        }
    }
}

impl fmt::Debug for Output {
    /// Without the content of messages, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { program, text } => {
                write!(f, "Send({}, {} bytes)", program.0, text.len())
            }
            Self::Disconnect { program, reason } => {
                write!(f, "Disconnect({}, {reason:?})", program.0)
            }
            Self::Call { call, method, .. } => write!(f, "Call({}, {method})", call.0),
            Self::Subscribe { topic, name } => write!(f, "Subscribe({}, {name})", topic.0),
            Self::Unsubscribe { topic } => write!(f, "Unsubscribe({})", topic.0),
            Self::Stopped => f.write_str("Stopped"),
        }
    }
}
