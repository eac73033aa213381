//! Why the hub closes a connection.

use std::time::Duration;

use steadfast_protocol::codes::{DisconnectCode, with_retry_in};

use crate::io::Unsent;
use crate::policy::INCOMPLETE_BYTES_REASON;

/// The retry delay for a peer that is rejected because the hub is full.
const FULL_RETRY_DELAY: Duration = Duration::from_secs(10);

/// The close code for "try again later" (registered by IANA after RFC 6455).
const TRY_AGAIN_LATER: u16 = 1013;

/// The error of whatever a peer may do: its connection is closed with this code. Only the hub removes peers, where it
/// looked them up; so no code below it runs for a peer that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disconnect {
    pub(crate) code: u16,
    /// Plain text, never empty, at most 123 bytes.
    pub(crate) reason: String,
}

impl Disconnect {
    pub(crate) const fn new(code: DisconnectCode, reason: String) -> Self {
        Self {
            code: code.code(),
            reason,
        }
    }

    /// What happens to the send buffer: nothing more is sent to a peer that is closed because it does not accept it.
    pub(crate) fn unsent(&self) -> Unsent {
        let not_accepted = [
            DisconnectCode::Slow,
            DisconnectCode::WriteError,
            DisconnectCode::NoPong,
        ];
        if not_accepted.iter().any(|code| code.code() == self.code) {
            Unsent::Discard
        } else {
            Unsent::Send
        }
    }

    /// For a connection whose command has begun and makes no progress.
    pub(crate) fn message_timeout() -> Self {
        let code = DisconnectCode::ForceReconnect;
        let reason = "no progress of an incomplete command";
        Self::new(code, format!("{}: {reason}", code.reason()))
    }

    /// For a connection whose incomplete command is dropped, because all of them need too much memory.
    pub(crate) fn incomplete_bytes() -> Self {
        let reason = INCOMPLETE_BYTES_REASON.to_owned();
        Self::new(DisconnectCode::TooManyRequests, reason)
    }

    /// For a connection that exceeds the capacity and has no command to reply to.
    pub(crate) fn full() -> Self {
        Self {
            code: TRY_AGAIN_LATER,
            reason: full_message(),
        }
    }
}

impl From<DisconnectCode> for Disconnect {
    fn from(code: DisconnectCode) -> Self {
        Self::new(code, code.reason().to_owned())
    }
}

/// The message for a peer that exceeds the capacity: the peer's SDK increases the backoff and reconnects.
pub(crate) fn full_message() -> String {
    with_retry_in("at capacity", FULL_RETRY_DELAY)
}
