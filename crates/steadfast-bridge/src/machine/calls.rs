//! Calls that the server executes: whose is sent next, and what became of each.

use std::ops::Bound;
use std::time::Duration;

use steadfast_protocol::jsonrpc::ErrorObject;

use super::{Bridge, Ending};
use crate::io::{CallEnd, CallNumber, Output, ProgramId, SessionState};
use crate::program::{Kind, PendingCall, Program};
use crate::reply::{self, codes};
use crate::request::RawId;

/// A call that was handed to the session.
pub(super) struct Flight {
    program: ProgramId,
    call: PendingCall,
}

impl Bridge {
    pub(super) fn queue(&mut self, program: ProgramId, call: PendingCall) {
        let Some(owner) = self.programs.get_mut(&program) else {
            return;
        };
        if let Err(call) = owner.push(call, &self.policy) {
            let error = reply::too_many_calls(self.policy.queue_len_max);
            self.reject(program, call.id.as_ref(), &error);
        }
    }

    /// Sends calls while the server has capacity.
    pub(super) fn dispatch(&mut self) {
        let is_possible =
            self.ending == Ending::No && self.session.state == SessionState::Connected;
        while is_possible && self.flights.len() < self.policy.in_flight_max.max(1) {
            let Some(program) = self.next_program() else {
                return;
            };
            self.send_next(program);
        }
    }

    /// The program with the fewest calls in flight, and of several the next one in turn.
    fn next_program(&self) -> Option<ProgramId> {
        let last = self.last_served;
        let after = (Bound::Excluded(last), Bound::Unbounded);
        let others = self.programs.range(after);
        others
            .chain(self.programs.range(..=last))
            .filter(|(_, program)| program.is_ready(&self.policy))
            .min_by_key(|(_, program)| program.in_flight)
            .map(|(id, _)| *id)
    }

    fn send_next(&mut self, program: ProgramId) {
        let Some(owner) = self.programs.get_mut(&program) else {
            return;
        };
        let Some(call) = owner.pop() else {
            return;
        };
        owner.in_flight += 1;
        self.last_served = program;
        self.last_call += 1;
        let number = CallNumber(self.last_call);
        self.outputs.push_back(Output::Call {
            call: number,
            method: call.method.clone(),
            params: call.params.clone(),
            timeout: call.deadline.saturating_since(self.now),
        });
        self.flights.insert(number, Flight { program, call });
    }

    pub(super) fn on_call_ended(&mut self, number: CallNumber, end: CallEnd) {
        let Some(flight) = self.flights.remove(&number) else {
            return;
        };
        if let Some(owner) = self.programs.get_mut(&flight.program) {
            owner.in_flight = owner.in_flight.saturating_sub(1);
        }
        self.complete(&flight, end);
    }

    fn complete(&mut self, flight: &Flight, end: CallEnd) {
        let Some(id) = &flight.call.id else {
            return;
        };
        let error = match end {
            CallEnd::Result(result) => {
                let text = reply::result(id, &result);
                self.send_as(Kind::Response, flight.program, text);
                return;
            }
            CallEnd::Error(error) => error,
            CallEnd::NotSent(reason) => reply::not_sent(&reason),
            CallEnd::Interrupted { maybe_executed } => interrupted(maybe_executed),
            CallEnd::TimedOut { maybe_executed } => {
                let text = "The call was sent, and there was no reply in time";
                reply::outcome(codes::TIMED_OUT, text, "timed_out", maybe_executed)
            }
        };
        let text = reply::error(id, &error);
        self.send_as(Kind::Response, flight.program, text);
    }

    pub(super) fn expire_calls(&mut self) {
        let programs: Vec<ProgramId> = self.programs.keys().copied().collect();
        for program in programs {
            while let Some(owner) = self.programs.get_mut(&program)
                && let Some(call) = owner.pop_expired(self.now)
            {
                let error = reply::not_sent(&self.reason_of_the_wait(call.timeout));
                self.reject(program, call.id.as_ref(), &error);
            }
        }
    }

    fn reason_of_the_wait(&self, waited: Duration) -> String {
        let seconds = waited.as_secs_f64();
        match self.session.state {
            SessionState::Connected => {
                format!("it waited {seconds} s for its turn")
            }
            SessionState::Connecting | SessionState::Failed => format!(
                "no connection to the server for {seconds} s: {}",
                self.cause()
            ),
        }
    }

    /// Rejects all requests that were not sent.
    pub(super) fn reject_unsent(&mut self, error: &ErrorObject) {
        let programs: Vec<ProgramId> = self.programs.keys().copied().collect();
        for program in programs {
            while let Some(owner) = self.programs.get_mut(&program)
                && let Some(call) = owner.pop()
            {
                self.reject(program, call.id.as_ref(), error);
            }
        }
        for waiter in self.topics.take_waiters() {
            self.reject_waiter(&waiter, error);
        }
    }

    /// Calls that are still in flight when the bridge ends.
    pub(super) fn interrupt_flights(&mut self) {
        for flight in std::mem::take(&mut self.flights).into_values() {
            let maybe_executed = true;
            self.complete(&flight, CallEnd::Interrupted { maybe_executed });
        }
    }

    pub(super) fn reject(&mut self, program: ProgramId, id: Option<&RawId>, error: &ErrorObject) {
        if let Some(id) = id {
            self.send(program, reply::error(id, error));
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.programs.values().map(Program::queue_len).sum()
    }
}

fn interrupted(maybe_executed: bool) -> ErrorObject {
    let text = "The connection to the server was lost after the call was sent";
    reply::outcome(codes::INTERRUPTED, text, "interrupted", maybe_executed)
}
