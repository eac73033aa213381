//! The action that a code advises a client to take.
//!
//! The ranges decide, not the rows: a code that a newer server adds gets the right advice too.

use std::fmt;

use super::{CloseCode, DisconnectCode, ErrorCode, UnsubscribeCode};
use crate::message::ReplyError;

/// SDKs use numbers below this for errors that they detect themselves (a timeout, a lost transport). These are
/// temporary.
const FIRST_SERVER_ERROR: u32 = 100;

/// The first unsubscribe code after which a client resubscribes.
const FIRST_RESUBSCRIBE: u32 = 2500;

/// The action that a code advises a client to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Advice {
    /// Reconnect after a backoff.
    Reconnect,
    /// Drop the token and all positions, then reconnect after a backoff.
    ReconnectWithFreshState,
    /// Retry after a backoff, over the same connection if it is still open.
    Retry,
    /// Get a new token, then retry.
    RenewToken,
    /// Resubscribe from the kept position.
    Resubscribe,
    /// Drop the subscription's token and position, then resubscribe.
    ResubscribeWithFreshState,
    /// End the subscription; the connection stays open.
    EndSubscription,
    /// Report the error to the caller; nothing else changes.
    ReportToCaller,
    /// Do not reconnect unless the application decides to.
    Terminal,
}

impl Advice {
    /// Returns the advice for the code of a close frame or of a disconnect push.
    ///
    /// 3500 to 3999, 4500 to 4999 and 1009 are terminal; after 3014 the client also drops its state; every other code
    /// means to reconnect.
    pub fn for_disconnect(code: u32) -> Self {
        if code == u32::from(CloseCode::MessageTooBig.code()) {
            return Self::Terminal;
        }
        if code == u32::from(DisconnectCode::StateInvalidated.code()) {
            return Self::ReconnectWithFreshState;
        }
        match code {
            3500..=3999 | 4500..=4999 => Self::Terminal,
            _ => Self::Reconnect,
        }
    }

    /// Returns the advice for the code of an unsubscribe push: 2500 and above mean to resubscribe.
    pub fn for_unsubscribe(code: u32) -> Self {
        if code == UnsubscribeCode::StateInvalidated.code() {
            Self::ResubscribeWithFreshState
        } else if code >= FIRST_RESUBSCRIBE {
            Self::Resubscribe
        } else {
            Self::EndSubscription
        }
    }

    /// Returns the advice for an error in the reply to a connect command: errors that are not temporary are terminal.
    pub fn for_connect_error(error: &ReplyError) -> Self {
        temporary_advice(error).unwrap_or(Self::Terminal)
    }

    /// Returns the advice for an error in the reply to a subscribe command.
    pub fn for_subscribe_error(error: &ReplyError) -> Self {
        if error.code == ErrorCode::UnrecoverablePosition.code() {
            return Self::ResubscribeWithFreshState;
        }
        temporary_advice(error).unwrap_or(Self::EndSubscription)
    }

    /// Returns the advice for an error in the reply to any other command.
    pub fn for_call_error(error: &ReplyError) -> Self {
        temporary_advice(error).unwrap_or(Self::ReportToCaller)
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reconnect => "reconnect",
            Self::ReconnectWithFreshState => "drop token and positions, reconnect",
            Self::Retry => "retry later",
            Self::RenewToken => "get a new token, retry",
            Self::Resubscribe => "resubscribe",
            Self::ResubscribeWithFreshState => "drop token and position, resubscribe",
            Self::EndSubscription => "end the subscription",
            Self::ReportToCaller => "report to the caller",
            Self::Terminal => "do not reconnect",
        })
    }
}

/// Returns the advice for temporary errors. The flag in the reply counts, so that applications can mark their own
/// codes.
fn temporary_advice(error: &ReplyError) -> Option<Advice> {
    if error.code == ErrorCode::TokenExpired.code() {
        Some(Advice::RenewToken)
    } else if error.temporary || error.code < FIRST_SERVER_ERROR {
        Some(Advice::Retry)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_a_disconnect_code_determines_its_advice() {
        let reconnect = [
            0, 1000, 1001, 1006, 1008, 1011, 1012, 1013, 2999, 3000, 3013, 3499, 4000, 4499, 5000,
            9999,
        ];
        let terminal = [1009, 3500, 3501, 3509, 3999, 4500, 4999];

        for code in reconnect {
            assert_eq!(Advice::for_disconnect(code), Advice::Reconnect, "{code}");
        }
        for code in terminal {
            assert_eq!(Advice::for_disconnect(code), Advice::Terminal, "{code}");
        }
        assert_eq!(
            DisconnectCode::StateInvalidated.advice(),
            Advice::ReconnectWithFreshState
        );
    }

    #[test]
    fn unsubscribe_codes_from_2500_mean_to_resubscribe() {
        let advice: Vec<Advice> = UnsubscribeCode::ALL
            .iter()
            .map(|row| row.advice())
            .collect();

        assert_eq!(
            advice,
            [
                Advice::EndSubscription,
                Advice::EndSubscription,
                Advice::EndSubscription,
                Advice::Resubscribe,
                Advice::Resubscribe,
                Advice::ResubscribeWithFreshState,
            ]
        );
        assert_eq!(Advice::for_unsubscribe(2999), Advice::Resubscribe);
    }

    #[test]
    fn errors_on_connect_are_terminal_unless_they_are_temporary() {
        for row in ErrorCode::ALL {
            let expected = match row.code() {
                100 | 111 | 113 => Advice::Retry,
                109 => Advice::RenewToken,
                _ => Advice::Terminal,
            };

            assert_eq!(Advice::for_connect_error(&row.reply()), expected, "{row}");
        }
    }

    #[test]
    fn errors_of_the_client_itself_are_temporary_and_those_of_a_server_only_if_it_says_so() {
        let cases = [
            (1, false, Advice::Retry),
            (99, false, Advice::Retry),
            (100, false, Advice::Terminal),
            (100, true, Advice::Retry),
            (9_999, false, Advice::Terminal),
            (9_999, true, Advice::Retry),
        ];

        for (code, temporary, expected) in cases {
            let error = ReplyError {
                code,
                message: String::new(),
                temporary,
            };
            assert_eq!(Advice::for_connect_error(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn errors_on_subscribe_end_only_the_subscription() {
        assert_eq!(
            Advice::for_subscribe_error(&ErrorCode::PermissionDenied.reply()),
            Advice::EndSubscription
        );
        assert_eq!(
            Advice::for_subscribe_error(&ErrorCode::Internal.reply()),
            Advice::Retry
        );
        let lost = ErrorCode::UnrecoverablePosition.reply();
        assert_eq!(
            Advice::for_subscribe_error(&lost),
            Advice::ResubscribeWithFreshState
        );
    }

    #[test]
    fn errors_on_calls_are_reported_to_the_caller() {
        assert_eq!(
            Advice::for_call_error(&ErrorCode::NotAvailable.reply()),
            Advice::ReportToCaller
        );
        let busy = ReplyError {
            code: 400,
            message: "busy".to_owned(),
            temporary: true,
        };
        assert_eq!(Advice::for_call_error(&busy), Advice::Retry);
    }
}
