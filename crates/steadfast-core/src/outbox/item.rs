//! One publication in the outbox: whether it is under way, and whether it may have been applied.

use std::time::Duration;

use steadfast_machine::Instant;

use crate::io::{Delivery, Publish};
use crate::policy::OutboxSettings;

/// One publication.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) publish: Publish,
    /// The place of its lane.
    pub(super) lane: usize,
    /// Nobody wants it after this.
    expires_at: Option<Instant>,
    /// The command that carries it and the time that its answer may take, while it is under way.
    sending: Option<Sending>,
    /// Earlier commands of the present connection whose answer did not come in time. It may still come.
    overdue: Vec<u32>,
    /// What became of an earlier sending will never be known.
    is_unaccounted: bool,
    /// When the first sending began of those that nothing is known about: it may have been applied since.
    in_doubt_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Sending {
    command: u32,
    until: Instant,
}

impl Item {
    pub(super) fn new(now: Instant, publish: Publish, lane: usize) -> Self {
        Self {
            expires_at: publish.ttl.map(|ttl| now + ttl),
            publish,
            lane,
            sending: None,
            overdue: Vec::new(),
            is_unaccounted: false,
            in_doubt_since: None,
        }
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.sending.is_some()
    }

    /// Whether this command carries it, or did.
    pub(super) fn is_carried_by(&self, command: u32) -> bool {
        self.sending.is_some_and(|it| it.command == command) || self.overdue.contains(&command)
    }

    /// It goes out. Each repeat gives the server twice the time, so that a slow one is not flooded, but not more than is
    /// left of its memory for keys: behind that no repeat could follow.
    pub(super) fn send(&mut self, now: Instant, command: u32, settings: &OutboxSettings) {
        let timeout = settings.answer_timeout;
        let forgotten_at = *self.in_doubt_since.get_or_insert(now) + settings.key_window;
        let repeats = u32::try_from(self.overdue.len()).unwrap_or(u32::MAX);
        let factor = 1_u32.checked_shl(repeats).unwrap_or(u32::MAX);
        let patience = now + timeout.saturating_mul(factor);
        let until = patience.min(forgotten_at).max(now + timeout);
        self.sending = Some(Sending { command, until });
    }

    /// Whether the time for its answer is over.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.sending.is_some_and(|it| now >= it.until)
    }

    /// Its bytes may not have left: a repeat would only queue up behind them, and arrive when its key is forgotten. So
    /// the time begins anew, unless it is over then anyway. True when it is waited for.
    pub(super) fn wait_on(&mut self, now: Instant, settings: &OutboxSettings) -> bool {
        let end = self.ends_at(settings.key_window).filter(|at| now < *at);
        let (Some(sending), Some(end)) = (&mut self.sending, end) else {
            return false;
        };
        sending.until = end.min(now + settings.answer_timeout);
        true
    }

    /// It is not waited for any longer.
    pub(super) fn time_out(&mut self) {
        let sending = self.sending.take();
        self.overdue.extend(sending.map(|it| it.command));
    }

    /// This command was refused. True when it was the last one that it was sent with.
    pub(super) fn refused(&mut self, command: u32, may_be_applied: bool) -> bool {
        let is_newest = match self.sending {
            Some(sending) => sending.command == command,
            None => self.overdue.last() == Some(&command),
        };
        self.overdue.retain(|it| *it != command);
        if is_newest {
            self.sending = None;
        }
        self.is_unaccounted |= may_be_applied;
        if !self.is_unaccounted && self.overdue.is_empty() && self.sending.is_none() {
            self.in_doubt_since = None;
        }
        is_newest
    }

    /// The connection is gone, and no answer can come any more.
    pub(super) fn lose(&mut self) {
        self.is_unaccounted |= self.sending.take().is_some() || !self.overdue.is_empty();
        self.overdue.clear();
    }

    /// What it comes to when nothing more is done about it, unless it may have been applied.
    pub(super) fn outcome(&self, otherwise: Delivery) -> Delivery {
        match self.in_doubt_since {
            Some(_) => Delivery::Interrupted {
                maybe_delivered: true,
            },
            None => otherwise,
        }
    }

    /// Whether it is over by time alone.
    pub(super) fn is_over(&self, now: Instant, key_window: Duration) -> bool {
        !self.is_under_way() && self.ends_at(key_window).is_some_and(|at| now >= at)
    }

    /// When something is to be done about it: what is under way waits for its answer; else its own time counts, and
    /// that of the server's memory for keys.
    pub(super) fn deadline(&self, key_window: Duration) -> Option<Instant> {
        match self.sending {
            Some(sending) => Some(sending.until),
            None => self.ends_at(key_window),
        }
    }

    fn ends_at(&self, key_window: Duration) -> Option<Instant> {
        let forgotten_at = self.in_doubt_since.map(|since| since + key_window);
        [self.expires_at, forgotten_at].into_iter().flatten().min()
    }
}
