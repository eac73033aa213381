//! What the application requests, and what is sent over the connection.

use steadfast_machine::Instant;

use super::Session;
use crate::dialect::{Dialect, Outcome, Request};
use crate::io::{
    Attempt, CallError, CallId, Outgoing, Output, SendError, SendResult, SubscribeOptions,
    SubscriptionEvent, SubscriptionId, UnsubscribeCause,
};

impl<D: Dialect> Session<D> {
    pub(super) fn send(&mut self, now: Instant, outgoing: Outgoing<D::Message>) {
        let id = outgoing.id;
        let (dropped, error) = if self.link.is_closing() {
            (vec![id], SendError::Closed)
        } else if let Some(cause) = self.link.failure() {
            (vec![id], SendError::Failed(cause.clone()))
        } else if let Err(problem) = self.dialect.check(Request::Message(&outgoing.message)) {
            (vec![id], SendError::Unsendable(problem))
        } else {
            let dropped = self.pending.outbox.enqueue(now, outgoing);
            (dropped, SendError::OutboxFull)
        };
        if !dropped.is_empty() {
            let dropped = dropped.into_iter();
            self.fail_messages(dropped.map(|id| (id, error.clone())).collect());
        }
    }

    pub(super) fn call(&mut self, id: CallId, call: D::Call, deadline: Instant) {
        let accepted = if let Some(cause) = self.link.failure() {
            Err(CallError::Failed(cause.clone()))
        } else if let Err(problem) = self.dialect.check(Request::Call(&call)) {
            Err(CallError::Unsendable(problem))
        } else {
            self.pending.calls.enqueue(id, call, deadline)
        };
        if let Err(error) = accepted {
            self.fail_calls(vec![(id, error)]);
        }
    }

    pub(super) fn subscribe(&mut self, id: SubscriptionId, options: SubscribeOptions<D::Topic>) {
        let request = Request::Subscribe(&options.topic, options.since.as_ref());
        let added = match self.dialect.check(request) {
            Ok(()) => self.pending.subscriptions.add(id, options),
            Err(problem) => Err(UnsubscribeCause::Unsendable(problem)),
        };
        if let Err(cause) = added {
            let event = SubscriptionEvent::Unsubscribed(cause);
            self.outputs.push_back(Output::Deliver { id, event });
        }
    }

    /// Requests the next subscription. Returns whether there was one.
    pub(super) fn subscribe_next(&mut self, now: Instant) -> bool {
        let id = self.wire.next_id();
        let next = self.pending.subscriptions.subscribe_next(now, id);
        let Some((topic, position)) = next else {
            return false;
        };
        self.wire.take_id();
        let request = Request::Subscribe(topic, position);
        let outcome = self.connected_dialect.write(id, request, &mut self.wire);
        if let Some(Outcome::Subscribed(subscribed)) = outcome {
            let effects = self
                .pending
                .subscriptions
                .on_subscribed(now, id, subscribed);
            self.apply_effects(effects);
        }
        true
    }

    /// Ends a subscription at the server, if there is a connection.
    pub(super) fn unsubscribe(&mut self, topic: Option<D::Topic>) {
        let is_open = self.link.is_in_handshake() || self.link.is_connected();
        if let Some(topic) = topic.filter(|_| is_open) {
            let id = self.wire.take_id();
            let request = Request::Unsubscribe(&topic);
            self.connected_dialect.write(id, request, &mut self.wire);
        }
    }

    /// Whether subscriptions may be requested: not while the session is draining, about to switch to another connection, or
    /// logging in again.
    pub(super) fn can_subscribe(&self) -> bool {
        self.link.is_connected()
            && !self.link.is_draining()
            && !self.link.is_switching()
            && !self.relogin.is_in_progress()
    }

    /// Sends what the last inputs made sendable, and updates the counts of the snapshot.
    pub(super) fn flush(&mut self, now: Instant) {
        self.start_delayed_renewal(now);
        self.switch_if_quiet(now);
        let mut newest = self.send_pending(now);
        if self.read_unread(now) {
            newest = self.send_pending(now).or(newest);
        }
        if self.pending.outbox.is_empty() {
            self.link.drained(now);
        }
        self.follow_link(now);
        self.transmit(self.link.attempt());
        self.transmit_on_standby();
        self.track_requests(now, newest);
        let outbox = &self.pending.outbox;
        self.link.set_counts(outbox.queued(), outbox.in_flight());
    }

    /// Passes what was collected to the transport of this attempt.
    pub(super) fn transmit(&mut self, attempt: Attempt) {
        let newest_id = self.wire.last_id();
        for frame in self.wire.take() {
            self.link
                .transmitted(attempt, frame.payload().len(), newest_id);
            self.outputs.push_back(Output::Transmit { attempt, frame });
        }
    }

    /// Requests subscriptions first, then sends unacknowledged and new messages in order, up to the in-flight limits,
    /// then calls. Returns the newest request that has a reply, if any was sent.
    fn send_pending(&mut self, now: Instant) -> Option<u32> {
        // Until a switch, requests wait for the other connection; while the client logs in again, for the login.
        if !self.link.is_connected() || self.link.is_switching() || self.relogin.is_in_progress() {
            return None;
        }
        while self.can_subscribe() && self.subscribe_next(now) {}
        let newest_message = self.send_messages(now);
        let newest = self.send_calls(now).or(newest_message);
        if newest.is_some() {
            self.link.requests_pending(now);
        }
        if self.pending.subscriptions.is_settled() {
            self.link.ready(now);
        }
        newest
    }

    fn send_messages(&mut self, now: Instant) -> Option<u32> {
        let is_write_blocked = self.link.is_write_blocked();
        let mut newest = None;
        loop {
            let id = self.wire.next_id();
            let outbox = &mut self.pending.outbox;
            let Some(message) = outbox.send_next(now, id, is_write_blocked) else {
                return newest;
            };
            self.wire.take_id();
            let request = Request::Message(message);
            match self.connected_dialect.write(id, request, &mut self.wire) {
                Some(Outcome::Acknowledged(outcome)) => self.acknowledge(id, Ok(outcome)),
                Some(Outcome::Subscribed(_) | Outcome::Authenticated) | None => newest = Some(id),
            }
        }
    }

    /// The message that was sent with this command has its outcome.
    pub(super) fn acknowledge(&mut self, command: u32, outcome: SendResult<D>) {
        if let Some(id) = self.pending.outbox.acknowledge(command) {
            self.outputs
                .push_back(Output::CompleteMessage { id, outcome });
        }
    }

    fn send_calls(&mut self, now: Instant) -> Option<u32> {
        let mut newest = None;
        loop {
            let id = self.wire.next_id();
            let Some(call) = self.pending.calls.send_next(now, id) else {
                return newest;
            };
            self.wire.take_id();
            let request = Request::Call(call);
            self.connected_dialect.write(id, request, &mut self.wire);
            newest = Some(id);
        }
    }

    /// Reports to the failure detection whether requests are in flight, after all messages were passed to the transport.
    fn track_requests(&mut self, now: Instant, newest: Option<u32>) {
        if let Some(newest) = newest {
            self.link.requests_sent(now, newest);
        } else if self.pending.outbox.in_flight() == 0 && !self.pending.calls.has_in_flight() {
            self.link.no_request_in_flight();
        }
    }
}
