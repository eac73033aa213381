//! An established connection: received messages, and commands to send.

use bytes::Bytes;
use steadfast_machine::Instant;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Push, PushEvent, Reply};

use super::outgoing::{call_request, publish_request};
use super::verdicts::judge;
use super::{Session, deliver};
use crate::event::DisconnectCause;
use crate::io::{ConnectionLoss, SubscriptionEvent};
use crate::subscriptions::Effects;

impl Session {
    pub(super) fn received(&mut self, now: Instant, message: &Bytes) {
        let attempt = self.link.attempt();
        // A transport that is not open cannot have received anything.
        if !self.link.can_receive() {
            return;
        }
        for reply in Self::ENCODING.decode_replies(message, &Limits::REPLIES) {
            match reply {
                Ok(reply) => self.on_reply(now, reply),
                Err(error) => {
                    let cause = DisconnectCause::Protocol(error.to_string());
                    self.link.give_up_connection(now, cause);
                }
            }
            self.follow_link(now);
            // A reply may have ended the connection; later replies of the message are ignored.
            if !self.link.is_current(attempt) {
                return;
            }
        }
    }

    fn on_reply(&mut self, now: Instant, reply: Reply) {
        match reply {
            Reply::Ping => {
                if self.is_pong_required && self.link.is_connected() {
                    self.outgoing.pong();
                }
            }
            Reply::Response { id, outcome } => self.on_command_reply(now, id, outcome),
            Reply::Push(push) => self.on_push(now, push),
        }
    }

    fn on_push(&mut self, now: Instant, push: Push) {
        let channel = push.channel.as_str();
        let effects = match push.event {
            PushEvent::Publication(it) => self.subscriptions.on_publication(channel, it),
            PushEvent::Join(info) => self
                .subscriptions
                .on_join_or_leave(channel, SubscriptionEvent::Join(info)),
            PushEvent::Leave(info) => self
                .subscriptions
                .on_join_or_leave(channel, SubscriptionEvent::Leave(info)),
            PushEvent::Unsubscribe { code, reason } => {
                self.subscriptions.on_unsubscribe(channel, code, reason)
            }
            PushEvent::Disconnect { code, reason } => {
                let code = u16::try_from(code).ok();
                let loss = ConnectionLoss::CloseFrame { code, reason };
                let verdict = judge(&loss);
                return self.link.dismissed(now, loss.into(), verdict);
            }
            // This client requests no server-side subscriptions, no messages outside channels, and no expiry.
            PushEvent::Message(_)
            | PushEvent::Subscribe { .. }
            | PushEvent::Connect(_)
            | PushEvent::Refresh { .. } => return,
        };
        self.apply_effects(effects);
    }

    pub(super) fn apply_effects(&mut self, effects: Effects) {
        deliver(&mut self.outputs, effects.events);
        self.send_request(effects.request);
    }

    /// Whether subscribe commands may be sent: not while the session is draining.
    pub(super) const fn can_subscribe(&self) -> bool {
        self.link.is_connected() && !self.link.is_draining()
    }

    /// Sends subscribe commands first, then unacknowledged and new publications in order, up to the in-flight limits,
    /// then calls. Returns the newest command of a publication or call, if any was sent.
    pub(super) fn send_pending(&mut self, now: Instant) -> Option<u32> {
        if !self.link.is_connected() {
            return None;
        }
        while self.can_subscribe() && self.send_next_subscribe(now) {}
        let mut newest = None;
        loop {
            let id = self.outgoing.next_id();
            let Some(request) = self.outbox.send_next(now, id).map(publish_request) else {
                break;
            };
            newest = Some(self.outgoing.push(request));
        }
        loop {
            let id = self.outgoing.next_id();
            let Some(request) = self.calls.send_next(now, id).map(call_request) else {
                break;
            };
            newest = Some(self.outgoing.push(request));
        }
        if newest.is_some() {
            self.link.requests_pending(now);
        }
        if self.subscriptions.is_settled() {
            self.link.ready(now);
        }
        newest
    }

    /// Reports to the failure detection whether requests are in flight, after all messages were passed to the transport.
    pub(super) fn track_requests(&mut self, now: Instant, newest: Option<u32>) {
        if let Some(newest) = newest {
            self.link.requests_sent(now, newest);
        } else if self.outbox.in_flight() == 0 && !self.calls.has_in_flight() {
            self.link.no_request_in_flight();
        }
    }
}
