//! Every fact a hub is told and every order it gives.

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use steadfast_machine::Timestamp;
use steadfast_protocol::message::{ChannelName, ClientInfo};

use crate::event::Event;
use crate::log::io::{Committed, Request, Response};

/// One connection of this hub. The shell chooses the index (dense, reused) and raises the generation on each reuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId {
    /// The place in the tables of shell and hub.
    pub index: u32,
    /// Tells the users of one place apart.
    pub generation: u32,
}

/// The identity of a connection's client; from the operating system's randomness. Printed as a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u128);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        let mut rest = hex.as_str();
        for (index, len) in [8, 4, 4, 4, 12].into_iter().enumerate() {
            let (group, tail) = rest.split_at(len);
            let dash = if index == 0 { "" } else { "-" };
            write!(f, "{dash}{group}")?;
            rest = tail;
        }
        Ok(())
    }
}

/// What the shell found out about a connection before the first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// May connect without a credential.
    Anonymous,
    /// Needs a credential.
    CredentialNeeded,
}

/// Why a connection is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The peer sent a close frame; code and reason are its own. `None` is a close frame without a code.
    Closed {
        /// The peer's code.
        code: Option<u16>,
        /// The peer's reason.
        reason: String,
    },
    /// The peer ended the stream without a close frame.
    Ended,
    /// Reading or writing failed, for example a reset.
    Broken,
}

/// What a core tells all cores through the order of the log; nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Somebody subscribed.
    Joined {
        /// Where.
        channel: ChannelName,
        /// Who.
        info: ClientInfo,
    },
    /// Somebody's subscription ended.
    Left {
        /// Where.
        channel: ChannelName,
        /// Who.
        info: ClientInfo,
    },
    /// Every core shall answer who is in the channel.
    PresenceAsked {
        /// The core that asks.
        core: u16,
        /// Chosen by that core.
        number: u64,
        /// Where.
        channel: ChannelName,
        /// How much to tell.
        detail: PresenceDetail,
    },
    /// One core's answer, for the core that asked.
    PresenceTold {
        /// The core that asked.
        core: u16,
        /// The number of its question.
        number: u64,
        /// Who is there, on the core that answers.
        present: Present,
    },
}

/// How much a question about presence wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceDetail {
    /// Every client; at most one more than a reply may name.
    Clients,
    /// Numbers only.
    Counts,
}

/// Who is in a channel, on one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Present {
    /// Every client.
    Clients(Vec<ClientInfo>),
    /// Numbers only.
    Counts {
        /// Connections.
        clients: u32,
        /// The different users, so that the sum over cores counts each once.
        users: BTreeSet<String>,
    },
}

/// One entry of the log's order, as every core is shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEvent {
    /// A durable publication.
    Committed(Committed),
    /// An answer to this core.
    Answered {
        /// The number that this hub gave its request.
        number: u64,
        /// The answer.
        answer: Response,
    },
    /// A core's note.
    Noted(Note),
    /// Commits and notes are missing here: this core fell behind the ring. It stands behind every answer that belongs
    /// into the gap and before the first entry after it. Answers are never lost.
    Lapsed,
}

/// A fact for the hub.
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection was upgraded.
    Accepted {
        /// Its id here.
        peer: PeerId,
        /// Its identity, random.
        client: ClientId,
        /// What it may do.
        access: Access,
    },
    /// A complete message arrived.
    Received {
        /// From whom.
        peer: PeerId,
        /// The message, text or binary.
        message: Bytes,
    },
    /// Bytes arrived that are no complete message yet, or a control frame: a sign of life.
    Stirred {
        /// From whom.
        peer: PeerId,
    },
    /// The bytes are no valid WebSocket traffic; the shell found this close code for them.
    Malformed {
        /// From whom.
        peer: PeerId,
        /// RFC 6455 close code, for example 1002, 1007, 1009.
        code: u16,
        /// Plain text.
        reason: &'static str,
    },
    /// The connection is gone.
    Lost {
        /// Whose.
        peer: PeerId,
        /// Why.
        loss: Loss,
    },
    /// A write was short; so many bytes wait now. Told again whenever more was added.
    Backlog {
        /// Whose.
        peer: PeerId,
        /// Unsent bytes.
        bytes: usize,
    },
    /// The system took some of the bytes that wait; the rest waits on.
    Written {
        /// Whose.
        peer: PeerId,
        /// So many.
        bytes: usize,
    },
    /// Nothing waits any more.
    Drained {
        /// Whose.
        peer: PeerId,
    },
    /// The next entries of the log's order.
    Log {
        /// In order.
        events: Vec<LogEvent>,
        /// The wall clock, told to clients.
        at: Timestamp,
    },
    /// The process ends: close every peer with the advice to come back.
    ShutdownRequested,
    /// A deadline may have passed.
    Tick,
}

/// An order of the hub.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send this encoded frame to one peer.
    Send {
        /// To whom.
        peer: PeerId,
        /// A whole WebSocket frame, or several.
        frame: Bytes,
    },
    /// Send this encoded frame to many peers.
    Fanout {
        /// A whole WebSocket frame.
        frame: Bytes,
        /// To whom. Shared with the hub, which copies the list only if it changes while this order is not yet out.
        to: Rc<Vec<PeerId>>,
    },
    /// Send a close frame behind everything else and end the connection. The hub has forgotten the peer already.
    Close {
        /// Whose.
        peer: PeerId,
        /// The close code.
        code: u16,
        /// Plain text, never empty, at most 123 bytes.
        reason: String,
    },
    /// Read nothing more from this peer: too much of what it asked is unanswered.
    Pause {
        /// Whom.
        peer: PeerId,
    },
    /// Read again.
    Resume {
        /// Whom.
        peer: PeerId,
    },
    /// Ask the log.
    Ask(Request),
    /// Tell all cores, in the order of the log.
    Tell(Note),
    /// Something that people should know.
    Notify(Event),
}

/// Why the hub wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The coarse wheel's next tick that has work: pings, pong, stale and write deadlines.
    Wheel,
}
