//! The loss of a connection: what it means, what follows from it, and how soon the next attempt comes.

use std::time::Duration;

use steadfast_machine::Instant;
use steadfast_protocol::codes::{Advice, CloseCode, DisconnectCode, retry_in};

use super::{Session, Stage};
use crate::backoff::Reason;
use crate::event::{Cause, Event};
use crate::io::{Loss, Output};

/// What a close frame without a code means (RFC 6455, section 7.4.1).
const NO_CODE: u16 = 1005;

impl Session {
    /// The peer is not to be reached, or cannot be understood: its transport goes at once.
    pub(super) fn give_up_peer(&mut self, now: Instant, cause: Cause) {
        if matches!(self.stage, Stage::Closing { .. }) {
            return self.end_at_once(now);
        }
        self.abandon_transport();
        self.connection_lost(now, cause, Reason::Drop);
    }

    /// The transport ended by itself, or by the peer.
    pub(super) fn lost(&mut self, now: Instant, loss: Loss) {
        if matches!(self.stage, Stage::Closing { .. }) {
            return self.end(now);
        }
        let (cause, advice, reason) = verdict(loss);
        match advice {
            Advice::Terminal => {
                self.note_loss(now, &cause);
                self.fail(now, cause);
            }
            Advice::ReconnectWithFreshState => {
                self.subscriptions.forget_positions();
                self.connection_lost(now, cause, reason);
            }
            Advice::Reconnect
            | Advice::Retry
            | Advice::RenewToken
            | Advice::Resubscribe
            | Advice::ResubscribeWithFreshState
            | Advice::EndSubscription
            | Advice::ReportToCaller => self.connection_lost(now, cause, reason),
        }
    }

    fn connection_lost(&mut self, now: Instant, cause: Cause, reason: Reason) {
        if !matches!(self.stage, Stage::Live { .. }) {
            let reason = match reason {
                Reason::Drop => Reason::Failure { hint: None },
                Reason::Failure { .. } => reason,
                Reason::Mass { .. } => {
                    self.backoff.failed();
                    reason
                }
            };
            return self.attempt_failed(now, cause, reason);
        }
        self.note_loss(now, &cause);
        let until = now + self.backoff.next(reason);
        self.wait(now, until, cause);
    }

    /// What follows from a loss whatever comes next.
    fn note_loss(&mut self, now: Instant, cause: &Cause) {
        let Stage::Live {
            since,
            liveness,
            is_ready,
            ..
        } = &self.stage
        else {
            return;
        };
        let lived = now.saturating_since(*since);
        let detection = now.saturating_since(liveness.heard_at());
        // A server that accepts and drops is not to be hammered: the end counts as a failure, and what the connection
        // was good for makes up for it.
        self.backoff.failed();
        if *is_ready {
            self.backoff.lived(lived);
        }
        self.away_since = Some(now);
        self.outgoing.clear();
        self.outbox.lost();
        self.subscriptions.lost();
        for (id, error) in self.requests.lost() {
            let outcome = Err(error);
            self.outputs.push_back(Output::Answer { id, outcome });
        }
        let epoch = self.snapshot.epoch;
        let cause = cause.clone();
        self.notify(Event::Lost {
            epoch,
            cause,
            detection,
        });
    }
}

/// What the end of a connection means: why, what to do, and how soon.
fn verdict(loss: Loss) -> (Cause, Advice, Reason) {
    match loss {
        Loss::Broken(text) => (Cause::Broken(text), Advice::Reconnect, Reason::Drop),
        Loss::Closed { code, reason } => {
            let code = code.unwrap_or(NO_CODE);
            let advice = Advice::for_disconnect(u32::from(code));
            let hint = retry_in(&reason);
            let pace = pace(code, hint);
            (Cause::Closed { code, reason }, advice, pace)
        }
    }
}

/// How soon after a close with this code.
fn pace(code: u16, hint: Option<Duration>) -> Reason {
    let is_one_of = |codes: &[u16]| codes.contains(&code);
    let going = [
        CloseCode::GoingAway.code(),
        1012,
        DisconnectCode::Shutdown.code(),
    ];
    let busy = [1013, DisconnectCode::TooManyRequests.code()];
    if is_one_of(&going) {
        Reason::Mass { hint }
    } else if is_one_of(&busy) || hint.is_some() {
        Reason::Failure { hint }
    } else {
        Reason::Drop
    }
}
