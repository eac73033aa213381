//! The driver of a session: what the client library's shell does, in virtual time. It feeds inputs to the session and
//! executes the outputs.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::Session;
use steadfast_core::event::{SessionEvent, SessionPhase, SessionState};
use steadfast_core::io::{Attempt, ConnectionLoss, DialFailure, Input, Output};
use steadfast_faults::link::{Direction, StreamEnd};
use steadfast_machine::{Instant, Machine, convert};
use steadfast_protocol::websocket::{
    ControlFrame, Decoder, EndpointEvent, Opcode, Role, WebSocketEndpoint, WebSocketLimits,
};

use super::application::Application;
use super::session_checks;
use super::uplink;
use crate::context::Context;
use crate::event::clients::DriverEvent;
use crate::ids::ConnectionId;
use crate::network::Network;
use crate::planted_bug::session_messages::{SessionBugState, alter_message};

/// A session with its application and its one transport.
#[derive(Debug)]
pub(crate) struct Driver {
    index: usize,
    pub(crate) session: Session,
    pub(crate) application: Application,
    transport: Transport,
    /// The connection of the last open transport.
    last_connection: Option<ConnectionId>,
    /// The time of the scheduled tick.
    tick_at: Option<Instant>,
    is_read_scheduled: bool,
    bug_state: SessionBugState,
    /// The times of the dials within the last second.
    dials: VecDeque<Instant>,
}

/// The transport of a session.
#[derive(Debug)]
enum Transport {
    None,
    Dialing(Attempt),
    Open {
        attempt: Attempt,
        connection: ConnectionId,
        decoder: Box<Decoder>,
        endpoint: WebSocketEndpoint,
        /// The size of the send buffer that was last reported to the session.
        reported_send_buffer: u64,
    },
}

/// What the bytes of one read require.
#[derive(Debug)]
enum Received {
    Message(Bytes),
    Ping { reply: ControlFrame },
    Lost(ConnectionLoss),
}

impl Driver {
    pub(crate) fn new(ctx: &mut Context, index: usize) -> Option<Self> {
        let (now, seed) = (ctx.now(), ctx.generator.split());
        let parameters = ctx.settings.sessions.get(index)?;
        let policy = parameters.policy(ctx.planted_bug);
        let (channels, padding) = (&ctx.settings.channels, ctx.settings.padding);
        Some(Self {
            index,
            session: Session::new(policy, seed, now),
            application: Application::new(index, channels, padding, parameters),
            transport: Transport::None,
            last_connection: None,
            tick_at: None,
            is_read_scheduled: false,
            bug_state: SessionBugState::default(),
            dials: VecDeque::new(),
        })
    }

    /// Requests the application's subscriptions, and opens the session.
    pub(crate) fn open(&mut self, ctx: &mut Context, network: &mut Network) {
        for (id, options) in self.application.subscribe_options() {
            self.drive(ctx, network, Input::SubscribeRequested { id, options });
        }
        self.drive(ctx, network, Input::OpenRequested);
    }

    /// Feeds an input to the session and executes the outputs.
    pub(crate) fn drive(&mut self, ctx: &mut Context, network: &mut Network, input: Input) {
        self.session.handle(ctx.now(), input);
        let outputs: Vec<Output> = std::iter::from_fn(|| self.session.poll_output()).collect();
        for output in outputs {
            self.execute(ctx, network, output);
        }
        session_checks::check_queue_bounds(ctx, self.index, self.session.snapshot());
        self.schedule_tick(ctx);
    }

    fn execute(&mut self, ctx: &mut Context, network: &mut Network, output: Output) {
        let now = ctx.now();
        match output {
            Output::Dial { attempt, .. } => self.dial(ctx, attempt),
            Output::Abort { attempt } => self.abort(ctx, network, attempt),
            Output::Transmit { attempt, message } => {
                self.transmit(ctx, network, attempt, message);
            }
            Output::Probe { attempt } => {
                self.send_if_open(ctx, network, attempt, Opcode::Ping, b"");
            }
            Output::Close {
                attempt,
                code,
                reason,
            } => {
                let endpoint = self.endpoint_of(attempt);
                if let Some(close) = endpoint.and_then(|endpoint| endpoint.close(code, reason)) {
                    self.send_frame(ctx, network, attempt, close.opcode(), close.payload());
                }
            }
            Output::Deliver { id, event } => {
                self.application
                    .handle_event(id, event, &mut ctx.recorder());
                self.schedule_read(ctx);
            }
            Output::CompletePublication { id, outcome } => {
                self.application
                    .complete_publication(now, id, &outcome, &mut ctx.recorder());
            }
            Output::Notify(event) => self.on_session_event(ctx, network, event),
            Output::CompleteCall { id, outcome } => {
                self.application
                    .complete_call(now, id, &outcome, &mut ctx.recorder());
            }
        }
    }

    /// Handles an event that the session reports about its connection.
    fn on_session_event(&mut self, ctx: &mut Context, network: &Network, event: SessionEvent) {
        match event {
            SessionEvent::Connected { downtime, .. } => {
                ctx.totals.reconnects += u64::from(downtime.is_some());
            }
            SessionEvent::Lost {
                cause, detection, ..
            } => {
                let is_faulted = self.has_faulted_connection(network);
                session_checks::check_loss(ctx, self.index, &cause, detection, is_faulted);
            }
            SessionEvent::Failed { cause } => session_checks::on_failed(ctx, self.index, &cause),
            SessionEvent::Attempting { .. }
            | SessionEvent::Waiting { .. }
            | SessionEvent::Ready { .. } => {}
            SessionEvent::Closed => self.on_closed(ctx),
        }
    }

    /// The session has ended; after a delay the application reopens it.
    fn on_closed(&mut self, ctx: &mut Context) {
        ctx.totals.closes += 1;
        self.application.closed(&mut ctx.recorder());
        let delay = ctx.between(Duration::ZERO, Duration::from_millis(500));
        ctx.schedule_session(ctx.now() + delay, self.index, DriverEvent::Open);
    }

    /// Whether a fault was injected into the current or last connection.
    fn has_faulted_connection(&self, network: &Network) -> bool {
        self.last_connection
            .is_some_and(|connection| network.is_faulted(connection))
    }

    /// Schedules a read of the application, unless one is scheduled.
    pub(crate) fn schedule_read(&mut self, ctx: &mut Context) {
        let parameters = ctx.settings.sessions.get(self.index);
        let longest = parameters.map_or(Duration::ZERO, |it| it.read_interval_max);
        let delay = ctx.between(Duration::ZERO, longest);
        if !std::mem::replace(&mut self.is_read_scheduled, true) {
            let at = ctx.now() + delay;
            ctx.schedule_session(at, self.index, DriverEvent::ApplicationReads);
        }
    }

    /// The application reads some of its buffered events.
    pub(crate) fn application_reads(&mut self, ctx: &mut Context, network: &mut Network) {
        self.is_read_scheduled = false;
        for (id, items) in self.application.read(&mut ctx.generator) {
            self.drive(ctx, network, Input::Consumed { id, items });
        }
        if self.application.has_unread() {
            self.schedule_read(ctx);
        }
    }

    fn schedule_tick(&mut self, ctx: &mut Context) {
        let Some(next) = self.session.poll_timeout() else {
            return;
        };
        if self.tick_at.is_none_or(|scheduled| next < scheduled) {
            self.tick_at = Some(next);
            ctx.schedule_session(next, self.index, DriverEvent::Tick);
        }
    }

    pub(crate) fn tick(&mut self, ctx: &mut Context, network: &mut Network) {
        // Otherwise this tick was replaced by an earlier one.
        if self.tick_at.is_some_and(|scheduled| scheduled <= ctx.now()) {
            self.tick_at = None;
            self.drive(ctx, network, Input::Tick);
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.session.snapshot().state == SessionState::Connected
    }

    /// Whether nothing is left to do: every queue is empty, and only failure detection is active.
    pub(crate) fn is_idle(&self) -> bool {
        let snapshot = self.session.snapshot();
        snapshot.phase == SessionPhase::Ready && snapshot.queued == 0 && snapshot.in_flight == 0
    }

    /// Describes what is not settled, as text for the operator.
    pub(crate) fn describe(&self) -> String {
        let timer = self.session.next_timer();
        format!(
            "{} with {:?}, next timer {timer:?}",
            self.application.describe(),
            self.session.snapshot()
        )
    }
}

/// The transport.
impl Driver {
    /// Dials the gateway, which takes some time; occasionally there is no response.
    fn dial(&mut self, ctx: &mut Context, attempt: Attempt) {
        let now = ctx.now();
        self.transport = Transport::Dialing(attempt);
        self.dials.push_back(now);
        let second = Duration::from_secs(1);
        self.dials.retain(|at| now.saturating_since(*at) < second);
        session_checks::check_dial_rate(ctx, self.index, self.dials.len());
        if ctx.may_inject_faults() && ctx.generator.chance(1, 40) {
            ctx.totals.dials_ignored += 1;
            ctx.record_fault_change();
            return;
        }
        let delay = ctx.between(Duration::from_millis(1), Duration::from_millis(30));
        ctx.schedule_session(
            now + delay,
            self.index,
            DriverEvent::DialCompleted { attempt },
        );
    }

    /// Whether the result of this dial is still awaited.
    pub(crate) fn is_dialing(&self, attempt: Attempt) -> bool {
        matches!(self.transport, Transport::Dialing(at) if at == attempt)
    }

    /// The gateway has accepted the connection or refused it.
    pub(crate) fn on_dialled(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: Option<ConnectionId>,
    ) {
        let Transport::Dialing(attempt) = self.transport else {
            return;
        };
        self.transport = connection.map_or(Transport::None, |connection| Transport::Open {
            attempt,
            connection,
            decoder: Box::new(Decoder::new(Role::Client, LIMITS)),
            endpoint: WebSocketEndpoint::new(Role::Client),
            reported_send_buffer: 0,
        });
        self.last_connection = connection;
        let failure = DialFailure {
            text: "connection refused".to_owned(),
            is_local: false,
            is_final: false,
            retry_after: None,
        };
        let input = match connection {
            Some(_) => Input::Dialled { attempt },
            None => Input::DialFailed { attempt, failure },
        };
        self.drive(ctx, network, input);
    }

    fn abort(&mut self, ctx: &mut Context, network: &mut Network, attempt: Attempt) {
        let connection = self.connection_of(attempt);
        if connection.is_some() || self.is_dialing(attempt) {
            self.transport = Transport::None;
        }
        if let Some(connection) = connection {
            network.close_client_end(ctx, connection, StreamEnd::Reset);
        }
    }

    fn transmit(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        attempt: Attempt,
        message: Bytes,
    ) {
        let altered = alter_message(message, attempt, ctx.planted_bug, &mut self.bug_state);
        if let Some(message) = altered {
            let opcode = Opcode::from(Session::ENCODING.message_kind());
            self.send_if_open(ctx, network, attempt, opcode, &message);
        }
    }

    /// Sends a frame, unless the closing handshake has begun.
    fn send_if_open(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        attempt: Attempt,
        opcode: Opcode,
        payload: &[u8],
    ) {
        let endpoint = self.endpoint_of(attempt);
        if endpoint.is_some_and(|endpoint| endpoint.is_open()) {
            self.send_frame(ctx, network, attempt, opcode, payload);
        }
    }

    fn send_frame(
        &self,
        ctx: &mut Context,
        network: &mut Network,
        attempt: Attempt,
        opcode: Opcode,
        payload: &[u8],
    ) {
        if let Some(connection) = self.connection_of(attempt) {
            uplink::send(ctx, network, connection, opcode, payload);
            // The send buffer is reported to the session at the end of the loop iteration, as in the shell.
            let event = DriverEvent::ReportSendBuffer { connection };
            ctx.schedule_session(ctx.now(), self.index, event);
        }
    }

    /// The session has received bytes.
    pub(crate) fn read(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        bytes: &[u8],
    ) {
        let Some(attempt) = self.attempt_of(connection) else {
            return;
        };
        let received = self.decode(bytes);
        self.drive(ctx, network, Input::BytesReceived { attempt });
        for item in received {
            match item {
                Received::Message(message) => {
                    self.drive(ctx, network, Input::Received { attempt, message });
                }
                Received::Ping { reply } => {
                    self.send_frame(ctx, network, attempt, reply.opcode(), reply.payload());
                }
                Received::Lost(loss) => return self.on_lost(ctx, network, connection, loss),
            }
        }
    }

    fn decode(&mut self, bytes: &[u8]) -> Vec<Received> {
        let Transport::Open {
            decoder, endpoint, ..
        } = &mut self.transport
        else {
            return Vec::new();
        };
        let mut input = bytes.to_vec();
        let mut received = Vec::new();
        let mut reading = decoder.read(&mut input);
        while let Some(event) = endpoint.next_event(&mut reading) {
            received.push(match event {
                EndpointEvent::Message { payload, .. } => {
                    Received::Message(Bytes::copy_from_slice(payload))
                }
                EndpointEvent::Ping { reply } => Received::Ping { reply },
                EndpointEvent::Pong(_) | EndpointEvent::Dropped => continue,
                // The client's end is closed in the same event, so that the close frame in reply has no receiver.
                EndpointEvent::Closed { code, reason, .. } => {
                    let reason = reason.to_owned();
                    Received::Lost(ConnectionLoss::CloseFrame { code, reason })
                }
                EndpointEvent::Failed { error, .. } => {
                    Received::Lost(ConnectionLoss::Failed(error.to_string()))
                }
            });
        }
        received
    }

    /// The connection has ended, as the client's operating system reports; the client's end is closed.
    pub(crate) fn on_stream_end(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        end: StreamEnd,
    ) {
        let reason = match end {
            StreamEnd::Closed => "the connection ended without a close frame",
            StreamEnd::Reset => "the connection was reset",
        };
        let loss = ConnectionLoss::Failed(reason.to_owned());
        self.on_lost(ctx, network, connection, loss);
    }

    fn on_lost(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        loss: ConnectionLoss,
    ) {
        let Some(attempt) = self.attempt_of(connection) else {
            return;
        };
        self.transport = Transport::None;
        network.close_client_end(ctx, connection, StreamEnd::Closed);
        self.drive(ctx, network, Input::Lost { attempt, loss });
    }

    /// Reports the size of the send buffer to the session when the size has changed.
    pub(crate) fn report_send_buffer(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
    ) {
        let Some(state) = network.connection(connection) else {
            return;
        };
        let bytes = convert::to_u64(state.link.stream(Direction::ToServer).unsent_bytes());
        if let Transport::Open {
            attempt,
            connection: current,
            reported_send_buffer,
            ..
        } = &mut self.transport
            && *current == connection
            && *reported_send_buffer != bytes
        {
            let attempt = *attempt;
            *reported_send_buffer = bytes;
            self.drive(ctx, network, Input::SendBuffer { attempt, bytes });
        }
    }

    /// Returns the connection of this attempt, if the attempt is the current one and its connection is open.
    fn connection_of(&self, requested: Attempt) -> Option<ConnectionId> {
        match &self.transport {
            Transport::Open {
                attempt,
                connection,
                ..
            } if *attempt == requested => Some(*connection),
            Transport::Open { .. } | Transport::Dialing(_) | Transport::None => None,
        }
    }

    /// Returns the attempt of this connection, if the connection is the current one.
    fn attempt_of(&self, requested: ConnectionId) -> Option<Attempt> {
        match &self.transport {
            Transport::Open {
                attempt,
                connection,
                ..
            } if *connection == requested => Some(*attempt),
            Transport::Open { .. } | Transport::Dialing(_) | Transport::None => None,
        }
    }

    /// Returns the endpoint of this attempt, under the same conditions as its connection.
    fn endpoint_of(&mut self, requested: Attempt) -> Option<&mut WebSocketEndpoint> {
        match &mut self.transport {
            Transport::Open {
                attempt, endpoint, ..
            } if *attempt == requested => Some(endpoint),
            Transport::Open { .. } | Transport::Dialing(_) | Transport::None => None,
        }
    }
}

/// The limits of received messages: far above what the simulated gateways send.
const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 1 << 20,
    frame_bytes_max: 1 << 20,
    fragments_max: 1_024,
};
