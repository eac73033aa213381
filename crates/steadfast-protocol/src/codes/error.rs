//! The error codes of replies: 100 to 113.
//!
//! 400 to 1999 are reserved for applications; SDKs use numbers below 100 for errors that they detect themselves.

use crate::message::ReplyError;

super::table! {
    /// Why a command was rejected. The connection stays open.
    ErrorCode: u32 {
        /// Internal error of the server; the request is valid.
        Internal = 100, "internal server error";
        /// The client has no valid credentials.
        Unauthorized = 101, "unauthorized";
        /// The namespace of the channel is not known.
        UnknownChannel = 102, "unknown channel";
        /// The client has no permission for this operation.
        PermissionDenied = 103, "permission denied";
        /// The method does not exist.
        MethodNotFound = 104, "method not found";
        /// This connection is subscribed to the channel already.
        AlreadySubscribed = 105, "already subscribed";
        /// A limit is reached at which waiting does not help, for example the number of channels of this connection.
        LimitExceeded = 106, "limit exceeded";
        /// The request is well formed, but its arguments are invalid.
        BadRequest = 107, "bad request";
        /// The feature is disabled or not implemented.
        NotAvailable = 108, "not available";
        /// The token has expired; the client needs a new one.
        TokenExpired = 109, "token expired";
        /// The connection or subscription has expired, and a new token cannot extend it.
        Expired = 110, "expired";
        /// Too many requests, or the server is at a limit.
        TooManyRequests = 111, "too many requests";
        /// Publications after this position are no longer available.
        UnrecoverablePosition = 112, "unrecoverable position";
        /// The data changed between two pages of a query.
        ConcurrentPagination = 113, "concurrent pagination";
    }
}

impl ErrorCode {
    /// Returns `true` when the same request may succeed later.
    pub const fn is_temporary(self) -> bool {
        match self {
            Self::Internal | Self::TooManyRequests | Self::ConcurrentPagination => true,
            Self::Unauthorized
            | Self::UnknownChannel
            | Self::PermissionDenied
            | Self::MethodNotFound
            | Self::AlreadySubscribed
            | Self::LimitExceeded
            | Self::BadRequest
            | Self::NotAvailable
            | Self::TokenExpired
            | Self::Expired
            | Self::UnrecoverablePosition => false,
        }
    }

    /// Returns the error for a reply, with the text of the table.
    pub fn reply(self) -> ReplyError {
        self.reply_with(self.reason().to_owned())
    }

    /// Returns the error for a reply with a specific text, for example one with a retry delay (see
    /// [`super::with_retry_in`]). An empty text is replaced by the text of the table: SDKs read the message
    /// without checking whether it is present.
    pub fn reply_with(self, message: String) -> ReplyError {
        let message = if message.is_empty() {
            self.reason().to_owned()
        } else {
            message
        };
        ReplyError {
            code: self.code(),
            message,
            temporary: self.is_temporary(),
        }
    }
}

/// Returns a text for a code that may not be in the table: applications define their own codes.
pub(crate) fn error_text(code: u32) -> &'static str {
    ErrorCode::from_code(code).map_or("unknown error", ErrorCode::reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_three_errors_are_temporary() {
        let temporary: Vec<u32> = ErrorCode::ALL
            .iter()
            .filter(|row| row.is_temporary())
            .map(|row| row.code())
            .collect();

        assert_eq!(temporary, [100, 111, 113]);
        assert_eq!(ErrorCode::ALL.len(), 14);
    }

    #[test]
    fn a_reply_never_has_an_empty_message() {
        let error = ErrorCode::BadRequest.reply_with(String::new());

        assert_eq!(error, ErrorCode::BadRequest.reply());
        assert_eq!(
            error,
            ReplyError {
                code: 107,
                message: "bad request".to_owned(),
                temporary: false
            }
        );
    }
}
