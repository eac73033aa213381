//! What tests request of the emulator.

use super::Middleware;
use super::calls::Due;
use super::login::TERMINATED;
use crate::control::Control;
use crate::io::ConnectionId;
use crate::jobs::Jobs;
use crate::rate_limit::RateLimiter;
use crate::tokens::Tokens;

impl Middleware {
    pub(super) fn control(&mut self, control: Control) {
        let all: Vec<ConnectionId> = self.connections.keys().copied().collect();
        match control {
            Control::Restart => self.restart(all),
            Control::CutConnections => {
                for id in all {
                    self.cut(id);
                }
            }
            Control::ExpireSessions => {
                let connections = self.connections.values_mut();
                for session in connections.filter_map(|it| it.session.as_mut()) {
                    session.is_expired = true;
                }
            }
            Control::TerminateSessions => {
                for id in all {
                    let connection = self.connections.get(&id);
                    if connection.is_some_and(|it| it.session.is_some()) {
                        self.close(id, TERMINATED, "");
                    }
                }
            }
            Control::LoseReply { method } => {
                let count = self.lost_replies.entry(method).or_default();
                *count = count.saturating_add(1);
            }
            Control::HoldCalls => self.held = Some(self.held.take().unwrap_or_default()),
            Control::ReleaseCalls => {
                for call in self.held.take().unwrap_or_default() {
                    self.schedule.add(self.now, Due::Execute(call));
                }
            }
            Control::FailJob { method } => {
                let count = self.failing_jobs.entry(method).or_default();
                *count = count.saturating_add(1);
            }
            Control::BecomeStandby { url } => self.redirect = vec![url],
            Control::BecomeActive => self.redirect.clear(),
            Control::EndSubscriptions { collection } => {
                for id in all {
                    self.end_subscription(id, &collection, None);
                }
            }
        }
    }

    /// The process ends and starts again: what is in memory is lost, what is stored stays.
    fn restart(&mut self, connections: Vec<ConnectionId>) {
        for id in connections {
            self.cut(id);
        }
        self.schedule.clear();
        self.held = None;
        self.jobs = Jobs::default();
        self.tokens = Tokens::default();
        self.limiter = RateLimiter::new(self.now);
        self.start += 1;
    }
}
