//! The session: what an application holds while connections come and go.
//!
//! ```text
//!            open                dialled              connect reply
//! Idle ──────────────▶ Dialing ──────────▶ Greeting ───────────────▶ Live ──close──▶ Closing ──▶ Idle
//!                      ▲    │ failed          │ refused, lost         │ lost
//!                 due, │    ▼                 ▼                       ▼
//!                 kick └── Waiting ◀──────────────────────────────────┘
//!                              any terminal verdict ──▶ Failed ──revive──▶ Dialing
//! ```
//!
//! It owns every decision about dialling, waiting, giving up, what is sent again and what the application is told. It
//! never gives up by itself unless its policy says so or a server's code does. It moves no bytes and knows no clock.

mod answers;
mod dialing;
mod ending;
mod live;
mod loss;
mod outgoing;
mod timing;

use std::collections::VecDeque;

use steadfast_machine::{Instant, Machine, Seed};

use crate::backoff::Backoff;
use crate::event::{Event, Phase, Snapshot, State};
use crate::io::{Attempt, CallError, Delivery, DropReason, Feed, Input, Output, Publish, Timer};
use crate::liveness::Liveness;
use crate::outbox::Outbox;
use crate::policy::{SessionPolicy, SessionSettings};
use crate::requests::Requests;
use crate::subscriptions::Subscriptions;
use outgoing::Outgoing;

/// A session.
#[derive(Debug)]
pub struct Session {
    policy: SessionPolicy,
    stage: Stage,
    snapshot: Snapshot,
    /// The attempt under way, or the last one.
    attempt: Attempt,
    /// When it began.
    attempt_started: Instant,
    /// Failed attempts since the last connection, for turns over the endpoints.
    failures: u32,
    /// Since when there is no connection.
    away_since: Option<Instant>,
    /// What is queued is sent until then, and then the session ends.
    drain_until: Option<Instant>,
    backoff: Backoff,
    outbox: Outbox,
    requests: Requests,
    subscriptions: Subscriptions,
    outgoing: Outgoing,
    outputs: VecDeque<Output>,
}

/// Where a session is, with what is valid there.
#[derive(Debug)]
enum Stage {
    Idle,
    Dialing {
        /// `None` while the shell holds the dial back.
        deadline: Option<Instant>,
    },
    Greeting {
        deadline: Instant,
        /// The connect command.
        command: u32,
        liveness: Liveness,
    },
    Live {
        since: Instant,
        liveness: Liveness,
        /// The server wants its pings answered.
        answers_pings: bool,
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
    /// A session that is not opened yet. The seed drives its jitter and nothing else.
    pub fn new(policy: SessionPolicy, seed: Seed, now: Instant) -> Self {
        let SessionSettings {
            backoff,
            outbox,
            calls_max,
            subscriptions_max,
            ..
        } = policy.settings();
        Self {
            stage: Stage::Idle,
            snapshot: Snapshot {
                since: now,
                ..Snapshot::default()
            },
            attempt: Attempt::default(),
            attempt_started: now,
            failures: 0,
            away_since: None,
            drain_until: None,
            backoff: Backoff::new(*backoff, seed),
            outbox: Outbox::new(*outbox),
            requests: Requests::new(*calls_max),
            subscriptions: Subscriptions::new(*subscriptions_max),
            outgoing: Outgoing::default(),
            outputs: VecDeque::new(),
            policy,
        }
    }

    /// The current truth.
    pub const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Takes facts that became known together. Each counts as in [`Machine::handle`], but publications and calls that
    /// come one after another go out in as few messages as they fit into.
    pub fn handle_together(&mut self, now: Instant, inputs: impl IntoIterator<Item = Input>) {
        let mut has_gathered = false;
        for input in inputs {
            let can_wait = matches!(
                input,
                Input::PublishRequested(_) | Input::CallRequested { .. }
            );
            if has_gathered && !can_wait {
                self.settle(now);
            }
            self.take(now, input);
            if !can_wait {
                self.settle(now);
            }
            has_gathered = can_wait;
        }
        if has_gathered {
            self.settle(now);
        }
    }

    const fn settings(&self) -> &SessionSettings {
        self.policy.settings()
    }

    /// Whether facts of this attempt still count.
    fn is_current(&self, attempt: Attempt) -> bool {
        attempt == self.attempt
            && match self.stage {
                Stage::Dialing { .. }
                | Stage::Greeting { .. }
                | Stage::Live { .. }
                | Stage::Closing { .. } => true,
                Stage::Idle | Stage::Waiting { .. } | Stage::Failed => false,
            }
    }

    fn enter(&mut self, now: Instant, state: State, phase: Phase) {
        if self.snapshot.state != state {
            self.snapshot.since = now;
        }
        self.snapshot.state = state;
        self.snapshot.phase = phase;
        self.snapshot.next_try_at = match self.stage {
            Stage::Waiting { until } => Some(until),
            Stage::Idle
            | Stage::Dialing { .. }
            | Stage::Greeting { .. }
            | Stage::Live { .. }
            | Stage::Closing { .. }
            | Stage::Failed => None,
        };
    }

    /// Nothing of the present transport counts any more.
    fn abandon_transport(&mut self) {
        let attempt = self.attempt;
        self.outputs.push_back(Output::Abandon { attempt });
    }

    fn notify(&mut self, event: Event) {
        self.outputs.push_back(Output::Notify(event));
    }

    fn publish(&mut self, now: Instant, publish: Publish) {
        let id = publish.id;
        let refused = if self.is_closing() {
            Some(Delivery::Dropped(DropReason::Closed))
        } else if outgoing::fits(&publish) {
            self.outbox.offer(now, publish)
        } else {
            Some(Delivery::Dropped(DropReason::TooLarge))
        };
        if let Some(delivery) = refused {
            self.outputs.push_back(Output::Resolve { id, delivery });
        }
    }

    /// What a new input lets go out, and what it changes in the numbers.
    fn settle(&mut self, now: Instant) {
        self.send_what_may_go(now);
        if self.drain_until.is_some() && self.outbox.is_empty() {
            self.hang_up(now);
        }
        let attempt = self.attempt;
        for message in self.outgoing.take() {
            self.transmitted(&message);
            self.outputs
                .push_back(Output::Transmit { attempt, message });
        }
        self.snapshot.queued = self.outbox.queued();
        self.snapshot.unanswered = self.outbox.unanswered();
    }
}

impl Session {
    /// Takes a fact in, without what follows from it for what goes out.
    fn take(&mut self, now: Instant, input: Input) {
        match input {
            Input::OpenRequested => self.open(now),
            Input::CloseRequested { drain } => self.close(now, drain),
            Input::Kicked => self.kick(now),
            Input::Revived => self.revive(now),
            Input::DialHeld { attempt } if self.is_current(attempt) => self.dial_held(),
            Input::DialBegan { attempt } if self.is_current(attempt) => self.dial_began(now),
            Input::Dialled { attempt } if self.is_current(attempt) => self.dialled(now),
            Input::DialFailed { attempt, failure } if self.is_current(attempt) => {
                self.dial_failed(now, failure);
            }
            Input::Heard { attempt } if self.is_current(attempt) => self.heard(now),
            Input::Received { attempt, message } if self.is_current(attempt) => {
                self.received(now, &message);
            }
            Input::Unsent { attempt, bytes } if self.is_current(attempt) => {
                self.unsent(now, bytes);
            }
            Input::Lost { attempt, loss } if self.is_current(attempt) => self.lost(now, loss),
            // Late news of an attempt that is over.
            Input::DialHeld { .. }
            | Input::DialBegan { .. }
            | Input::Dialled { .. }
            | Input::DialFailed { .. }
            | Input::Heard { .. }
            | Input::Received { .. }
            | Input::Unsent { .. }
            | Input::Lost { .. } => {}
            Input::PublishRequested(publish) => self.publish(now, publish),
            Input::CallRequested { id, call, deadline } => {
                let refused = if outgoing::call_fits(&call) {
                    self.requests.offer(id, call, deadline)
                } else {
                    Some(CallError::TooLarge)
                };
                if let Some(error) = refused {
                    let outcome = Err(error);
                    self.outputs.push_back(Output::Answer { id, outcome });
                }
            }
            Input::SubscribeRequested { id, options } => {
                if let Some(feed) = self.subscriptions.add(id, options) {
                    self.outputs.push_back(Output::Deliver { id, feed });
                }
            }
            Input::UnsubscribeRequested { id } => {
                let request = self.subscriptions.remove(id);
                self.ask(request);
            }
            Input::Taken { id, items } => {
                self.subscriptions.taken(id, items);
            }
            Input::Tick => self.tick(now),
        }
    }
}

impl Machine for Session {
    type Input = Input;
    type Output = Output;
    type Timer = Timer;

    fn handle(&mut self, now: Instant, input: Input) {
        self.take(now, input);
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.next_deadline()
    }
}

/// Feeds, in the order in which they came.
fn deliver(outputs: &mut VecDeque<Output>, feeds: Vec<(crate::io::SubscriptionId, Feed)>) {
    let feeds = feeds.into_iter();
    outputs.extend(feeds.map(|(id, feed)| Output::Deliver { id, feed }));
}
