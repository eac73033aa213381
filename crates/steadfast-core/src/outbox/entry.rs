//! One message in the outbox: whether it is in flight, and whether it may have been applied.

use std::time::Duration;

use steadfast_machine::{Instant, convert};

use crate::dialect::{Delivery, Message};
use crate::io::{Outgoing, SendError};
use crate::policy::OutboxSettings;

/// A message and its state.
#[derive(Debug)]
pub(super) struct OutboxEntry<M> {
    pub(super) outgoing: Outgoing<M>,
    /// Numbers increase in the order of the queue.
    pub(super) number: u64,
    /// The index of the lane's flow control.
    pub(super) flow: usize,
    /// The end of the time to live.
    expires_at: Option<Instant>,
    /// The command and the deadline of its acknowledgement, while in flight.
    in_flight: Option<InFlight>,
    /// Earlier commands of this connection that were not acknowledged in time. A late reply is still possible.
    timed_out_commands: Vec<u32>,
    /// The outcome of an earlier command will never be known.
    has_unknown_outcome: bool,
    /// Since when the message may have been applied: the time of the first command whose outcome is unknown.
    in_doubt_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    command: u32,
    until: Instant,
}

impl<M: Message> OutboxEntry<M> {
    pub(super) fn new(now: Instant, outgoing: Outgoing<M>, number: u64, flow: usize) -> Self {
        Self {
            expires_at: outgoing.ttl.map(|ttl| now + ttl),
            outgoing,
            number,
            flow,
            in_flight: None,
            timed_out_commands: Vec::new(),
            has_unknown_outcome: false,
            in_doubt_since: None,
        }
    }

    pub(super) const fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether the message was never sent, or only rejected: it was not applied.
    pub(super) const fn is_unsent(&self) -> bool {
        self.in_doubt_since.is_none()
    }

    /// Whether the peer does not acknowledge the message.
    pub(super) fn is_unacknowledged(&self) -> bool {
        self.outgoing.message.delivery() == Delivery::Unacknowledged
    }

    /// The commands that the message was sent with on this connection, and that have no final reply.
    pub(super) fn commands(&self) -> impl Iterator<Item = u32> {
        let in_flight = self.in_flight.map(|it| it.command);
        self.timed_out_commands.iter().copied().chain(in_flight)
    }

    /// Marks the message as in flight. Each resend doubles the ack timeout, so that a slow server is not flooded.
    /// The doubling ends at the end of the resend window, after which no resend can follow.
    pub(super) fn send(&mut self, now: Instant, command: u32, settings: &OutboxSettings) {
        let timeout = settings.ack_timeout;
        let resend_until = *self.in_doubt_since.get_or_insert(now) + settings.resend_window;
        let repeats = convert::saturating(self.timed_out_commands.len());
        let factor = 2_u32.saturating_pow(repeats);
        let extended = now + timeout.saturating_mul(factor);
        let until = extended.min(resend_until).max(now + timeout);
        self.in_flight = Some(InFlight { command, until });
    }

    /// Whether the acknowledgement is overdue.
    pub(super) fn is_ack_overdue(&self, now: Instant) -> bool {
        self.in_flight.is_some_and(|it| now >= it.until)
    }

    /// Restarts the ack timeout, unless the resend window or the time to live has passed. The bytes of the
    /// message may still be in the send buffer: a resend would only be queued after these bytes, and arrive after
    /// the server has forgotten the key. Returns whether the timeout was restarted.
    pub(super) fn extend_ack_timeout(&mut self, now: Instant, settings: &OutboxSettings) -> bool {
        let end = self.expiry(settings.resend_window).filter(|at| now < *at);
        let (Some(in_flight), Some(end)) = (&mut self.in_flight, end) else {
            return false;
        };
        in_flight.until = end.min(now + settings.ack_timeout);
        true
    }

    /// Ends waiting for the acknowledgement.
    pub(super) fn time_out(&mut self) {
        let in_flight = self.in_flight.take();
        self.timed_out_commands
            .extend(in_flight.map(|it| it.command));
    }

    /// The command was rejected. Returns true if it was the newest command of the message.
    pub(super) fn on_rejected(&mut self, command: u32, may_be_stored: bool) -> bool {
        let is_newest = match self.in_flight {
            Some(in_flight) => in_flight.command == command,
            None => self.timed_out_commands.last() == Some(&command),
        };
        self.timed_out_commands.retain(|it| *it != command);
        if is_newest {
            self.in_flight = None;
        }
        self.has_unknown_outcome |= may_be_stored;
        if !self.has_unknown_outcome
            && self.timed_out_commands.is_empty()
            && self.in_flight.is_none()
        {
            self.in_doubt_since = None;
        }
        is_newest
    }

    /// The connection is lost: no reply can arrive any more.
    pub(super) fn on_connection_lost(&mut self) {
        self.has_unknown_outcome |=
            self.in_flight.take().is_some() || !self.timed_out_commands.is_empty();
        self.timed_out_commands.clear();
    }

    /// The error if nothing more is sent: `otherwise`, unless the message may have been applied.
    pub(super) fn error<R>(&self, otherwise: SendError<R>) -> SendError<R> {
        match self.in_doubt_since {
            Some(_) => SendError::Interrupted,
            None => otherwise,
        }
    }

    /// Whether the message may have been applied, and the peer would apply it again.
    pub(super) fn is_lost(&self) -> bool {
        !self.is_in_flight()
            && self.in_doubt_since.is_some()
            && self.outgoing.message.delivery() != Delivery::AtLeastOnce
    }

    /// Whether the message is in flight, and would not be sent again after a loss.
    pub(super) fn ends_with_connection(&self) -> bool {
        self.is_in_flight() && self.outgoing.message.delivery() != Delivery::AtLeastOnce
    }

    /// Whether the message is not in flight, and its time to live or its resend window has passed.
    pub(super) fn is_expired(&self, now: Instant, resend_window: Duration) -> bool {
        !self.is_in_flight() && self.expiry(resend_window).is_some_and(|at| now >= at)
    }

    /// When the message has to be handled: at the deadline of its acknowledgement while in flight, else at its
    /// expiry.
    pub(super) fn deadline(&self, resend_window: Duration) -> Option<Instant> {
        match self.in_flight {
            Some(in_flight) => Some(in_flight.until),
            None => self.expiry(resend_window),
        }
    }

    fn expiry(&self, resend_window: Duration) -> Option<Instant> {
        let resend_until = self.in_doubt_since.map(|since| since + resend_window);
        [self.expires_at, resend_until].into_iter().flatten().min()
    }
}
