//! The driver of a session: what the client library's shell does, in virtual time. It feeds inputs to the session and
//! executes the outputs; those that concern its connection are in `driver/transport`.

mod transport;
mod transports;

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::time::Duration;

use steadfast_core::dialect::centrifuge::{CallError, Input, Output, SendError, Session};
use steadfast_core::event::{SessionEvent, SessionPhase, SessionState};
use steadfast_core::io::{CallId, MessageId};
use steadfast_machine::{Instant, Machine};
use steadfast_protocol::websocket::Opcode;

use self::transports::Transports;
use super::application::Application;
use super::observer::Observer;
use super::presence;
use super::session_checks;
use super::stale_inputs::StaleInputs;
use crate::context::Context;
use crate::event::clients::DriverEvent;
use crate::ids::{ConnectionId, NodeIndex};
use crate::network::Network;
use crate::planted_bug::session_messages::SessionBugState;
use crate::planted_bug::{PlantedBug, is_lost_event};
use crate::reference_model::Invariant;
use crate::settings::session::{centrifuge, no_credentials};
use crate::words;

/// A session with its application and its transports.
#[derive(Debug)]
pub(crate) struct Driver {
    index: usize,
    pub(crate) session: Session,
    pub(crate) application: Application,
    transports: Transports,
    /// The session returns to the node that it prefers.
    fails_back: bool,
    /// The connection of the last open transport that was not a standby.
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
    /// The node of the last connection that the session reported: publications in doubt may be stored there.
    reported_node: Option<NodeIndex>,
    stale_inputs: StaleInputs,
}

impl Driver {
    pub(crate) fn new(ctx: &mut Context, index: usize) -> Option<Self> {
        let (now, seed) = (ctx.now(), ctx.generator.split());
        let parameters = ctx.settings.sessions.get(index)?;
        let policy = parameters.policy(ctx.planted_bug);
        let (channels, padding) = (&ctx.settings.channels, ctx.settings.padding);
        Some(Self {
            index,
            session: Session::new(&policy, centrifuge(), no_credentials(), seed, now),
            application: Application::new(index, channels, padding, parameters),
            transports: Transports::default(),
            fails_back: parameters.has_failback(),
            last_connection: None,
            tick_at: None,
            is_read_scheduled: false,
            bug_state: SessionBugState::default(),
            dials: VecDeque::new(),
            in_doubt: BTreeSet::new(),
            last_node: None,
            reported_node: None,
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
            Output::Transmit { attempt, frame } => {
                self.transmit(ctx, network, attempt, frame.payload().clone());
            }
            Output::Probe { attempt } => {
                self.send_if_open(ctx, network, attempt, Opcode::Ping, b"");
            }
            Output::Close {
                attempt,
                code,
                reason,
            } => {
                if self.transports.is_migrating {
                    self.switch(ctx);
                }
                let endpoint = self.endpoint_of(attempt);
                if let Some(close) = endpoint.and_then(|endpoint| endpoint.close(code, reason)) {
                    self.send_frame(ctx, network, attempt, close.opcode(), close.payload());
                }
            }
            Output::Deliver { id, event } if is_lost_event(&event, ctx.planted_bug) => {
                self.drive(ctx, network, Input::Consumed { id, items: 1 });
            }
            Output::Deliver { id, event } => {
                self.application
                    .handle_event(id, event, &mut ctx.recorder());
                self.schedule_read(ctx);
            }
            Output::CompleteMessage { id, outcome } => {
                let outcome = match (ctx.planted_bug, outcome) {
                    (Some(PlantedBug::NoDoubt), Err(SendError::Interrupted)) => {
                        self.application.outcome_without_doubt()
                    }
                    (_, outcome) => outcome,
                };
                self.application.is_moving = self.is_moving();
                let settled =
                    self.application
                        .complete_publication(now, id, &outcome, &mut ctx.recorder());
                self.on_outcome(id, settled.as_deref());
            }
            // The sessions of a run have no credentials.
            Output::FetchCredentials { .. } | Output::Compute { .. } | Output::Redirect { .. } => {}
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
    fn on_outcome(&mut self, id: MessageId, settled: Option<&str>) {
        if let Some(open) = self.transports.present_mut() {
            open.observer.on_outcome(&self.application.key(id));
        }
        let Some(channel) = settled else {
            return;
        };
        self.in_doubt.remove(channel);
        if let Some(open) = self.transports.present_mut() {
            open.observer.on_nothing_pending(channel);
        }
    }

    /// Whether the session is connected to another node than before, or about to be, and has not reported the connection.
    fn is_moving(&self) -> bool {
        let standby = self.transports.standby().map(|it| it.node);
        let next = standby.or(self.last_node);
        self.reported_node.is_some() && self.reported_node != next
    }

    /// Returns the current connection, if it is open.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        self.transports.present().map(|it| it.connection)
    }

    /// When the session replaced this connection by another one, if it has.
    pub(crate) fn replaced_at(&self, connection: ConnectionId) -> Option<Instant> {
        self.transports.replaced_at(connection)
    }

    /// Returns the observer of the current connection.
    pub(crate) fn observer(&self) -> Option<&Observer> {
        self.transports.present().map(|it| &it.observer)
    }

    /// Checks that the session has delivered every join and leave that it received; everything is quiet.
    pub(crate) fn check_pushes(&self, ctx: &mut Context) {
        let Some(connection) = self.connection() else {
            return;
        };
        for (channel, delivered) in self.application.pushes() {
            let received = ctx.membership.pushes_received(connection, channel);
            if delivered != received {
                let details = format!(
                    "session {} delivered {delivered} of {received} joins and leaves of {channel}",
                    self.index
                );
                ctx.report(Invariant::MembershipPushed, details);
            }
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
                // The present connection was lost, and its standby is accepted.
                if self.transports.is_migrating {
                    self.switch(ctx);
                }
                if let Some(open) = self.transports.present_mut() {
                    open.connected_at = Some(ctx.now());
                }
                self.reported_node = self.last_node;
                ctx.totals.reconnects += u64::from(downtime.is_some());
            }
            SessionEvent::Migrating { .. } => self.transports.is_migrating = true,
            SessionEvent::MigrationFailed { .. } => self.transports.keep_present(),
            SessionEvent::Lost {
                cause, detection, ..
            } => {
                let has_fault = self
                    .last_connection
                    .is_some_and(|connection| network.is_excused(ctx, connection));
                // A gateway does not read from a client with too much pending, so it does not reply to its pings either,
                // and while a disk is stalled much is pending.
                let is_excused = has_fault || ctx.now() < ctx.disks_stalled_until + detection;
                session_checks::check_loss(ctx, self.index, &cause, detection, is_excused);
            }
            SessionEvent::Failed { cause } => session_checks::on_failed(ctx, self.index, &cause),
            SessionEvent::Closed => self.on_closed(ctx),
            SessionEvent::Attempting { .. }
            | SessionEvent::Waiting { .. }
            | SessionEvent::Ready { .. }
            | _ => {}
        }
    }

    /// Checks that a call that timed out had no connection on which it could be completed in time. While a disk is stalled
    /// it may have waited for a publication before it.
    fn check_timeout(&self, ctx: &mut Context, network: &Network, id: CallId) {
        let now = ctx.now();
        let open = self.transports.present();
        let Some((connection, connected_at)) =
            open.and_then(|it| Some((it.connection, it.connected_at?)))
        else {
            return;
        };
        let Some(called_at) = self.application.called_at(id) else {
            return;
        };
        let since = connected_at.max(called_at).max(ctx.disks_stalled_until);
        let latest = since + CALL_TIME_MAX;
        if now >= latest && network.is_undisturbed_since(connection, since) {
            let details = format!(
                "call {} of session {} timed out at {}, but could use {connection} since {}",
                id.0,
                self.index,
                words::at(now),
                words::at(since)
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

    /// Whether nothing is left to do: every queue is empty, only failure detection is active, and the connection is not
    /// about to be replaced.
    pub(crate) fn is_idle(&self) -> bool {
        let snapshot = self.session.snapshot();
        let stays = !self.transports.is_migrating && (snapshot.endpoint == 0 || !self.fails_back);
        let is_empty = snapshot.queued == 0 && snapshot.in_flight == 0;
        snapshot.phase == SessionPhase::Ready && is_empty && stays
    }

    /// Describes what is not settled, as text for the operator.
    pub(crate) fn describe(&self) -> String {
        let session = words::session(self.session.snapshot());
        format!("{}; {session}", self.application.describe())
    }
}

/// The longest time from a call to its result on a connection without faults, with a margin.
const CALL_TIME_MAX: Duration = Duration::from_secs(1);
