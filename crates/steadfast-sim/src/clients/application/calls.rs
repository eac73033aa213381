//! Calls of an application: each has exactly one result, not later than its deadline. The history that a call returns
//! must be consistent with the reference model.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_core::io::{Call, CallError, CallId, CallResult, Input};
use steadfast_machine::{Generator, Instant};

use crate::recorder::{Recorder, key_in_payload};
use crate::reference_model::Invariant;
use crate::settings::CALLS_MAX;

/// The number of publications that a call requests.
const LIMIT: i32 = 5;

/// A call without a result.
#[derive(Debug)]
struct PendingCall {
    channel: String,
    deadline: Instant,
}

/// The calls of an application.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls_made: u64,
    pending: BTreeMap<CallId, PendingCall>,
}

impl Calls {
    /// Calls for the newest publications of a channel.
    pub(super) fn call(&mut self, now: Instant, channel: &str, generator: &mut Generator) -> Input {
        self.calls_made += 1;
        let id = CallId(self.calls_made);
        let millis = Duration::from_millis;
        let deadline = now + generator.between(millis(200), millis(3_000));
        let channel = channel.to_owned();
        let pending = PendingCall {
            channel: channel.clone(),
            deadline,
        };
        self.pending.insert(id, pending);
        let call = Call::History {
            channel,
            limit: LIMIT,
            since: None,
            reverse: true,
        };
        Input::CallRequested { id, call, deadline }
    }

    /// A call has a result.
    pub(super) fn complete_call(
        &mut self,
        now: Instant,
        id: CallId,
        outcome: &Result<CallResult, CallError>,
        is_closing: bool,
        recorder: &mut Recorder<'_>,
    ) {
        let Some(pending) = self.pending.remove(&id) else {
            let details = format!("{id:?} has a second result: {outcome:?}");
            return recorder
                .reference_model
                .report_violation(Invariant::OneResultPerCall, details);
        };
        let is_in_time = now <= pending.deadline;
        let is_expected = match outcome {
            Ok(CallResult::History(history)) => {
                recorder.totals.calls_completed += 1;
                let epoch = &history.position.epoch;
                for publication in &history.publications {
                    let key = key_in_payload(&publication.data);
                    recorder.reference_model.deliver(
                        &pending.channel,
                        epoch,
                        publication.offset,
                        key,
                    );
                }
                true
            }
            Err(CallError::TimedOut { .. }) => {
                recorder.totals.calls_failed += 1;
                now >= pending.deadline
            }
            Err(CallError::Closed) => {
                recorder.totals.calls_failed += 1;
                is_closing
            }
            Err(CallError::Busy) => {
                recorder.totals.calls_failed += 1;
                self.pending.len() >= CALLS_MAX
            }
            Err(CallError::Rejected(error)) => error.temporary,
            // A history call can be resent, so the loss of a connection does not complete it.
            Err(
                CallError::Interrupted { .. } | CallError::TooLarge | CallError::UnexpectedReply,
            )
            | Ok(CallResult::Rpc(_) | CallResult::Presence(_) | CallResult::PresenceStats(_)) => {
                false
            }
        };
        if !is_in_time || !is_expected {
            let details = format!(
                "{id:?} with deadline {:?} completed at {now:?}: {outcome:?}",
                pending.deadline
            );
            recorder
                .reference_model
                .report_violation(Invariant::OneResultPerCall, details);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}
