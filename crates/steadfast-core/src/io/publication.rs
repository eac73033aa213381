//! A publication, and its outcome.

use std::time::Duration;

use bytes::Bytes;
use steadfast_protocol::message::{Position, ReplyError};

use super::PublicationId;

/// A publication to send. Publications of one channel are sent in the order in which they are requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Unique within the session.
    pub id: PublicationId,
    /// The name of the channel.
    pub channel: String,
    /// The payload, raw JSON.
    pub data: Bytes,
    /// Identifies a resend to the server; unique for each publication, 1 to 64 bytes.
    pub idempotency_key: String,
    /// Time to live: the publication is not sent later than this. `None` for no limit.
    pub ttl: Option<Duration>,
}

/// The outcome of a publication: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The server acknowledged it.
    Acknowledged {
        /// Its position in the channel.
        position: Position,
        /// The server had already stored it from an earlier attempt.
        duplicate: bool,
    },
    /// Its time to live passed, and it was not applied.
    Expired,
    /// It was not delivered and will not be.
    Dropped(DropReason),
    /// It was sent, no reply was received, and another resend is unsafe or no longer requested.
    Interrupted {
        /// Whether the server may have applied it.
        maybe_stored: bool,
    },
}

/// Why a publication was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The outbox reached its limit of publications or bytes.
    OutboxFull,
    /// It exceeds the message size limit, for which the server would close the connection permanently.
    TooLarge,
    /// The session ended.
    Closed,
    /// The server permanently rejected it.
    Rejected(ReplyError),
}
