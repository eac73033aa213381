//! The session: the client state that is kept across connections, on top of a [`Link`].
//!
//! The link decides about dialling, failure detection, backoff and giving up. The session decides what is sent over a
//! connection, what is sent again over the next one, and what it reports to the application. It performs no I/O and has
//! no clock.

mod connected;
mod greeting;
mod outgoing;
mod replies;
mod timers;
mod verdicts;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use steadfast_machine::{Instant, Machine, Seed};
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::codes::CloseCode;

use crate::event::{DisconnectCause, SessionSnapshot};
use crate::io::{
    Attempt, Call, CallError, CallId, ConnectionLoss, DropReason, Input, Output, Publish,
    PublishOutcome, SubscriptionEvent,
};
use crate::link::{Link, LinkOutput};
use crate::outbox::Outbox;
use crate::pending_calls::PendingCalls;
use crate::policy::{SessionPolicy, SessionSettings};
use crate::subscriptions::Subscriptions;
use outgoing::Outgoing;
use verdicts::judge;

/// The client's state machine; it outlives connections.
#[derive(Debug)]
pub struct Session {
    policy: HiddenPolicy,
    link: Link,
    /// The id of the connect command of this connection.
    connect_command: u32,
    /// The server requires a pong for each of its pings.
    is_pong_required: bool,
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

impl Session {
    /// The encoding of every connection; the driver frames messages as this encoding requires.
    pub const ENCODING: Encoding = Encoding::Json;

    /// A session that is not opened yet. The seed determines its jitter and nothing else.
    pub fn new(policy: SessionPolicy, seed: Seed, now: Instant) -> Self {
        let SessionSettings {
            link,
            outbox,
            calls_max,
            subscriptions_max,
            ..
        } = policy.settings();
        Self {
            link: Link::new(*link, seed, now),
            connect_command: 0,
            is_pong_required: false,
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
        self.link.snapshot()
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

    fn publish(&mut self, now: Instant, publish: Publish) {
        let id = publish.id;
        let (dropped, reason) = if self.link.is_closing() {
            (vec![id], DropReason::Closed)
        } else if let Some(cause) = self.link.failure() {
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
        let rejected = if let Some(cause) = self.link.failure() {
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
        if self.outbox.is_empty() {
            self.link.drained(now);
        }
        self.follow_link(now);
        self.transmit();
        self.track_requests(now, newest);
        self.link
            .set_counts(self.outbox.queued(), self.outbox.in_flight());
    }

    fn transmit(&mut self) {
        let attempt = self.link.attempt();
        for message in self.outgoing.take() {
            self.link.transmitted(message.len());
            self.outputs
                .push_back(Output::Transmit { attempt, message });
        }
    }

    /// Executes what the link requires.
    fn follow_link(&mut self, now: Instant) {
        while let Some(output) = self.link.poll_output() {
            match output {
                LinkOutput::Dial { attempt, endpoint } => {
                    self.outputs.push_back(Output::Dial { attempt, endpoint });
                }
                LinkOutput::Abort { attempt } => self.outputs.push_back(Output::Abort { attempt }),
                LinkOutput::Probe { attempt } => self.outputs.push_back(Output::Probe { attempt }),
                LinkOutput::Close { attempt } => {
                    // Commands that were collected before are sent before the close frame.
                    self.transmit();
                    self.outputs.push_back(Output::Close {
                        attempt,
                        code: CloseCode::Normal.code(),
                        reason: "closed by the client",
                    });
                }
                LinkOutput::Greet { .. } => self.greet(now),
                LinkOutput::Down { was_connected, .. } => self.on_down(was_connected),
                LinkOutput::DiscardPositions => self.subscriptions.invalidate_positions(),
                LinkOutput::Ended { failure: None } => {
                    self.complete_everything(&DropReason::Closed, &CallError::Closed);
                }
                LinkOutput::Ended {
                    failure: Some(cause),
                } => {
                    let dropped = DropReason::Failed(cause.clone());
                    self.complete_everything(&dropped, &CallError::Failed(cause));
                }
                LinkOutput::Notify(event) => self.outputs.push_back(Output::Notify(event)),
            }
        }
    }

    /// The transport is gone. Subscriptions stay: they are resumed over the next connection.
    fn on_down(&mut self, was_connected: bool) {
        self.outgoing.clear();
        self.subscriptions.on_connection_lost();
        if !was_connected {
            return;
        }
        self.outbox.on_connection_lost();
        for (id, error) in self.calls.on_connection_lost() {
            let outcome = Err(error);
            self.outputs.push_back(Output::CompleteCall { id, outcome });
        }
    }

    /// Completes what still waits, so that nothing waits for a restart that may never come.
    fn complete_everything(&mut self, dropped: &DropReason, failed: &CallError) {
        for (id, outcome) in self.outbox.close(dropped) {
            self.outputs
                .push_back(Output::CompletePublication { id, outcome });
        }
        for (id, error) in self.calls.close(failed) {
            let outcome = Err(error);
            self.outputs.push_back(Output::CompleteCall { id, outcome });
        }
    }

    fn lost(&mut self, now: Instant, attempt: Attempt, loss: ConnectionLoss) {
        let is_too_large = matches!(loss, ConnectionLoss::MessageTooLarge(_));
        if is_too_large && !self.link.is_closing_connection() {
            self.subscriptions.on_message_too_large();
        }
        let verdict = judge(&loss);
        self.link
            .lost(now, attempt, DisconnectCause::from(loss), verdict);
    }
}

impl Session {
    /// Applies an input to the state, without sending.
    fn apply(&mut self, now: Instant, input: Input) {
        match input {
            Input::OpenRequested => self.link.open(now),
            Input::CloseRequested { drain } => {
                let has_pending = !self.outbox.is_empty();
                self.link
                    .close(now, if has_pending { drain } else { Duration::ZERO });
            }
            Input::ReconnectRequested => self.link.reconnect_now(now),
            Input::RestartRequested => self.link.restart(now),
            Input::DialQueued { attempt } => self.link.dial_queued(attempt),
            Input::DialStarted { attempt } => self.link.dial_started(now, attempt),
            Input::Dialled { attempt } => self.link.dialled(now, attempt),
            Input::DialFailed { attempt, failure } => self.link.dial_failed(now, attempt, failure),
            Input::BytesReceived { attempt } => self.link.bytes_received(now, attempt),
            Input::Received { attempt, message } if self.link.is_current(attempt) => {
                self.received(now, &message);
            }
            Input::SendBuffer { attempt, bytes } => {
                self.link.send_buffer_changed(now, attempt, bytes);
            }
            Input::Lost { attempt, loss } if self.link.is_current(attempt) => {
                self.lost(now, attempt, loss);
            }
            // Late inputs of an attempt that has ended.
            Input::Received { .. } | Input::Lost { .. } => {}
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
        self.follow_link(now);
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
