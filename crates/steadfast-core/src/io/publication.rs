//! A publication, and what becomes of it.

use std::time::Duration;

use bytes::Bytes;
use steadfast_protocol::message::{Position, ReplyError};

use super::PublicationId;

/// A publication. Those of one channel are sent in the order in which they are handed in.
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
    /// Its time ran out, and it was not applied.
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
