//! All deadlines of a link: the next one, and what happens when it passes.

use steadfast_machine::Instant;

use super::{Lifecycle, Link};
use crate::io::Timer;

impl Link {
    /// The next deadline and what happens when it passes.
    pub fn next_timer(&self) -> Option<(Instant, Timer)> {
        let lifecycle = match &self.lifecycle {
            Lifecycle::Idle | Lifecycle::Failed => None,
            Lifecycle::Waiting { until } => Some((*until, Timer::Redial)),
            Lifecycle::Dialing { deadline } => deadline.map(|at| (at, Timer::ConnectTimeout)),
            Lifecycle::Handshake { deadline, liveness } => {
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
        let others = [
            self.drain_until.map(|at| (at, Timer::CloseTimeout)),
            self.degrade_at().map(|at| (at, Timer::Degrade)),
            self.retiring
                .as_ref()
                .map(|it| (it.deadline, Timer::CloseTimeout)),
            self.standby.as_ref().and_then(|it| it.timer()),
            self.failback_at().map(|at| (at, Timer::Failback)),
        ];
        let all = others.into_iter().flatten().chain(lifecycle);
        all.min_by_key(|(at, _)| *at)
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        self.tick_retiring(now);
        if self.drain_until.is_some_and(|until| now >= until) {
            return self.close_connection(now);
        }
        self.tick_standby(now);
        self.tick_lifecycle(now);
        self.start_due_failback(now);
    }

    /// Time has passed for the present attempt or connection.
    fn tick_lifecycle(&mut self, now: Instant) {
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
