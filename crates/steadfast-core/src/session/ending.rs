//! The ends of a session: closed as the application wants, or failed until it is revived.

use std::time::Duration;

use steadfast_machine::Instant;
use steadfast_protocol::codes::CloseCode;

use super::{Session, Stage};
use crate::event::{Cause, Event, Phase, State};
use crate::io::Output;

impl Session {
    /// What is queued gets its time, with a connection or until one is there; an end that can carry nothing comes at once.
    pub(super) fn close(&mut self, now: Instant, drain: Duration) {
        let can_drain = !drain.is_zero() && !self.outbox.is_empty();
        match self.stage {
            // Nothing can carry what was queued meanwhile, and nobody waits for the end of what never began.
            Stage::Idle => self.abandon_everything(),
            Stage::Closing { .. } => {}
            Stage::Live { .. } if can_drain => {
                self.drain_until = Some(now + drain);
                self.enter(now, State::Connected, Phase::Draining);
            }
            Stage::Dialing { .. } | Stage::Greeting { .. } | Stage::Waiting { .. } if can_drain => {
                self.drain_until = Some(now + drain);
            }
            Stage::Live { .. }
            | Stage::Dialing { .. }
            | Stage::Greeting { .. }
            | Stage::Waiting { .. } => self.hang_up(now),
            Stage::Failed => self.end(now),
        }
    }

    /// True from the wish to close until the end.
    pub(super) const fn is_closing(&self) -> bool {
        self.drain_until.is_some() || matches!(self.stage, Stage::Closing { .. })
    }

    /// The phase of a new connection: what is to be done on it first.
    pub(super) const fn resuming_phase(&self) -> Phase {
        if self.drain_until.is_some() {
            Phase::Draining
        } else {
            Phase::Resuming
        }
    }

    /// Sends the close frame and gives the peer its time; without a connection there is nobody to tell.
    pub(super) fn hang_up(&mut self, now: Instant) {
        self.drain_until = None;
        match self.stage {
            Stage::Live { .. } => {}
            Stage::Dialing { .. } | Stage::Greeting { .. } => return self.end_at_once(now),
            Stage::Waiting { .. } | Stage::Failed | Stage::Idle | Stage::Closing { .. } => {
                return self.end(now);
            }
        }
        let attempt = self.attempt;
        // What was gathered in this turn goes out before the close frame.
        let messages = self.outgoing.take().into_iter();
        self.outputs
            .extend(messages.map(|message| Output::Transmit { attempt, message }));
        self.outputs.push_back(Output::HangUp {
            attempt,
            code: CloseCode::Normal.code(),
            reason: "closed by the client",
        });
        self.stage = Stage::Closing {
            deadline: now + self.settings().close_deadline,
        };
        self.enter(now, State::Connected, Phase::Closing);
    }

    /// The end that the application wanted, without waiting for the peer.
    pub(super) fn end_at_once(&mut self, now: Instant) {
        self.abandon_transport();
        self.end(now);
    }

    /// The end that the application wanted; the transport is gone.
    pub(super) fn end(&mut self, now: Instant) {
        self.stage = Stage::Idle;
        self.drain_until = None;
        self.away_since = None;
        self.failures = 0;
        self.snapshot.attempt = 0;
        self.outgoing.clear();
        self.subscriptions.lost();
        self.abandon_everything();
        self.enter(now, State::Disconnected, Phase::Idle);
        self.notify(Event::Closed);
    }

    /// No further attempt makes sense without somebody's decision. What is queued stays: a revived session sends it.
    pub(super) fn fail(&mut self, now: Instant, cause: Cause) {
        self.stage = Stage::Failed;
        self.outgoing.clear();
        self.subscriptions.lost();
        if self.drain_until.take().is_some() {
            return self.end(now);
        }
        self.snapshot.cause = Some(cause.clone());
        self.enter(now, State::Failed, Phase::Idle);
        self.notify(Event::Failed { cause });
    }

    fn abandon_everything(&mut self) {
        for (id, delivery) in self.outbox.abandon() {
            self.outputs.push_back(Output::Resolve { id, delivery });
        }
        for (id, error) in self.requests.abandon() {
            let outcome = Err(error);
            self.outputs.push_back(Output::Answer { id, outcome });
        }
    }
}
