//! The table of codes: every error, disconnect, unsubscribe and close code with its text and its advice.
//!
//! Meanings and advice are defined here and nowhere else; the reference page is generated from this table. The table
//! sends and schedules nothing: server and client look up the text and the action.

mod advice;
mod close;
mod decode_error_action;
mod disconnect;
mod error;
mod hint;
mod unsubscribe;

pub use advice::Advice;
pub use close::CloseCode;
pub use decode_error_action::DecodeErrorAction;
pub use disconnect::{DisconnectCode, REASON_BYTES_MAX};
pub use error::ErrorCode;
pub(crate) use error::error_text;
pub use hint::{retry_in, with_retry_in};
pub use unsubscribe::UnsubscribeCode;

/// Defines one part of the table: an enum with a number, a text and a meaning for each row.
macro_rules! table {
    (
        $(#[$about:meta])*
        $name:ident: $number:ty {
            $( #[doc = $meaning:literal] $variant:ident = $code:literal, $reason:literal; )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( #[doc = $meaning] $variant, )+
        }

        impl $name {
            /// All rows, in ascending order of their numbers.
            pub const ALL: &[Self] = &[$( Self::$variant, )+];

            /// Returns the number on the wire.
            pub const fn code(self) -> $number {
                match self {
                    $( Self::$variant => $code, )+
                }
            }

            /// Returns the text on the wire: plain, never empty, never JSON, at most 123 bytes.
            pub const fn reason(self) -> &'static str {
                match self {
                    $( Self::$variant => $reason, )+
                }
            }

            /// Returns the meaning, for operators and for the reference page.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $( Self::$variant => $meaning.trim_ascii(), )+
                }
            }

            /// Returns the row with this number, if the table has one.
            pub const fn from_code(code: $number) -> Option<Self> {
                match code {
                    $( $code => Some(Self::$variant), )+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{} {}", self.code(), self.reason())
            }
        }
    };
}

use table;

#[cfg(test)]
mod tests {
    use super::*;

    /// Every text of the table, with its number.
    fn reasons() -> Vec<(u32, &'static str)> {
        let mut reasons = Vec::new();
        reasons.extend(ErrorCode::ALL.iter().map(|row| (row.code(), row.reason())));
        reasons.extend(
            DisconnectCode::ALL
                .iter()
                .map(|row| (u32::from(row.code()), row.reason())),
        );
        reasons.extend(
            UnsubscribeCode::ALL
                .iter()
                .map(|row| (row.code(), row.reason())),
        );
        reasons.extend(
            CloseCode::ALL
                .iter()
                .map(|row| (u32::from(row.code()), row.reason())),
        );
        reasons
    }

    /// One SDK evaluates the range of a code only when a reason text is present.
    #[test]
    fn every_reason_is_present_and_fits_into_a_close_frame() {
        for (code, reason) in reasons() {
            assert!(!reason.trim().is_empty(), "{code}");
            assert!(reason.len() <= REASON_BYTES_MAX, "{code}");
        }
    }

    /// SDKs interpret a JSON reason as the advice of an older protocol version.
    #[test]
    fn no_reason_is_json() {
        for (code, reason) in reasons() {
            assert!(
                serde_json::from_str::<serde_json::Value>(reason).is_err(),
                "{code} {reason}"
            );
        }
    }

    #[test]
    fn numbers_ascend_and_map_back_to_their_row() {
        assert!(ErrorCode::ALL.is_sorted_by(|a, b| a.code() < b.code()));
        assert!(DisconnectCode::ALL.is_sorted_by(|a, b| a.code() < b.code()));
        assert!(UnsubscribeCode::ALL.is_sorted_by(|a, b| a.code() < b.code()));
        assert!(CloseCode::ALL.is_sorted_by(|a, b| a.code() < b.code()));
        for row in DisconnectCode::ALL {
            assert_eq!(DisconnectCode::from_code(row.code()), Some(*row));
        }
        assert_eq!(DisconnectCode::from_code(3002), None);
    }

    #[test]
    fn a_row_is_displayed_with_number_and_text() {
        assert_eq!(DisconnectCode::BadRequest.to_string(), "3501 bad request");
        assert_eq!(ErrorCode::TokenExpired.to_string(), "109 token expired");
    }
}
