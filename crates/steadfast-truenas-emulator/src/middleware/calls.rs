//! A call from its admission to its reply: permits, the login that it needs, its execution, and its end without a reply.

use std::time::Duration;

use serde_json::{Value, json};

use super::Middleware;
use super::methods::{self, Access};
use crate::connection::{Call, Connection};
use crate::errors::{CallError, Errno};
use crate::io::{ConnectionId, Output};
use crate::journal::{CallState, JournalEntry};
use crate::limits::{OPEN_MAX, RUNNING_MAX};
use crate::rate_limit;
use crate::request::Request;
use crate::storage::POOL;
use crate::version::ApiVersion;

/// How long a rejected API key takes with `auth.login_with_api_key`.
const REJECTION: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));

/// What happens later.
#[derive(Debug)]
pub(super) enum Due {
    /// A call has its effect and its reply.
    Execute(Call),
    /// The rate limit refuses a call, after a delay.
    Refuse(Call),
    /// A job continues.
    Job(u64),
    /// nginx cuts a connection without a byte from the server.
    IdleCheck(ConnectionId),
}

/// What a method returns.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The result is the reply.
    Done(Result<Value, CallError>),
    /// The reply comes at the end of a job.
    AtEndOfJob,
}

/// The key of a dataset that a client creates, `KEY` of `tank/KEY`: each execution is an effect, also one that finds the
/// dataset there.
fn effect(call: &Call) -> Option<String> {
    let name = call.params.first()?.get("name")?.as_str()?;
    let key = name.strip_prefix(POOL)?.strip_prefix('/')?;
    (call.method == "pool.dataset.create").then(|| key.to_owned())
}

impl Middleware {
    pub(super) fn run_due(&mut self) {
        while let Some(due) = self.schedule.take_due(self.now) {
            match due {
                Due::Execute(call) => match &mut self.held {
                    Some(held) => held.push(call),
                    None => self.execute(call),
                },
                Due::Refuse(call) => {
                    let error = CallError::failed(Errno::Busy, "Rate Limit Exceeded");
                    self.finish(&call, &Err(error));
                }
                Due::Job(id) => self.continue_job(id),
                Due::IdleCheck(id) => self.check_idle(id),
            }
        }
    }

    /// Gives a call a permit, lets it wait for one, or rejects it.
    pub(super) fn admit(&mut self, id: ConnectionId, request: Request) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let call = Call {
            connection: id,
            id: request.id,
            method: request.method,
            params: request.params,
            username: None,
            entry: None,
        };
        if methods::access(&call.method, connection.version).is_none() {
            self.reply(&call, &Err(CallError::MethodNotFound));
        } else if connection.open_calls() >= OPEN_MAX {
            self.reply(&call, &Err(CallError::TooManyCalls));
        } else if connection.running < RUNNING_MAX {
            self.run(call);
        } else {
            connection.waiting.push_back(call);
        }
    }

    /// A call has a permit: checks whether it may be executed, and when it is.
    fn run(&mut self, mut call: Call) {
        let Some(connection) = self.connections.get_mut(&call.connection) else {
            return;
        };
        connection.running += 1;
        call.username = connection.username().map(str::to_owned);
        let is_authenticated = call.username.is_some();
        match methods::access(&call.method, connection.version) {
            Some(Access::LimitedByRate) if !is_authenticated => {
                let address = connection.address;
                if !self.limiter.admits(&call.method, address, self.now) {
                    let (low, high) = rate_limit::DELAY;
                    let delay = self.random.between(low, high);
                    self.schedule.add(self.now + delay, Due::Refuse(call));
                    return;
                }
            }
            Some(Access::WithLogin) if !is_authenticated => {
                let error = CallError::failed(Errno::NotAuthenticated, "Not authenticated");
                self.finish(&call, &Err(error));
                return;
            }
            Some(Access::LimitedByRate | Access::WithLogin | Access::Free) | None => {}
        }
        let mut time = self.policy.call_time;
        if call.method == "auth.login_with_api_key" && self.key_owner(&call.params).is_none() {
            time = self.random.between(REJECTION.0, REJECTION.1);
        }
        self.schedule.add(self.now + time, Due::Execute(call));
    }

    fn execute(&mut self, mut call: Call) {
        let entry = self.record(&call, CallState::Executed);
        call.entry = Some(entry);
        if let Some(key) = effect(&call) {
            self.outputs.push_back(Output::LogEffect { key });
        }
        match self.outcome(&call) {
            Outcome::Done(result) => {
                if result.is_err() {
                    self.journal.set_failed(entry);
                }
                self.finish(&call, &result);
            }
            Outcome::AtEndOfJob => {}
        }
    }

    /// Returns the permit of a call, sends its reply, and lets the next call run.
    pub(super) fn finish(&mut self, call: &Call, result: &Result<Value, CallError>) {
        let id = call.connection;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.running = connection.running.saturating_sub(1);
        let next = connection.waiting.pop_front();
        if self.loses_reply(call) {
            self.cut(id);
            return;
        }
        self.reply(call, result);
        if let Some(next) = next {
            self.run(next);
        }
    }

    fn reply(&mut self, call: &Call, result: &Result<Value, CallError>) {
        let Some(id) = &call.id else {
            return;
        };
        let message = match result {
            Ok(result) => json!({"jsonrpc": "2.0", "result": result, "id": id}),
            Err(error) => {
                let error = error.to_json(self.policy.release);
                json!({"jsonrpc": "2.0", "error": error, "id": id})
            }
        };
        self.send(call.connection, &message);
        if let Some(entry) = call.entry {
            self.journal.reply_sent(entry);
        }
    }

    fn loses_reply(&mut self, call: &Call) -> bool {
        // A call that was not executed has no reply that could be lost.
        call.entry.is_some() && Self::take_one(&mut self.lost_replies, &call.method)
    }

    /// Ends the calls of a connection that has ended: since release 26 they are cancelled, before they were executed.
    pub(super) fn end_calls(&mut self, id: ConnectionId, connection: Connection) {
        let is_cancelled = self.policy.release >= ApiVersion::V26_0_0;
        let username = connection.username().map(str::to_owned);
        if !is_cancelled {
            // What needs a login and has none fails without an effect, and without a reply.
            for mut call in connection.waiting {
                call.username.clone_from(&username);
                if username.is_some() {
                    let at = self.now + self.policy.call_time;
                    self.schedule.add(at, Due::Execute(call));
                }
            }
            return;
        }
        let of_connection = self.schedule.take_where(|due| match due {
            Due::Execute(call) | Due::Refuse(call) => call.connection == id,
            Due::Job(_) | Due::IdleCheck(_) => false,
        });
        let mut cancelled = Vec::new();
        if let Some(held) = &mut self.held {
            cancelled.extend(held.extract_if(.., |call| call.connection == id));
        }
        for due in of_connection {
            if let Due::Execute(call) = due {
                cancelled.push(call);
            }
        }
        for call in cancelled {
            self.record(&call, CallState::Cancelled);
        }
    }

    fn record(&mut self, call: &Call, state: CallState) -> u64 {
        self.journal.add(JournalEntry {
            number: 0,
            start: self.start,
            connection: call.connection,
            method: call.method.clone(),
            params: call.params.clone(),
            at: self.wall(),
            state,
            reply_sent: false,
        })
    }
}
