//! A connection at work: what arrives, what goes out, and its loss.

use std::time::Duration;

use bytes::Bytes;
use steadfast_machine::Instant;
use steadfast_protocol::codes::{Advice, CloseCode, DisconnectCode, retry_in};
use steadfast_protocol::json::decode_replies;
use steadfast_protocol::keyed::{self, KeyedPublish};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ChannelRequest, HistoryRequest, Push, PushEvent, Reply, Request, RpcRequest,
};

use super::{Session, Stage, deliver};
use crate::backoff::Reason;
use crate::event::{Cause, Event, Phase, State};
use crate::io::{Call, Feed, Loss, Output, Publish};
use crate::liveness::Duty;
use crate::subscriptions::Consequence;

/// What a close frame without a code means (RFC 6455, section 7.4.1).
const NO_CODE: u16 = 1005;

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

    /// The peer is not to be reached, or cannot be understood: its transport goes at once.
    pub(super) fn give_up_peer(&mut self, now: Instant, cause: Cause) {
        if matches!(self.stage, Stage::Closing { .. }) {
            return self.end_at_once(now);
        }
        self.abandon_transport();
        self.connection_lost(now, cause, Reason::Drop);
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
            Reply::Answer { id, outcome } => self.on_answer(now, id, outcome),
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

    /// Subscriptions first, then what was unanswered and what is new, in order, as far as the window allows.
    pub(super) fn send_what_may_go(&mut self, now: Instant) {
        if !matches!(self.stage, Stage::Live { .. }) {
            return;
        }
        while self.ask_for_subscription(now) {}
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
            let Some(request) = self.requests.send_next(id).map(call_request) else {
                break;
            };
            self.outgoing.ask(request);
            has_sent = true;
        }
        if has_sent {
            self.probe_if_silent(now);
        }
        self.become_ready(now);
        if self.drain_until.is_some() && self.outbox.is_empty() {
            self.hang_up(now);
        }
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

    /// The transport ended by itself, or by the peer.
    pub(super) fn lost(&mut self, now: Instant, loss: Loss) {
        if matches!(self.stage, Stage::Closing { .. }) {
            return self.end(now);
        }
        let (cause, advice, reason) = verdict(loss);
        match advice {
            Advice::Terminal => {
                self.note_loss(now, &cause);
                self.fail(now, cause);
            }
            Advice::ReconnectWithFreshState => {
                self.subscriptions.forget_positions();
                self.connection_lost(now, cause, reason);
            }
            Advice::Reconnect
            | Advice::Retry
            | Advice::RenewToken
            | Advice::Resubscribe
            | Advice::ResubscribeWithFreshState
            | Advice::EndSubscription
            | Advice::TellCaller => self.connection_lost(now, cause, reason),
        }
    }

    fn connection_lost(&mut self, now: Instant, cause: Cause, reason: Reason) {
        if !matches!(self.stage, Stage::Live { .. }) {
            let reason = match reason {
                Reason::Drop => Reason::Failure { hint: None },
                Reason::Mass { .. } | Reason::Failure { .. } => reason,
            };
            return self.attempt_failed(now, cause, reason);
        }
        self.note_loss(now, &cause);
        if self.drain_until.is_some() {
            return self.end(now);
        }
        let until = now + self.backoff.next(reason);
        self.wait(now, until, cause);
    }

    /// What follows from a loss whatever comes next.
    fn note_loss(&mut self, now: Instant, cause: &Cause) {
        let Stage::Live {
            since,
            liveness,
            is_ready,
            ..
        } = &self.stage
        else {
            return;
        };
        let lived = now.saturating_since(*since);
        let detection = now.saturating_since(liveness.heard_at());
        // A connection that was of no use, or of little, counts as a failure: a server that accepts and drops is not
        // to be hammered.
        if *is_ready && lived >= self.settings().backoff.stable_after {
            self.backoff.lived(lived);
        } else {
            self.backoff.failed();
        }
        self.away_since = Some(now);
        self.outgoing.clear();
        self.outbox.lost();
        self.subscriptions.lost();
        for (id, error) in self.requests.lost() {
            let outcome = Err(error);
            self.outputs.push_back(Output::Answer { id, outcome });
        }
        let epoch = self.snapshot.epoch;
        let cause = cause.clone();
        self.notify(Event::Lost {
            epoch,
            cause,
            detection,
        });
    }
}

/// What the end of a connection means: why, what to do, and how soon.
fn verdict(loss: Loss) -> (Cause, Advice, Reason) {
    match loss {
        Loss::Broken(text) => (Cause::Broken(text), Advice::Reconnect, Reason::Drop),
        Loss::Closed { code, reason } => {
            let code = code.unwrap_or(NO_CODE);
            let advice = Advice::for_disconnect(u32::from(code));
            let hint = retry_in(&reason);
            let pace = pace(code, hint);
            (Cause::Closed { code, reason }, advice, pace)
        }
    }
}

/// How soon after a close with this code.
fn pace(code: u16, hint: Option<Duration>) -> Reason {
    let is_one_of = |codes: &[u16]| codes.contains(&code);
    let going = [
        CloseCode::GoingAway.code(),
        1012,
        DisconnectCode::Shutdown.code(),
    ];
    let busy = [1013, DisconnectCode::TooManyRequests.code()];
    if is_one_of(&going) {
        Reason::Mass { hint }
    } else if is_one_of(&busy) || hint.is_some() {
        Reason::Failure { hint }
    } else {
        Reason::Drop
    }
}

fn keyed_publish(publish: &Publish) -> Request {
    let mut argument = Vec::new();
    let publish = KeyedPublish {
        channel: publish.channel.clone(),
        data: publish.data.clone(),
        key: publish.key.clone(),
    };
    keyed::append_publish(&mut argument, &publish);
    Request::Rpc(RpcRequest {
        method: keyed::METHOD.to_owned(),
        data: Bytes::from(argument),
    })
}

fn call_request(call: &Call) -> Request {
    match call {
        Call::Rpc { method, data } => Request::Rpc(RpcRequest {
            method: method.clone(),
            data: data.clone(),
        }),
        Call::History {
            channel,
            limit,
            since,
            reverse,
        } => Request::History(HistoryRequest {
            channel: channel.clone(),
            limit: *limit,
            since: since.clone(),
            reverse: *reverse,
        }),
        Call::Presence { channel } => Request::Presence(ChannelRequest {
            channel: channel.clone(),
        }),
        Call::PresenceStats { channel } => Request::PresenceStats(ChannelRequest {
            channel: channel.clone(),
        }),
    }
}
