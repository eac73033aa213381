//! The application of a session: its subscriptions and publications, and checks of what the session reports.
//!
//! Each publication must have exactly one outcome, each received publication must follow the previous one, missing
//! publications must be reported as a gap, and each reported gap must be justified.

mod calls;

use std::collections::BTreeMap;

use bytes::Bytes;
use steadfast_core::dialect::centrifuge::{
    Acknowledgement, CallResult, Input, Item, Outgoing, Publish, SendError, SendResult,
    SubscribeOptions, SubscriptionEvent,
};
use steadfast_core::io::{CallId, MessageId, SubscriptionId};
use steadfast_machine::{Generator, Instant};
use steadfast_protocol::message::{Position, Publication};

use self::calls::Calls;
use crate::recorder::{Recorder, key_in_payload};
use crate::reference_model::Invariant;
use crate::settings::SessionParameters;
use crate::words;

/// A subscription, as the application sees it.
#[derive(Debug)]
struct AppSubscription {
    channel: String,
    /// The position of the last publication, or the position that the session reported.
    position: Option<Position>,
    /// The number of events that the application has not read.
    unread: usize,
    /// The joins and leaves since the session subscribed last.
    pushes: usize,
}

/// A publication without an outcome.
#[derive(Clone, Copy, Debug)]
struct PendingPublication {
    channel: usize,
    /// The end of its time to live.
    expires_at: Option<Instant>,
    bytes: usize,
}

/// An application with its pending publications and calls.
#[derive(Debug)]
pub(crate) struct Application {
    name: String,
    subscriptions: Vec<AppSubscription>,
    pending: BTreeMap<MessageId, PendingPublication>,
    published: u64,
    calls: Calls,
    /// Whether the application has closed its session, and the session has not ended yet.
    pub(crate) is_closing: bool,
    /// The session is connected to another node than before, and has not reported the connection yet.
    pub(crate) is_moving: bool,
    /// Padding that is added to each payload.
    padding: String,
    buffer_len_max: usize,
    /// Whether the subscriptions include joins and leaves.
    is_listener: bool,
    /// The numbers of publications and bytes that fit into the outbox of the session.
    outbox_len_max: (usize, usize),
}

impl Application {
    pub(crate) fn new(
        index: usize,
        channels: &[String],
        padding: usize,
        parameters: &SessionParameters,
    ) -> Self {
        let new_subscription = |channel: &String| AppSubscription {
            channel: channel.clone(),
            position: None,
            unread: 0,
            pushes: 0,
        };
        Self {
            name: format!("s{index}"),
            subscriptions: channels.iter().map(new_subscription).collect(),
            pending: BTreeMap::new(),
            published: 0,
            calls: Calls::default(),
            is_closing: false,
            is_moving: false,
            padding: ".".repeat(padding),
            buffer_len_max: parameters.buffer_len_max,
            is_listener: parameters.is_listener,
            outbox_len_max: (parameters.outbox_len_max(), parameters.outbox_bytes_max()),
        }
    }

    pub(crate) const fn published(&self) -> u64 {
        self.published
    }

    /// Returns the options of the subscriptions.
    pub(crate) fn subscribe_options(&self) -> Vec<(SubscriptionId, SubscribeOptions)> {
        let with_id = |(id, subscription): (u64, &AppSubscription)| {
            let options = SubscribeOptions::new(&subscription.channel, self.buffer_len_max);
            let options = if self.is_listener {
                options.join_leave()
            } else {
                options
            };
            (SubscriptionId(id), options)
        };
        (0..).zip(&self.subscriptions).map(with_id).collect()
    }

    /// Makes a new publication; some publications have a time to live.
    pub(crate) fn publish(&mut self, now: Instant, generator: &mut Generator) -> Outgoing {
        self.published += 1;
        let channel = generator.below_len(self.subscriptions.len());
        let ttl = generator.chance(1, 6).then(|| {
            let millis = std::time::Duration::from_millis;
            generator.between(millis(50), millis(2_000))
        });
        let id = MessageId(self.published);
        let key = self.key(id);
        let data = Bytes::from(format!("\"{key} {}\"", self.padding));
        let pending = PendingPublication {
            channel,
            expires_at: ttl.map(|ttl| now + ttl),
            bytes: data.len(),
        };
        self.pending.insert(id, pending);
        Outgoing {
            id,
            message: Publish::new(self.channel(channel).as_str().into(), data, key),
            ttl,
            drops_oldest: false,
        }
    }

    /// Whether this publication has no outcome yet.
    pub(crate) fn is_pending(&self, id: MessageId) -> bool {
        self.pending.contains_key(&id)
    }

    /// A publication has an outcome. Returns its channel if no other publication of it is pending.
    pub(crate) fn complete_publication(
        &mut self,
        now: Instant,
        id: MessageId,
        outcome: &SendResult,
        recorder: &mut Recorder<'_>,
    ) -> Option<String> {
        let Some(pending) = self.pending.remove(&id) else {
            let details = format!(
                "publication {} of {} has a second outcome: {}",
                id.0,
                self.name,
                words::outcome(outcome)
            );
            recorder
                .reference_model
                .report_violation(Invariant::OneOutcomePerPublication, details);
            return None;
        };
        self.check_outcome(now, id, pending, outcome, recorder);
        let mut others = self.pending.values();
        let is_last = others.all(|other| other.channel != pending.channel);
        is_last.then(|| self.channel(pending.channel))
    }

    fn check_outcome(
        &self,
        now: Instant,
        id: MessageId,
        pending: PendingPublication,
        outcome: &SendResult,
        recorder: &mut Recorder<'_>,
    ) {
        let key = self.key(id);
        let channel = self.channel(pending.channel);
        let is_expired = pending.expires_at.is_some_and(|at| now >= at);
        let totals = &mut *recorder.totals;
        let is_expected = match outcome {
            Ok(Acknowledgement {
                position,
                duplicate,
                ..
            }) => {
                totals.acknowledged += 1;
                totals.duplicates_acknowledged += u64::from(*duplicate);
                let Position { epoch, offset } = position;
                recorder
                    .reference_model
                    .acknowledge(&channel, &key, epoch, *offset);
                true
            }
            Err(SendError::Expired) => {
                totals.expired += 1;
                recorder.reference_model.mark_unsent(&channel, &key);
                is_expired
            }
            Err(SendError::OutboxFull) => {
                totals.outbox_full += 1;
                recorder.reference_model.mark_unsent(&channel, &key);
                self.exceeds_outbox(pending.bytes)
            }
            Err(SendError::Interrupted) => {
                totals.interrupted += 1;
                recorder.reference_model.mark_uncertain(&channel, &key);
                is_expired || self.is_closing || self.is_moving
            }
            Err(SendError::Closed) => {
                totals.dropped_by_close += 1;
                recorder.reference_model.mark_unsent(&channel, &key);
                self.is_closing
            }
            Err(SendError::Unsendable(_) | SendError::Rejected(_) | SendError::Failed(_) | _) => {
                false
            }
        };
        if !is_expected {
            let details = format!(
                "{key} has an unexpected outcome: {}",
                words::outcome(outcome)
            );
            recorder
                .reference_model
                .report_violation(Invariant::OneOutcomePerPublication, details);
        }
    }

    /// When a pending call was made.
    pub(crate) fn called_at(&self, id: CallId) -> Option<Instant> {
        self.calls.called_at(id)
    }

    /// The planted bug: the outcome of a publication that was never sent.
    pub(crate) const fn outcome_without_doubt(&self) -> SendResult {
        if self.is_closing {
            Err(SendError::Closed)
        } else {
            Err(SendError::Expired)
        }
    }

    /// Calls for the presence of a channel.
    pub(crate) fn query_presence(&mut self, now: Instant, channel: usize) -> Input {
        let channel = self.channel(channel);
        self.calls.query_presence(now, &channel)
    }

    /// Calls for the history or the presence of a random channel.
    pub(crate) fn call(&mut self, now: Instant, generator: &mut Generator) -> Input {
        let channel = self.channel(generator.below_len(self.subscriptions.len()));
        self.calls.call(now, &channel, generator)
    }

    /// A call has a result.
    pub(crate) fn complete_call(
        &mut self,
        now: Instant,
        id: CallId,
        outcome: &CallResult,
        recorder: &mut Recorder<'_>,
    ) {
        self.calls
            .complete_call(now, id, outcome, self.is_closing, recorder);
    }

    /// Whether the pending publications and a further publication of `bytes` bytes exceed the limits of the outbox.
    fn exceeds_outbox(&self, bytes: usize) -> bool {
        let (messages_max, bytes_max) = self.outbox_len_max;
        let held: usize = self.pending.values().map(|pending| pending.bytes).sum();
        self.pending.len() >= messages_max || held + bytes > bytes_max
    }

    /// The session has ended, as the application requested: nothing may be pending any more.
    pub(crate) fn closed(&mut self, recorder: &mut Recorder<'_>) {
        self.is_closing = false;
        if !self.pending.is_empty() || !self.calls.is_empty() {
            let details = format!("closed while pending: {}", self.describe());
            recorder
                .reference_model
                .report_violation(Invariant::OneOutcomePerPublication, details);
        }
    }

    /// Handles an event of a subscription.
    pub(crate) fn handle_event(
        &mut self,
        id: SubscriptionId,
        event: SubscriptionEvent,
        recorder: &mut Recorder<'_>,
    ) {
        let index = usize::try_from(id.0).expect("ids count the subscriptions");
        let (name, len_max) = (self.name.clone(), self.buffer_len_max);
        let is_listener = self.is_listener;
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return;
        };
        subscription.unread += 1;
        if subscription.unread > len_max + REPLY_ITEMS_MAX {
            let details = format!(
                "{} unread events of {} for {name}",
                subscription.unread, subscription.channel
            );
            recorder
                .reference_model
                .report_violation(Invariant::QueuesBounded, details);
        }
        match &event {
            SubscriptionEvent::Subscribed { .. }
            | SubscriptionEvent::Resumed { .. }
            | SubscriptionEvent::Gap { .. } => subscription.pushes = 0,
            SubscriptionEvent::Item(Item::Join(_) | Item::Leave(_)) => subscription.pushes += 1,
            SubscriptionEvent::Item(Item::Publication(_))
            | SubscriptionEvent::Unsubscribed(_)
            | _ => {}
        }
        match event {
            SubscriptionEvent::Subscribed { position } => {
                if subscription.position.is_some() {
                    let details = format!("{name} subscribed to {} twice", subscription.channel);
                    recorder
                        .reference_model
                        .report_violation(Invariant::OrderPreserved, details);
                }
                subscription.position = Some(position);
            }
            SubscriptionEvent::Resumed { position } => {
                recorder.totals.resumed += 1;
                if subscription.position.as_ref() != Some(&position) {
                    let details = format!(
                        "{name} was at {} in {} and resumed at {}",
                        words::position(subscription.position.as_ref()),
                        subscription.channel,
                        words::position(&position)
                    );
                    recorder
                        .reference_model
                        .report_violation(Invariant::RecoveryComplete, details);
                }
            }
            SubscriptionEvent::Gap { from, to } => {
                subscription.handle_gap(&name, from.as_ref(), to, recorder);
            }
            SubscriptionEvent::Item(Item::Publication(publication)) => {
                subscription.handle_publication(&name, &publication, recorder);
            }
            SubscriptionEvent::Item(Item::Join(_) | Item::Leave(_)) if is_listener => {
                recorder.totals.membership_events += 1;
            }
            SubscriptionEvent::Item(Item::Join(_) | Item::Leave(_))
            | SubscriptionEvent::Unsubscribed(_)
            | _ => {
                let details = format!(
                    "{name} was unsubscribed from {}, or received an event that it did not request",
                    subscription.channel
                );
                recorder
                    .reference_model
                    .report_violation(Invariant::SessionsReconnect, details);
            }
        }
    }

    /// Reads some of the buffered events; returns the number per subscription.
    pub(crate) fn read(&mut self, generator: &mut Generator) -> Vec<(SubscriptionId, usize)> {
        let mut reads = Vec::new();
        for (id, subscription) in (0..).zip(&mut self.subscriptions) {
            let unread = subscription.unread;
            let count = unread.min(1 + generator.below_len(unread.max(4)));
            if count > 0 {
                subscription.unread -= count;
                reads.push((SubscriptionId(id), count));
            }
        }
        reads
    }

    pub(crate) fn has_unread(&self) -> bool {
        self.subscriptions
            .iter()
            .any(|subscription| subscription.unread > 0)
    }

    /// The number of joins and leaves that the session has delivered since it subscribed last, by channel.
    pub(crate) fn pushes(&self) -> impl Iterator<Item = (&str, usize)> {
        let subscriptions = self.subscriptions.iter();
        subscriptions.map(|it| (it.channel.as_str(), it.pushes))
    }

    /// Whether nothing is left to do, given the channels' high watermarks.
    pub(crate) fn is_settled(&self, high_watermarks: &BTreeMap<String, Position>) -> bool {
        let is_current = |subscription: &AppSubscription| {
            subscription.position.as_ref() == high_watermarks.get(&subscription.channel)
        };
        let has_ended = self.pending.is_empty() && self.calls.is_empty();
        has_ended && !self.has_unread() && self.subscriptions.iter().all(is_current)
    }

    /// Describes what is not settled, as text for the operator.
    pub(crate) fn describe(&self) -> String {
        let subscriptions: Vec<String> = self
            .subscriptions
            .iter()
            .map(|it| words::subscription(&it.channel, it.position.as_ref()))
            .collect();
        format!(
            "{}: publications without an outcome {}, calls without a result {}, {}",
            self.name,
            self.pending.len(),
            self.calls.len(),
            subscriptions.join(", ")
        )
    }

    /// The idempotency key of a publication.
    pub(crate) fn key(&self, id: MessageId) -> String {
        format!("{}-{}", self.name, id.0)
    }

    fn channel(&self, index: usize) -> String {
        let subscription = self.subscriptions.get(index);
        subscription.map_or_else(String::new, |subscription| subscription.channel.clone())
    }
}

impl AppSubscription {
    /// Handles a gap, which must begin at the last position and must be justified.
    fn handle_gap(
        &mut self,
        name: &str,
        from: Option<&Position>,
        to: Position,
        recorder: &mut Recorder<'_>,
    ) {
        recorder.totals.gaps += 1;
        let is_moved = from.is_some_and(|from| !recorder.are_of_one_node(from, &to));
        recorder.totals.gaps_after_moves += u64::from(is_moved);
        let gap = format!(
            "{name} received a gap in {} from {} to {}",
            self.channel,
            words::position(from),
            words::position(&to)
        );
        if from != self.position.as_ref() {
            let details = format!(
                "{gap}, but was at {}",
                words::position(self.position.as_ref())
            );
            recorder
                .reference_model
                .report_violation(Invariant::OrderPreserved, details);
        }
        let is_beyond_retention = from.is_some_and(|from| recorder.is_beyond_retention(from, &to));
        recorder.totals.positions_beyond_retention += u64::from(is_beyond_retention);
        let is_justified = from.map_or(!recorder.is_durable, |from| {
            !recorder.must_recover(from, &to)
        });
        if !is_justified {
            recorder
                .reference_model
                .report_violation(Invariant::GapsJustified, gap);
        }
        self.position = Some(to);
    }

    fn handle_publication(
        &mut self,
        name: &str,
        publication: &Publication,
        recorder: &mut Recorder<'_>,
    ) {
        recorder.totals.delivered += 1;
        let offset = publication.offset;
        let Some(position) = &mut self.position else {
            let details = format!(
                "{name} got offset {offset} of {} before it was subscribed",
                self.channel
            );
            return recorder
                .reference_model
                .report_violation(Invariant::OrderPreserved, details);
        };
        let expected = position.offset + 1;
        if offset != expected {
            let invariant = if offset < expected {
                Invariant::NoDuplicateDelivery
            } else {
                Invariant::OrderPreserved
            };
            let details = format!(
                "{name} expected offset {expected} of {}, got {offset}",
                self.channel
            );
            recorder
                .reference_model
                .report_violation(invariant, details);
        }
        let key = key_in_payload(&publication.data);
        recorder
            .reference_model
            .deliver(&self.channel, &position.epoch, offset, key);
        position.offset = offset;
    }
}

/// The number of events by which one reply may exceed the buffer: its publications, and the event that the
/// subscription is active.
const REPLY_ITEMS_MAX: usize = 8;
