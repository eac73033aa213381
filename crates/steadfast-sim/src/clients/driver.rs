//! The driver of a session: what the client library's shell does, in virtual time. It feeds inputs to the session and
//! executes the outputs.

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::Session;
use steadfast_core::event::{SessionEvent, SessionPhase, SessionState};
use steadfast_core::io::{
    Attempt, CallError, CallId, ConnectionLoss, DialFailure, Input, Output, PublicationId,
    PublishOutcome,
};
use steadfast_faults::link::{Direction, StreamEnd};
use steadfast_machine::{Instant, Machine, convert};
use steadfast_protocol::websocket::{
    ControlFrame, Decoder, EndpointEvent, Opcode, Role, WebSocketEndpoint, WebSocketLimits,
};

use super::application::Application;
use super::observer::Observer;
use super::presence;
use super::session_checks;
use super::stale_inputs::StaleInputs;
use super::uplink;
use crate::context::Context;
use crate::event::clients::DriverEvent;
use crate::ids::{ConnectionId, NodeIndex};
use crate::network::Network;
use crate::planted_bug::PlantedBug;
use crate::planted_bug::session_messages::{SessionBugState, alter_message};
use crate::reference_model::Invariant;

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
    /// The channels whose publications the lost connections left in doubt.
    in_doubt: BTreeSet<String>,
    /// The node of the last connection.
    last_node: Option<NodeIndex>,
    /// The last attempt of the session.
    attempt: Attempt,
    /// Since when the session is connected.
    connected_at: Option<Instant>,
    stale_inputs: StaleInputs,
}

/// The transport of a session.
#[derive(Debug)]
enum Transport {
    None,
    Dialing {
        attempt: Attempt,
        node: NodeIndex,
    },
    Open {
        attempt: Attempt,
        connection: ConnectionId,
        observer: Box<Observer>,
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
            in_doubt: BTreeSet::new(),
            last_node: None,
            attempt: Attempt::default(),
            connected_at: None,
            stale_inputs: StaleInputs::default(),
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
            Output::Dial { attempt, endpoint } => self.dial(ctx, attempt, endpoint),
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
                let outcome = match (ctx.planted_bug, outcome) {
                    (Some(PlantedBug::NoDoubt), PublishOutcome::Interrupted { .. }) => {
                        self.application.outcome_without_doubt()
                    }
                    (_, outcome) => outcome,
                };
                let settled =
                    self.application
                        .complete_publication(now, id, &outcome, &mut ctx.recorder());
                self.on_outcome(id, settled.as_deref());
            }
            Output::Notify(event) => self.on_session_event(ctx, network, event),
            Output::CompleteCall { id, outcome } => {
                if matches!(outcome, Err(CallError::TimedOut { .. })) {
                    self.check_timeout(ctx, network, id);
                }
                self.application
                    .complete_call(now, id, &outcome, &mut ctx.recorder());
            }
        }
    }

    /// A publication has an outcome; `settled` is its channel if no other publication of it is pending.
    fn on_outcome(&mut self, id: PublicationId, settled: Option<&str>) {
        if let Transport::Open { observer, .. } = &mut self.transport {
            observer.on_outcome(&self.application.key(id));
        }
        let Some(channel) = settled else {
            return;
        };
        self.in_doubt.remove(channel);
        if let Transport::Open { observer, .. } = &mut self.transport {
            observer.on_nothing_pending(channel);
        }
    }

    /// Returns the current connection, if it is open.
    pub(crate) const fn connection(&self) -> Option<ConnectionId> {
        match &self.transport {
            Transport::Open { connection, .. } => Some(*connection),
            Transport::Dialing { .. } | Transport::None => None,
        }
    }

    /// Returns the observer of the current connection.
    pub(crate) fn observer(&self) -> Option<&Observer> {
        match &self.transport {
            Transport::Open { observer, .. } => Some(observer),
            Transport::Dialing { .. } | Transport::None => None,
        }
    }

    /// The application queries the presence of a channel, again until a reply had to be exact.
    pub(crate) fn query_until_exact(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        channel: usize,
    ) {
        if !presence::is_exact(ctx, self.connection(), channel) {
            let query = self.application.query_presence(ctx.now(), channel);
            self.drive(ctx, network, query);
            let at = ctx.now() + presence::retry_delay(ctx);
            ctx.schedule_session(at, self.index, DriverEvent::QueryPresence { channel });
        }
    }

    /// Handles an event that the session reports about its connection.
    fn on_session_event(&mut self, ctx: &mut Context, network: &Network, event: SessionEvent) {
        match event {
            SessionEvent::Connected { downtime, .. } => {
                self.connected_at = Some(ctx.now());
                ctx.totals.reconnects += u64::from(downtime.is_some());
            }
            SessionEvent::Lost {
                cause, detection, ..
            } => {
                self.connected_at = None;
                let is_excused = self
                    .last_connection
                    .is_some_and(|connection| network.is_excused(ctx, connection));
                session_checks::check_loss(ctx, self.index, &cause, detection, is_excused);
            }
            SessionEvent::Failed { cause } => session_checks::on_failed(ctx, self.index, &cause),
            SessionEvent::Attempting { .. }
            | SessionEvent::Waiting { .. }
            | SessionEvent::Ready { .. } => {}
            SessionEvent::Closed => self.on_closed(ctx),
        }
    }

    /// Checks that a call that timed out had no connection on which it could be completed in time.
    fn check_timeout(&self, ctx: &mut Context, network: &Network, id: CallId) {
        let (now, sent_by) = (ctx.now(), self.application.called_at(id));
        let (Some(connection), Some(connected_at), Some(called_at)) =
            (self.connection(), self.connected_at, sent_by)
        else {
            return;
        };
        let since = connected_at.max(called_at);
        let latest = since + CALL_TIME_MAX;
        if now >= latest && network.is_undisturbed_since(connection, since) {
            let details = format!(
                "{id:?} of session {} timed out at {now:?}, but {connection:?} is open since {since:?}",
                self.index
            );
            ctx.report(Invariant::OneResultPerCall, details);
        }
    }

    /// The session has ended; after a delay the application reopens it.
    fn on_closed(&mut self, ctx: &mut Context) {
        ctx.totals.closes += 1;
        self.application.closed(&mut ctx.recorder());
        let delay = ctx.between(Duration::ZERO, Duration::from_millis(500));
        ctx.schedule_session(ctx.now() + delay, self.index, DriverEvent::Open);
    }

    /// Schedules a read of the application, unless one is scheduled.
    pub(crate) fn schedule_read(&mut self, ctx: &mut Context) {
        let parameters = ctx.settings.sessions.get(self.index);
        let longest = parameters.map_or(Duration::ZERO, |it| it.read_interval_max);
        let delay = ctx.between(Duration::ZERO, longest);
        if !mem::replace(&mut self.is_read_scheduled, true) {
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

/// Dials, sends and receives over the one transport of the session.
impl Driver {
    /// Dials the gateway, which takes some time; occasionally there is no response.
    fn dial(&mut self, ctx: &mut Context, attempt: Attempt, endpoint: usize) {
        let now = ctx.now();
        self.attempt = attempt;
        let node = ctx.settings.node_of(self.index + endpoint);
        self.transport = Transport::Dialing { attempt, node };
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

    /// Returns the node that is dialled, if the result of this dial is still awaited.
    pub(crate) fn dialled_node(&self, requested: Attempt) -> Option<NodeIndex> {
        match self.transport {
            Transport::Dialing { attempt, node } => (attempt == requested).then_some(node),
            Transport::None | Transport::Open { .. } => None,
        }
    }

    /// The gateway has accepted the connection or refused it.
    pub(crate) fn on_dialled(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: Option<ConnectionId>,
    ) {
        let Transport::Dialing { attempt, node } = self.transport else {
            return;
        };
        self.transport = connection.map_or(Transport::None, |connection| Transport::Open {
            attempt,
            connection,
            observer: Box::new(Observer::new(
                connection,
                node,
                Session::ENCODING,
                mem::take(&mut self.in_doubt),
            )),
            decoder: Box::new(Decoder::new(Role::Client, LIMITS)),
            endpoint: WebSocketEndpoint::new(Role::Client),
            reported_send_buffer: 0,
        });
        self.last_connection = connection;
        if connection.is_some() {
            let last_node = self.last_node.replace(node);
            ctx.totals.moves += u64::from(last_node.is_some_and(|last| last != node));
        }
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
        if connection.is_some() || self.dialled_node(attempt).is_some() {
            self.end_transport(ctx, network, attempt);
        }
        if let Some(connection) = connection {
            network.close_client_end(ctx, connection, StreamEnd::Reset);
        }
    }

    /// The attempt has ended. What its connection leaves unread or without a reply is kept for the checks.
    fn end_transport(&mut self, ctx: &mut Context, network: &Network, attempt: Attempt) {
        let connection = self.connection_of(attempt);
        let unread = connection.map(|connection| network.unread_by_client(connection));
        let unread = unread.into_iter().flatten();
        let received: Vec<Received> = unread.flat_map(|bytes| self.decode(&bytes)).collect();
        let messages = received.into_iter().filter_map(|received| match received {
            Received::Message(message) => Some(message),
            Received::Ping { .. } | Received::Lost(_) => None,
        });
        self.stale_inputs
            .on_attempt_ended(ctx, self.index, attempt, messages.collect());
        let transport = mem::replace(&mut self.transport, Transport::None);
        if let Transport::Open { observer, .. } = transport {
            let without_reply = observer.into_without_reply();
            self.in_doubt.extend(without_reply.in_doubt);
            self.bug_state
                .on_connection_lost(without_reply.calls, without_reply.publications);
        }
    }

    /// Delivers a late input of an earlier attempt.
    pub(crate) fn deliver_stale_input(&mut self, ctx: &mut Context, number: u64) {
        let (session, attempt) = (&mut self.session, self.attempt);
        self.stale_inputs.deliver(ctx, session, attempt, number);
    }

    fn transmit(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        attempt: Attempt,
        message: Bytes,
    ) {
        let altered = alter_message(message, attempt, ctx.planted_bug, &mut self.bug_state);
        let Some(message) = altered else {
            return;
        };
        if let Transport::Open {
            attempt: current,
            observer,
            endpoint,
            ..
        } = &mut self.transport
            && *current == attempt
            && endpoint.is_open()
        {
            observer.on_sent(ctx, &message);
            let opcode = Opcode::from(Session::ENCODING.message_kind());
            self.send_frame(ctx, network, attempt, opcode, &message);
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
                    if let Transport::Open { observer, .. } = &mut self.transport {
                        observer.on_received(ctx, &message);
                    }
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
        self.end_transport(ctx, network, attempt);
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
            Transport::Open { .. } | Transport::Dialing { .. } | Transport::None => None,
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
            Transport::Open { .. } | Transport::Dialing { .. } | Transport::None => None,
        }
    }

    /// Returns the endpoint of this attempt, under the same conditions as its connection.
    fn endpoint_of(&mut self, requested: Attempt) -> Option<&mut WebSocketEndpoint> {
        match &mut self.transport {
            Transport::Open {
                attempt, endpoint, ..
            } if *attempt == requested => Some(endpoint),
            Transport::Open { .. } | Transport::Dialing { .. } | Transport::None => None,
        }
    }
}

/// The longest time from a call to its result on a connection without faults, with a margin.
const CALL_TIME_MAX: Duration = Duration::from_secs(1);

/// The limits of received messages: far above what the simulated gateways send.
const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 1 << 20,
    frame_bytes_max: 1 << 20,
    fragments_max: 1_024,
};
