//! The codes of the protocol as advice to the session.

use steadfast_protocol::codes::{Advice, CloseCode, DisconnectCode, retry_in};
use steadfast_protocol::message::ReplyError;

use crate::io::{ConnectionLoss, NO_CODE};
use crate::retry_advice::{Action, Pace, RetryAdvice};

/// The close code of a server that restarts (IANA registry of WebSocket close codes).
const SERVICE_RESTART: u16 = 1012;
/// The close code of an overloaded server (IANA registry of WebSocket close codes).
const TRY_AGAIN_LATER: u16 = 1013;

/// What the end of a connection requires.
pub(super) fn for_loss(loss: &ConnectionLoss) -> RetryAdvice {
    match loss {
        ConnectionLoss::Failed { .. } | ConnectionLoss::MessageTooLarge(_) => RetryAdvice::RETRY,
        ConnectionLoss::CloseFrame { code, reason } => {
            let code = code.unwrap_or(NO_CODE);
            let action = if code == DisconnectCode::ConnectionExpired.code() {
                Action::RenewCredentials
            } else {
                action(Advice::for_disconnect(u32::from(code)))
            };
            RetryAdvice::RETRY
                .with(action)
                .at(pace(code))
                .after(retry_in(reason))
        }
    }
}

/// What the rejection of a connect command requires.
pub(super) fn for_connect_error(error: &ReplyError) -> RetryAdvice {
    advice(Advice::for_connect_error(error), error)
}

/// What the rejection of a subscribe command requires.
pub(super) fn for_subscribe_error(error: &ReplyError) -> RetryAdvice {
    advice(Advice::for_subscribe_error(error), error)
}

/// What the rejection of another command requires.
pub(super) fn for_request_error(error: &ReplyError) -> RetryAdvice {
    advice(Advice::for_call_error(error), error)
}

/// What the end of a subscription requires.
pub(super) fn for_unsubscribe(code: u32) -> RetryAdvice {
    RetryAdvice::RETRY.with(action(Advice::for_unsubscribe(code)))
}

fn advice(advice: Advice, error: &ReplyError) -> RetryAdvice {
    RetryAdvice::RETRY
        .with(action(advice))
        .after(retry_in(&error.message))
}

const fn action(advice: Advice) -> Action {
    match advice {
        Advice::Reconnect | Advice::Retry | Advice::Resubscribe => Action::Retry,
        Advice::RenewToken => Action::RenewCredentials,
        Advice::ReconnectWithFreshState | Advice::ResubscribeWithFreshState => {
            Action::DiscardPositions
        }
        Advice::EndSubscription | Advice::ReportToCaller | Advice::Terminal => Action::GiveUp,
    }
}

fn pace(code: u16) -> Pace {
    let going_away = [
        CloseCode::GoingAway.code(),
        SERVICE_RESTART,
        DisconnectCode::Shutdown.code(),
    ];
    let overloaded = [TRY_AGAIN_LATER, DisconnectCode::TooManyRequests.code()];
    if going_away.contains(&code) {
        Pace::GoingAway
    } else if overloaded.contains(&code) {
        Pace::Overloaded
    } else {
        Pace::Usual
    }
}
