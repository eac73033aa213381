//! The state machine of the emulated middleware: connections, and everything that one process of it keeps in memory.
//!
//! `calls` admits and executes calls, `login`, `scram_login` and `core_methods` have the methods, `job_runs` the progress of jobs,
//! `events` the subscriptions, and `controls` what tests request.

mod calls;
mod controls;
mod core_methods;
mod events;
mod job_runs;
mod login;
mod methods;
mod scram_login;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use serde_json::{Value, json};
use steadfast_machine::{Generator, Instant, Machine, Timestamp};

use self::calls::Due;
use crate::connection::{Call, Connection};
use crate::errors;
use crate::io::{ConnectionId, Input, Output};
use crate::jobs::Jobs;
use crate::journal::Journal;
use crate::policy::Policy;
use crate::rate_limit::RateLimiter;
use crate::request::{self, Unusable};
use crate::schedule::Schedule;
use crate::scram::Keys;
use crate::storage::Storage;
use crate::tokens::{self, Tokens};
use crate::version::ApiVersion;

/// The close code for a binary message.
const UNSUPPORTED_DATA: u16 = 1003;
/// The close code for an address that may not connect.
const POLICY_VIOLATION: u16 = 1008;

/// The emulated middleware.
#[derive(Debug)]
pub struct Middleware {
    policy: Policy,
    now: Instant,
    random: Generator,
    connections: BTreeMap<ConnectionId, Connection>,
    schedule: Schedule<Due>,
    limiter: RateLimiter,
    tokens: Tokens,
    /// What is kept of the API key of a user who has logged in with SCRAM.
    scram_keys: BTreeMap<String, Keys>,
    jobs: Jobs,
    storage: Storage,
    journal: Journal,
    /// URLs of the other controller while this one is the standby; empty otherwise.
    redirect: Vec<String>,
    /// The number of this start, from 1.
    start: u64,
    /// The calls that are due while a test holds all calls.
    held: Option<Vec<Call>>,
    /// How many replies of a method are to be lost.
    lost_replies: BTreeMap<String, u32>,
    /// How many jobs of a method are to fail.
    failing_jobs: BTreeMap<String, u32>,
    outputs: VecDeque<Output>,
}

impl Machine for Middleware {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        self.run_due();
        match input {
            Input::Opened {
                connection,
                address,
                version,
            } => self.opened(connection, address, version),
            Input::ReceivedText { connection, text } => self.received(connection, &text),
            Input::ReceivedBinary { connection } => {
                let reason = "Invalid websocket message type: <WSMsgType.BINARY: 2>";
                self.close(connection, UNSUPPORTED_DATA, reason);
            }
            Input::PongSent { connection } => {
                if let Some(connection) = self.connections.get_mut(&connection) {
                    connection.last_sent = now;
                }
            }
            Input::Closed { connection } => self.forget(connection),
            Input::Controlled(control) => self.control(control),
            Input::Ticked => {}
        }
        self.run_due();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.schedule.deadline()
    }
}

impl Middleware {
    /// Starts a middleware with this policy.
    pub fn new(policy: Policy, now: Instant) -> Self {
        Self {
            random: policy.seed.generator(),
            redirect: policy.redirect.clone(),
            policy,
            now,
            connections: BTreeMap::new(),
            schedule: Schedule::new(),
            limiter: RateLimiter::new(now),
            tokens: Tokens::default(),
            scram_keys: BTreeMap::new(),
            jobs: Jobs::default(),
            storage: Storage::new(),
            journal: Journal::default(),
            start: 1,
            held: None,
            lost_replies: BTreeMap::new(),
            failing_jobs: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Returns the journal of executed calls.
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Returns the policy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    fn opened(&mut self, id: ConnectionId, address: IpAddr, version: ApiVersion) {
        let connection = Connection::new(address, version, self.now);
        self.connections.insert(id, connection);
        // The upgrade is complete before the address is checked.
        let allowed = self.policy.allowed_addresses.as_ref();
        if allowed.is_some_and(|allowed| !allowed.contains(&address)) {
            self.close(
                id,
                POLICY_VIOLATION,
                "You are not allowed to access this resource",
            );
            return;
        }
        if let Some(after) = self.policy.idle_cut {
            self.schedule.add(self.now + after, Due::IdleCheck(id));
        }
    }

    fn received(&mut self, id: ConnectionId, text: &str) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let (now, policy) = (self.now, &self.policy);
        // Only a message of the client ends an expired session. Its subscriptions stay.
        connection.session.take_if(|session| {
            let idle_max = policy.session_idle_max;
            let is_idle = idle_max.is_some_and(|max| now - session.active_at >= max);
            session.is_expired || is_idle || now - session.since >= policy.session_age_max
        });
        if let Some(session) = &mut connection.session {
            session.active_at = now;
        }
        match request::read(connection.session.is_some(), text) {
            Ok(request) => self.admit(id, request),
            Err(Unusable::TooLong(too_long)) => self.close(id, too_long.code, too_long.reason),
            Err(Unusable::Error { code, text }) => {
                let error = errors::error(code, &text);
                self.send(id, &json!({"jsonrpc": "2.0", "error": error, "id": null}));
            }
        }
    }

    fn send(&mut self, id: ConnectionId, message: &Value) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.last_sent = self.now;
            let text = message.to_string();
            self.outputs.push_back(Output::Send {
                connection: id,
                text,
            });
        }
    }

    fn close(&mut self, id: ConnectionId, code: u16, reason: &str) {
        if self.connections.contains_key(&id) {
            self.outputs.push_back(Output::Close {
                connection: id,
                code,
                reason: reason.to_owned(),
            });
            self.forget(id);
        }
    }

    fn cut(&mut self, id: ConnectionId) {
        if self.connections.contains_key(&id) {
            self.outputs.push_back(Output::Cut { connection: id });
            self.forget(id);
        }
    }

    /// Ends what belongs to a connection.
    fn forget(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.remove(&id) {
            self.end_calls(id, connection);
            self.jobs.forget_callers(id);
        }
    }

    fn check_idle(&mut self, id: ConnectionId) {
        let Some((connection, after)) = self.connections.get(&id).zip(self.policy.idle_cut) else {
            return;
        };
        let cut_at = connection.last_sent + after;
        if cut_at <= self.now {
            self.cut(id);
        } else {
            self.schedule.add(cut_at, Due::IdleCheck(id));
        }
    }

    /// Uses up one of the requests of tests that concern this method.
    fn take_one(counts: &mut BTreeMap<String, u32>, method: &str) -> bool {
        let Some(count) = counts.get_mut(method) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            counts.remove(method);
        }
        true
    }

    fn wall(&self) -> Timestamp {
        self.policy.started_at + (self.now - Instant::START)
    }

    /// A random text of letters and digits.
    fn random_text(&mut self, len: usize) -> String {
        tokens::random_text(&mut self.random, len)
    }

    /// A random identity in the form of a version 4 UUID.
    fn uuid(&mut self) -> String {
        let (high, low) = (self.random.next_u64(), self.random.next_u64());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xFFFF,
            high & 0x0FFF,
            (low >> 48) & 0x3FFF | 0x8000,
            low & 0xFFFF_FFFF_FFFF,
        )
    }
}
