//! The change from one connection to another that is established while the first one stays.
//!
//! The standby has its own dialect and its own messages. Until it replaces the present connection only its handshake is
//! said over it. What the peer sends after it has accepted the client is kept: at once only the protocol's own replies
//! are sent, such as a pong; after the switch it is read again, by a dialect that has not seen it. In between the present
//! connection replies to what is in flight, and new requests wait.

use std::time::Duration;

use steadfast_machine::Instant;

use super::Session;
use crate::dialect::{Dialect, DialectEvent, EarlyRequests, InFlight, Request, Wire};
use crate::event::DisconnectCause;
use crate::io::{Attempt, Computed, ConnectionLoss, Frame, Output};
use crate::retry_advice::{Action, RetryAdvice};

/// The most messages of an accepted standby that are kept; above it the switch does not wait for requests in flight.
const UNREAD_MESSAGES_MAX: usize = 256;
/// The most bytes of these messages, likewise. A single message may exceed it.
const UNREAD_BYTES_MAX: usize = 1 << 20;

/// What is said over a standby, once its transport is open.
#[derive(Debug)]
pub(super) struct Standby<D: Dialect> {
    attempt: Attempt,
    /// Has read everything.
    reader: D,
    /// Has read everything up to the acceptance, and reads the rest after the switch.
    dialect: D,
    wire: Wire,
    /// When the peer accepted the client, and for how long the credentials are valid then.
    accepted: Option<(Instant, Option<Duration>)>,
    /// The application replaced the credentials since the handshake began.
    are_credentials_replaced: bool,
    unread: Vec<Frame>,
    unread_bytes: usize,
}

/// Nothing is in flight during a handshake.
struct NothingInFlight;

impl<D: Dialect> InFlight<D> for NothingInFlight {
    fn request(&self, _id: u32) -> Option<Request<'_, D>> {
        None
    }
}

impl<D: Dialect> Standby<D> {
    fn keep_unread(&mut self, frame: Frame) {
        self.unread_bytes = self.unread_bytes.saturating_add(frame.payload().len());
        self.unread.push(frame);
    }

    const fn has_too_much_unread(&self) -> bool {
        self.unread.len() >= UNREAD_MESSAGES_MAX || self.unread_bytes >= UNREAD_BYTES_MAX
    }

    pub(super) const fn credentials_replaced(&mut self) {
        self.are_credentials_replaced = true;
    }
}

impl<D: Dialect> Session<D> {
    /// The transport of the standby is open: the first messages of its dialect. Subscriptions stay at the present
    /// connection until the switch.
    pub(super) fn start_standby_handshake(&mut self, now: Instant, attempt: Attempt) {
        self.dialect.learn(&self.connected_dialect);
        if let Err((cause, advice)) = self.check_login() {
            return self.link.rejected(now, attempt, cause, advice);
        }
        let (mut reader, mut wire) = (self.dialect.clone(), Wire::default());
        // Until the switch, replies to the peer have a limit, whatever its socket accepts.
        wire.set_blocked(true);
        let early = reader.start_handshake(self.pending.credentials.current(), &mut wire);
        self.standby = Some(Box::new(Standby {
            attempt,
            dialect: reader.clone(),
            reader,
            wire,
            accepted: None,
            are_credentials_replaced: false,
            unread: Vec::new(),
            unread_bytes: 0,
        }));
        if early == EarlyRequests::All {
            self.standby_accepted(now, attempt, None);
        }
    }

    fn standby_accepted(
        &mut self,
        now: Instant,
        attempt: Attempt,
        expires_after: Option<Duration>,
    ) {
        self.link.accepted(now, attempt);
        if let Some(standby) = &mut self.standby {
            standby.accepted.get_or_insert((now, expires_after));
        }
    }

    /// A message of the standby's peer. The dialect replies to it as the protocol requires; what it means to the application
    /// is read again after the switch.
    pub(super) fn received_on_standby(&mut self, now: Instant, attempt: Attempt, frame: Frame) {
        let Some(standby) = &mut self.standby else {
            return;
        };
        let was_accepted = self.link.is_switching();
        let mut events = Vec::new();
        let read = standby
            .reader
            .read(&frame, &NothingInFlight, &mut events, &mut standby.wire);
        if was_accepted {
            standby.keep_unread(frame);
        }
        for event in events {
            self.on_standby_event(now, attempt, event);
            // An event may have ended the attempt.
            if !self.link.is_standby(attempt) {
                return;
            }
        }
        if let Err(violation) = read {
            let cause = DisconnectCause::Protocol(violation);
            return self.link.give_up_connection(now, attempt, cause);
        }
        if !was_accepted && let Some(standby) = &mut self.standby {
            standby.dialect = standby.reader.clone();
        }
    }

    /// The shell has computed what the login of the standby requested.
    pub(super) fn computed_on_standby(
        &mut self,
        now: Instant,
        attempt: Attempt,
        id: u32,
        computed: Computed,
    ) {
        let Some(standby) = self.standby.as_mut().filter(|_| !self.link.is_switching()) else {
            return;
        };
        let mut events = Vec::new();
        standby
            .reader
            .computed(id, computed, &mut events, &mut standby.wire);
        standby.dialect = standby.reader.clone();
        for event in events {
            self.on_standby_event(now, attempt, event);
        }
    }

    fn on_standby_event(&mut self, now: Instant, attempt: Attempt, event: DialectEvent<D>) {
        match event {
            DialectEvent::Accepted { expires_after } => {
                self.standby_accepted(now, attempt, expires_after);
            }
            DialectEvent::Rejected { cause, advice } => {
                self.standby_rejected(now, attempt, cause, advice);
            }
            DialectEvent::Disconnected { cause, advice } => {
                self.link.dismissed(now, attempt, cause, advice);
            }
            DialectEvent::Compute { id, computation } => self.compute(attempt, id, computation),
            DialectEvent::Redirected { urls } => self.redirected(now, attempt, urls),
            // They do not fit the state of the connection, which has no request and no subscription yet.
            DialectEvent::Authenticated { .. }
            | DialectEvent::Unauthenticated { .. }
            | DialectEvent::Responded { .. }
            | DialectEvent::Acknowledged { .. }
            | DialectEvent::Subscribed { .. }
            | DialectEvent::Refused { .. }
            | DialectEvent::TooManyCalls { .. }
            | DialectEvent::Oversized { .. }
            | DialectEvent::Replied { .. }
            | DialectEvent::Item { .. }
            | DialectEvent::Unsubscribed { .. }
            | DialectEvent::Notice { .. } => {}
        }
    }

    fn standby_rejected(
        &mut self,
        now: Instant,
        attempt: Attempt,
        cause: DisconnectCause,
        advice: RetryAdvice,
    ) {
        let are_replaced = self
            .standby
            .as_ref()
            .is_some_and(|it| it.are_credentials_replaced);
        // The next attempt shows other credentials than those that the peer rejected.
        let advice = if are_replaced && advice.action == Action::RenewCredentials {
            advice.with(Action::Retry)
        } else {
            advice
        };
        self.link.rejected(now, attempt, cause, advice);
    }

    /// What the end of the standby's connection requires.
    pub(super) fn advise_standby(&self, loss: &ConnectionLoss) -> RetryAdvice {
        let standby = self.standby.as_ref();
        standby.map_or(&self.dialect, |it| &it.reader).advise(loss)
    }

    /// Switches to an accepted standby unless a request is in flight, or bytes wait for the socket.
    pub(super) fn switch_if_quiet(&mut self, now: Instant) {
        if !self.link.is_switching() {
            return;
        }
        let is_quiet = self.pending.outbox.in_flight() == 0
            && !self.pending.calls.has_in_flight()
            && !self.link.is_write_blocked();
        let standby = self.standby.as_ref();
        let is_full = standby.is_some_and(|it| it.has_too_much_unread());
        if is_quiet || (is_full && !self.postpone_renewal(now)) {
            self.link.switch(now);
            self.follow_link(now);
        }
    }

    /// Gives up a switch that renews the login and would interrupt a request that must not be repeated, while there is time
    /// for another one. Returns whether it did.
    pub(super) fn postpone_renewal(&mut self, now: Instant) -> bool {
        let is_postponed =
            self.link.is_switching_for_renewal() && self.is_renewal_waiting_for_requests(now);
        if is_postponed {
            self.link.give_up_renewal();
            self.pending.credentials.postpone_renewal(now);
            self.follow_link(now);
        }
        is_postponed
    }

    /// The connection of the standby is now the present one; nothing is in flight on it.
    pub(super) fn on_switched(&mut self, now: Instant) {
        let Some(standby) = self.standby.take() else {
            return;
        };
        let standby = *standby;
        self.connected_dialect = standby.dialect;
        self.wire = standby.wire;
        self.unread = standby.unread;
        self.pending.subscriptions.on_switched();
        self.enter_log();
        self.adopt_log();
        if let Some((accepted_at, expires_after)) = standby.accepted {
            let credentials = &mut self.pending.credentials;
            credentials.on_accepted(accepted_at, expires_after, self.dialect.renewal());
        }
        if standby.are_credentials_replaced {
            self.authenticate_replaced(now);
        }
    }

    /// Reads what the peer of the standby had sent before the switch. Returns whether there was something.
    pub(super) fn read_unread(&mut self, now: Instant) -> bool {
        let unread = std::mem::take(&mut self.unread);
        let attempt = self.link.attempt();
        // The protocol's own replies were sent when it arrived.
        let mut replies = Wire::default();
        for frame in &unread {
            if !self.link.is_current(attempt) {
                break;
            }
            let mut events = Vec::new();
            let dialect = &mut self.connected_dialect;
            let read = dialect.read(frame, &NothingInFlight, &mut events, &mut replies);
            self.on_events(now, attempt, events, read);
        }
        !unread.is_empty()
    }

    /// Passes what was collected for the standby to its transport.
    pub(super) fn transmit_on_standby(&mut self) {
        let Some(standby) = &mut self.standby else {
            return;
        };
        let attempt = standby.attempt;
        let newest_id = standby.wire.last_id();
        for frame in standby.wire.take() {
            self.link
                .transmitted(attempt, frame.payload().len(), newest_id);
            self.outputs.push_back(Output::Transmit { attempt, frame });
        }
    }
}
