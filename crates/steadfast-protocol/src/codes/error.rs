//! The error codes of replies: 100 to 113.
//!
//! Applications have 400 to 1999 to themselves; SDKs use numbers below 100 for what they find out alone.

use crate::message::ReplyError;

super::table! {
    /// Why a command was refused. The connection goes on.
    ErrorCode: u32 {
        /// The server failed; nothing is wrong with the request.
        Internal = 100, "internal server error";
        /// No valid credential.
        Unauthorized = 101, "unauthorized";
        /// The channel belongs to no known namespace.
        UnknownChannel = 102, "unknown channel";
        /// The client may not do this.
        PermissionDenied = 103, "permission denied";
        /// No such method.
        MethodNotFound = 104, "method not found";
        /// This connection is subscribed to the channel already.
        AlreadySubscribed = 105, "already subscribed";
        /// A limit of this connection is reached, for example its number of channels.
        LimitExceeded = 106, "limit exceeded";
        /// The request is well formed but cannot be meant.
        BadRequest = 107, "bad request";
        /// The feature is switched off or does not exist here.
        NotAvailable = 108, "not available";
        /// The token has expired; a new one helps.
        TokenExpired = 109, "token expired";
        /// The time of this connection or subscription is over, and no token can prolong it.
        Expired = 110, "expired";
        /// Too much is asked at the moment.
        TooManyRequests = 111, "too many requests";
        /// What follows this position cannot be given without a hole.
        UnrecoverablePosition = 112, "unrecoverable position";
        /// The data changed between two pages.
        ConcurrentPagination = 113, "concurrent pagination";
    }
}

impl ErrorCode {
    /// True when the same request may succeed later.
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

    /// The error as it travels in a reply, with the table's own text.
    pub fn reply(self) -> ReplyError {
        self.reply_with(self.reason().to_owned())
    }

    /// The error with a text of its own, for example one that says when to come back (see [`super::with_retry_in`]).
    /// An empty text is replaced by the table's: SDKs read the message without asking whether it is there.
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

/// A text for a code that may not be in the table: applications have codes of their own.
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
