//! Every deadline of a session on one screen: the next one, and what is done when it passes.

use steadfast_machine::Instant;

use super::{Session, Stage};
use crate::io::{Output, Timer};

impl Session {
    /// The next deadline, and why it exists.
    pub(super) fn next_deadline(&self) -> Option<(Instant, Timer)> {
        let stage = match &self.stage {
            Stage::Idle | Stage::Failed => None,
            Stage::Waiting { until } => Some((*until, Timer::Redial)),
            Stage::Dialing { deadline } => deadline.map(|at| (at, Timer::AttemptDeadline)),
            Stage::Greeting {
                deadline, liveness, ..
            } => {
                let silence = liveness.deadline();
                let is_first = silence < *deadline;
                Some(if is_first {
                    (silence, Timer::Liveness)
                } else {
                    (*deadline, Timer::AttemptDeadline)
                })
            }
            Stage::Live { liveness, .. } => Some((liveness.deadline(), Timer::Liveness)),
            Stage::Closing { deadline } => Some((*deadline, Timer::CloseDeadline)),
        };
        let asks = self.asks_for_subscriptions();
        let others = [
            self.outbox.deadline().map(|at| (at, Timer::Outbox)),
            self.requests.deadline().map(|at| (at, Timer::Call)),
            self.subscriptions
                .deadline()
                .filter(|_| asks)
                .map(|at| (at, Timer::Resubscribe)),
            self.drain_until.map(|at| (at, Timer::CloseDeadline)),
            self.degrade_at().map(|at| (at, Timer::Degrade)),
        ];
        let all = others.into_iter().flatten().chain(stage);
        all.min_by_key(|(at, _)| *at)
    }

    /// What is over by time alone.
    fn expire(&mut self, now: Instant) {
        let is_clogged = match &self.stage {
            Stage::Live { liveness, .. } => liveness.is_clogged(),
            Stage::Idle
            | Stage::Dialing { .. }
            | Stage::Greeting { .. }
            | Stage::Waiting { .. }
            | Stage::Closing { .. }
            | Stage::Failed => false,
        };
        for (id, delivery) in self.outbox.expire(now, is_clogged) {
            self.outputs.push_back(Output::Resolve { id, delivery });
        }
        for (id, error) in self.requests.expire(now) {
            let outcome = Err(error);
            self.outputs.push_back(Output::Answer { id, outcome });
        }
        if self.asks_for_subscriptions() {
            for request in self.subscriptions.give_up_answers(now) {
                self.ask(Some(request));
            }
        }
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.expire(now);
        if self.drain_until.is_some_and(|until| now >= until) {
            return self.hang_up(now);
        }
        match &self.stage {
            Stage::Waiting { until } if now >= *until => self.dial(now),
            Stage::Waiting { .. } => self.degrade(now),
            Stage::Dialing {
                deadline: Some(deadline),
            }
            | Stage::Greeting { deadline, .. }
                if now >= *deadline =>
            {
                self.attempt_timed_out(now);
            }
            Stage::Greeting { .. } | Stage::Live { .. } => self.look_at_peer(now),
            Stage::Closing { deadline } if now >= *deadline => self.end_at_once(now),
            Stage::Dialing { .. } | Stage::Closing { .. } | Stage::Idle | Stage::Failed => {}
        }
    }
}
