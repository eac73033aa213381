//! A connection at work: what arrives, and what goes out.

use bytes::Bytes;
use steadfast_machine::Instant;
use steadfast_protocol::json::decode_replies;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Push, PushEvent, Reply};

use super::outgoing::{call_request, keyed_publish};
use super::{Session, Stage, deliver};
use crate::event::{Cause, Event, Phase, State};
use crate::io::{Feed, Loss, Output};
use crate::liveness::Duty;
use crate::subscriptions::Consequence;

impl Session {
    pub(super) fn heard(&mut self, now: Instant) {
        let (Stage::Greeting { liveness, .. } | Stage::Live { liveness, .. }) = &mut self.stage
        else {
            return;
        };
        if let Some(rtt) = liveness.heard(now) {
            self.snapshot.rtt = Some(rtt);
        }
    }

    pub(super) fn unsent(&mut self, now: Instant, bytes: u64) {
        if let Stage::Greeting { liveness, .. } | Stage::Live { liveness, .. } = &mut self.stage {
            liveness.unsent(now, bytes);
        }
    }

    /// A message was handed to the transport, which may not take it at once.
    pub(super) fn transmitted(&mut self, message: &Bytes) {
        if let Stage::Greeting { liveness, .. } | Stage::Live { liveness, .. } = &mut self.stage {
            liveness.handed_over(u64::try_from(message.len()).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn look_at_peer(&mut self, now: Instant) {
        let (Stage::Greeting { liveness, .. } | Stage::Live { liveness, .. }) = &mut self.stage
        else {
            return;
        };
        let attempt = self.attempt;
        match liveness.look(now) {
            Duty::Nothing => {}
            Duty::Probe => self.outputs.push_back(Output::Probe { attempt }),
            Duty::Dead(silence) => self.give_up_peer(now, Cause::Silence(silence)),
            Duty::Stalled(time) => self.give_up_peer(now, Cause::WriteStall(time)),
        }
    }

    pub(super) fn received(&mut self, now: Instant, message: &Bytes) {
        let attempt = self.attempt;
        // Nothing can have been received from a transport that is not open.
        if matches!(self.stage, Stage::Dialing { .. }) {
            return;
        }
        let replies = match decode_replies(message, &Limits::REPLIES) {
            Ok(replies) => replies,
            Err(error) => return self.give_up_peer(now, Cause::Protocol(error.to_string())),
        };
        for reply in replies {
            match reply {
                Ok(reply) => self.on_reply(now, reply),
                Err(error) => self.give_up_peer(now, Cause::Protocol(error.to_string())),
            }
            // A reply may have ended the connection; nothing behind it counts.
            if !self.is_current(attempt) {
                return;
            }
        }
    }

    fn on_reply(&mut self, now: Instant, reply: Reply) {
        match reply {
            Reply::Ping => {
                let answers = matches!(
                    self.stage,
                    Stage::Live {
                        answers_pings: true,
                        ..
                    }
                );
                if answers {
                    self.outgoing.pong();
                }
            }
            Reply::Response { id, outcome } => self.on_answer(now, id, outcome),
            Reply::Push(push) => self.on_push(now, push),
        }
    }

    fn on_push(&mut self, now: Instant, push: Push) {
        let channel = push.channel;
        let consequence = match push.event {
            PushEvent::Publication(it) => self.subscriptions.published(&channel, it),
            PushEvent::Join(info) => self.subscriptions.moved(&channel, Feed::Joined(info)),
            PushEvent::Leave(info) => self.subscriptions.moved(&channel, Feed::Left(info)),
            PushEvent::Unsubscribe { code, reason } => {
                self.subscriptions.unsubscribed(&channel, code, reason)
            }
            PushEvent::Disconnect { code, reason } => {
                self.abandon_transport();
                let code = u16::try_from(code).ok();
                return self.lost(now, Loss::Closed { code, reason });
            }
            // Server-side subscriptions, messages outside channels and expiry are not asked for by this client.
            PushEvent::Message(_)
            | PushEvent::Subscribe { .. }
            | PushEvent::Connect(_)
            | PushEvent::Refresh { .. } => return,
        };
        self.follow(consequence);
    }

    pub(super) fn follow(&mut self, consequence: Consequence) {
        deliver(&mut self.outputs, consequence.feeds);
        self.ask(consequence.request);
    }

    /// Whether the server is asked for subscriptions: who closes has nothing more to hear.
    pub(super) const fn asks_for_subscriptions(&self) -> bool {
        matches!(self.stage, Stage::Live { .. }) && self.drain_until.is_none()
    }

    /// Subscriptions first, then what was unanswered and what is new, in order, as far as the window allows.
    pub(super) fn send_what_may_go(&mut self, now: Instant) {
        if !matches!(self.stage, Stage::Live { .. }) {
            return;
        }
        while self.asks_for_subscriptions() && self.ask_for_subscription(now) {}
        let mut has_sent = false;
        loop {
            let id = self.outgoing.next_id();
            let Some(request) = self.outbox.send_next(now, id).map(keyed_publish) else {
                break;
            };
            self.outgoing.ask(request);
            has_sent = true;
        }
        loop {
            let id = self.outgoing.next_id();
            let Some(request) = self.requests.send_next(now, id).map(call_request) else {
                break;
            };
            self.outgoing.ask(request);
            has_sent = true;
        }
        if has_sent {
            self.probe_if_silent(now);
        }
        self.become_ready(now);
    }

    fn probe_if_silent(&mut self, now: Instant) {
        let attempt = self.attempt;
        if let Stage::Live { liveness, .. } = &mut self.stage
            && liveness.sending(now) == Duty::Probe
        {
            self.outputs.push_back(Output::Probe { attempt });
        }
    }

    fn become_ready(&mut self, now: Instant) {
        let is_settled = self.subscriptions.is_settled();
        let Stage::Live { is_ready, .. } = &mut self.stage else {
            return;
        };
        if *is_ready || !is_settled {
            return;
        }
        *is_ready = true;
        let epoch = self.snapshot.epoch;
        if self.drain_until.is_none() {
            self.enter(now, State::Connected, Phase::Ready);
        }
        self.notify(Event::Ready { epoch });
    }
}
