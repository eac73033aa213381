//! What a server does about bytes that it cannot decode.

use super::{DisconnectCode, ErrorCode};
use crate::error::DecodeError;
use crate::keyed::KeyedError;

/// What a server does about bytes that it cannot decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Answer this one command with an error; the connection and the rest of the message go on.
    Refuse {
        /// The command's id, above 0.
        id: u32,
        /// Why.
        error: ErrorCode,
    },
    /// End the connection.
    Disconnect(DisconnectCode),
}

impl Remedy {
    /// The remedy for a decode error: a command that is well formed but exceeds a limit is refused, everything else
    /// breaks the protocol. (A message that is too long never gets as far over WebSocket, whose codec closes with 1009.)
    pub fn for_decode_error(error: &DecodeError) -> Self {
        match error {
            DecodeError::FieldTooLong { id, .. } | DecodeError::TooDeep { id, .. } if *id > 0 => {
                Self::Refuse {
                    id: *id,
                    error: ErrorCode::BadRequest,
                }
            }
            DecodeError::FieldTooLong { .. }
            | DecodeError::TooDeep { .. }
            | DecodeError::MessageTooLong { .. }
            | DecodeError::TooManyMessages { .. }
            | DecodeError::Empty
            | DecodeError::NotUtf8(_)
            | DecodeError::Malformed { .. }
            | DecodeError::NothingAsked { .. }
            | DecodeError::NoResult { .. } => Self::Disconnect(DisconnectCode::BadRequest),
        }
    }
}

impl ErrorCode {
    /// The answer to a `gw.publish` call whose argument cannot be used; the connection goes on.
    pub fn for_keyed_error(error: &KeyedError) -> Self {
        match error {
            KeyedError::KeyMissing | KeyedError::Payload(_) => Self::BadRequest,
        }
    }
}
