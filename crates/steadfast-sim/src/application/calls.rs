//! Calls of an application: each has one answer, and that in time. What they tell of the past must be what is there.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_core::io::{Call, CallError, CallId, CallResult, Input};
use steadfast_machine::{Generator, Instant};

use crate::client::{Books, key_of};
use crate::reference::Promise;
use crate::settings::CALLS_MAX;

/// Publications that a call asks for.
const LIMIT: i32 = 5;

/// A call without an answer.
#[derive(Debug)]
struct Owed {
    channel: String,
    deadline: Instant,
}

/// The calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    made: u64,
    owed: BTreeMap<CallId, Owed>,
}

impl Calls {
    /// Asks for the newest publications of a channel.
    pub(super) fn call(&mut self, now: Instant, channel: &str, generator: &mut Generator) -> Input {
        self.made += 1;
        let id = CallId(self.made);
        let millis = Duration::from_millis;
        let deadline = now + generator.between(millis(200), millis(3_000));
        let channel = channel.to_owned();
        let owed = Owed {
            channel: channel.clone(),
            deadline,
        };
        self.owed.insert(id, owed);
        let call = Call::History {
            channel,
            limit: LIMIT,
            since: None,
            reverse: true,
        };
        Input::CallRequested { id, call, deadline }
    }

    /// A call is answered.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        id: CallId,
        outcome: &Result<CallResult, CallError>,
        is_closing: bool,
        books: &mut Books<'_>,
    ) {
        let Some(owed) = self.owed.remove(&id) else {
            let seen = format!("{id:?} was answered twice, now with {outcome:?}");
            return books
                .reference
                .break_promise(Promise::EveryCallEndsOnce, seen);
        };
        let is_in_time = now <= owed.deadline;
        let is_expected = match outcome {
            Ok(CallResult::History(history)) => {
                books.totals.calls_answered += 1;
                let epoch = &history.position.epoch;
                for publication in &history.publications {
                    let key = key_of(&publication.data);
                    books
                        .reference
                        .deliver(&owed.channel, epoch, publication.offset, key);
                }
                true
            }
            Err(CallError::TimedOut { .. }) => {
                books.totals.calls_failed += 1;
                now >= owed.deadline
            }
            Err(CallError::Closed) => {
                books.totals.calls_failed += 1;
                is_closing
            }
            Err(CallError::Busy) => {
                books.totals.calls_failed += 1;
                self.owed.len() >= CALLS_MAX
            }
            Err(CallError::Refused(error)) => error.temporary,
            // A question about the past can be asked again, so a loss does not end it.
            Err(CallError::Interrupted { .. } | CallError::TooLarge | CallError::Misfit)
            | Ok(CallResult::Rpc(_) | CallResult::Presence(_) | CallResult::PresenceStats(_)) => {
                false
            }
        };
        if !is_in_time || !is_expected {
            let seen = format!(
                "{id:?} was due at {:?}, now is {now:?}: {outcome:?}",
                owed.deadline
            );
            books
                .reference
                .break_promise(Promise::EveryCallEndsOnce, seen);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }
}
