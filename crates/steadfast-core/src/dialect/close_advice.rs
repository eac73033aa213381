//! What the end of a connection requires, by close code (RFC 6455, section 7.4, and its IANA registry).
//!
//! No code ends the session by default: servers use the codes of violations, mostly 1008, also for rate limits and slow
//! consumers, and an application that is not attended must reconnect. After those the next attempt follows as after a
//! failed attempt, so that a violation that repeats itself does not repeat quickly; they do not hold the endpoint down,
//! since the client would do the same at another one. Only 1013 does, with which a server says that it is overloaded. An
//! application that knows its server can require otherwise.

use std::collections::BTreeMap;

use crate::io::{ConnectionLoss, NO_CODE};
use crate::retry_advice::{Pace, RetryAdvice};

/// The server shuts down, or the browser leaves the page.
const GOING_AWAY: u16 = 1001;
/// The server restarts.
const SERVICE_RESTART: u16 = 1012;
/// The client violated the protocol.
const PROTOCOL_ERROR: u16 = 1002;
/// The server does not accept this type of data.
const UNSUPPORTED_DATA: u16 = 1003;
/// A message does not match its type.
const INVALID_PAYLOAD: u16 = 1007;
/// A message violates a policy of the server.
const POLICY_VIOLATION: u16 = 1008;
/// A message is too large for the server. It is not sent again.
const MESSAGE_TOO_BIG: u16 = 1009;
/// An extension is missing.
const MANDATORY_EXTENSION: u16 = 1010;
/// The server is overloaded.
const TRY_AGAIN_LATER: u16 = 1013;

/// What the end of a connection requires; the advice of the application comes first.
pub(super) fn for_loss(
    loss: &ConnectionLoss,
    of_codes: &BTreeMap<u16, RetryAdvice>,
) -> RetryAdvice {
    match loss {
        ConnectionLoss::Failed { .. } => RetryAdvice::RETRY,
        // The server may send it again soon.
        ConnectionLoss::MessageTooLarge(_) => RetryAdvice::RETRY.at(Pace::Slowed),
        ConnectionLoss::CloseFrame { code, .. } => {
            let code = code.unwrap_or(NO_CODE);
            let advice = of_codes.get(&code).copied();
            advice.unwrap_or_else(|| RetryAdvice::RETRY.at(pace(code)))
        }
    }
}

/// Whether this code is about a message of the client: it would be rejected again.
#[cfg(feature = "jsonrpc")]
pub(super) const fn is_about_a_message(code: u16) -> bool {
    matches!(code, UNSUPPORTED_DATA | INVALID_PAYLOAD | MESSAGE_TOO_BIG)
}

const fn pace(code: u16) -> Pace {
    match code {
        GOING_AWAY | SERVICE_RESTART => Pace::GoingAway,
        PROTOCOL_ERROR | UNSUPPORTED_DATA | INVALID_PAYLOAD | POLICY_VIOLATION
        | MESSAGE_TOO_BIG | MANDATORY_EXTENSION => Pace::Slowed,
        TRY_AGAIN_LATER => Pace::Overloaded,
        // Also 1000: a connection that the application has not closed is meant to last.
        _ => Pace::Usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: Option<u16>) -> ConnectionLoss {
        let reason = String::new();
        ConnectionLoss::CloseFrame { code, reason }
    }

    #[test]
    fn codes_of_a_shutdown_spread_attempts_and_codes_of_violations_slow_them_down() {
        let none = BTreeMap::new();
        let pace = |code| for_loss(&closed(Some(code)), &none).pace;

        for code in [1000, 1005, 1006, 1011, 1014, 3000, 4000] {
            assert_eq!(pace(code), Pace::Usual, "{code}");
        }
        for code in [1001, 1012] {
            assert_eq!(pace(code), Pace::GoingAway, "{code}");
        }
        for code in [1002, 1003, 1007, 1008, 1009, 1010] {
            assert_eq!(pace(code), Pace::Slowed, "{code}");
        }
        assert_eq!(pace(1013), Pace::Overloaded);
        let too_large = ConnectionLoss::MessageTooLarge(String::new());
        assert_eq!(for_loss(&too_large, &none).pace, Pace::Slowed);
    }

    #[test]
    fn the_advice_of_the_application_comes_first_also_for_a_close_frame_without_a_code() {
        let give_up = BTreeMap::from([(NO_CODE, RetryAdvice::GIVE_UP), (1012, RetryAdvice::RETRY)]);

        assert_eq!(for_loss(&closed(None), &give_up), RetryAdvice::GIVE_UP);
        assert_eq!(for_loss(&closed(Some(1012)), &give_up), RetryAdvice::RETRY);
    }
}
