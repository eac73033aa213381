//! All deadlines of a session: the next one, and what happens when it passes.

use steadfast_machine::Instant;

use super::Session;
use crate::io::{Output, Timer};

impl Session {
    /// Returns the next deadline and what happens when it passes, for diagnostics.
    pub fn next_timer(&self) -> Option<(Instant, Timer)> {
        let can_subscribe = self.can_subscribe();
        let own = [
            self.outbox.deadline().map(|at| (at, Timer::Outbox)),
            self.calls.deadline().map(|at| (at, Timer::Call)),
            self.subscriptions
                .deadline()
                .filter(|_| can_subscribe)
                .map(|at| (at, Timer::Resubscribe)),
        ];
        let all = own.into_iter().flatten().chain(self.link.next_timer());
        all.min_by_key(|(at, _)| *at)
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.expire(now);
        self.link.tick(now);
    }

    /// Completes what has expired.
    fn expire(&mut self, now: Instant) {
        let is_write_blocked = self.link.is_connected() && self.link.is_write_blocked();
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
}
