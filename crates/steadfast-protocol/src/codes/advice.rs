//! What a client does when it is told a code.
//!
//! The ranges decide, not the single rows: a code that a later server invents gets the right advice too.

use std::fmt;

use super::{CloseCode, DisconnectCode, ErrorCode, UnsubscribeCode};
use crate::message::ReplyError;

/// SDKs number what they find out alone (a timeout, a lost transport) below this; such errors always pass.
const FIRST_SERVER_ERROR: u32 = 100;

/// The first unsubscribe code after which a client subscribes again.
const FIRST_RESUBSCRIBE: u32 = 2500;

/// What a client does when it is told a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Advice {
    /// Connect again, after a backoff.
    Reconnect,
    /// Drop the token and every position, then connect again after a backoff.
    ReconnectWithFreshState,
    /// Ask again, after a backoff, over the same connection if it is still there.
    Retry,
    /// Get a new token, then ask again.
    RenewToken,
    /// Subscribe again from the kept position.
    Resubscribe,
    /// Drop the subscription's token and position, then subscribe again.
    ResubscribeWithFreshState,
    /// The subscription is over; the connection goes on.
    EndSubscription,
    /// Tell the caller; nothing else changes.
    TellCaller,
    /// Do not come back without somebody's decision.
    Terminal,
}

impl Advice {
    /// Advice for the code of a close frame or of a disconnect push.
    ///
    /// 3500 to 3999, 4500 to 4999 and 1009 are terminal; after 3014 the client also drops its state; everything else
    /// means to connect again.
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

    /// Advice for the code of an unsubscribe push: 2500 and above mean to subscribe again.
    pub fn for_unsubscribe(code: u32) -> Self {
        if code == UnsubscribeCode::StateInvalidated.code() {
            Self::ResubscribeWithFreshState
        } else if code >= FIRST_RESUBSCRIBE {
            Self::Resubscribe
        } else {
            Self::EndSubscription
        }
    }

    /// Advice for an error in the answer to a connect command: what cannot pass is terminal.
    pub fn for_connect_error(error: &ReplyError) -> Self {
        passing(error).unwrap_or(Self::Terminal)
    }

    /// Advice for an error in the answer to a subscribe command.
    pub fn for_subscribe_error(error: &ReplyError) -> Self {
        if error.code == ErrorCode::UnrecoverablePosition.code() {
            return Self::ResubscribeWithFreshState;
        }
        passing(error).unwrap_or(Self::EndSubscription)
    }

    /// Advice for an error in the answer to any other command.
    pub fn for_call_error(error: &ReplyError) -> Self {
        passing(error).unwrap_or(Self::TellCaller)
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reconnect => "connect again",
            Self::ReconnectWithFreshState => "drop token and positions, connect again",
            Self::Retry => "ask again later",
            Self::RenewToken => "get a new token, ask again",
            Self::Resubscribe => "subscribe again",
            Self::ResubscribeWithFreshState => "drop token and position, subscribe again",
            Self::EndSubscription => "end the subscription",
            Self::TellCaller => "tell the caller",
            Self::Terminal => "do not come back",
        })
    }
}

/// The advice of errors that pass; the flag in the reply counts, so that applications can mark their own codes.
fn passing(error: &ReplyError) -> Option<Advice> {
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
    fn ranges_of_disconnect_codes_decide() {
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
    fn unsubscribe_codes_from_2500_mean_to_subscribe_again() {
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
    fn errors_on_connect_are_terminal_unless_they_pass() {
        for row in ErrorCode::ALL {
            let expected = match row.code() {
                100 | 111 | 113 => Advice::Retry,
                109 => Advice::RenewToken,
                _ => Advice::Terminal,
            };

            assert_eq!(Advice::for_connect_error(&row.reply()), expected, "{row}");
        }
        let own = ReplyError {
            code: 1,
            message: "timeout".to_owned(),
            temporary: false,
        };
        assert_eq!(Advice::for_connect_error(&own), Advice::Retry);
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
    fn errors_on_calls_go_to_the_caller() {
        assert_eq!(
            Advice::for_call_error(&ErrorCode::NotAvailable.reply()),
            Advice::TellCaller
        );
        let busy = ReplyError {
            code: 400,
            message: "busy".to_owned(),
            temporary: true,
        };
        assert_eq!(Advice::for_call_error(&busy), Advice::Retry);
    }
}
