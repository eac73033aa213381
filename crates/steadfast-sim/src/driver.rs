//! The drivers of sessions: what the client library's shell does, in virtual time. Facts go in, orders are carried out.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::Session;
use steadfast_core::event::{Phase, State};
use steadfast_core::io::{Attempt, DialFailure, Input, Loss, Output};
use steadfast_machine::{Instant, Machine};
use steadfast_protocol::websocket::close::ClosePayload;
use steadfast_protocol::websocket::{Decoder, Opcode, Role, WebSocketEvent, WebSocketLimits};

use crate::application::Application;
use crate::client::Books;
use crate::flow::End;
use crate::links::{LinkId, Owner};
use crate::settings::{RunSettings, SessionDraw};
use crate::tampering::{Tampering, tamper};
use crate::world::{Event, World};

/// A session with its application and its one transport.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) session: Session,
    pub(crate) application: Application,
    line: Line,
    /// The link of the last open line.
    last_link: Option<LinkId>,
    /// The wake-up that is planned.
    tick_at: Option<Instant>,
    pub(crate) is_look_planned: bool,
    tampering: Tampering,
    /// The dials of the last second.
    dials: VecDeque<Instant>,
}

/// The transport.
#[derive(Debug)]
enum Line {
    None,
    Dialing(Attempt),
    Open {
        attempt: Attempt,
        link: LinkId,
        decoder: Box<Decoder>,
        /// What the session was last told about bytes that wait.
        told_unsent: u64,
    },
}

/// What one read brought.
#[derive(Debug)]
enum Arrival {
    Message(Bytes),
    Ping(Bytes),
    Over(Loss),
}

impl Driver {
    pub(crate) fn new(
        index: usize,
        session: Session,
        draw: &SessionDraw,
        settings: &RunSettings,
    ) -> Self {
        Self {
            session,
            application: Application::new(index, &settings.channels, settings.padding, draw),
            line: Line::None,
            last_link: None,
            tick_at: None,
            is_look_planned: false,
            tampering: Tampering::default(),
            dials: VecDeque::new(),
        }
    }

    /// The link of this attempt, if it is the present one and open.
    fn link_of(&self, wanted: Attempt) -> Option<LinkId> {
        match &self.line {
            Line::Open { attempt, link, .. } if *attempt == wanted => Some(*link),
            Line::Open { .. } | Line::Dialing(_) | Line::None => None,
        }
    }

    /// The attempt of this link, if it is the present one.
    fn attempt_of(&self, wanted: LinkId) -> Option<Attempt> {
        match &self.line {
            Line::Open { attempt, link, .. } if *link == wanted => Some(*attempt),
            Line::Open { .. } | Line::Dialing(_) | Line::None => None,
        }
    }

    /// Counts a dial; how many there were within a second.
    pub(crate) fn dials_with(&mut self, now: Instant) -> usize {
        let second = Duration::from_secs(1);
        self.dials.push_back(now);
        self.dials.retain(|at| now.saturating_since(*at) < second);
        self.dials.len()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.session.snapshot().state == State::Connected
    }

    /// Whether nothing is left to be done: every queue is empty, and only the watch over the gateway goes on.
    pub(crate) fn is_idle(&self) -> bool {
        let snapshot = self.session.snapshot();
        snapshot.phase == Phase::Ready && snapshot.queued == 0 && snapshot.unanswered == 0
    }

    /// What is not settled, for people.
    pub(crate) fn describe(&self) -> String {
        let timer = self.session.poll_timeout();
        format!(
            "{} with {:?}, waits for {timer:?}",
            self.application.describe(),
            self.session.snapshot()
        )
    }

    fn decode(&mut self, bytes: &[u8]) -> Vec<Arrival> {
        let Line::Open { decoder, .. } = &mut self.line else {
            return Vec::new();
        };
        let mut input = bytes.to_vec();
        let mut arrivals = Vec::new();
        let mut reading = decoder.read(&mut input);
        loop {
            let arrival = match reading.next_event() {
                Ok(Some(WebSocketEvent::Message { payload, .. })) => {
                    Arrival::Message(Bytes::copy_from_slice(payload))
                }
                Ok(Some(WebSocketEvent::Ping(payload))) => {
                    Arrival::Ping(Bytes::copy_from_slice(payload))
                }
                Ok(Some(WebSocketEvent::Pong(_))) => continue,
                Ok(Some(WebSocketEvent::Close { code, reason })) => {
                    let reason = reason.to_owned();
                    Arrival::Over(Loss::Closed { code, reason })
                }
                Ok(None) => return arrivals,
                Err(error) => Arrival::Over(Loss::Broken(error.to_string())),
            };
            let is_over = matches!(arrival, Arrival::Over(_));
            arrivals.push(arrival);
            if is_over {
                return arrivals;
            }
        }
    }
}

impl World {
    pub(crate) fn open_session(&mut self, index: usize) {
        let wanted = self
            .drivers
            .get(index)
            .map(|driver| driver.application.subscriptions());
        for (id, options) in wanted.unwrap_or_default() {
            self.tell_session(index, Input::SubscribeRequested { id, options });
        }
        self.tell_session(index, Input::OpenRequested);
    }

    /// Feeds a session and carries out what it orders.
    pub(crate) fn tell_session(&mut self, index: usize, input: Input) {
        let now = self.clock.now();
        let Some(driver) = self.drivers.get_mut(index) else {
            return;
        };
        driver.session.handle(now, input);
        let outputs: Vec<Output> = std::iter::from_fn(|| driver.session.poll_output()).collect();
        for output in outputs {
            self.carry_out_session(index, output);
        }
        self.judge_bounds(index);
        self.plan_session_tick(index);
    }

    fn carry_out_session(&mut self, index: usize, output: Output) {
        match output {
            Output::Dial { attempt, .. } => self.dial_for_session(index, attempt),
            Output::Abandon { attempt } => self.abandon(index, attempt),
            Output::Transmit { attempt, message } => self.transmit(index, attempt, message),
            Output::Probe { attempt } => self.send_frame(index, attempt, Opcode::Ping, b""),
            Output::HangUp {
                attempt,
                code,
                reason,
            } => {
                let payload = ClosePayload::new(code, reason);
                self.send_frame(index, attempt, Opcode::Close, payload.as_bytes());
            }
            Output::Deliver { id, feed } => {
                self.with_application(index, |application, books| {
                    application.hear(id, feed, books);
                });
                self.plan_look(index);
            }
            Output::Resolve { id, delivery } => {
                let now = self.clock.now();
                self.with_application(index, |application, books| {
                    application.resolve(now, id, &delivery, books);
                });
            }
            Output::Notify(event) => self.note_session(index, event),
            Output::Answer { id, outcome } => {
                let now = self.clock.now();
                self.with_application(index, |application, books| {
                    application.answer(now, id, &outcome, books);
                });
            }
        }
    }

    pub(crate) fn with_application(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Application, &mut Books<'_>),
    ) {
        let mut books = Books {
            reference: &mut self.reference,
            totals: &mut self.totals,
            is_whole: self.settings.is_whole(),
            visible_max: self.settings.visible_max(),
        };
        if let Some(driver) = self.drivers.get_mut(index) {
            act(&mut driver.application, &mut books);
        }
    }

    /// The way to the gateway takes a moment; now and then nobody answers.
    fn dial_for_session(&mut self, session: usize, attempt: Attempt) {
        if let Some(driver) = self.drivers.get_mut(session) {
            driver.line = Line::Dialing(attempt);
        }
        self.judge_pace(session);
        if self.is_faulty() && self.generator.chance(1, 40) {
            self.totals.dials_unanswered += 1;
            self.note_trouble();
            return;
        }
        let delay = self
            .generator
            .between(Duration::from_millis(1), Duration::from_millis(30));
        self.clock.plan(delay, Event::Dialled { session, attempt });
    }

    /// The gateway takes the connection or refuses it.
    pub(crate) fn dialled(&mut self, index: usize, attempt: Attempt) {
        let awaits = self
            .drivers
            .get(index)
            .is_some_and(|driver| matches!(driver.line, Line::Dialing(at) if at == attempt));
        if !awaits {
            return;
        }
        let link = self.open_link(Owner::Session(index));
        let line = link.map_or(Line::None, |link| Line::Open {
            attempt,
            link,
            decoder: Box::new(Decoder::new(Role::Client, LIMITS)),
            told_unsent: 0,
        });
        if let Some(driver) = self.drivers.get_mut(index) {
            driver.line = line;
            driver.last_link = link;
        }
        let failure = DialFailure {
            text: "connection refused".to_owned(),
            is_local: false,
            is_final: false,
            retry_after: None,
        };
        let fact = match link {
            Some(_) => Input::Dialled { attempt },
            None => Input::DialFailed { attempt, failure },
        };
        self.tell_session(index, fact);
    }

    /// Whether the link that a session has, or had last, has suffered anything.
    pub(crate) fn is_line_harmed(&self, index: usize) -> bool {
        let link = self.drivers.get(index).and_then(|driver| driver.last_link);
        link.is_some_and(|link| self.harmed.contains(&link))
    }

    fn abandon(&mut self, index: usize, attempt: Attempt) {
        let Some(driver) = self.drivers.get_mut(index) else {
            return;
        };
        let link = driver.link_of(attempt);
        let is_dialing = matches!(driver.line, Line::Dialing(at) if at == attempt);
        if link.is_some() || is_dialing {
            driver.line = Line::None;
        }
        if let Some(link) = link {
            self.let_go_as_client(link, End::Reset);
        }
    }

    fn transmit(&mut self, index: usize, attempt: Attempt, message: Bytes) {
        let mutation = self.mutation;
        let Some(driver) = self.drivers.get_mut(index) else {
            return;
        };
        if let Some(message) = tamper(message, attempt, mutation, &mut driver.tampering) {
            self.send_frame(index, attempt, Opcode::Text, &message);
        }
    }

    fn send_frame(&mut self, index: usize, attempt: Attempt, opcode: Opcode, payload: &[u8]) {
        let link = self
            .drivers
            .get(index)
            .and_then(|driver| driver.link_of(attempt));
        if let Some(link) = link {
            self.send_to_gateway(link, opcode, payload);
            // The session is told what waits at the end of the turn, as the shell does.
            self.clock.plan(Duration::ZERO, Event::Unsent { link });
        }
    }

    /// Bytes arrived at a session.
    pub(crate) fn session_reads(&mut self, index: usize, link: LinkId, bytes: &[u8]) {
        let Some((attempt, arrivals)) = self.drivers.get_mut(index).and_then(|driver| {
            let attempt = driver.attempt_of(link)?;
            Some((attempt, driver.decode(bytes)))
        }) else {
            return;
        };
        self.tell_session(index, Input::Heard { attempt });
        for arrival in arrivals {
            match arrival {
                Arrival::Message(message) => {
                    self.tell_session(index, Input::Received { attempt, message });
                }
                Arrival::Ping(payload) => self.send_frame(index, attempt, Opcode::Pong, &payload),
                Arrival::Over(loss) => return self.line_is_over(index, link, loss),
            }
        }
    }

    /// The link ended, as the session's system sees it; its end was let go already.
    pub(crate) fn session_loses(&mut self, index: usize, link: LinkId, end: End) {
        let how = match end {
            End::Ended => "the connection ended without a close frame",
            End::Reset => "the connection was reset",
        };
        self.line_is_over(index, link, Loss::Broken(how.to_owned()));
    }

    fn line_is_over(&mut self, index: usize, link: LinkId, loss: Loss) {
        let Some(driver) = self.drivers.get_mut(index) else {
            return;
        };
        let Some(attempt) = driver.attempt_of(link) else {
            return;
        };
        driver.line = Line::None;
        self.let_go_as_client(link, End::Ended);
        self.tell_session(index, Input::Lost { attempt, loss });
    }

    /// Tells a session what its socket has not taken, when that has changed.
    pub(crate) fn tell_unsent(&mut self, link: LinkId) {
        let Some(state) = self.links.get(&link) else {
            return;
        };
        let Some(Owner::Session(index)) = state.owner else {
            return;
        };
        let bytes = u64::try_from(state.to_gateway.waiting_bytes()).unwrap_or(u64::MAX);
        let Some(driver) = self.drivers.get_mut(index) else {
            return;
        };
        if let Line::Open {
            attempt,
            link: present,
            told_unsent,
            ..
        } = &mut driver.line
            && *present == link
            && *told_unsent != bytes
        {
            let attempt = *attempt;
            *told_unsent = bytes;
            self.tell_session(index, Input::Unsent { attempt, bytes });
        }
    }

    fn plan_session_tick(&mut self, session: usize) {
        let Some(driver) = self.drivers.get_mut(session) else {
            return;
        };
        let Some((next, _)) = driver.session.poll_timeout() else {
            return;
        };
        if driver.tick_at.is_none_or(|planned| next < planned) {
            driver.tick_at = Some(next);
            self.clock.plan_at(next, Event::SessionTick { session });
        }
    }

    pub(crate) fn session_tick(&mut self, index: usize) {
        let now = self.clock.now();
        let Some(driver) = self.drivers.get_mut(index) else {
            return;
        };
        // A later one was planned first, and this one came instead of it.
        if driver.tick_at.is_none_or(|planned| planned > now) {
            return;
        }
        driver.tick_at = None;
        self.tell_session(index, Input::Tick);
    }
}

/// What a client takes: far above what the simulated gateways send.
const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 1 << 20,
    frame_bytes_max: 1 << 20,
    fragments_max: 1_024,
};
