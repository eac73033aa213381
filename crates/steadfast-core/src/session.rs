//! The session: the client state that is kept across connections, on top of a [`Link`].
//!
//! The link decides about dialling, failure detection, backoff and giving up. The dialect translates. The session decides
//! what is sent over a connection, what is sent again over the next one, and what it reports to the application. It
//! performs no I/O and has no clock.

mod credentials;
mod endpoint_log;
mod migration;
mod outgoing;
mod received;
mod relogin;
mod timers;

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_machine::{Instant, Machine, Seed};

use crate::dialect::{Dialect, DialectEvent, EarlyRequests, InFlight, Request, Wire};
use crate::event::{DisconnectCause, SessionEvent, SessionSnapshot};
use crate::io::{
    Attempt, CallError, CallId, ConnectionLoss, CredentialsSource, EventOf, Frame, Input,
    MessageId, Output, SendError, SubscriptionId,
};
use crate::link::{Link, LinkOutput};
use crate::outbox::Outbox;
use crate::pending_calls::PendingCalls;
use crate::policy::{EndpointLogs, SessionPolicy, SessionSettings};
use crate::subscriptions::{Effects, Subscriptions};
use credentials::Credentials;
use migration::Standby;
use relogin::Relogin;

/// The code of a close frame that ends a connection as intended (RFC 6455, section 7.4.1).
const NORMAL_CLOSURE: u16 = 1000;

/// The client's state machine; it outlives connections.
#[derive(Debug)]
pub struct Session<D: Dialect> {
    /// The dialect as it was created.
    dialect: D,
    /// The dialect on the current connection.
    connected_dialect: D,
    link: Link,
    endpoint_logs: EndpointLogs,
    /// The endpoint of the last connection, to whose log unacknowledged messages belong.
    log_endpoint: Option<usize>,
    pending: Pending<D>,
    relogin: Relogin,
    wire: Wire,
    /// The connection that is to replace the present one; boxed, because most sessions have none.
    standby: Option<Box<Standby<D>>>,
    /// What the peer sent over the present connection while that was the standby.
    unread: Vec<Frame>,
    /// A buffer that is empty between messages.
    events: Vec<DialectEvent<D>>,
    outputs: VecDeque<Output<D>>,
    /// The connection that is being reported as lost ended because of a request, as its peer says.
    is_loss_caused_by_call: bool,
}

/// What waits for a connection, a reply or an item.
#[derive(Debug)]
struct Pending<D: Dialect> {
    credentials: Credentials,
    outbox: Outbox<D::Message>,
    calls: PendingCalls<D::Call>,
    subscriptions: Subscriptions<D>,
}

impl<D: Dialect> InFlight<D> for Pending<D> {
    fn request(&self, id: u32) -> Option<Request<'_, D>> {
        if let Some(credentials) = self.credentials.sent_with(id) {
            return Some(Request::Authenticate(credentials));
        }
        if let Some(message) = self.outbox.get(id) {
            return Some(Request::Message(message));
        }
        if let Some(call) = self.calls.get(id) {
            return Some(Request::Call(call));
        }
        let topic = self.subscriptions.get(id)?;
        Some(Request::Subscribe(topic, None))
    }
}

impl<D: Dialect> Session<D> {
    /// A session that is not opened yet. The seed determines its jitter and nothing else.
    pub fn new(
        policy: &SessionPolicy,
        dialect: D,
        credentials: CredentialsSource,
        seed: Seed,
        now: Instant,
    ) -> Self {
        let SessionSettings {
            link: _,
            endpoint_logs,
            outbox,
            calls_max,
            calls_in_flight_max,
            subscriptions_max,
        } = policy.settings().clone();
        let mut link = Link::new(&policy.link(), seed, now);
        if credentials == CredentialsSource::Fetched {
            link.fetch_credentials();
        }
        Self {
            connected_dialect: dialect.clone(),
            dialect,
            link,
            endpoint_logs,
            log_endpoint: None,
            pending: Pending {
                credentials: Credentials::new(credentials),
                outbox: Outbox::new(outbox),
                calls: PendingCalls::new(calls_max, calls_in_flight_max, D::CALL_LOSSES_MAX),
                subscriptions: Subscriptions::new(subscriptions_max),
            },
            relogin: Relogin::default(),
            wire: Wire::default(),
            standby: None,
            unread: Vec::new(),
            events: Vec::new(),
            outputs: VecDeque::new(),
            is_loss_caused_by_call: false,
        }
    }

    /// The current state of the session, for display and tests.
    pub const fn snapshot(&self) -> &SessionSnapshot {
        self.link.snapshot()
    }

    /// Handles inputs that became known at the same time. Each input has the same effect as in [`Machine::handle`], but
    /// consecutive messages and calls are sent in as few frames as possible.
    pub fn handle_all(&mut self, now: Instant, inputs: impl IntoIterator<Item = Input<D>>) {
        let mut has_pending = false;
        for input in inputs {
            let can_wait = matches!(
                input,
                Input::SendRequested(_) | Input::CallRequested { .. } | Input::CallWithdrawn { .. }
            );
            if has_pending && !can_wait {
                self.flush(now);
            }
            self.apply(now, input);
            if !can_wait {
                self.flush(now);
            }
            has_pending = can_wait;
        }
        if has_pending {
            self.flush(now);
        }
    }

    /// Executes what the link requires.
    fn follow_link(&mut self, now: Instant) {
        while let Some(output) = self.link.poll_output() {
            match output {
                LinkOutput::Dial { attempt, endpoint } => {
                    self.outputs.push_back(Output::Dial { attempt, endpoint });
                }
                LinkOutput::FetchCredentials { reason } => self.fetch_credentials(now, reason),
                LinkOutput::Abort { attempt } => self.outputs.push_back(Output::Abort { attempt }),
                LinkOutput::Probe { attempt } => self.outputs.push_back(Output::Probe { attempt }),
                LinkOutput::Close { attempt } => {
                    // Requests that were collected before are sent before the close frame.
                    self.transmit(attempt);
                    self.pending.credentials.on_connection_ended();
                    self.outputs.push_back(Output::Close {
                        attempt,
                        code: NORMAL_CLOSURE,
                        reason: "closed by the client",
                    });
                }
                LinkOutput::StartHandshake { attempt } if self.link.is_standby(attempt) => {
                    self.start_standby_handshake(now, attempt);
                }
                LinkOutput::StartHandshake { attempt } => self.start_handshake(now, attempt),
                LinkOutput::StandbyDown { .. } => self.standby = None,
                LinkOutput::Switched { .. } => self.on_switched(now),
                LinkOutput::Down { was_connected, .. } => self.on_down(was_connected),
                LinkOutput::DiscardPositions => self.pending.subscriptions.invalidate_positions(),
                LinkOutput::Ended { failure: None } => {
                    self.complete_everything(&SendError::Closed, &CallError::Closed);
                }
                LinkOutput::Ended {
                    failure: Some(cause),
                } => {
                    let unsent = SendError::Failed(cause.clone());
                    self.complete_everything(&unsent, &CallError::Failed(cause));
                }
                LinkOutput::Notify(event) => self.notify(event),
            }
        }
    }

    /// The transport is open: the first messages of the dialect, and the subscriptions that may share them.
    fn start_handshake(&mut self, now: Instant, attempt: Attempt) {
        self.wire.clear();
        self.dialect.learn(&self.connected_dialect);
        self.connected_dialect = self.dialect.clone();
        self.enter_log();
        if let Err((cause, advice)) = self.check_login() {
            return self.on_rejected(now, cause, advice);
        }
        let early = self
            .connected_dialect
            .start_handshake(self.pending.credentials.current(), &mut self.wire);
        let limit = match early {
            EarlyRequests::All => {
                let renewal = self.dialect.renewal();
                self.pending.credentials.on_accepted(now, None, renewal);
                return self.link.accepted(now, attempt);
            }
            EarlyRequests::None => return,
            EarlyRequests::Subscriptions(limit) => limit,
        };
        if self.link.is_draining() {
            return;
        }
        for _ in 0..limit {
            if !self.subscribe_next(now) {
                return;
            }
        }
    }

    /// The transport is gone. Subscriptions stay: they are resumed over the next connection.
    fn on_down(&mut self, was_connected: bool) {
        self.wire.clear();
        self.unread.clear();
        self.pending.credentials.on_connection_ended();
        self.relogin.on_connection_ended();
        self.pending.subscriptions.on_connection_lost();
        if !was_connected {
            return;
        }
        let lost = self.pending.outbox.on_connection_lost();
        self.interrupt_messages(lost);
        let failed = self
            .pending
            .calls
            .on_connection_lost(self.is_loss_caused_by_call);
        self.fail_calls(failed);
    }

    /// Reports an event to all listeners, and the end of a connection to the subscriptions that requested it.
    fn notify(&mut self, event: SessionEvent) {
        let interruption = match &event {
            SessionEvent::Lost { cause, .. } => Some((cause, false)),
            SessionEvent::Failed { cause } => Some((cause, true)),
            SessionEvent::Attempting { .. }
            | SessionEvent::Waiting { .. }
            | SessionEvent::Connected { .. }
            | SessionEvent::Ready { .. }
            | SessionEvent::LoginExpired { .. }
            | SessionEvent::LoggedIn { .. }
            | SessionEvent::Migrating { .. }
            | SessionEvent::MigrationFailed { .. }
            | SessionEvent::RenewalFailed { .. }
            | SessionEvent::Notice { .. }
            | SessionEvent::Degraded { .. }
            | SessionEvent::Closed => None,
        };
        if let Some((cause, is_final)) = interruption {
            let events = self.pending.subscriptions.interrupt(cause, is_final);
            deliver(&mut self.outputs, events);
        }
        self.outputs.push_back(Output::Notify(event));
    }

    /// Completes what still waits, so that nothing waits for a restart that may never come.
    fn complete_everything(
        &mut self,
        unsent: &SendError<D::Refusal>,
        failed: &CallError<D::Refusal>,
    ) {
        let messages = self.pending.outbox.close(unsent);
        self.fail_messages(messages);
        let calls = self.pending.calls.close(failed);
        self.fail_calls(calls);
    }

    /// These messages may have been applied, and are not sent again.
    fn interrupt_messages(&mut self, ids: Vec<MessageId>) {
        let ids = ids.into_iter();
        self.fail_messages(ids.map(|id| (id, SendError::Interrupted)).collect());
    }

    fn fail_messages(&mut self, failed: Vec<(MessageId, SendError<D::Refusal>)>) {
        let failed = failed.into_iter();
        self.outputs.extend(failed.map(|(id, error)| {
            let outcome = Err(error);
            Output::CompleteMessage { id, outcome }
        }));
    }

    fn fail_calls(&mut self, failed: Vec<(CallId, CallError<D::Refusal>)>) {
        let failed = failed.into_iter();
        self.outputs.extend(failed.map(|(id, error)| {
            let outcome = Err(error);
            Output::CompleteCall { id, outcome }
        }));
    }

    fn lost(&mut self, now: Instant, attempt: Attempt, loss: ConnectionLoss) {
        let advice = if self.link.is_standby(attempt) {
            self.advise_standby(&loss)
        } else {
            self.connected_dialect.advise(&loss)
        };
        let is_too_large = matches!(loss, ConnectionLoss::MessageTooLarge(_));
        if is_too_large && self.link.is_current(attempt) && !self.link.is_closing_connection() {
            self.pending.subscriptions.on_message_too_large();
        }
        self.is_loss_caused_by_call = D::is_caused_by_call(&loss) && self.link.is_current(attempt);
        self.link
            .lost(now, attempt, DisconnectCause::from(loss), advice);
        self.follow_link(now);
        // It says nothing about the end of another connection.
        self.is_loss_caused_by_call = false;
    }

    fn apply_effects(&mut self, effects: Effects<D>) {
        deliver(&mut self.outputs, effects.events);
        self.unsubscribe(effects.unsubscribe);
    }

    /// Applies an input to the state, without sending.
    fn apply(&mut self, now: Instant, input: Input<D>) {
        match input {
            Input::OpenRequested => self.link.open(now),
            Input::CloseRequested { drain } => {
                let has_pending = !self.pending.outbox.is_empty();
                let drain = if has_pending { drain } else { Duration::ZERO };
                self.link.close(now, drain);
            }
            Input::ReconnectRequested => self.link.reconnect_now(now),
            Input::RestartRequested => self.link.restart(now),
            Input::MigrateRequested { endpoint } => self.link.migrate(now, endpoint),
            Input::DialQueued { attempt } => self.link.dial_queued(attempt),
            Input::DialStarted { attempt } => self.link.dial_started(now, attempt),
            Input::Dialled { attempt } => self.link.dialled(now, attempt),
            Input::DialFailed { attempt, failure } => self.link.dial_failed(now, attempt, failure),
            Input::BytesReceived { attempt, bytes } => {
                self.link.bytes_received(now, attempt, bytes);
            }
            Input::PongReceived { attempt } => self.link.pong_received(now, attempt),
            Input::Received { attempt, frame } if self.link.is_current(attempt) => {
                self.received(now, &frame);
            }
            Input::Received { attempt, frame } if self.link.is_standby(attempt) => {
                self.received_on_standby(now, attempt, frame);
            }
            Input::SendBuffer { attempt, bytes } => {
                self.link.send_buffer_changed(now, attempt, bytes);
            }
            Input::Lost { attempt, loss } => self.lost(now, attempt, loss),
            Input::ReceivedOversized { attempt, oversized } if self.link.is_current(attempt) => {
                self.received_oversized(now, &oversized);
            }
            // A late input of an attempt that has ended, or of a connection that was replaced.
            Input::Received { .. } => {}
            // What is sent over a standby before the switch is the handshake, and the dialect does not wait for long messages.
            Input::ReceivedOversized { .. } => {}
            Input::SendRequested(outgoing) => self.send(now, outgoing),
            Input::CallRequested { id, call, deadline } => {
                self.call(id, call, deadline);
            }
            Input::CallWithdrawn { id } => self.pending.calls.withdraw(id),
            Input::SubscribeRequested { id, options } => self.subscribe(id, options),
            Input::UnsubscribeRequested { id } => {
                let topic = self.pending.subscriptions.remove(id);
                self.unsubscribe(topic);
            }
            Input::Consumed { id, items } => {
                self.pending.subscriptions.on_consumed(id, items);
            }
            Input::CredentialsFetched { id, outcome } => {
                self.credentials_fetched(now, id, outcome);
            }
            Input::CredentialsReplaced(credentials) => self.credentials_replaced(now, credentials),
            Input::Computed {
                attempt,
                id,
                computed,
            } => self.computed(now, attempt, id, computed),
            Input::Tick => self.tick(now),
        }
        self.follow_link(now);
    }
}

impl<D: Dialect> Machine for Session<D> {
    type Input = Input<D>;
    type Output = Output<D>;

    fn handle(&mut self, now: Instant, input: Input<D>) {
        self.apply(now, input);
        self.flush(now);
    }

    fn poll_output(&mut self) -> Option<Output<D>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next_timer().map(|(at, _)| at)
    }
}

/// Appends subscription events in their order.
fn deliver<D: Dialect>(
    outputs: &mut VecDeque<Output<D>>,
    events: Vec<(SubscriptionId, EventOf<D>)>,
) {
    let events = events.into_iter();
    outputs.extend(events.map(|(id, event)| Output::Deliver { id, event }));
}
