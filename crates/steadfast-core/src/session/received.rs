//! What the peer says, and what it completes.

use std::mem;
use std::ops::RangeInclusive;

use steadfast_machine::Instant;

use super::Session;
use crate::dialect::{Dialect, DialectEvent, InFlight, Oversized, Request, Topic};
use crate::event::{DisconnectCause, SessionEvent};
use crate::io::{Attempt, CallError, CallResult, Computation, Computed, Frame, Output, SendError};
use crate::retry_advice::{Action, RetryAdvice};

/// The capacities of a buffer of events that is kept for the next message: a smaller one costs little, and an idle session
/// should have none.
const KEPT_EVENTS: RangeInclusive<usize> = 8..=64;

impl<D: Dialect> Session<D> {
    pub(super) fn received(&mut self, now: Instant, frame: &Frame) {
        // A transport that is not open cannot have received anything.
        if !self.link.can_receive() {
            return;
        }
        let attempt = self.link.attempt();
        self.wire.set_blocked(self.link.is_write_blocked());
        let mut events = mem::take(&mut self.events);
        let read = self
            .connected_dialect
            .read(frame, &self.pending, &mut events, &mut self.wire);
        self.on_events(now, attempt, events, read);
        // Nothing follows the close frame.
        if self.link.is_current(attempt) && self.link.is_closing_connection() {
            self.wire.clear();
        }
    }

    /// The shell has computed what the login of this attempt requested.
    pub(super) fn computed(&mut self, now: Instant, attempt: Attempt, id: u32, computed: Computed) {
        if self.link.is_standby(attempt) {
            return self.computed_on_standby(now, attempt, id, computed);
        }
        if !self.link.is_current(attempt) || !self.link.can_receive() {
            return;
        }
        let mut events = Vec::new();
        self.connected_dialect
            .computed(id, computed, &mut events, &mut self.wire);
        self.on_events(now, attempt, events, Ok(()));
    }

    /// A message was above the limit of the client.
    pub(super) fn received_oversized(&mut self, now: Instant, oversized: &Oversized) {
        if !self.link.can_receive() {
            return;
        }
        let attempt = self.link.attempt();
        let mut events = mem::take(&mut self.events);
        self.connected_dialect
            .read_oversized(oversized, &mut events);
        self.on_events(now, attempt, events, Ok(()));
    }

    /// A message was read over the connection of this attempt.
    pub(super) fn on_events(
        &mut self,
        now: Instant,
        attempt: Attempt,
        mut events: Vec<DialectEvent<D>>,
        read: Result<(), String>,
    ) {
        for event in events.drain(..) {
            self.on_event(now, event);
            self.follow_link(now);
            // An event may have ended the connection; the later events of the message are ignored.
            if !self.link.is_current(attempt) {
                return;
            }
        }
        if KEPT_EVENTS.contains(&events.capacity()) {
            self.events = events;
        }
        if let Err(violation) = read {
            let cause = DisconnectCause::Protocol(violation);
            self.link.give_up_connection(now, attempt, cause);
            self.follow_link(now);
        }
    }

    fn on_event(&mut self, now: Instant, event: DialectEvent<D>) {
        match event {
            DialectEvent::Accepted { expires_after } => self.accepted(now, expires_after),
            DialectEvent::Authenticated { id, expires_after } => {
                self.link.reply_received(now, id);
                self.authenticated(now, id, expires_after);
            }
            DialectEvent::Rejected { cause, advice } => self.on_rejected(now, cause, advice),
            DialectEvent::Compute { id, computation } => {
                self.compute(self.link.attempt(), id, computation);
            }
            DialectEvent::Redirected { urls } => {
                self.redirected(now, self.link.attempt(), urls);
            }
            DialectEvent::Unauthenticated { id, refusal } => {
                self.link.reply_received(now, id);
                self.unauthenticated(now, id, refusal);
            }
            DialectEvent::Responded { id, response } => {
                self.link.reply_received(now, id);
                self.complete_call(id, Ok(response));
            }
            DialectEvent::Acknowledged {
                id,
                acknowledgement,
            } => {
                self.link.reply_received(now, id);
                self.acknowledge(id, Ok(acknowledgement));
            }
            DialectEvent::Subscribed { id, subscribed } => {
                self.link.reply_received(now, id);
                let subscriptions = &mut self.pending.subscriptions;
                let effects = subscriptions.on_subscribed(now, id, subscribed);
                self.apply_effects(effects);
            }
            DialectEvent::Refused {
                id,
                refusal,
                advice,
                maybe_executed,
            } => {
                self.link.reply_received(now, id);
                self.on_refused(now, id, refusal, advice, maybe_executed);
            }
            DialectEvent::TooManyCalls { id } => self.on_too_many_calls(now, id),
            DialectEvent::Replied { id } => {
                self.on_useless_reply(now, id, CallError::UnexpectedReply);
            }
            DialectEvent::Oversized { id, bytes } => self.on_oversized(now, id, bytes),
            DialectEvent::Item {
                topic,
                offset,
                item,
            } => {
                self.on_item(&topic, offset, item);
            }
            DialectEvent::Unsubscribed {
                topic,
                refusal,
                advice,
            } => {
                self.on_unsubscribed(now, &topic, refusal, advice);
            }
            DialectEvent::Notice { text } => self.notify(SessionEvent::Notice { text }),
            DialectEvent::Disconnected { cause, advice } => {
                self.link.dismissed(now, self.link.attempt(), cause, advice);
            }
        }
    }

    fn on_too_many_calls(&mut self, now: Instant, id: u32) {
        self.link.reply_received(now, id);
        let backoff = self.link.backoff_mut();
        let add_jitter = |pause| backoff.add_jitter(pause);
        self.pending.calls.on_too_many(now, id, add_jitter);
    }

    fn on_oversized(&mut self, now: Instant, id: Option<u32>, bytes: u64) {
        match id {
            Some(id) => self.on_useless_reply(now, id, CallError::ResultTooLarge { bytes }),
            None => self.on_items_missed(bytes),
        }
    }

    /// A reply that does not say what became of its request, except of a call.
    fn on_useless_reply(&mut self, now: Instant, id: u32, call: CallError<D::Refusal>) {
        self.link.reply_received(now, id);
        self.acknowledge(id, Err(SendError::Interrupted));
        self.complete_call(id, Err(call));
        self.renewal_replied(now, id);
    }

    /// A message was discarded that is no reply to a known request.
    fn on_items_missed(&mut self, bytes: u64) {
        let text =
            format!("a message of {bytes} bytes was discarded, above the limit of the client");
        self.notify(SessionEvent::Notice { text });
        self.report_gaps();
    }

    /// Items of any subscription may be missing.
    pub(super) fn report_gaps(&mut self) {
        let effects = self.pending.subscriptions.on_items_missed();
        for effects in effects {
            self.apply_effects(effects);
        }
    }

    pub(super) fn on_rejected(
        &mut self,
        now: Instant,
        cause: DisconnectCause,
        advice: RetryAdvice,
    ) {
        // The next attempt shows other credentials than those that the peer rejected.
        let are_replaced = self.pending.credentials.are_newer_than_handshake();
        let advice = if are_replaced && advice.action == Action::RenewCredentials {
            advice.with(Action::Retry)
        } else {
            advice
        };
        self.link.rejected(now, self.link.attempt(), cause, advice);
    }

    /// The login of an attempt needs something that only the shell can do.
    pub(super) fn compute(&mut self, attempt: Attempt, id: u32, computation: Computation) {
        self.outputs.push_back(Output::Compute {
            attempt,
            id,
            computation,
        });
    }

    fn on_item(&mut self, topic: &<D::Topic as Topic>::Key, offset: Option<u64>, item: D::Item) {
        let effects = self.pending.subscriptions.on_item(topic, offset, item);
        self.apply_effects(effects);
    }

    fn on_unsubscribed(
        &mut self,
        now: Instant,
        topic: &<D::Topic as Topic>::Key,
        refusal: D::Refusal,
        advice: RetryAdvice,
    ) {
        let backoff = self.link.backoff_mut();
        let subscriptions = &mut self.pending.subscriptions;
        let effects = subscriptions.on_unsubscribed(now, topic, refusal, advice, backoff);
        self.apply_effects(effects);
    }

    fn complete_call(&mut self, command: u32, outcome: CallResult<D>) {
        if let Some(id) = self.pending.calls.complete(command) {
            self.outputs.push_back(Output::CompleteCall { id, outcome });
        }
    }

    pub(super) fn on_refused(
        &mut self,
        now: Instant,
        id: u32,
        refusal: D::Refusal,
        advice: RetryAdvice,
        maybe_executed: bool,
    ) {
        match self.pending.request(id) {
            Some(Request::Message(_)) => {
                self.on_message_refused(now, id, refusal, advice, maybe_executed);
            }
            Some(Request::Call(_)) => self.complete_call(id, Err(CallError::Rejected(refusal))),
            Some(Request::Subscribe(..)) => {
                let backoff = self.link.backoff_mut();
                let subscriptions = &mut self.pending.subscriptions;
                let effects = subscriptions.on_refused(now, id, refusal, advice, backoff);
                self.apply_effects(effects);
            }
            Some(Request::Authenticate(_)) => self.renewal_refused(now, &refusal, advice),
            // The reply to the end of a subscription, or to a request that the session no longer waits for.
            Some(Request::Unsubscribe(_)) | None => {}
        }
    }

    fn on_message_refused(
        &mut self,
        now: Instant,
        command: u32,
        refusal: D::Refusal,
        advice: RetryAdvice,
        maybe_executed: bool,
    ) {
        let outbox = &mut self.pending.outbox;
        let failed = if advice.action == Action::Retry {
            let backoff = self.link.backoff_mut();
            let retry_after = advice
                .retry_after
                .map(|retry_after| backoff.cap_retry_after(retry_after));
            let add_jitter = |pause| backoff.add_jitter(pause);
            let lost = outbox.retry_later(now, command, retry_after, maybe_executed, add_jitter);
            lost.map(|id| (id, SendError::Interrupted))
        } else {
            outbox.reject(command, SendError::Rejected(refusal))
        };
        self.fail_messages(failed.into_iter().collect());
    }
}
