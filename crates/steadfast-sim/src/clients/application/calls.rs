//! Calls of an application: each has exactly one result, not later than its deadline. The history that a call returns
//! must be consistent with the reference model.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_core::dialect::centrifuge::{Call, CallError, CallResult, Input, Response};
use steadfast_core::io::CallId;
use steadfast_machine::{Generator, Instant};

use crate::recorder::{Recorder, key_in_payload};
use crate::reference_model::Invariant;
use crate::settings::CALLS_MAX;
use crate::words;

/// The number of publications that a call requests.
const LIMIT: i32 = 5;

/// A call without a result.
#[derive(Debug)]
struct PendingCall {
    call: Call,
    called_at: Instant,
    deadline: Instant,
}

/// The calls of an application.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls_made: u64,
    pending: BTreeMap<CallId, PendingCall>,
}

impl Calls {
    /// Calls for the newest publications of a channel, or for its presence.
    pub(super) fn call(&mut self, now: Instant, channel: &str, generator: &mut Generator) -> Input {
        let millis = Duration::from_millis;
        let deadline = now + generator.between(millis(200), millis(3_000));
        let channel = channel.to_owned();
        // One presence query at a time: the gateway does not read from a client that waits for many.
        let mut pending = self.pending.values();
        let is_waiting = pending.any(|it| !matches!(it.call, Call::History { .. }));
        let call = match generator.below(4) {
            0 if !is_waiting => Call::Presence { channel },
            1 if !is_waiting => Call::PresenceStats { channel },
            _ => Call::History {
                channel,
                limit: LIMIT,
                since: None,
                reverse: true,
            },
        };
        self.request(now, call, deadline)
    }

    /// Calls for the presence of a channel, with time for a query that fails because an inbox was full.
    pub(super) fn query_presence(&mut self, now: Instant, channel: &str) -> Input {
        let channel = channel.to_owned();
        let deadline = now + Duration::from_secs(5);
        self.request(now, Call::Presence { channel }, deadline)
    }

    pub(super) fn called_at(&self, id: CallId) -> Option<Instant> {
        self.pending.get(&id).map(|pending| pending.called_at)
    }

    fn request(&mut self, now: Instant, call: Call, deadline: Instant) -> Input {
        self.calls_made += 1;
        let id = CallId(self.calls_made);
        let pending = PendingCall {
            call: call.clone(),
            called_at: now,
            deadline,
        };
        self.pending.insert(id, pending);
        Input::CallRequested { id, call, deadline }
    }

    /// A call has a result.
    pub(super) fn complete_call(
        &mut self,
        now: Instant,
        id: CallId,
        outcome: &CallResult,
        is_closing: bool,
        recorder: &mut Recorder<'_>,
    ) {
        let Some(pending) = self.pending.remove(&id) else {
            let details = format!("call {} has a second result: {}", id.0, result(outcome));
            return recorder
                .reference_model
                .report_violation(Invariant::OneResultPerCall, details);
        };
        let is_in_time = now <= pending.deadline;
        let is_expected = match outcome {
            Ok(Response::History(history)) => {
                let Call::History { channel, .. } = &pending.call else {
                    return report_unexpected(now, id, &pending, outcome, recorder);
                };
                recorder.totals.calls_completed += 1;
                let epoch = &history.position.epoch;
                for publication in &history.publications {
                    let key = key_in_payload(&publication.data);
                    recorder
                        .reference_model
                        .deliver(channel, epoch, publication.offset, key);
                }
                true
            }
            Ok(Response::Presence(_)) => matches!(pending.call, Call::Presence { .. }),
            Ok(Response::PresenceStats(_)) => matches!(pending.call, Call::PresenceStats { .. }),
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
            // These calls can be resent, so the loss of a connection does not complete it.
            Err(
                CallError::Interrupted { .. }
                | CallError::Unsendable(_)
                | CallError::UnexpectedReply
                | CallError::Failed(_)
                | _,
            )
            | Ok(Response::Rpc(_) | _) => false,
        };
        if !is_in_time || !is_expected {
            report_unexpected(now, id, &pending, outcome, recorder);
        }
    }

    /// The number of calls without a result.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

fn result(outcome: &CallResult) -> String {
    match outcome {
        Ok(_) => "a result".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn report_unexpected(
    now: Instant,
    id: CallId,
    pending: &PendingCall,
    outcome: &CallResult,
    recorder: &mut Recorder<'_>,
) {
    let details = format!(
        "call {} with the deadline {} completed at {}: {}",
        id.0,
        words::at(pending.deadline),
        words::at(now),
        result(outcome)
    );
    recorder
        .reference_model
        .report_violation(Invariant::OneResultPerCall, details);
}
