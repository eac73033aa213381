//! An established connection: received messages, and commands to send.

use bytes::Bytes;
use steadfast_machine::{Instant, convert};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Push, PushEvent, Reply};

use super::outgoing::{call_request, publish_request};
use super::{Lifecycle, Session, deliver};
use crate::event::{DisconnectCause, SessionEvent, SessionPhase, SessionState};
use crate::io::{ConnectionLoss, Output, SubscriptionEvent};
use crate::liveness::Action;
use crate::subscriptions::Effects;

impl Session {
    pub(super) fn bytes_received(&mut self, now: Instant) {
        let (Lifecycle::Handshake { liveness, .. } | Lifecycle::Connected { liveness, .. }) =
            &mut self.lifecycle
        else {
            return;
        };
        if let Some(rtt) = liveness.bytes_received(now) {
            self.snapshot.rtt = Some(rtt);
        }
    }

    pub(super) fn send_buffer_changed(&mut self, now: Instant, bytes: u64) {
        if let Lifecycle::Handshake { liveness, .. } | Lifecycle::Connected { liveness, .. } =
            &mut self.lifecycle
        {
            liveness.send_buffer_changed(now, bytes);
        }
    }

    /// A message was passed to the transport, which may buffer it.
    pub(super) fn transmitted(&mut self, message: &Bytes) {
        if let Lifecycle::Handshake { liveness, .. } | Lifecycle::Connected { liveness, .. } =
            &mut self.lifecycle
        {
            liveness.bytes_queued(convert::to_u64(message.len()));
        }
    }

    pub(super) fn check_liveness(&mut self, now: Instant) {
        let (Lifecycle::Handshake { liveness, .. } | Lifecycle::Connected { liveness, .. }) =
            &mut self.lifecycle
        else {
            return;
        };
        let attempt = self.attempt;
        match liveness.on_timer(now) {
            Action::Wait => {}
            Action::Probe => self.outputs.push_back(Output::Probe { attempt }),
            Action::PongTimeout(silence) => {
                self.drop_connection(now, DisconnectCause::PongTimeout(silence));
            }
            Action::WriteTimeout(time) => {
                self.drop_connection(now, DisconnectCause::WriteTimeout(time));
            }
        }
    }

    pub(super) fn received(&mut self, now: Instant, message: &Bytes) {
        let attempt = self.attempt;
        // A transport that is not open cannot have received anything.
        if matches!(self.lifecycle, Lifecycle::Dialing { .. }) {
            return;
        }
        for reply in Self::ENCODING.decode_replies(message, &Limits::REPLIES) {
            match reply {
                Ok(reply) => self.on_reply(now, reply),
                Err(error) => {
                    self.drop_connection(now, DisconnectCause::Protocol(error.to_string()));
                }
            }
            // A reply may have ended the connection; later replies of the message are ignored.
            if !self.is_current(attempt) {
                return;
            }
        }
    }

    fn on_reply(&mut self, now: Instant, reply: Reply) {
        match reply {
            Reply::Ping => {
                let is_required = matches!(
                    self.lifecycle,
                    Lifecycle::Connected {
                        is_pong_required: true,
                        ..
                    }
                );
                if is_required {
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
                self.abort_transport();
                let code = u16::try_from(code).ok();
                return self.on_connection_lost(now, ConnectionLoss::CloseFrame { code, reason });
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
        matches!(self.lifecycle, Lifecycle::Connected { .. }) && self.drain_until.is_none()
    }

    /// Sends subscribe commands first, then unacknowledged and new publications in order, up to the in-flight limits,
    /// then calls. Returns the newest command of a publication or call, if any was sent.
    pub(super) fn send_pending(&mut self, now: Instant) -> Option<u32> {
        if !matches!(self.lifecycle, Lifecycle::Connected { .. }) {
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
            self.probe_if_idle(now);
        }
        self.check_ready(now);
        newest
    }

    /// Reports to the failure detection whether requests are in flight, after all messages were passed to the transport.
    pub(super) fn track_requests(&mut self, now: Instant, newest: Option<u32>) {
        let Lifecycle::Connected { liveness, .. } = &mut self.lifecycle else {
            return;
        };
        if let Some(newest) = newest {
            liveness.requests_sent(now, newest);
        } else if self.outbox.in_flight() == 0 && !self.calls.has_in_flight() {
            liveness.no_request_in_flight();
        }
    }

    fn probe_if_idle(&mut self, now: Instant) {
        let attempt = self.attempt;
        if let Lifecycle::Connected { liveness, .. } = &mut self.lifecycle
            && liveness.on_send(now) == Action::Probe
        {
            self.outputs.push_back(Output::Probe { attempt });
        }
    }

    fn check_ready(&mut self, now: Instant) {
        let is_settled = self.subscriptions.is_settled();
        let Lifecycle::Connected { is_ready, .. } = &mut self.lifecycle else {
            return;
        };
        if *is_ready || !is_settled {
            return;
        }
        *is_ready = true;
        let epoch = self.snapshot.epoch;
        if self.drain_until.is_none() {
            self.transition(now, SessionState::Connected, SessionPhase::Ready);
        }
        self.notify(SessionEvent::Ready { epoch });
    }
}
