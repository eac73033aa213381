//! The session: the client state that is kept across connections.
//!
//! ```text
//!        open                   dialled                connect reply
//! Idle ─────────▶ Dialing ───────────────▶ Handshake ───────────────▶ Connected ──close──▶ Closing ──▶ Idle
//!                 ▲    │ failed               │ rejected, lost           │ lost
//!  due, reconnect │    ▼                      ▼                          ▼
//!             now └── Waiting ◀───────────────────────────────────────────┘
//!                         any permanent failure ──▶ Failed ──restart──▶ Dialing
//! ```
//!
//! The session decides about dialling, backoff, giving up, resending, and what it reports to the application. It gives
//! up only if its policy or a server's code requires it. It performs no I/O and has no clock.

mod closing;
mod connected;
mod connection_loss;
mod dialing;
mod outgoing;
mod replies;
mod timers;

use std::collections::VecDeque;
use std::fmt;

use steadfast_machine::{Instant, Machine, Seed};
use steadfast_protocol::codec::Encoding;

use crate::backoff::Backoff;
use crate::event::{SessionEvent, SessionPhase, SessionSnapshot, SessionState};
use crate::io::{
    Attempt, Call, CallError, CallId, DropReason, Input, Output, Publish, PublishOutcome,
    SubscriptionEvent,
};
use crate::liveness::Liveness;
use crate::outbox::Outbox;
use crate::pending_calls::PendingCalls;
use crate::policy::{SessionPolicy, SessionSettings};
use crate::subscriptions::Subscriptions;
use outgoing::Outgoing;

/// The client's state machine; it outlives connections.
#[derive(Debug)]
pub struct Session {
    policy: HiddenPolicy,
    lifecycle: Lifecycle,
    snapshot: SessionSnapshot,
    /// The attempt in progress, or the last one.
    attempt: Attempt,
    attempt_started_at: Instant,
    /// Failed attempts since the last connection; they select the next endpoint.
    failures: u32,
    /// Start of the time without a connection.
    disconnected_since: Option<Instant>,
    /// While draining: the instant until which queued publications are sent; then the session ends.
    drain_until: Option<Instant>,
    backoff: Backoff,
    outbox: Outbox,
    calls: PendingCalls,
    subscriptions: Subscriptions,
    outgoing: Outgoing,
    outputs: VecDeque<Output>,
}

/// The policy, which has the token and is the same for the whole session, without a debug output.
struct HiddenPolicy(SessionPolicy);

impl fmt::Debug for HiddenPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionPolicy(..)")
    }
}

/// The state of a session, with the data that is valid in it.
#[derive(Debug)]
enum Lifecycle {
    Idle,
    Dialing {
        /// `None` while the dial is queued in the shell.
        deadline: Option<Instant>,
    },
    Handshake {
        deadline: Instant,
        /// The id of the connect command.
        command: u32,
        liveness: Liveness,
    },
    Connected {
        since: Instant,
        liveness: Liveness,
        /// The server requires a pong for each of its pings.
        is_pong_required: bool,
        is_ready: bool,
    },
    Waiting {
        until: Instant,
    },
    Closing {
        deadline: Instant,
    },
    Failed,
}

impl Session {
    /// The encoding of every connection; the driver frames messages as this encoding requires.
    pub const ENCODING: Encoding = Encoding::Json;

    /// A session that is not opened yet. The seed determines its jitter and nothing else.
    pub fn new(policy: SessionPolicy, seed: Seed, now: Instant) -> Self {
        let SessionSettings {
            backoff,
            outbox,
            calls_max,
            subscriptions_max,
            ..
        } = policy.settings();
        Self {
            lifecycle: Lifecycle::Idle,
            snapshot: SessionSnapshot {
                since: now,
                ..SessionSnapshot::default()
            },
            attempt: Attempt::default(),
            attempt_started_at: now,
            failures: 0,
            disconnected_since: None,
            drain_until: None,
            backoff: Backoff::new(*backoff, seed),
            outbox: Outbox::new(*outbox),
            calls: PendingCalls::new(*calls_max),
            subscriptions: Subscriptions::new(*subscriptions_max),
            outgoing: Outgoing::default(),
            outputs: VecDeque::new(),
            policy: HiddenPolicy(policy),
        }
    }

    /// The current state of the session, for display and tests.
    pub const fn snapshot(&self) -> &SessionSnapshot {
        &self.snapshot
    }

    /// Handles inputs that became known at the same time. Each input has the same effect as in [`Machine::handle`], but
    /// consecutive publications and calls are sent in as few messages as possible.
    pub fn handle_all(&mut self, now: Instant, inputs: impl IntoIterator<Item = Input>) {
        let mut has_pending = false;
        for input in inputs {
            let can_wait = matches!(
                input,
                Input::PublishRequested(_)
                    | Input::CallRequested { .. }
                    | Input::CallWithdrawn { .. }
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

    const fn settings(&self) -> &SessionSettings {
        self.policy.0.settings()
    }

    /// Whether inputs of this attempt are still valid.
    fn is_current(&self, attempt: Attempt) -> bool {
        attempt == self.attempt
            && match self.lifecycle {
                Lifecycle::Dialing { .. }
                | Lifecycle::Handshake { .. }
                | Lifecycle::Connected { .. }
                | Lifecycle::Closing { .. } => true,
                Lifecycle::Idle | Lifecycle::Waiting { .. } | Lifecycle::Failed => false,
            }
    }

    fn transition(&mut self, now: Instant, state: SessionState, phase: SessionPhase) {
        if self.snapshot.state != state {
            self.snapshot.since = now;
        }
        self.snapshot.state = state;
        self.snapshot.phase = phase;
        self.snapshot.next_attempt_at = match self.lifecycle {
            Lifecycle::Waiting { until } => Some(until),
            Lifecycle::Idle
            | Lifecycle::Dialing { .. }
            | Lifecycle::Handshake { .. }
            | Lifecycle::Connected { .. }
            | Lifecycle::Closing { .. }
            | Lifecycle::Failed => None,
        };
    }

    /// Gives up the current transport; its later inputs are ignored.
    fn abort_transport(&mut self) {
        let attempt = self.attempt;
        self.outputs.push_back(Output::Abort { attempt });
    }

    fn notify(&mut self, event: SessionEvent) {
        self.outputs.push_back(Output::Notify(event));
    }

    fn publish(&mut self, now: Instant, publish: Publish) {
        let id = publish.id;
        let (dropped, reason) = if self.is_closing() {
            (vec![id], DropReason::Closed)
        } else if let Some(cause) = self.failure() {
            (vec![id], DropReason::Failed(cause.clone()))
        } else if !outgoing::fits(&publish) {
            (vec![id], DropReason::TooLarge)
        } else {
            (self.outbox.enqueue(now, publish), DropReason::OutboxFull)
        };
        for id in dropped {
            let outcome = PublishOutcome::Dropped(reason.clone());
            self.outputs
                .push_back(Output::CompletePublication { id, outcome });
        }
    }

    fn call(&mut self, id: CallId, call: Call, deadline: Instant) {
        let rejected = if let Some(cause) = self.failure() {
            Some(CallError::Failed(cause.clone()))
        } else if outgoing::call_fits(&call) {
            self.calls.enqueue(id, call, deadline)
        } else {
            Some(CallError::TooLarge)
        };
        if let Some(error) = rejected {
            let outcome = Err(error);
            self.outputs.push_back(Output::CompleteCall { id, outcome });
        }
    }

    /// Sends what the last inputs made sendable, and updates the counts of the snapshot.
    fn flush(&mut self, now: Instant) {
        let newest = self.send_pending(now);
        if self.drain_until.is_some() && self.outbox.is_empty() {
            self.close_connection(now);
        }
        let attempt = self.attempt;
        for message in self.outgoing.take() {
            self.transmitted(&message);
            self.outputs
                .push_back(Output::Transmit { attempt, message });
        }
        self.track_requests(now, newest);
        self.snapshot.queued = self.outbox.queued();
        self.snapshot.in_flight = self.outbox.in_flight();
    }
}

impl Session {
    /// Applies an input to the state, without sending.
    fn apply(&mut self, now: Instant, input: Input) {
        match input {
            Input::OpenRequested => self.open(now),
            Input::CloseRequested { drain } => self.close(now, drain),
            Input::ReconnectRequested => self.reconnect_now(now),
            Input::RestartRequested => self.restart(now),
            Input::DialQueued { attempt } if self.is_current(attempt) => self.dial_queued(),
            Input::DialStarted { attempt } if self.is_current(attempt) => self.dial_started(now),
            Input::Dialled { attempt } if self.is_current(attempt) => self.dialled(now),
            Input::DialFailed { attempt, failure } if self.is_current(attempt) => {
                self.dial_failed(now, failure);
            }
            Input::BytesReceived { attempt } if self.is_current(attempt) => {
                self.bytes_received(now);
            }
            Input::Received { attempt, message } if self.is_current(attempt) => {
                self.received(now, &message);
            }
            Input::SendBuffer { attempt, bytes } if self.is_current(attempt) => {
                self.send_buffer_changed(now, bytes);
            }
            Input::Lost { attempt, loss } if self.is_current(attempt) => {
                self.on_connection_lost(now, loss);
            }
            // Late inputs of an attempt that has ended.
            Input::DialQueued { .. }
            | Input::DialStarted { .. }
            | Input::Dialled { .. }
            | Input::DialFailed { .. }
            | Input::BytesReceived { .. }
            | Input::Received { .. }
            | Input::SendBuffer { .. }
            | Input::Lost { .. } => {}
            Input::PublishRequested(publish) => self.publish(now, publish),
            Input::CallRequested { id, call, deadline } => {
                self.call(id, call, deadline);
            }
            Input::CallWithdrawn { id } => self.calls.withdraw(id),
            Input::SubscribeRequested { id, options } => {
                if let Some(event) = self.subscriptions.add(id, options) {
                    self.outputs.push_back(Output::Deliver { id, event });
                }
            }
            Input::UnsubscribeRequested { id } => {
                let request = self.subscriptions.remove(id);
                self.send_request(request);
            }
            Input::Consumed { id, items } => {
                self.subscriptions.on_consumed(id, items);
            }
            Input::Tick => self.tick(now),
        }
    }
}

impl Machine for Session {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.apply(now, input);
        self.flush(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next_timer().map(|(at, _)| at)
    }
}

/// Appends subscription events in their order.
fn deliver(
    outputs: &mut VecDeque<Output>,
    events: Vec<(crate::io::SubscriptionId, SubscriptionEvent)>,
) {
    let events = events.into_iter();
    outputs.extend(events.map(|(id, event)| Output::Deliver { id, event }));
}
