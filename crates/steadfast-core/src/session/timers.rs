//! All deadlines of a session: the next one, and what happens when it passes.

use steadfast_machine::Instant;

use super::Session;
use crate::dialect::Dialect;
use crate::io::Timer;

impl<D: Dialect> Session<D> {
    /// Returns the next deadline and what happens when it passes, for diagnostics.
    pub fn next_timer(&self) -> Option<(Instant, Timer)> {
        let can_subscribe = self.can_subscribe();
        let pending = &self.pending;
        let own = [
            pending.outbox.deadline().map(|at| (at, Timer::Outbox)),
            pending.calls.deadline().map(|at| (at, Timer::Call)),
            pending
                .credentials
                .deadline()
                .map(|at| (at, Timer::Credentials)),
            pending
                .subscriptions
                .deadline()
                .filter(|_| can_subscribe)
                .map(|at| (at, Timer::Resubscribe)),
        ];
        let all = own.into_iter().flatten().chain(self.link.next_timer());
        all.min_by_key(|(at, _)| *at)
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.expire(now);
        self.renew_credentials(now);
        if self.link.is_switch_overdue(now) {
            self.postpone_renewal(now);
        }
        self.link.tick(now);
    }

    /// Completes what has expired.
    fn expire(&mut self, now: Instant) {
        let is_write_blocked = self.link.is_connected() && self.link.is_write_blocked();
        let messages = self.pending.outbox.expire(now, is_write_blocked);
        self.fail_messages(messages);
        let calls = self.pending.calls.expire(now);
        self.fail_calls(calls);
        if self.can_subscribe() {
            for topic in self.pending.subscriptions.time_out_replies(now) {
                self.unsubscribe(Some(topic));
            }
        }
    }
}
