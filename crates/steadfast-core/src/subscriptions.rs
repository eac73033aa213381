//! The subscriptions that the application requested, compared with what the server knows.
//!
//! `Subscriptions` holds the desired state and outlives connections. After each connect, every missing subscription is
//! requested again, from the last delivered position. A publication at or below that position is dropped; a gap is
//! always reported. A subscription with a full buffer is paused: the client unsubscribes, and the server keeps the
//! history.

mod event_buffer;
mod subscription;

use std::collections::BTreeMap;

use steadfast_machine::{Instant, Position};

use crate::backoff::Backoff;
use crate::dialect::{Dialect, Subscribed, Topic};
use crate::event::DisconnectCause;
use crate::io::{EventOf, SubscribeOptions, SubscriptionEvent, SubscriptionId, UnsubscribeCause};
use crate::retry_advice::{Action, RetryAdvice};
use subscription::{Subscription, SubscriptionState};

/// What identifies a topic of a dialect.
type Key<D> = <<D as Dialect>::Topic as Topic>::Key;

/// All subscriptions, by id and by topic.
#[derive(Debug)]
pub(crate) struct Subscriptions<D: Dialect> {
    len_max: usize,
    /// The log of the server that is asked for subscriptions.
    log: usize,
    /// Boxed, because a node of the map has space for eleven values, and most sessions have one subscription.
    all: BTreeMap<SubscriptionId, Box<Subscription<D>>>,
    by_topic: BTreeMap<Key<D>, SubscriptionId>,
}

/// What the session does after an input: events for the application, and possibly the end of a subscription at the
/// server.
#[derive(Debug)]
pub(crate) struct Effects<D: Dialect> {
    pub(crate) events: Vec<(SubscriptionId, EventOf<D>)>,
    pub(crate) unsubscribe: Option<D::Topic>,
}

impl<D: Dialect> Default for Effects<D> {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            unsubscribe: None,
        }
    }
}

impl<D: Dialect> Subscriptions<D> {
    pub(crate) const fn new(len_max: usize) -> Self {
        Self {
            len_max,
            log: 0,
            all: BTreeMap::new(),
            by_topic: BTreeMap::new(),
        }
    }

    /// Adds a subscription.
    ///
    /// # Errors
    ///
    /// There are too many, or one to the topic exists.
    pub(crate) fn add(
        &mut self,
        id: SubscriptionId,
        options: SubscribeOptions<D::Topic>,
    ) -> Result<(), UnsubscribeCause<D::Refusal>> {
        if self.all.len() >= self.len_max {
            return Err(UnsubscribeCause::TooMany(self.len_max));
        }
        let key = options.topic.key();
        if self.by_topic.contains_key(key) {
            return Err(UnsubscribeCause::Duplicate);
        }
        self.by_topic.insert(key.clone(), id);
        self.all.insert(id, Box::new(Subscription::new(options)));
        Ok(())
    }

    /// Removes a subscription; returns its topic if the server knows the subscription.
    pub(crate) fn remove(&mut self, id: SubscriptionId) -> Option<D::Topic> {
        let subscription = self.all.remove(&id)?;
        let topic = subscription.options.topic;
        self.by_topic.remove(topic.key());
        match subscription.state {
            SubscriptionState::Subscribed | SubscriptionState::Subscribing { .. } => Some(topic),
            SubscriptionState::Pending
            | SubscriptionState::Delayed(_)
            | SubscriptionState::Paused => None,
        }
    }

    /// The next topic to subscribe to, and the position to start after; it is requested with this command id.
    pub(crate) fn subscribe_next(
        &mut self,
        now: Instant,
        command: u32,
    ) -> Option<(&D::Topic, Option<&Position>)> {
        let log = self.log;
        let next = self.all.values_mut().find(|it| match it.state {
            SubscriptionState::Pending => true,
            SubscriptionState::Delayed(until) => now >= until,
            SubscriptionState::Subscribing { .. }
            | SubscriptionState::Subscribed
            | SubscriptionState::Paused => false,
        })?;
        next.on_subscribe_sent(now, command);
        Some((&next.options.topic, next.position_in(log)))
    }

    /// The topic that was requested with this command and has no reply yet.
    pub(crate) fn get(&self, command: u32) -> Option<&D::Topic> {
        let mut all = self.all.values();
        let found = all.find(|it| it.is_subscribing(command))?;
        Some(&found.options.topic)
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

    /// The session has another connection, without an interruption. A position without an epoch counts on one connection
    /// only, so that the reply over this one is reported as a gap whose begin is unknown.
    pub(crate) fn on_switched(&mut self) {
        for it in self.all.values_mut() {
            it.on_switched();
        }
    }

    /// The next requests go to a server with this log. A position in another log is not sent to it, and its reply is reported
    /// as a gap.
    pub(crate) const fn enter_log(&mut self, log: usize) {
        self.log = log;
    }

    /// The connection is lost, or the session has failed: the events of the subscriptions that requested a report.
    pub(crate) fn interrupt(
        &mut self,
        cause: &DisconnectCause,
        is_final: bool,
    ) -> Vec<(SubscriptionId, EventOf<D>)> {
        let all = self.all.iter_mut();
        let events = all.filter_map(|(id, it)| Some((*id, it.interrupt(cause, is_final)?)));
        events.collect()
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

    /// The server accepted the subscription of this command, if there is one.
    pub(crate) fn on_subscribed(
        &mut self,
        now: Instant,
        command: u32,
        subscribed: Subscribed<D::Item>,
    ) -> Effects<D> {
        let log = self.log;
        self.subscribing(command)
            .map_or_else(Effects::default, |(id, it)| {
                it.on_subscribed(now, id, subscribed, log)
            })
    }

    /// The server rejected the subscription of this command, if there is one.
    pub(crate) fn on_refused(
        &mut self,
        now: Instant,
        command: u32,
        refusal: D::Refusal,
        advice: RetryAdvice,
        backoff: &mut Backoff,
    ) -> Effects<D> {
        let Some((id, it)) = self.subscribing(command) else {
            return Effects::default();
        };
        match advice.action {
            Action::Retry | Action::RenewCredentials => {
                let own_delay = it.next_retry_delay();
                it.delay(now + backoff.retry_delay(own_delay, advice.retry_after));
            }
            Action::DiscardPositions if it.position.is_some() => {
                it.invalidate_position();
                it.state = SubscriptionState::Pending;
            }
            // It had no position that could be invalid: without a delay it would retry in a busy loop.
            Action::DiscardPositions => {
                let own_delay = it.next_retry_delay();
                it.delay(now + backoff.retry_delay(own_delay, None));
            }
            Action::GiveUp => return self.end(id, refusal),
        }
        Effects::default()
    }

    /// The server has rejected the request of this command for a reason that is over soon: it is sent again.
    pub(crate) fn request_again(&mut self, command: u32) {
        if let Some((_, it)) = self.subscribing(command) {
            it.state = SubscriptionState::Pending;
        }
    }

    /// An item was received.
    pub(crate) fn on_item(
        &mut self,
        topic: &Key<D>,
        offset: Option<u64>,
        item: D::Item,
    ) -> Effects<D> {
        let mut effects = Effects::default();
        if let Some((id, it)) = self.subscribed(topic) {
            it.deliver(id, offset, item, &mut effects.events);
            effects.unsubscribe = it.pause_if_full();
        }
        effects
    }

    /// A message was discarded that may have been an item of any subscription: each reports a gap.
    pub(crate) fn on_items_missed(&mut self) -> Vec<Effects<D>> {
        let all = self.all.iter_mut();
        let subscribed = all.filter(|(_, it)| it.state == SubscriptionState::Subscribed);
        subscribed.map(|(id, it)| it.on_items_missed(*id)).collect()
    }

    /// The server ended a subscription.
    pub(crate) fn on_unsubscribed(
        &mut self,
        now: Instant,
        topic: &Key<D>,
        refusal: D::Refusal,
        advice: RetryAdvice,
        backoff: &mut Backoff,
    ) -> Effects<D> {
        let Some((id, it)) = self.subscribed(topic) else {
            return Effects::default();
        };
        match advice.action {
            Action::DiscardPositions => it.invalidate_position(),
            Action::Retry => {}
            Action::RenewCredentials | Action::GiveUp => return self.end(id, refusal),
        }
        match it.next_resubscribe_delay(now) {
            None => it.state = SubscriptionState::Pending,
            Some(own_delay) => it.delay(now + backoff.retry_delay(own_delay, advice.retry_after)),
        }
        Effects::default()
    }

    /// The application consumed events; a paused subscription is requested again once half of its buffer is free.
    pub(crate) fn on_consumed(&mut self, id: SubscriptionId, items: usize) {
        let Some(it) = self.all.get_mut(&id) else {
            return;
        };
        it.buffer.remove(items);
        let (len_max, bytes_max) = (it.options.buffer_len_max, it.options.buffer_bytes_max);
        let has_space = !it.buffer.exceeds(len_max / 2, bytes_max / 2);
        if it.state == SubscriptionState::Paused && has_space {
            it.state = SubscriptionState::Pending;
        }
    }

    /// Stops waiting for overdue replies; returns the topics of these subscriptions.
    pub(crate) fn time_out_replies(&mut self, now: Instant) -> Vec<D::Topic> {
        let all = self.all.values_mut();
        all.filter_map(|it| it.time_out_reply(now)).collect()
    }

    /// When a delayed subscription is requested again, or a reply is overdue.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let due = |it: &Subscription<D>| match it.state {
            SubscriptionState::Delayed(until) => Some(until),
            SubscriptionState::Subscribing { until, .. } => Some(until),
            SubscriptionState::Pending
            | SubscriptionState::Subscribed
            | SubscriptionState::Paused => None,
        };
        self.all.values().filter_map(|it| due(it)).min()
    }

    fn subscribed(&mut self, topic: &Key<D>) -> Option<(SubscriptionId, &mut Subscription<D>)> {
        let id = *self.by_topic.get(topic)?;
        let it = self.all.get_mut(&id)?;
        (it.state == SubscriptionState::Subscribed).then_some((id, it))
    }

    fn subscribing(&mut self, command: u32) -> Option<(SubscriptionId, &mut Subscription<D>)> {
        let mut all = self.all.iter_mut();
        let (id, it) = all.find(|(_, it)| it.is_subscribing(command))?;
        Some((*id, it))
    }

    fn end(&mut self, id: SubscriptionId, refusal: D::Refusal) -> Effects<D> {
        self.remove(id);
        let cause = UnsubscribeCause::Server(refusal);
        Effects {
            events: vec![(id, SubscriptionEvent::Unsubscribed(cause))],
            unsubscribe: None,
        }
    }
}
