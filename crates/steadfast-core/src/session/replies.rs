//! Replies to commands: each completes its publication, call or subscribe command, or the connect command.

use steadfast_machine::Instant;
use steadfast_protocol::codes::{Advice, ErrorCode, retry_in};
use steadfast_protocol::idempotent;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{ConnectResult, Position, ReplyError, ReplyResult};

use super::Session;
use super::verdicts::judge_connect_error;
use crate::event::DisconnectCause;
use crate::io::{Call, CallError, CallResult, DropReason, Output, PublishOutcome};

impl Session {
    pub(super) fn on_command_reply(
        &mut self,
        now: Instant,
        id: u32,
        outcome: Result<ReplyResult, ReplyError>,
    ) {
        if self.link.is_greeting() && id == self.connect_command {
            return match outcome {
                Ok(ReplyResult::Connect(result)) => self.connected(now, &result),
                Ok(_) => self.link.give_up_connection(
                    now,
                    DisconnectCause::Protocol("the reply to connect has another result".to_owned()),
                ),
                Err(error) => self.connect_rejected(now, error),
            };
        }
        self.link.reply_received(now, id);
        if self.outbox.has_command(id) {
            return self.on_publish_reply(now, id, outcome);
        }
        if let Some((id, call)) = self.calls.complete(id) {
            let outcome = outcome
                .map_err(CallError::Rejected)
                .and_then(|result| call_result(&call, result));
            return self.outputs.push_back(Output::CompleteCall { id, outcome });
        }
        let outcome = match outcome {
            Ok(ReplyResult::Subscribe(result)) => Ok(result),
            Err(error) => Err(error),
            // The reply to an unsubscribe command, or to a command that timed out.
            Ok(_) => return,
        };
        if let Some(effects) =
            self.subscriptions
                .on_subscribe_reply(now, id, outcome, self.link.backoff_mut())
        {
            self.apply_effects(effects);
        }
    }

    fn connected(&mut self, now: Instant, result: &ConnectResult) {
        self.is_pong_required = result.pong;
        self.link.greeted(now);
    }

    fn connect_rejected(&mut self, now: Instant, error: ReplyError) {
        let verdict = judge_connect_error(&error);
        let cause = DisconnectCause::ConnectRejected {
            code: error.code,
            message: error.message,
        };
        self.link.rejected(now, cause, verdict);
    }

    fn on_publish_reply(
        &mut self,
        now: Instant,
        command: u32,
        outcome: Result<ReplyResult, ReplyError>,
    ) {
        let ended = match outcome {
            Ok(result) => {
                let outcome = publish_outcome(result);
                self.outbox.acknowledge(command).map(|id| (id, outcome))
            }
            Err(error) if Advice::for_call_error(&error) == Advice::Retry => {
                let backoff = self.link.backoff_mut();
                let retry_after = retry_in(&error.message)
                    .map(|retry_after| backoff.cap_retry_after(retry_after));
                // After an internal error the publication may be stored; after any other rejection it is not.
                let may_be_stored = error.code == ErrorCode::Internal.code();
                let add_jitter = |pause| backoff.add_jitter(pause);
                self.outbox
                    .retry_later(now, command, retry_after, may_be_stored, add_jitter);
                None
            }
            Err(error) => {
                let rejected = PublishOutcome::Dropped(DropReason::Rejected(error));
                self.outbox.reject(command, rejected)
            }
        };
        let resolved = ended.map(|(id, outcome)| Output::CompletePublication { id, outcome });
        self.outputs.extend(resolved);
    }
}

/// The outcome of a publication whose reply is not an error.
fn publish_outcome(result: ReplyResult) -> PublishOutcome {
    let interrupted = PublishOutcome::Interrupted { maybe_stored: true };
    let ReplyResult::Rpc(data) = result else {
        return interrupted;
    };
    idempotent::decode_ack(&data, &Limits::REPLIES).map_or(interrupted, |ack| {
        PublishOutcome::Acknowledged {
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
        _ => Err(CallError::UnexpectedReply),
    }
}
