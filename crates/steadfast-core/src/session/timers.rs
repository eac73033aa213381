//! All deadlines of a session: the next one, and what happens when it passes.

use steadfast_machine::Instant;

use super::{Lifecycle, Session};
use crate::io::{Output, Timer};

impl Session {
    /// Returns the next deadline and what happens when it passes, for diagnostics.
    pub fn next_timer(&self) -> Option<(Instant, Timer)> {
        let lifecycle = match &self.lifecycle {
            Lifecycle::Idle | Lifecycle::Failed => None,
            Lifecycle::Waiting { until } => Some((*until, Timer::Redial)),
            Lifecycle::Dialing { deadline } => deadline.map(|at| (at, Timer::ConnectTimeout)),
            Lifecycle::Handshake {
                deadline, liveness, ..
            } => {
                let silence = liveness.deadline();
                let is_first = silence < *deadline;
                Some(if is_first {
                    (silence, Timer::Liveness)
                } else {
                    (*deadline, Timer::ConnectTimeout)
                })
            }
            Lifecycle::Connected { liveness, .. } => Some((liveness.deadline(), Timer::Liveness)),
            Lifecycle::Closing { deadline } => Some((*deadline, Timer::CloseTimeout)),
        };
        let can_subscribe = self.can_subscribe();
        let others = [
            self.outbox.deadline().map(|at| (at, Timer::Outbox)),
            self.calls.deadline().map(|at| (at, Timer::Call)),
            self.subscriptions
                .deadline()
                .filter(|_| can_subscribe)
                .map(|at| (at, Timer::Resubscribe)),
            self.drain_until.map(|at| (at, Timer::CloseTimeout)),
            self.degrade_at().map(|at| (at, Timer::Degrade)),
        ];
        let all = others.into_iter().flatten().chain(lifecycle);
        all.min_by_key(|(at, _)| *at)
    }

    /// Completes what has expired.
    fn expire(&mut self, now: Instant) {
        let is_write_blocked = match &self.lifecycle {
            Lifecycle::Connected { liveness, .. } => liveness.is_write_blocked(),
            Lifecycle::Idle
            | Lifecycle::Dialing { .. }
            | Lifecycle::Handshake { .. }
            | Lifecycle::Waiting { .. }
            | Lifecycle::Closing { .. }
            | Lifecycle::Failed => false,
        };
        for (id, outcome) in self.outbox.expire(now, is_write_blocked) {
            self.outputs
                .push_back(Output::CompletePublication { id, outcome });
        }
        for (id, error) in self.calls.expire(now) {
            let outcome = Err(error);
            self.outputs.push_back(Output::CompleteCall { id, outcome });
        }
        if self.can_subscribe() {
            for request in self.subscriptions.time_out_replies(now) {
                self.send_request(Some(request));
            }
        }
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.expire(now);
        if self.drain_until.is_some_and(|until| now >= until) {
            return self.close_connection(now);
        }
        match &self.lifecycle {
            Lifecycle::Waiting { until } if now >= *until => self.dial(now),
            Lifecycle::Waiting { .. } => self.degrade(now),
            Lifecycle::Dialing {
                deadline: Some(deadline),
            }
            | Lifecycle::Handshake { deadline, .. }
                if now >= *deadline =>
            {
                self.attempt_timed_out(now);
            }
            Lifecycle::Handshake { .. } | Lifecycle::Connected { .. } => self.check_liveness(now),
            Lifecycle::Closing { deadline } if now >= *deadline => self.end_immediately(now),
            Lifecycle::Dialing { .. }
            | Lifecycle::Closing { .. }
            | Lifecycle::Idle
            | Lifecycle::Failed => {}
        }
    }
}
