//! The subscriptions that the application requested, compared with what the server knows.
//!
//! `Subscriptions` holds the desired state and outlives connections. After each connect, every missing subscription is
//! requested again, from the last delivered position. A publication at or below that position is dropped; a gap is
//! always reported. A subscription with a full buffer is paused: the client unsubscribes, and the server keeps the
//! history.

mod subscription;

use std::collections::BTreeMap;

use steadfast_machine::Instant;
use steadfast_protocol::codes::{Advice, retry_in};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ChannelRequest, Publication, ReplyError, Request, SubscribeRequest, SubscribeResult,
};

use crate::backoff::Backoff;
use crate::io::{SubscribeOptions, SubscriptionEvent, SubscriptionId};
use subscription::{Subscription, SubscriptionState};

/// All subscriptions, by id and by channel.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    len_max: usize,
    all: BTreeMap<SubscriptionId, Subscription>,
    by_channel: BTreeMap<String, SubscriptionId>,
}

/// What the session does after an input: events for the application, and possibly a request to the server.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) events: Vec<(SubscriptionId, SubscriptionEvent)>,
    pub(crate) request: Option<Request>,
}

impl Subscriptions {
    pub(crate) const fn new(len_max: usize) -> Self {
        Self {
            len_max,
            all: BTreeMap::new(),
            by_channel: BTreeMap::new(),
        }
    }

    /// Adds a subscription; it is rejected if there are too many, one for the channel exists, or the name is too long.
    pub(crate) fn add(
        &mut self,
        id: SubscriptionId,
        options: SubscribeOptions,
    ) -> Option<SubscriptionEvent> {
        let is_rejected = self.all.len() >= self.len_max
            || self.by_channel.contains_key(&options.channel)
            || options.channel.len() > Limits::CHANNEL_BYTES;
        if is_rejected {
            return Some(SubscriptionEvent::Unsubscribed {
                code: 0,
                reason: "too many subscriptions, duplicate channel, or channel name too long"
                    .to_owned(),
            });
        }
        self.by_channel.insert(options.channel.clone(), id);
        self.all.insert(id, Subscription::new(options));
        None
    }

    /// Removes a subscription; returns the unsubscribe request if the server knows it.
    pub(crate) fn remove(&mut self, id: SubscriptionId) -> Option<Request> {
        let subscription = self.all.remove(&id)?;
        let channel = subscription.options.channel;
        self.by_channel.remove(&channel);
        match subscription.state {
            SubscriptionState::Subscribed | SubscriptionState::Subscribing { .. } => {
                Some(Request::Unsubscribe(ChannelRequest { channel }))
            }
            SubscriptionState::Pending
            | SubscriptionState::Delayed(_)
            | SubscriptionState::Paused => None,
        }
    }

    /// The next subscribe request, to be sent with this command id.
    pub(crate) fn subscribe_next(&mut self, now: Instant, command: u32) -> Option<Request> {
        let next = self.all.values_mut().find(|it| match it.state {
            SubscriptionState::Pending => true,
            SubscriptionState::Delayed(until) => now >= until,
            SubscriptionState::Subscribing { .. }
            | SubscriptionState::Subscribed
            | SubscriptionState::Paused => false,
        })?;
        next.on_subscribe_sent(now, command);
        Some(Request::Subscribe(SubscribeRequest {
            channel: next.options.channel.clone(),
            recover: next.position.is_some(),
            position: next.position.clone().unwrap_or_default(),
            positioned: true,
            recoverable: true,
            join_leave: next.options.join_leave,
            ..SubscribeRequest::default()
        }))
    }

    /// Whether no subscription is pending or waiting for its reply.
    pub(crate) fn is_settled(&self) -> bool {
        self.all.values().all(|it| match it.state {
            SubscriptionState::Pending | SubscriptionState::Subscribing { .. } => false,
            SubscriptionState::Subscribed
            | SubscriptionState::Delayed(_)
            | SubscriptionState::Paused => true,
        })
    }

    /// The connection is lost. The counts of rejections are kept, so that the delays keep growing.
    pub(crate) fn on_connection_lost(&mut self) {
        for it in self.all.values_mut() {
            if !matches!(it.state, SubscriptionState::Paused) {
                it.state = SubscriptionState::Pending;
            }
        }
    }

    /// The server lost its state: positions are invalid. The next subscribe reply is reported as a gap.
    pub(crate) fn invalidate_positions(&mut self) {
        for it in self.all.values_mut() {
            it.invalidate_position();
        }
    }

    /// The server sent a message above the limit of this client, and its channel is not known. A
    /// subscription that is where it was when this happened before gives up its position: otherwise the same message
    /// would end every connection.
    pub(crate) fn on_message_too_large(&mut self) {
        for it in self.all.values_mut() {
            it.on_message_too_large();
        }
    }

    /// Handles the reply to a subscribe command; `None` if the command belongs to no subscription.
    pub(crate) fn on_subscribe_reply(
        &mut self,
        now: Instant,
        command: u32,
        outcome: Result<SubscribeResult, ReplyError>,
        backoff: &mut Backoff,
    ) -> Option<Effects> {
        let is_subscribing = |it: &Subscription| match it.state {
            SubscriptionState::Subscribing {
                command: pending, ..
            } => pending == command,
            SubscriptionState::Pending
            | SubscriptionState::Subscribed
            | SubscriptionState::Delayed(_)
            | SubscriptionState::Paused => false,
        };
        let (id, it) = self.all.iter_mut().find(|(_, it)| is_subscribing(it))?;
        let id = *id;
        match outcome {
            Ok(result) => Some(it.on_subscribed(id, result)),
            Err(error) => match Advice::for_subscribe_error(&error) {
                Advice::Retry | Advice::RenewToken => {
                    let (own_delay, retry_after) =
                        (it.next_retry_delay(), retry_in(&error.message));
                    it.delay(now + backoff.retry_delay(own_delay, retry_after));
                    Some(Effects::default())
                }
                Advice::ResubscribeWithFreshState | Advice::Resubscribe => {
                    if it.position.is_some() {
                        it.invalidate_position();
                        it.state = SubscriptionState::Pending;
                    } else {
                        // It had no position that could be invalid: without a delay it would retry in a busy loop.
                        let own_delay = it.next_retry_delay();
                        it.delay(now + backoff.retry_delay(own_delay, None));
                    }
                    Some(Effects::default())
                }
                Advice::EndSubscription
                | Advice::ReportToCaller
                | Advice::Terminal
                | Advice::Reconnect
                | Advice::ReconnectWithFreshState => Some(self.end(id, error.code, error.message)),
            },
        }
    }

    /// A publication was received.
    pub(crate) fn on_publication(&mut self, channel: &str, publication: Publication) -> Effects {
        let mut effects = Effects::default();
        if let Some((id, it)) = self.subscribed(channel) {
            it.deliver(id, publication, &mut effects.events);
            effects.request = it.pause_if_full();
        }
        effects
    }

    /// Another client joined or left a channel.
    pub(crate) fn on_join_or_leave(&mut self, channel: &str, event: SubscriptionEvent) -> Effects {
        let mut effects = Effects::default();
        if let Some((id, it)) = self.subscribed(channel) {
            it.buffered += 1;
            effects.events.push((id, event));
            effects.request = it.pause_if_full();
        }
        effects
    }

    /// The server ended a subscription.
    pub(crate) fn on_unsubscribe(&mut self, channel: &str, code: u32, reason: String) -> Effects {
        let Some((id, it)) = self.subscribed(channel) else {
            return Effects::default();
        };
        match Advice::for_unsubscribe(code) {
            Advice::ResubscribeWithFreshState => {
                it.invalidate_position();
                it.state = SubscriptionState::Pending;
                Effects::default()
            }
            Advice::Resubscribe => {
                it.state = SubscriptionState::Pending;
                Effects::default()
            }
            Advice::EndSubscription
            | Advice::Retry
            | Advice::RenewToken
            | Advice::ReportToCaller
            | Advice::Terminal
            | Advice::Reconnect
            | Advice::ReconnectWithFreshState => self.end(id, code, reason),
        }
    }

    /// The application consumed events; a paused subscription is requested again once half of its buffer is free.
    pub(crate) fn on_consumed(&mut self, id: SubscriptionId, items: usize) {
        let Some(it) = self.all.get_mut(&id) else {
            return;
        };
        it.buffered = it.buffered.saturating_sub(items);
        let has_space = it.buffered <= it.options.buffer_len_max / 2;
        if it.state == SubscriptionState::Paused && has_space {
            it.state = SubscriptionState::Pending;
        }
    }

    /// Stops waiting for overdue replies; returns the unsubscribe requests of these subscriptions.
    pub(crate) fn time_out_replies(&mut self, now: Instant) -> Vec<Request> {
        let all = self.all.values_mut();
        all.filter_map(|it| it.time_out_reply(now)).collect()
    }

    /// When a delayed subscription is requested again, or a reply is overdue.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let due = |it: &Subscription| match it.state {
            SubscriptionState::Delayed(until) => Some(until),
            SubscriptionState::Subscribing { until, .. } => Some(until),
            SubscriptionState::Pending
            | SubscriptionState::Subscribed
            | SubscriptionState::Paused => None,
        };
        self.all.values().filter_map(due).min()
    }

    fn subscribed(&mut self, channel: &str) -> Option<(SubscriptionId, &mut Subscription)> {
        let id = *self.by_channel.get(channel)?;
        let it = self.all.get_mut(&id)?;
        (it.state == SubscriptionState::Subscribed).then_some((id, it))
    }

    fn end(&mut self, id: SubscriptionId, code: u32, reason: String) -> Effects {
        self.remove(id);
        Effects {
            events: vec![(id, SubscriptionEvent::Unsubscribed { code, reason })],
            request: None,
        }
    }
}
