//! The bridge as a state machine: where inputs enter, and what all its parts share.
//!
//! `calls` decides which call is sent next and what became of it, `local` replies to what the server must not receive,
//! `subscriptions` shares the events of the server.

mod calls;
mod local;
mod subscriptions;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use bytes::Bytes;
use steadfast_machine::{Instant, Machine};

use self::calls::Flight;
use crate::io::{CallNumber, DisconnectReason, Input, Output, ProgramId, SessionState};
use crate::policy::Policy;
use crate::program::{Kind, PendingCall, Program, Stage};
use crate::topics::Topics;
use crate::{reply, request};

/// A bridge between local programs and the session to one server.
pub struct Bridge {
    policy: Policy,
    user: String,
    now: Instant,
    session: Session,
    programs: BTreeMap<ProgramId, Program>,
    totals: Totals,
    /// The calls that were handed to the session, and have not ended.
    flights: BTreeMap<CallNumber, Flight>,
    last_call: u64,
    /// The program whose call was sent last.
    last_served: ProgramId,
    topics: Topics,
    last_subscription: u64,
    ending: Ending,
    outputs: VecDeque<Output>,
}

/// What is known of the session to the server.
struct Session {
    state: SessionState,
    connection: u64,
    cause: Option<String>,
    reconnects: u64,
}

/// What has become of the programs so far.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    /// Programs that have ended their connections.
    ended: u64,
    /// Programs that were disconnected at a limit.
    disconnected: u64,
}

/// Whether the bridge ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    No,
    /// Calls in flight may end until then.
    Draining(Instant),
    Stopped,
}

impl Bridge {
    /// A bridge with a session that is not connected yet. `user` is the name with which the session logs in.
    pub fn new(policy: Policy, user: impl Into<String>, now: Instant) -> Self {
        Self {
            policy,
            user: user.into(),
            now,
            session: Session {
                state: SessionState::Connecting,
                connection: 0,
                cause: None,
                reconnects: 0,
            },
            programs: BTreeMap::new(),
            totals: Totals::default(),
            flights: BTreeMap::new(),
            last_call: 0,
            last_served: ProgramId(0),
            topics: Topics::default(),
            last_subscription: 0,
            ending: Ending::No,
            outputs: VecDeque::new(),
        }
    }

    fn on_opened(&mut self, program: ProgramId) {
        let refused = match self.ending {
            Ending::No if self.programs.len() < self.policy.programs_max => None,
            Ending::No => Some(DisconnectReason::TooManyPrograms),
            Ending::Draining(_) | Ending::Stopped => Some(DisconnectReason::Stopping),
        };
        match refused {
            None => {
                self.programs.insert(program, Program::default());
            }
            Some(reason) => {
                self.totals.disconnected += 1;
                let error = reply::not_sent(&reason.to_string());
                let text = reply::error(b"null", &error);
                self.outputs.push_back(Output::Send { program, text });
                self.outputs
                    .push_back(Output::Disconnect { program, reason });
            }
        }
    }

    fn on_received(&mut self, program: ProgramId, text: &Bytes) {
        let stage = self.programs.get(&program).map(|it| it.stage);
        if stage.is_none_or(|it| it == Stage::Closing) {
            return;
        }
        let request = match request::read(text) {
            Ok(request) => request,
            Err(invalid) => {
                let error = reply::outcome(invalid.code, invalid.message, "rejected", false);
                self.send(program, reply::error(&invalid.id, &error));
                return;
            }
        };
        let Some(request) = self.reply_locally(program, request) else {
            return;
        };
        if let Some(reason) = self.refusal() {
            self.reject(program, request.id.as_ref(), &reply::not_sent(&reason));
            return;
        }
        let call = PendingCall::new(request, self.now, &self.policy);
        self.queue(program, call);
    }

    /// Why no call can be sent any more.
    fn refusal(&self) -> Option<String> {
        match (self.ending, self.session.state) {
            (Ending::Draining(_) | Ending::Stopped, _) => Some("the bridge ends".to_owned()),
            (Ending::No, SessionState::Failed) => Some(format!(
                "no further attempt is made to connect to the server: {}",
                self.cause()
            )),
            (Ending::No, SessionState::Connected | SessionState::Connecting) => None,
        }
    }

    fn on_session(&mut self, state: SessionState, connection: u64, cause: Option<String>) {
        let is_new = connection > self.session.connection;
        if is_new && self.session.connection > 0 {
            self.session.reconnects += 1;
        }
        self.session.state = state;
        self.session.connection = connection;
        self.session.cause = cause.or_else(|| self.session.cause.take());
        if state == SessionState::Failed {
            self.stop();
        }
    }

    fn cause(&self) -> &str {
        self.session.cause.as_deref().unwrap_or("not connected yet")
    }

    /// Rejects what was not sent, and waits for what was.
    fn stop(&mut self) {
        if self.ending != Ending::No {
            return;
        }
        let reason = match self.session.state {
            SessionState::Failed => self.refusal(),
            SessionState::Connected | SessionState::Connecting => None,
        };
        let reason = reason.unwrap_or_else(|| "the bridge ends".to_owned());
        self.ending = Ending::Draining(self.now + self.policy.drain);
        self.reject_unsent(&reply::not_sent(&reason));
    }

    /// Ends all connections once nothing is in flight, or the time for it has passed.
    fn continue_ending(&mut self) {
        let Ending::Draining(until) = self.ending else {
            return;
        };
        if !self.flights.is_empty() && self.now < until {
            return;
        }
        self.interrupt_flights();
        self.ending = Ending::Stopped;
        let programs: Vec<ProgramId> = self.programs.keys().copied().collect();
        for program in programs {
            self.disconnect(program, DisconnectReason::Stopping);
        }
        self.outputs.push_back(Output::Stopped);
    }

    /// Sends an event or a response of the bridge itself to a program, or disconnects it if it does not read.
    fn send(&mut self, program: ProgramId, text: Bytes) {
        self.send_as(Kind::Other, program, text);
    }

    fn send_as(&mut self, kind: Kind, program: ProgramId, text: Bytes) {
        let receiver = self.programs.get_mut(&program);
        let Some(receiver) = receiver.filter(|it| it.stage != Stage::Closing) else {
            return;
        };
        if receiver.reserve(text.len(), kind, &self.policy) {
            self.outputs.push_back(Output::Send { program, text });
            self.limit_unread();
        } else {
            self.disconnect(program, DisconnectReason::SlowReader);
        }
    }

    /// Disconnects the program that has read the least, if all together have not read more than permitted.
    fn limit_unread(&mut self) {
        let unread = self.programs.values().map(Program::unread_bytes);
        let total = unread.fold(0, usize::saturating_add);
        if total <= self.policy.send_bytes_total_max {
            return;
        }
        let most = self
            .programs
            .iter()
            .max_by_key(|(_, program)| program.unread_bytes())
            .map(|(id, _)| *id);
        if let Some(program) = most {
            self.disconnect(program, DisconnectReason::TooMuchUnread);
        }
    }

    fn disconnect(&mut self, program: ProgramId, reason: DisconnectReason) {
        let is_at_a_limit = match reason {
            DisconnectReason::Finished => {
                self.begin_closing(program);
                return;
            }
            DisconnectReason::Stopping => false,
            DisconnectReason::SlowReader
            | DisconnectReason::TooMuchUnread
            | DisconnectReason::TooManyPrograms => true,
        };
        if self.remove(program) {
            self.totals.disconnected += u64::from(is_at_a_limit);
            self.outputs
                .push_back(Output::Disconnect { program, reason });
        }
    }

    /// A program that has its last reply counts until it has read it.
    fn begin_closing(&mut self, program: ProgramId) {
        let Some(closing) = self.programs.get_mut(&program) else {
            return;
        };
        closing.stage = Stage::Closing;
        let unused = self.topics.leave(program);
        self.unsubscribe(unused);
        let reason = DisconnectReason::Finished;
        self.outputs
            .push_back(Output::Disconnect { program, reason });
    }

    /// Forgets a program: its calls that were not sent are withdrawn, and its subscriptions end. What is in flight ends
    /// without a receiver.
    fn remove(&mut self, program: ProgramId) -> bool {
        let was_known = self.programs.remove(&program).is_some();
        if was_known {
            let unused = self.topics.leave(program);
            self.unsubscribe(unused);
        }
        was_known
    }

    /// Ends the connections of programs that send no more and wait for nothing.
    fn disconnect_done(&mut self) {
        let programs = self.programs.iter();
        let done: Vec<ProgramId> = programs
            .filter(|(_, program)| program.is_done())
            .map(|(id, _)| *id)
            .collect();
        for program in done {
            self.disconnect(program, DisconnectReason::Finished);
        }
    }

    /// Handles the deadlines that have passed.
    fn expire(&mut self) {
        self.expire_calls();
        self.expire_subscriptions();
    }
}

impl Machine for Bridge {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        if self.ending == Ending::Stopped {
            return;
        }
        match input {
            Input::Opened { program } => self.on_opened(program),
            Input::Received { program, text } => self.on_received(program, &text),
            Input::Written { program, messages } => {
                if let Some(program) = self.programs.get_mut(&program) {
                    program.on_written(messages);
                }
            }
            Input::Finished { program } => {
                let program = self.programs.get_mut(&program);
                if let Some(program) = program.filter(|it| it.stage == Stage::Open) {
                    program.stage = Stage::Finished;
                }
            }
            Input::Left { program } => {
                self.totals.ended += u64::from(self.remove(program));
            }
            Input::Session {
                state,
                connection,
                cause,
            } => self.on_session(state, connection, cause),
            Input::CallEnded { call, end } => self.on_call_ended(call, end),
            Input::Topic { topic, event } => self.on_topic(topic, event),
            Input::Notified { params } => self.on_notified(&params),
            Input::EventsDropped => self.on_events_dropped(),
            Input::StopRequested => self.stop(),
            Input::Ticked => {}
        }
        self.expire();
        self.dispatch();
        self.disconnect_done();
        self.continue_ending();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let ending = match self.ending {
            Ending::Draining(until) => Some(until),
            Ending::No => None,
            Ending::Stopped => return None,
        };
        let calls = self.programs.values().filter_map(Program::next_deadline);
        calls.chain(self.topics.next_deadline()).chain(ending).min()
    }
}

impl fmt::Debug for Bridge {
    /// Counts only: calls may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge")
            .field("session", &self.session.state)
            .field("programs", &self.programs.len())
            .field("in_flight", &self.flights.len())
            .field("topics", &self.topics.len())
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}
