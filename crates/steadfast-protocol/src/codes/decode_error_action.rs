//! The action of a server for bytes that it cannot decode.

use super::{DisconnectCode, ErrorCode};
use crate::error::DecodeError;
use crate::idempotent::IdempotentPublishError;

/// The action of a server for bytes that it cannot decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeErrorAction {
    /// Reject this command only; the connection stays open and the rest of the frame is processed.
    Reject {
        /// The command's id, above 0.
        id: u32,
        /// The error code of the reply.
        error: ErrorCode,
    },
    /// Close the connection with this code.
    Disconnect(DisconnectCode),
}

impl DecodeErrorAction {
    /// Returns the action for a decode error: a [rejected command](DecodeError::rejected_command) gets an error reply;
    /// every other error closes the connection. (Over WebSocket the codec already closes with 1009 for a message that is too
    /// long.)
    pub fn for_decode_error(error: &DecodeError) -> Self {
        match error.rejected_command() {
            Some(id) => Self::Reject {
                id,
                error: if matches!(error, DecodeError::NoMethod { .. }) {
                    ErrorCode::MethodNotFound
                } else {
                    ErrorCode::BadRequest
                },
            },
            None => Self::Disconnect(DisconnectCode::BadRequest),
        }
    }
}

impl ErrorCode {
    /// Returns the error code for a `gw.publish` call with an invalid argument; the connection stays open.
    pub fn for_idempotent_publish_error(error: &IdempotentPublishError) -> Self {
        match error {
            IdempotentPublishError::KeyMissing | IdempotentPublishError::Payload(_) => {
                Self::BadRequest
            }
        }
    }
}
