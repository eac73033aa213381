//! What the end of a connection requires, by its close code.

use steadfast_protocol::codes::{Advice, CloseCode, DisconnectCode, retry_in};
use steadfast_protocol::message::ReplyError;

use crate::io::ConnectionLoss;
use crate::verdict::{Action, Pace, Verdict};

/// The code that a close frame without a code counts as (RFC 6455, section 7.4.1).
const NO_CODE: u16 = 1005;

/// What this end of a connection requires.
pub(super) fn judge(loss: &ConnectionLoss) -> Verdict {
    match loss {
        ConnectionLoss::Failed(_) | ConnectionLoss::MessageTooLarge(_) => Verdict::RETRY,
        ConnectionLoss::CloseFrame { code, reason } => {
            let code = code.unwrap_or(NO_CODE);
            let retry_after = retry_in(reason);
            Verdict::RETRY
                .with(action(Advice::for_disconnect(u32::from(code))))
                .at(pace(code))
                .after(retry_after)
        }
    }
}

/// What the rejection of a connect command requires.
pub(super) fn judge_connect_error(error: &ReplyError) -> Verdict {
    let action = match Advice::for_connect_error(error) {
        Advice::Retry | Advice::Reconnect | Advice::ReconnectWithFreshState => Action::Retry,
        Advice::RenewToken => Action::RenewCredentials,
        Advice::Resubscribe
        | Advice::ResubscribeWithFreshState
        | Advice::EndSubscription
        | Advice::ReportToCaller
        | Advice::Terminal => Action::GiveUp,
    };
    let retry_after = retry_in(&error.message);
    Verdict::RETRY.with(action).after(retry_after)
}

const fn action(advice: Advice) -> Action {
    match advice {
        Advice::Terminal => Action::GiveUp,
        Advice::ReconnectWithFreshState => Action::DiscardPositions,
        Advice::RenewToken => Action::RenewCredentials,
        Advice::Reconnect
        | Advice::Retry
        | Advice::Resubscribe
        | Advice::ResubscribeWithFreshState
        | Advice::EndSubscription
        | Advice::ReportToCaller => Action::Retry,
    }
}

fn pace(code: u16) -> Pace {
    let is_one_of = |codes: &[u16]| codes.contains(&code);
    let going_away_codes = [
        CloseCode::GoingAway.code(),
        1012,
        DisconnectCode::Shutdown.code(),
    ];
    let busy_codes = [1013, DisconnectCode::TooManyRequests.code()];
    if is_one_of(&going_away_codes) {
        Pace::GoingAway
    } else if is_one_of(&busy_codes) {
        Pace::Overloaded
    } else {
        Pace::Usual
    }
}
