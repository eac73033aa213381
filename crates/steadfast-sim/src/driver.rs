//! The drivers of sessions: what the client library's shell does, in virtual time. The drivers feed inputs to sessions
//! and execute the outputs.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::Session;
use steadfast_core::event::{SessionPhase, SessionState};
use steadfast_core::io::{Attempt, ConnectionLoss, DialFailure, Input, Output};
use steadfast_machine::{Instant, Machine, convert};
use steadfast_protocol::websocket::{
    ControlFrame, Decoder, EndpointEvent, Opcode, Role, WebSocketEndpoint, WebSocketLimits,
};

use crate::application::Application;
use crate::byte_stream::StreamEnd;
use crate::client::Recorder;
use crate::connections::{ClientIndex, ConnectionId};
use crate::planted_bug::session_messages::{SessionBugState, alter_message};
use crate::settings::{RunSettings, SessionParameters};
use crate::world::{World, WorldEvent};

/// A session with its application and its one transport.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) session: Session,
    pub(crate) application: Application,
    transport: Transport,
    /// The connection of the last open transport.
    last_connection: Option<ConnectionId>,
    /// The time of the scheduled tick.
    tick_at: Option<Instant>,
    pub(crate) is_read_scheduled: bool,
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
    pub(crate) fn new(
        index: usize,
        session: Session,
        parameters: &SessionParameters,
        settings: &RunSettings,
    ) -> Self {
        Self {
            session,
            application: Application::new(index, &settings.channels, settings.padding, parameters),
            transport: Transport::None,
            last_connection: None,
            tick_at: None,
            is_read_scheduled: false,
            bug_state: SessionBugState::default(),
            dials: VecDeque::new(),
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

    /// Records a dial and returns the number of dials within the last second.
    pub(crate) fn record_dial(&mut self, now: Instant) -> usize {
        let second = Duration::from_secs(1);
        self.dials.push_back(now);
        self.dials.retain(|at| now.saturating_since(*at) < second);
        self.dials.len()
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

    /// Returns the endpoint of this attempt, under the same conditions as its connection.
    fn endpoint_of(&mut self, requested: Attempt) -> Option<&mut WebSocketEndpoint> {
        match &mut self.transport {
            Transport::Open {
                attempt, endpoint, ..
            } if *attempt == requested => Some(endpoint),
            Transport::Open { .. } | Transport::Dialing(_) | Transport::None => None,
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
}

impl World {
    pub(crate) fn open_session(&mut self, index: usize) {
        let subscriptions = self
            .drivers
            .get(index)
            .map(|driver| driver.application.subscribe_options());
        for (id, options) in subscriptions.unwrap_or_default() {
            self.drive_session(index, Input::SubscribeRequested { id, options });
        }
        self.drive_session(index, Input::OpenRequested);
    }

    /// Feeds an input to a session and executes the outputs.
    pub(crate) fn drive_session(&mut self, index: usize, input: Input) {
        let now = self.clock.now();
        let Some(driver) = self.drivers.get_mut(index) else {
            return;
        };
        driver.session.handle(now, input);
        let outputs: Vec<Output> = std::iter::from_fn(|| driver.session.poll_output()).collect();
        for output in outputs {
            self.execute_session_output(index, output);
        }
        self.check_queue_bounds(index);
        self.schedule_session_tick(index);
    }

    fn execute_session_output(&mut self, index: usize, output: Output) {
        match output {
            Output::Dial { attempt, .. } => self.dial_for_session(index, attempt),
            Output::Abort { attempt } => self.abort_attempt(index, attempt),
            Output::Transmit { attempt, message } => self.transmit(index, attempt, message),
            Output::Probe { attempt } => self.send_if_open(index, attempt, Opcode::Ping, b""),
            Output::Close {
                attempt,
                code,
                reason,
            } => {
                let driver = self.drivers.get_mut(index);
                let endpoint = driver.and_then(|driver| driver.endpoint_of(attempt));
                if let Some(close) = endpoint.and_then(|endpoint| endpoint.close(code, reason)) {
                    self.send_frame(index, attempt, close.opcode(), close.payload());
                }
            }
            Output::Deliver { id, event: feed } => {
                self.with_application(index, |application, recorder| {
                    application.handle_event(id, feed, recorder);
                });
                self.schedule_application_read(index);
            }
            Output::CompletePublication { id, outcome } => {
                let now = self.clock.now();
                self.with_application(index, |application, recorder| {
                    application.complete_publication(now, id, &outcome, recorder);
                });
            }
            Output::Notify(event) => self.on_session_event(index, event),
            Output::CompleteCall { id, outcome } => {
                let now = self.clock.now();
                self.with_application(index, |application, recorder| {
                    application.complete_call(now, id, &outcome, recorder);
                });
            }
        }
    }

    pub(crate) fn with_application(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Application, &mut Recorder<'_>),
    ) {
        let mut recorder = Recorder {
            reference_model: &mut self.reference_model,
            totals: &mut self.totals,
            is_durable: self.settings.is_durable(),
            visible_max: self.settings.visible_max(),
        };
        if let Some(driver) = self.drivers.get_mut(index) {
            act(&mut driver.application, &mut recorder);
        }
    }

    /// Dials the gateway, which takes some time; occasionally there is no response.
    fn dial_for_session(&mut self, session: usize, attempt: Attempt) {
        if let Some(driver) = self.drivers.get_mut(session) {
            driver.transport = Transport::Dialing(attempt);
        }
        self.check_dial_rate(session);
        if self.may_inject_faults() && self.generator.chance(1, 40) {
            self.totals.dials_ignored += 1;
            self.record_fault_change();
            return;
        }
        let delay = self
            .generator
            .between(Duration::from_millis(1), Duration::from_millis(30));
        self.clock
            .schedule(delay, WorldEvent::DialCompleted { session, attempt });
    }

    /// The gateway accepts the connection or refuses it.
    pub(crate) fn on_dial_completed(&mut self, index: usize, attempt: Attempt) {
        let is_waiting = self.drivers.get(index).is_some_and(
            |driver| matches!(driver.transport, Transport::Dialing(at) if at == attempt),
        );
        if !is_waiting {
            return;
        }
        let connection = self.open_connection(ClientIndex::Session(index), Session::ENCODING);
        let transport = connection.map_or(Transport::None, |connection| Transport::Open {
            attempt,
            connection,
            decoder: Box::new(Decoder::new(Role::Client, LIMITS)),
            endpoint: WebSocketEndpoint::new(Role::Client),
            reported_send_buffer: 0,
        });
        if let Some(driver) = self.drivers.get_mut(index) {
            driver.transport = transport;
            driver.last_connection = connection;
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
        self.drive_session(index, input);
    }

    /// Whether a fault was injected into the current or last connection of a session.
    pub(crate) fn has_faulted_connection(&self, index: usize) -> bool {
        let connection = self
            .drivers
            .get(index)
            .and_then(|driver| driver.last_connection);
        connection.is_some_and(|connection| self.faulted.contains(&connection))
    }

    fn abort_attempt(&mut self, index: usize, attempt: Attempt) {
        let Some(driver) = self.drivers.get_mut(index) else {
            return;
        };
        let connection = driver.connection_of(attempt);
        let is_dialing = matches!(driver.transport, Transport::Dialing(at) if at == attempt);
        if connection.is_some() || is_dialing {
            driver.transport = Transport::None;
        }
        if let Some(connection) = connection {
            self.close_as_client(connection, StreamEnd::Reset);
        }
    }

    fn transmit(&mut self, index: usize, attempt: Attempt, message: Bytes) {
        let planted_bug = self.planted_bug;
        let Some(driver) = self.drivers.get_mut(index) else {
            return;
        };
        if let Some(message) = alter_message(message, attempt, planted_bug, &mut driver.bug_state) {
            let opcode = Opcode::from(Session::ENCODING.message_kind());
            self.send_if_open(index, attempt, opcode, &message);
        }
    }

    /// Sends a frame, unless the closing handshake has begun.
    fn send_if_open(&mut self, index: usize, attempt: Attempt, opcode: Opcode, payload: &[u8]) {
        let driver = self.drivers.get_mut(index);
        let endpoint = driver.and_then(|driver| driver.endpoint_of(attempt));
        if endpoint.is_some_and(|endpoint| endpoint.is_open()) {
            self.send_frame(index, attempt, opcode, payload);
        }
    }

    fn send_frame(&mut self, index: usize, attempt: Attempt, opcode: Opcode, payload: &[u8]) {
        let connection = self
            .drivers
            .get(index)
            .and_then(|driver| driver.connection_of(attempt));
        if let Some(connection) = connection {
            self.send_to_gateway(connection, opcode, payload);
            // The send buffer is reported to the session at the end of the loop iteration, as in the shell.
            self.clock.schedule(
                Duration::ZERO,
                WorldEvent::ReportClientSendBuffer { connection },
            );
        }
    }

    /// A session has received bytes.
    pub(crate) fn session_reads(&mut self, index: usize, connection: ConnectionId, bytes: &[u8]) {
        let Some((attempt, received)) = self.drivers.get_mut(index).and_then(|driver| {
            let attempt = driver.attempt_of(connection)?;
            Some((attempt, driver.decode(bytes)))
        }) else {
            return;
        };
        self.drive_session(index, Input::BytesReceived { attempt });
        for item in received {
            match item {
                Received::Message(message) => {
                    self.drive_session(index, Input::Received { attempt, message });
                }
                Received::Ping { reply } => {
                    self.send_frame(index, attempt, reply.opcode(), reply.payload());
                }
                Received::Lost(loss) => return self.on_transport_lost(index, connection, loss),
            }
        }
    }

    /// The connection of a session has ended, as the client's operating system reports; the client's end is closed.
    pub(crate) fn on_session_stream_end(
        &mut self,
        index: usize,
        connection: ConnectionId,
        end: StreamEnd,
    ) {
        let reason = match end {
            StreamEnd::Closed => "the connection ended without a close frame",
            StreamEnd::Reset => "the connection was reset",
        };
        self.on_transport_lost(index, connection, ConnectionLoss::Failed(reason.to_owned()));
    }

    fn on_transport_lost(&mut self, index: usize, connection: ConnectionId, loss: ConnectionLoss) {
        let Some(driver) = self.drivers.get_mut(index) else {
            return;
        };
        let Some(attempt) = driver.attempt_of(connection) else {
            return;
        };
        driver.transport = Transport::None;
        self.close_as_client(connection, StreamEnd::Closed);
        self.drive_session(index, Input::Lost { attempt, loss });
    }

    /// Reports the size of the send buffer to its session when the size has changed.
    pub(crate) fn report_client_send_buffer(&mut self, connection: ConnectionId) {
        let Some(state) = self.connections.get(&connection) else {
            return;
        };
        let Some(ClientIndex::Session(index)) = state.client_end else {
            return;
        };
        let bytes = convert::to_u64(state.to_gateway.unsent_bytes());
        let Some(driver) = self.drivers.get_mut(index) else {
            return;
        };
        if let Transport::Open {
            attempt,
            connection: current,
            reported_send_buffer,
            ..
        } = &mut driver.transport
            && *current == connection
            && *reported_send_buffer != bytes
        {
            let attempt = *attempt;
            *reported_send_buffer = bytes;
            self.drive_session(index, Input::SendBuffer { attempt, bytes });
        }
    }

    fn schedule_session_tick(&mut self, session: usize) {
        let Some(driver) = self.drivers.get_mut(session) else {
            return;
        };
        let Some(next) = driver.session.poll_timeout() else {
            return;
        };
        if driver.tick_at.is_none_or(|scheduled| next < scheduled) {
            driver.tick_at = Some(next);
            self.clock
                .schedule_at(next, WorldEvent::SessionTick { session });
        }
    }

    pub(crate) fn session_tick(&mut self, index: usize) {
        let now = self.clock.now();
        let Some(driver) = self.drivers.get_mut(index) else {
            return;
        };
        // This tick was replaced by an earlier one.
        if driver.tick_at.is_none_or(|scheduled| scheduled > now) {
            return;
        }
        driver.tick_at = None;
        self.drive_session(index, Input::Tick);
    }
}

/// The limits of received messages: far above what the simulated gateways send.
const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 1 << 20,
    frame_bytes_max: 1 << 20,
    fragments_max: 1_024,
};
