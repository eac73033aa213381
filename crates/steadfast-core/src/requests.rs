//! Calls on their way. What becomes of one whose connection ends depends on whether it may have been executed.
//!
//! Not sent yet: it waits for the next connection. Sent and idempotent: it is sent again. Sent and not idempotent: it
//! fails at once, with the truth about it, since waiting for an answer that cannot come helps nobody.

use std::collections::VecDeque;

use steadfast_machine::Instant;

use crate::io::{Call, CallError, CallId};

/// One call.
#[derive(Debug)]
struct Pending {
    id: CallId,
    call: Call,
    deadline: Instant,
    /// It reached a socket, on this connection or an earlier one.
    was_sent: bool,
    /// The command that carries it on the present connection.
    command: Option<u32>,
}

/// All calls that have no result yet.
#[derive(Debug)]
pub(crate) struct Requests {
    len_max: usize,
    /// Oldest first.
    pending: VecDeque<Pending>,
}

impl Requests {
    pub(crate) const fn new(len_max: usize) -> Self {
        Self {
            len_max,
            pending: VecDeque::new(),
        }
    }

    /// Takes a call in, unless too many wait.
    pub(crate) fn offer(&mut self, id: CallId, call: Call, deadline: Instant) -> Option<CallError> {
        if self.pending.len() >= self.len_max {
            return Some(CallError::Busy);
        }
        self.pending.push_back(Pending {
            id,
            call,
            deadline,
            was_sent: false,
            command: None,
        });
        None
    }

    /// The next call to be sent; it counts as sent with this command. One whose deadline has passed holds the others
    /// back until it is taken out, which is due at once.
    pub(crate) fn send_next(&mut self, now: Instant, command: u32) -> Option<&Call> {
        // What was sent stands before what was not: a new connection begins with the oldest.
        let place = self.pending.partition_point(|it| it.command.is_some());
        let next = self.pending.get_mut(place).filter(|it| now < it.deadline)?;
        next.command = Some(command);
        next.was_sent = true;
        Some(&next.call)
    }

    /// The call that this command carried is answered.
    pub(crate) fn settle(&mut self, command: u32) -> Option<(CallId, Call)> {
        let place = self
            .pending
            .iter()
            .position(|it| it.command == Some(command))?;
        let pending = self.pending.remove(place)?;
        Some((pending.id, pending.call))
    }

    /// The connection is gone: what may not be repeated fails.
    pub(crate) fn lost(&mut self) -> Vec<(CallId, CallError)> {
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

    /// Calls whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<(CallId, CallError)> {
        let mut failed = Vec::new();
        self.pending.retain(|it| {
            let is_over = now >= it.deadline;
            if is_over {
                let maybe_executed = it.was_sent && !it.call.is_idempotent();
                failed.push((it.id, CallError::TimedOut { maybe_executed }));
            }
            !is_over
        });
        failed
    }

    /// Everything that is left, because the session ends.
    pub(crate) fn abandon(&mut self) -> Vec<(CallId, CallError)> {
        let ended = |it: Pending| {
            let error = if it.was_sent && !it.call.is_idempotent() {
                CallError::Interrupted {
                    maybe_executed: true,
                }
            } else {
                CallError::Closed
            };
            (it.id, error)
        };
        self.pending.drain(..).map(ended).collect()
    }

    /// The earliest deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.pending.iter().map(|it| it.deadline).min()
    }
}
