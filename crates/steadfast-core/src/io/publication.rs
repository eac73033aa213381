//! A publication, and its outcome.

use std::time::Duration;

use bytes::Bytes;
use steadfast_protocol::message::{Position, ReplyError};

use super::PublicationId;
use crate::event::DisconnectCause;

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
    /// If the outbox is full, drop the oldest publications that were not sent yet, and not this one.
    pub drops_oldest: bool,
}

/// The outcome of a publication; each publication has exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishOutcome {
    /// The server acknowledged the publication.
    Acknowledged {
        /// The position of the publication in its channel.
        position: Position,
        /// The server had already stored the publication, from an earlier command.
        duplicate: bool,
    },
    /// The time to live passed, and the publication was not applied.
    Expired,
    /// The publication was not delivered and will not be.
    Dropped(DropReason),
    /// The publication was sent, its outcome is unknown, and another resend is unsafe or no longer requested.
    Interrupted {
        /// Whether the server may have applied the publication.
        maybe_stored: bool,
    },
}

/// Why a publication was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// The outbox reached its limit of publications or bytes.
    OutboxFull,
    /// The publication exceeds the message size limit; the server would close the connection permanently.
    TooLarge,
    /// The session ended.
    Closed,
    /// The session has failed for this cause; a restarted session accepts publications again.
    Failed(DisconnectCause),
    /// The server permanently rejected the publication.
    Rejected(ReplyError),
}
