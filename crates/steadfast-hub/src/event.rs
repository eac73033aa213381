//! What a hub tells people: past tense, with the facts that a log line needs. Never payloads.

use std::time::Duration;

use steadfast_protocol::message::ChannelName;

use crate::io::{ClientId, PeerId};

/// Something that people should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A peer's connect command succeeded.
    PeerConnected {
        /// Which.
        peer: PeerId,
        /// Its identity.
        client: ClientId,
    },
    /// A connection ended.
    PeerClosed {
        /// Which.
        peer: PeerId,
        /// Its identity.
        client: ClientId,
        /// Who ended it, with code and reason.
        end: End,
        /// Since it was accepted.
        lasted: Duration,
        /// Since its last sign of life.
        idle: Duration,
    },
    /// Commands were refused because a limit of the hub is reached. Told at once for the first, then at most once a
    /// second.
    LimitReached {
        /// Which limit, by the name of its setting.
        setting: &'static str,
        /// How many commands, since it was told last.
        times: u64,
    },
    /// This core fell behind the log and reads the channels again.
    CaughtBehind {
        /// How many channels are read again.
        channels: usize,
    },
    /// Subscriptions of a channel were ended with the advice to recover: their position could not be continued here.
    PositionLost {
        /// The channel.
        channel: ChannelName,
        /// How many.
        subscriptions: usize,
    },
    /// A message without a channel came, and nobody listens to such.
    SendIgnored {
        /// From whom.
        peer: PeerId,
    },
    /// The data of a connect command is not shown to others: it is no JSON object, or too long.
    InfoIgnored {
        /// Whose.
        peer: PeerId,
    },
    /// The log answered with refusals. Told at once for the first, then at most once a second.
    LogRefused {
        /// Why.
        refusal: crate::log::io::Rejection,
        /// How many, since it was told last.
        times: u64,
    },
}

/// Who ended a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The gateway, with this code.
    Server {
        /// The close code.
        code: u16,
        /// The reason sent.
        reason: String,
    },
    /// The client, by a close frame.
    Client {
        /// Its code, if it sent one.
        code: Option<u16>,
        /// Its reason.
        reason: String,
    },
    /// The stream ended without a close frame.
    Ended,
    /// Reading or writing failed.
    Broken,
}
