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
    /// Report it only; the connection stays open. The command has no id, so that nothing can be replied to it.
    Ignore,
    /// Close the connection with this code.
    Disconnect(DisconnectCode),
}

impl DecodeErrorAction {
    /// Returns the action for a decode error: a [rejected command](DecodeError::rejected_command) gets an error reply;
    /// what [ends its message](DecodeError::ends_message) closes the connection. A size alone is never a reason for a
    /// code after which a client does not reconnect.
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
            None if !error.ends_message() => Self::Ignore,
            None if matches!(error, DecodeError::CommandEndless { .. }) => {
                Self::Disconnect(DisconnectCode::TooManyRequests)
            }
            None => Self::Disconnect(DisconnectCode::BadRequest),
        }
    }
}

impl ErrorCode {
    /// Returns the error code for a `gw.publish` call with an invalid argument; the connection stays open.
    pub fn for_idempotent_publish_error(error: &IdempotentPublishError) -> Self {
        match error {
            IdempotentPublishError::KeyMissing
            | IdempotentPublishError::KeyLength(_)
            | IdempotentPublishError::Payload(_) => Self::BadRequest,
        }
    }
}
