//! Answers to commands: each goes to whoever asked, or opens the session.

use std::mem;

use steadfast_machine::Instant;
use steadfast_protocol::codes::{Advice, ErrorCode, retry_in};
use steadfast_protocol::idempotent;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{ConnectResult, Position, ReplyError, ReplyResult};

use super::{Session, Stage};
use crate::backoff::Reason;
use crate::event::{Cause, ConnectionEpoch, Event, State};
use crate::io::{Call, CallError, CallResult, Delivery, DropReason, Output};

impl Session {
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        id: u32,
        outcome: Result<ReplyResult, ReplyError>,
    ) {
        if let Stage::Greeting { command, .. } = self.stage
            && command == id
        {
            return match outcome {
                Ok(ReplyResult::Connect(result)) => self.connected(now, &result),
                Ok(_) => self.give_up_peer(now, Cause::Protocol("no connect result".to_owned())),
                Err(error) => self.connect_refused(now, error),
            };
        }
        if self.outbox.carries(id) {
            return self.publish_answered(now, id, outcome);
        }
        if let Some((call, asked)) = self.requests.settle(id) {
            let outcome = outcome
                .map_err(CallError::Refused)
                .and_then(|result| call_result(&asked, result));
            return self.outputs.push_back(Output::Answer { id: call, outcome });
        }
        let outcome = match outcome {
            Ok(ReplyResult::Subscribe(result)) => Ok(result),
            Err(error) => Err(error),
            // The answer to an unsubscribe command, or to something that nobody waits for any more.
            Ok(_) => return,
        };
        if let Some(consequence) = self
            .subscriptions
            .answered(now, id, outcome, &mut self.backoff)
        {
            self.follow(consequence);
        }
    }

    fn connected(&mut self, now: Instant, result: &ConnectResult) {
        let Stage::Greeting { liveness, .. } = mem::replace(&mut self.stage, Stage::Idle) else {
            return;
        };
        self.stage = Stage::Live {
            since: now,
            liveness,
            answers_pings: result.pong,
            is_ready: false,
        };
        let epoch = ConnectionEpoch(self.snapshot.epoch.0 + 1);
        let is_first = self.snapshot.epoch == ConnectionEpoch::default();
        let away = self.away_since.take();
        let downtime = away
            .filter(|_| !is_first)
            .map(|since| now.saturating_since(since));
        self.snapshot.epoch = epoch;
        self.snapshot.attempt = 0;
        self.snapshot.reconnects += u64::from(!is_first);
        self.failures = 0;
        let phase = self.resuming_phase();
        self.enter(now, State::Connected, phase);
        self.notify(Event::Connected { epoch, downtime });
    }

    fn connect_refused(&mut self, now: Instant, error: ReplyError) {
        self.abandon_transport();
        let hint = retry_in(&error.message);
        let passes = match Advice::for_connect_error(&error) {
            Advice::Retry => true,
            // There is no way yet to get another token: somebody has to decide.
            Advice::RenewToken => false,
            Advice::Reconnect | Advice::ReconnectWithFreshState => true,
            Advice::Resubscribe
            | Advice::ResubscribeWithFreshState
            | Advice::EndSubscription
            | Advice::ReportToCaller
            | Advice::Terminal => false,
        };
        let cause = Cause::Refused {
            code: error.code,
            message: error.message,
        };
        if passes {
            self.attempt_failed(now, cause, Reason::Failure { hint });
        } else {
            self.fail(now, cause);
        }
    }

    fn publish_answered(
        &mut self,
        now: Instant,
        command: u32,
        outcome: Result<ReplyResult, ReplyError>,
    ) {
        let ended = match outcome {
            Ok(result) => {
                let delivery = delivery(result);
                self.outbox.taken(command).map(|id| (id, delivery))
            }
            Err(error) if Advice::for_call_error(&error) == Advice::Retry => {
                let hint = retry_in(&error.message).map(|hint| self.backoff.bound(hint));
                // A server that failed cannot say how far it came; every other refusal comes before the work.
                let may_be_applied = error.code == ErrorCode::Internal.code();
                let backoff = &mut self.backoff;
                let stretch = |pause| backoff.stretch(pause);
                self.outbox
                    .postpone(now, command, hint, may_be_applied, stretch);
                None
            }
            Err(error) => {
                let refused = Delivery::Dropped(DropReason::Refused(error));
                self.outbox.refuse(command, refused)
            }
        };
        let resolved = ended.map(|(id, delivery)| Output::Resolve { id, delivery });
        self.outputs.extend(resolved);
    }
}

/// What a publication comes to whose answer is no error.
fn delivery(result: ReplyResult) -> Delivery {
    let interrupted = Delivery::Interrupted {
        maybe_delivered: true,
    };
    let ReplyResult::Rpc(data) = result else {
        return interrupted;
    };
    idempotent::decode_ack(&data, &Limits::REPLIES).map_or(interrupted, |ack| {
        Delivery::Acknowledged {
            position: Position {
                epoch: ack.epoch,
                offset: ack.offset,
            },
            duplicate: ack.duplicate,
        }
    })
}

fn call_result(call: &Call, result: ReplyResult) -> Result<CallResult, CallError> {
    match (call, result) {
        (Call::Rpc { .. }, ReplyResult::Rpc(data)) => Ok(CallResult::Rpc(data)),
        (Call::History { .. }, ReplyResult::History(it)) => Ok(CallResult::History(it)),
        (Call::Presence { .. }, ReplyResult::Presence(clients)) => {
            Ok(CallResult::Presence(clients.into_values().collect()))
        }
        (Call::PresenceStats { .. }, ReplyResult::PresenceStats(it)) => {
            Ok(CallResult::PresenceStats(it))
        }
        _ => Err(CallError::Misfit),
    }
}
