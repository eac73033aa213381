//! The driver of a session: what the client library's shell does, in virtual time. It dials, moves messages between the
//! session and its connections, and lets each dial wait for its login as the shell does.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::jsonrpc::{Input, JsonRpc, Output, Session};
use steadfast_core::dialect::{Dialect as _, Oversized};
use steadfast_core::event::{
    ConnectionErrorKind, DialErrorKind, DialStage, SessionEvent, SessionState,
};
use steadfast_core::io::{Attempt, ConnectionLoss, DialFailure, Frame};
use steadfast_faults::link::{Direction, Lane, StreamEnd};
use steadfast_machine::{Instant, Machine as _, convert};
use steadfast_protocol::websocket::{self, Opcode};

use super::application::Application;
use super::counts::Count;
use super::event::{Context, SessionInput};
use super::invariant::Invariant;
use super::link_end::Received;
use super::methods::Method;
use super::network::Network;
use super::planted_bug::PlantedBug;
use super::settings::{self, RECEIVED_BYTES_MAX};
use super::transports::{Transport, Transports};
use crate::ids::ConnectionId;
use crate::words::at;

/// The most calls of one method in a login.
const LOGIN_CALLS: u32 = 2;

/// A session with its application and its transports.
#[derive(Debug)]
pub(super) struct Driver {
    index: usize,
    session: Session,
    application: Application,
    transports: Transports,
    tick_at: Option<Instant>,
    is_closed: bool,
}

impl Driver {
    pub(super) fn new(ctx: &mut Context, index: usize) -> Option<Self> {
        let (now, seed) = (ctx.now(), ctx.generator.split());
        let policy = ctx.settings.sessions.get(index)?.policy(ctx.planted_bug);
        let credentials = settings::credentials();
        Some(Self {
            index,
            session: Session::new(&policy, settings::dialect(), credentials, seed, now),
            application: Application::new(index),
            transports: Transports::default(),
            tick_at: None,
            is_closed: false,
        })
    }

    /// Handles what concerns the session, except the completion of a dial.
    pub(super) fn step(&mut self, ctx: &mut Context, network: &mut Network, event: SessionInput) {
        match event {
            SessionInput::Open => self.drive(ctx, network, Input::OpenRequested),
            SessionInput::Tick => {
                if self.tick_at.is_some_and(|at| at <= ctx.now()) {
                    self.tick_at = None;
                    self.drive(ctx, network, Input::Tick);
                }
            }
            SessionInput::DialPermitted { attempt } => self.dial_again(ctx, network, attempt),
            SessionInput::DialCompleted { .. } => {}
            SessionInput::Call => self.call(ctx, network),
            SessionInput::Withdraw { id } => {
                if let Some(input) = self.application.withdraw(ctx, id) {
                    self.drive(ctx, network, input);
                }
            }
            SessionInput::Migrate => {
                let input = Input::MigrateRequested { endpoint: None };
                self.drive(ctx, network, input);
            }
        }
    }

    /// The application makes a call, and plans the next one.
    fn call(&mut self, ctx: &mut Context, network: &mut Network) {
        if !ctx.may_inject_faults() {
            return;
        }
        let (id, input) = self.application.call_any(ctx);
        self.drive(ctx, network, input);
        if ctx.generator.chance(1, 24) {
            let at = ctx.now() + ctx.between_millis(0, 1_000);
            ctx.schedule_session(at, self.index, SessionInput::Withdraw { id });
        }
        self.plan_call(ctx);
    }

    pub(super) fn plan_call(&self, ctx: &mut Context) {
        let parameters = ctx.settings.sessions.get(self.index);
        let longest = parameters.map_or(Duration::ZERO, |it| it.call_interval_max);
        let at = ctx.now() + ctx.generator.between(Duration::ZERO, longest);
        ctx.schedule_session(at, self.index, SessionInput::Call);
    }

    /// Nothing is broken any more: the application makes one call of each class.
    pub(super) fn call_certain(&mut self, ctx: &mut Context, network: &mut Network) {
        for method in [Method::Create, Method::Update, Method::Query] {
            let (_, input) = self.application.call_certain(ctx, method);
            self.drive(ctx, network, input);
        }
    }

    /// The application closes the session with calls in flight.
    pub(super) fn close(&mut self, ctx: &mut Context, network: &mut Network) {
        for _ in 0..3 {
            let (_, input) = self.application.call_last(ctx);
            self.drive(ctx, network, input);
        }
        let drain = ctx.between_millis(0, 60);
        self.drive(ctx, network, Input::CloseRequested { drain });
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Returns its only connection, if the session is connected.
    pub(super) fn connection(&self) -> Option<ConnectionId> {
        let is_connected = self.session.snapshot().state == SessionState::Connected;
        let connection = self.transports.only_connection();
        connection.filter(|_| is_connected)
    }

    /// Describes the session, as text for the operator.
    pub(super) fn describe(&self) -> String {
        let (index, text) = (self.index, crate::words::session(self.session.snapshot()));
        format!("session {index}: {text}")
    }

    /// Feeds an input to the session and executes the outputs.
    fn drive(&mut self, ctx: &mut Context, network: &mut Network, input: Input) {
        self.session.handle(ctx.now(), input);
        let outputs: Vec<Output> = std::iter::from_fn(|| self.session.poll_output()).collect();
        for output in outputs {
            self.execute(ctx, network, output);
        }
        self.report_unsent(ctx, network);
        if let Some(next) = self.session.poll_timeout()
            && self.tick_at.is_none_or(|at| next < at)
        {
            self.tick_at = Some(next);
            ctx.schedule_session(next, self.index, SessionInput::Tick);
        }
    }

    fn execute(&mut self, ctx: &mut Context, network: &mut Network, output: Output) {
        match output {
            Output::Dial { attempt, .. } => self.dial(ctx, network, attempt),
            Output::Abort { attempt } => self.abort(ctx, network, attempt),
            Output::Transmit { attempt, frame } => {
                self.send(ctx, network, attempt, Opcode::Text, frame.payload());
            }
            Output::Probe { attempt } => self.send(ctx, network, attempt, Opcode::Ping, b""),
            Output::Close {
                attempt,
                code,
                reason,
            } => {
                let open = self.transports.open_mut(attempt);
                if let Some(close) = open.and_then(|it| it.end.endpoint.close(code, reason)) {
                    self.send_frame(ctx, network, attempt, close.opcode(), close.payload());
                }
            }
            Output::CompleteCall { id, outcome } => {
                if let Some(input) = self.application.complete(ctx, id, outcome) {
                    self.drive(ctx, network, input);
                }
            }
            Output::Notify(event) => self.on_event(ctx, event),
            // A run has one key for one server, no subscriptions and no notifications.
            Output::FetchCredentials { .. }
            | Output::Compute { .. }
            | Output::Redirect { .. }
            | Output::Deliver { .. }
            | Output::CompleteMessage { .. } => {}
        }
    }

    fn on_event(&mut self, ctx: &mut Context, event: SessionEvent) {
        match event {
            SessionEvent::Lost { .. } => ctx.counts.add(Count::ConnectionsLost),
            // A login over the open connection is not delayed, and counts.
            SessionEvent::LoginExpired { .. } => {
                let now = ctx.now();
                ctx.budget_of(self.index).charge(now, LOGIN_CALLS);
            }
            SessionEvent::Failed { cause } => {
                let details = format!("session {} has failed: {cause}", self.index);
                ctx.ledger.report(Invariant::SessionsReturn, details);
            }
            SessionEvent::Closed => self.is_closed = true,
            SessionEvent::Migrating { .. } => ctx.counts.add(Count::Migrations),
            SessionEvent::Attempting { .. }
            | SessionEvent::Waiting { .. }
            | SessionEvent::Connected { .. }
            | _ => {}
        }
    }
}

/// The transports: they are dialled, send, receive and end.
impl Driver {
    fn dial(&mut self, ctx: &mut Context, network: &mut Network, attempt: Attempt) {
        match take_login(ctx, self.index) {
            Ok(()) => self.start_dial(ctx, attempt),
            Err(at) => {
                ctx.counts.add(Count::DialsQueued);
                self.transports.set(attempt, Transport::Queued);
                ctx.schedule_session(at, self.index, SessionInput::DialPermitted { attempt });
                self.drive(ctx, network, Input::DialQueued { attempt });
            }
        }
    }

    fn dial_again(&mut self, ctx: &mut Context, network: &mut Network, attempt: Attempt) {
        if !matches!(self.transports.get(attempt), Some(Transport::Queued)) {
            return;
        }
        match take_login(ctx, self.index) {
            Ok(()) => {
                self.start_dial(ctx, attempt);
                self.drive(ctx, network, Input::DialStarted { attempt });
            }
            Err(at) => {
                ctx.schedule_session(at, self.index, SessionInput::DialPermitted { attempt });
            }
        }
    }

    /// Dials: it takes some time, and now and then has no response.
    fn start_dial(&mut self, ctx: &mut Context, attempt: Attempt) {
        self.transports.set(attempt, Transport::Dialling);
        if ctx.may_inject_faults() && ctx.generator.chance(1, 40) {
            ctx.counts.add(Count::DialsIgnored);
            ctx.record_fault();
            return;
        }
        let at = ctx.now() + ctx.between_millis(1, 30);
        ctx.schedule_session(at, self.index, SessionInput::DialCompleted { attempt });
    }

    /// Whether the result of this dial is still awaited.
    pub(super) fn awaits_dial(&self, attempt: Attempt) -> bool {
        matches!(self.transports.get(attempt), Some(Transport::Dialling))
    }

    /// The server has accepted the connection.
    pub(super) fn on_dialled(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        attempt: Attempt,
        connection: ConnectionId,
    ) {
        self.transports.open(attempt, connection);
        self.drive(ctx, network, Input::Dialled { attempt });
    }

    /// The server does not accept the connection.
    pub(super) fn on_refused(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        attempt: Attempt,
    ) {
        self.end_transport(ctx, attempt);
        let failure = DialFailure {
            stage: DialStage::Connect,
            kind: DialErrorKind::Refused,
            text: "connection refused".to_owned(),
            is_local: false,
            is_final: false,
            retry_after: None,
        };
        self.drive(ctx, network, Input::DialFailed { attempt, failure });
    }

    fn abort(&mut self, ctx: &mut Context, network: &mut Network, attempt: Attempt) {
        if let Some(connection) = self.end_transport(ctx, attempt) {
            network.close_client(ctx, connection, StreamEnd::Reset);
        }
    }

    /// Removes a transport, and returns its connection. A login that was not made costs nothing.
    fn end_transport(&mut self, ctx: &mut Context, attempt: Attempt) -> Option<ConnectionId> {
        match self.transports.remove(attempt)? {
            Transport::Queued => None,
            Transport::Dialling => {
                ctx.budget_of(self.index).refund(LOGIN_CALLS);
                None
            }
            Transport::Open(open) => Some(open.connection),
        }
    }

    /// Sends a message or a ping, unless the closing handshake has begun.
    fn send(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        attempt: Attempt,
        opcode: Opcode,
        payload: &[u8],
    ) {
        let open = self.transports.open_mut(attempt);
        if open.is_some_and(|it| it.end.endpoint.is_open()) {
            self.send_frame(ctx, network, attempt, opcode, payload);
        }
    }

    fn send_frame(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        attempt: Attempt,
        opcode: Opcode,
        payload: &[u8],
    ) {
        let Some(open) = self.transports.open_mut(attempt) else {
            return;
        };
        let [a, b, c, d, ..] = ctx.generator.next_u64().to_le_bytes();
        let mut frame = Vec::with_capacity(payload.len() + 14);
        websocket::Frame::unfragmented(opcode, payload).append_client(&mut frame, [a, b, c, d]);
        let lane = match opcode {
            Opcode::Ping | Opcode::Pong => Lane::Control,
            Opcode::Close | Opcode::Text | Opcode::Binary | Opcode::Continuation => Lane::Messages,
        };
        let (connection, direction) = (open.connection, Direction::ToServer);
        network.send(ctx, connection, direction, Bytes::from(frame), lane);
    }

    /// Reports the unsent bytes of each connection whose number has changed.
    fn report_unsent(&mut self, ctx: &mut Context, network: &mut Network) {
        let changed = self.transports.all_open().find_map(|(attempt, open)| {
            let unsent = network.unsent_bytes(open.connection, Direction::ToServer);
            let bytes = convert::to_u64(unsent);
            let known = std::mem::replace(&mut open.reported_unsent, bytes);
            (known != bytes).then_some(Input::SendBuffer { attempt, bytes })
        });
        if let Some(input) = changed {
            self.drive(ctx, network, input);
        }
    }

    /// The network has space for more of what the session sends.
    pub(super) fn on_written(&mut self, ctx: &mut Context, network: &mut Network) {
        self.report_unsent(ctx, network);
    }

    /// Bytes were received.
    pub(super) fn read(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        attempt: Attempt,
        bytes: &[u8],
    ) {
        let Some(open) = self.transports.open_mut(attempt) else {
            return;
        };
        let received = open.end.decode(bytes);
        let bytes = convert::to_u64(bytes.len());
        self.drive(ctx, network, Input::BytesReceived { attempt, bytes });
        for received in received {
            match received {
                Received::Message(message) => {
                    let input = message_input(ctx, attempt, message);
                    self.drive(ctx, network, input);
                }
                Received::Pong => self.drive(ctx, network, Input::PongReceived { attempt }),
                Received::Ping { reply } => {
                    self.send_frame(ctx, network, attempt, reply.opcode(), reply.payload());
                }
                // The end of the client is closed in the same event, so that a close frame in reply has no receiver.
                Received::Closed { code, reason, .. } => {
                    let loss = ConnectionLoss::CloseFrame { code, reason };
                    return self.lose(ctx, network, attempt, loss);
                }
                Received::Failed(text) => {
                    let kind = ConnectionErrorKind::Other;
                    let loss = ConnectionLoss::Failed { kind, text };
                    return self.lose(ctx, network, attempt, loss);
                }
            }
        }
    }

    /// The connection has ended, as the system of the client reports.
    pub(super) fn on_end(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        attempt: Attempt,
        end: StreamEnd,
    ) {
        let kind = match end {
            StreamEnd::Closed => ConnectionErrorKind::EndOfStream,
            StreamEnd::Reset => ConnectionErrorKind::Reset,
        };
        let text = format!("the connection ended at {}", at(ctx.now()));
        self.lose(ctx, network, attempt, ConnectionLoss::Failed { kind, text });
    }

    fn lose(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        attempt: Attempt,
        loss: ConnectionLoss,
    ) {
        if let Some(connection) = self.end_transport(ctx, attempt) {
            network.close_client(ctx, connection, StreamEnd::Closed);
            self.drive(ctx, network, Input::Lost { attempt, loss });
        }
    }
}

/// Takes what a login needs, or returns when there may be enough.
fn take_login(ctx: &mut Context, session: usize) -> Result<(), Instant> {
    if ctx.planted_bug == Some(PlantedBug::NoLoginBudget) {
        return Ok(());
    }
    let now = ctx.now();
    ctx.budget_of(session).take(now, LOGIN_CALLS)
}

/// A message as the shell reports it: one above the limit of the client is not kept.
fn message_input(ctx: &mut Context, attempt: Attempt, message: Bytes) -> Input {
    let begin = JsonRpc::EXCERPT.filter(|_| message.len() > RECEIVED_BYTES_MAX);
    match begin {
        None => Input::Received {
            attempt,
            frame: Frame::Text(message),
        },
        Some(begin) => {
            ctx.counts.add(Count::TooLongForClient);
            let mut excerpt = begin();
            excerpt.add(&message);
            let oversized = Oversized {
                bytes: convert::to_u64(message.len()),
                excerpt: excerpt.finish(),
            };
            Input::ReceivedOversized { attempt, oversized }
        }
    }
}
