//! Calls without a result. When the connection is lost, the effect depends on whether the call may have been executed.
//!
//! Not sent yet: it waits for the next connection. Sent and idempotent: it is sent again. Sent and not idempotent: it
//! fails immediately and reports that it may have been executed, because its reply can no longer arrive.

use std::collections::VecDeque;

use steadfast_machine::Instant;

use crate::dialect::Call;
use crate::io::{CallError, CallId};

/// A call and its state.
#[derive(Debug)]
struct PendingCall<C> {
    id: CallId,
    call: C,
    deadline: Instant,
    /// It was sent, on this connection or an earlier one.
    was_sent: bool,
    /// The command that it was sent with on this connection.
    command: Option<u32>,
}

/// All calls without a result.
#[derive(Debug)]
pub(crate) struct PendingCalls<C> {
    len_max: usize,
    /// The oldest call first.
    pending: VecDeque<PendingCall<C>>,
}

impl<C: Call> PendingCalls<C> {
    pub(crate) const fn new(len_max: usize) -> Self {
        Self {
            len_max,
            pending: VecDeque::new(),
        }
    }

    /// Adds a call, or returns an error if too many are pending.
    pub(crate) fn enqueue<R>(
        &mut self,
        id: CallId,
        call: C,
        deadline: Instant,
    ) -> Result<(), CallError<R>> {
        if self.pending.len() >= self.len_max {
            return Err(CallError::Busy);
        }
        self.pending.push_back(PendingCall {
            id,
            call,
            deadline,
            was_sent: false,
            command: None,
        });
        Ok(())
    }

    /// The next call to send; it then counts as sent with this command. A call whose deadline has passed holds back the
    /// later ones until it is removed, which is due immediately.
    pub(crate) fn send_next(&mut self, now: Instant, command: u32) -> Option<&C> {
        // Sent calls precede unsent ones: a connection sends the oldest first.
        let index = self.pending.partition_point(|it| it.command.is_some());
        let next = self.pending.get_mut(index).filter(|it| now < it.deadline)?;
        next.command = Some(command);
        next.was_sent = true;
        Some(&next.call)
    }

    /// Removes a call that the application no longer waits for: an unsent call is not executed, and the reply of a sent
    /// one is ignored.
    pub(crate) fn withdraw(&mut self, id: CallId) {
        self.pending.retain(|it| it.id != id);
    }

    /// The call of this command.
    pub(crate) fn get(&self, command: u32) -> Option<&C> {
        let mut pending = self.pending.iter();
        let found = pending.find(|it| it.command == Some(command))?;
        Some(&found.call)
    }

    /// Removes the call of this command, which has its reply.
    pub(crate) fn complete(&mut self, command: u32) -> Option<CallId> {
        let index = self
            .pending
            .iter()
            .position(|it| it.command == Some(command))?;
        let pending = self.pending.remove(index)?;
        Some(pending.id)
    }

    /// The connection is lost: sent calls that are not idempotent fail.
    pub(crate) fn on_connection_lost<R>(&mut self) -> Vec<(CallId, CallError<R>)> {
        let mut failed = Vec::new();
        self.pending.retain_mut(|it| {
            let is_lost = it.command.take().is_some() && !it.call.is_idempotent();
            if is_lost {
                let maybe_executed = true;
                failed.push((it.id, CallError::Interrupted { maybe_executed }));
            }
            !is_lost
        });
        failed
    }

    /// Removes the calls whose deadline has passed.
    pub(crate) fn expire<R>(&mut self, now: Instant) -> Vec<(CallId, CallError<R>)> {
        let mut failed = Vec::new();
        self.pending.retain(|it| {
            let is_expired = now >= it.deadline;
            if is_expired {
                let maybe_executed = it.was_sent && !it.call.is_idempotent();
                failed.push((it.id, CallError::TimedOut { maybe_executed }));
            }
            !is_expired
        });
        failed
    }

    /// Removes all calls, because the session ends or has failed.
    pub(crate) fn close<R: Clone>(&mut self, reason: &CallError<R>) -> Vec<(CallId, CallError<R>)> {
        let ended = |it: PendingCall<C>| {
            let error = if it.was_sent && !it.call.is_idempotent() {
                CallError::Interrupted {
                    maybe_executed: true,
                }
            } else {
                reason.clone()
            };
            (it.id, error)
        };
        self.pending.drain(..).map(ended).collect()
    }

    /// Whether a call was sent on this connection and has no result.
    pub(crate) fn has_in_flight(&self) -> bool {
        // Sent calls precede unsent ones.
        self.pending.front().is_some_and(|it| it.command.is_some())
    }

    /// The earliest deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.pending.iter().map(|it| it.deadline).min()
    }
}
