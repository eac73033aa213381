//! The application that holds a session: what it wants, what it was told, and what of that contradicts.
//!
//! It trusts nothing: each publication must end in one outcome, each item must follow the last one, and whatever is
//! missing must have been told as a gap that really is one.

mod calls;

use std::collections::BTreeMap;

use bytes::Bytes;
use steadfast_core::io::{
    CallError, CallId, CallResult, Delivery, DropReason, Feed, Input, PublicationId, Publish,
    SubscribeOptions, SubscriptionId,
};
use steadfast_machine::{Generator, Instant};
use steadfast_protocol::message::{Position, Publication};

use self::calls::Calls;
use crate::client::{Books, key_of};
use crate::reference::Promise;
use crate::settings::SessionDraw;

/// One subscription, as the application sees it.
#[derive(Debug)]
struct Heard {
    channel: String,
    /// The last item, or where it was told to stand.
    seen: Option<Position>,
    /// Feeds that it has not taken.
    waiting: usize,
}

/// A publication without an outcome.
#[derive(Clone, Copy, Debug)]
struct Owed {
    channel: usize,
    /// Nobody wants it after this.
    expires_at: Option<Instant>,
    bytes: usize,
}

/// An application.
#[derive(Debug)]
pub(crate) struct Application {
    name: String,
    heard: Vec<Heard>,
    owed: BTreeMap<PublicationId, Owed>,
    published: u64,
    calls: Calls,
    /// It has closed its session, which has not said yet that it ended.
    pub(crate) is_closing: bool,
    /// Added to each payload.
    padding: String,
    buffer_len_max: usize,
    /// Publications and bytes for which the session has room.
    outbox_max: (usize, usize),
}

impl Application {
    pub(crate) fn new(
        index: usize,
        channels: &[String],
        padding: usize,
        draw: &SessionDraw,
    ) -> Self {
        let heard = |channel: &String| Heard {
            channel: channel.clone(),
            seen: None,
            waiting: 0,
        };
        Self {
            name: format!("s{index}"),
            heard: channels.iter().map(heard).collect(),
            owed: BTreeMap::new(),
            published: 0,
            calls: Calls::default(),
            is_closing: false,
            padding: ".".repeat(padding),
            buffer_len_max: draw.buffer_len_max,
            outbox_max: (draw.outbox_max(), draw.outbox_bytes_max()),
        }
    }

    pub(crate) const fn published(&self) -> u64 {
        self.published
    }

    /// What it wants to hear.
    pub(crate) fn subscriptions(&self) -> Vec<(SubscriptionId, SubscribeOptions)> {
        let options = |(id, heard): (u64, &Heard)| {
            let options = SubscribeOptions {
                channel: heard.channel.clone(),
                buffer_len_max: self.buffer_len_max,
                ..SubscribeOptions::default()
            };
            (SubscriptionId(id), options)
        };
        (0..).zip(&self.heard).map(options).collect()
    }

    /// Publishes something new; now and then only for as long as it is fresh.
    pub(crate) fn publish(&mut self, now: Instant, generator: &mut Generator) -> Publish {
        self.published += 1;
        let channels = u64::try_from(self.heard.len()).unwrap_or(1);
        let channel = usize::try_from(generator.below(channels)).unwrap_or(0);
        let ttl = generator.chance(1, 6).then(|| {
            let millis = std::time::Duration::from_millis;
            generator.between(millis(50), millis(2_000))
        });
        let id = PublicationId(self.published);
        let key = self.key(id);
        let data = Bytes::from(format!("\"{key} {}\"", self.padding));
        let owed = Owed {
            channel,
            expires_at: ttl.map(|ttl| now + ttl),
            bytes: data.len(),
        };
        self.owed.insert(id, owed);
        Publish {
            id,
            channel: self.channel(channel),
            data,
            key,
            ttl,
        }
    }

    /// Whether a publication has no outcome yet.
    pub(crate) fn is_owed(&self, id: PublicationId) -> bool {
        self.owed.contains_key(&id)
    }

    /// A publication came to its end.
    pub(crate) fn resolve(
        &mut self,
        now: Instant,
        id: PublicationId,
        delivery: &Delivery,
        books: &mut Books<'_>,
    ) {
        let key = self.key(id);
        let Some(owed) = self.owed.remove(&id) else {
            let seen = format!("{key} ended twice, now with {delivery:?}");
            return books
                .reference
                .break_promise(Promise::EveryPublicationEndsOnce, seen);
        };
        let channel = self.channel(owed.channel);
        let is_over = owed.expires_at.is_some_and(|at| now >= at);
        let totals = &mut *books.totals;
        let is_expected = match delivery {
            Delivery::Acknowledged {
                position,
                duplicate,
            } => {
                totals.acknowledged += 1;
                totals.duplicates_answered += u64::from(*duplicate);
                let Position { epoch, offset } = position;
                books.reference.acknowledge(&channel, &key, epoch, *offset);
                true
            }
            Delivery::Expired => {
                totals.expired += 1;
                books.reference.refuse(&channel, &key);
                is_over
            }
            Delivery::Dropped(DropReason::OutboxFull) => {
                totals.outbox_full += 1;
                books.reference.refuse(&channel, &key);
                self.leaves_no_room_for(owed.bytes)
            }
            Delivery::Interrupted { maybe_delivered } => {
                totals.interrupted += 1;
                books.reference.lose_track(&channel, &key);
                (is_over || self.is_closing) && *maybe_delivered
            }
            Delivery::Dropped(DropReason::Closed) => {
                totals.dropped_by_close += 1;
                books.reference.refuse(&channel, &key);
                self.is_closing
            }
            Delivery::Dropped(DropReason::TooLarge | DropReason::Refused(_)) => false,
        };
        if !is_expected {
            let seen = format!("{key} ended with {delivery:?}");
            books
                .reference
                .break_promise(Promise::EveryPublicationEndsOnce, seen);
        }
    }

    /// Asks for the past of some channel.
    pub(crate) fn call(&mut self, now: Instant, generator: &mut Generator) -> Input {
        let channels = u64::try_from(self.heard.len()).unwrap_or(1);
        let channel = usize::try_from(generator.below(channels)).unwrap_or(0);
        let channel = self.channel(channel);
        self.calls.call(now, &channel, generator)
    }

    /// A call came to its end.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        id: CallId,
        outcome: &Result<CallResult, CallError>,
        books: &mut Books<'_>,
    ) {
        self.calls.answer(now, id, outcome, self.is_closing, books);
    }

    /// Whether what has no outcome yet fills the session's outbox, given so many bytes more.
    fn leaves_no_room_for(&self, bytes: usize) -> bool {
        let (messages_max, bytes_max) = self.outbox_max;
        let held: usize = self.owed.values().map(|owed| owed.bytes).sum();
        self.owed.len() >= messages_max || held + bytes > bytes_max
    }

    /// The session has ended, as the application wanted: nothing may be open any more.
    pub(crate) fn closed(&mut self, books: &mut Books<'_>) {
        self.is_closing = false;
        if !self.owed.is_empty() || !self.calls.is_empty() {
            let seen = format!("closed with {}", self.describe());
            books
                .reference
                .break_promise(Promise::EveryPublicationEndsOnce, seen);
        }
    }

    /// Something of a subscription came.
    pub(crate) fn hear(&mut self, id: SubscriptionId, feed: Feed, books: &mut Books<'_>) {
        let index = usize::try_from(id.0).unwrap_or(usize::MAX);
        let (name, len_max) = (self.name.clone(), self.buffer_len_max);
        let Some(heard) = self.heard.get_mut(index) else {
            return;
        };
        heard.waiting += 1;
        if heard.waiting > len_max + REPLY_ITEMS_MAX {
            let seen = format!(
                "{} feeds of {} wait for {name}",
                heard.waiting, heard.channel
            );
            books
                .reference
                .break_promise(Promise::QueuesKeepTheirBounds, seen);
        }
        match feed {
            Feed::Started { position } => {
                if heard.seen.is_some() {
                    let seen = format!("{name} started {} twice", heard.channel);
                    books.reference.break_promise(Promise::OrderIsKept, seen);
                }
                heard.seen = Some(position);
            }
            Feed::Resumed { position } => {
                books.totals.resumed += 1;
                if heard.seen.as_ref() != Some(&position) {
                    let seen = format!(
                        "{name} stood at {:?} of {} and resumed at {position:?}",
                        heard.seen, heard.channel
                    );
                    books
                        .reference
                        .break_promise(Promise::RecoveredMeansWhole, seen);
                }
            }
            Feed::Gap { from, to } => heard.skip(&name, from.as_ref(), to, books),
            Feed::Item(publication) => heard.see(&name, &publication, books),
            Feed::Joined(_) | Feed::Left(_) | Feed::Ended { .. } => {
                let seen = format!("{name} was told of {}: {feed:?}", heard.channel);
                books
                    .reference
                    .break_promise(Promise::SessionsComeBack, seen);
            }
        }
    }

    /// Takes some of what waits; how much of which subscription.
    pub(crate) fn take(&mut self, generator: &mut Generator) -> Vec<(SubscriptionId, usize)> {
        let mut taken = Vec::new();
        for (id, heard) in (0..).zip(&mut self.heard) {
            let waiting = u64::try_from(heard.waiting).unwrap_or(u64::MAX);
            let items = heard
                .waiting
                .min(usize::try_from(1 + generator.below(waiting.max(4))).unwrap_or(1));
            if items > 0 {
                heard.waiting -= items;
                taken.push((SubscriptionId(id), items));
            }
        }
        taken
    }

    pub(crate) fn has_waiting(&self) -> bool {
        self.heard.iter().any(|heard| heard.waiting > 0)
    }

    /// Whether everything has come that can, given the channels' tops.
    pub(crate) fn is_settled(&self, tops: &BTreeMap<String, Position>) -> bool {
        let is_at_top = |heard: &Heard| heard.seen.as_ref() == tops.get(&heard.channel);
        let has_ended = self.owed.is_empty() && self.calls.is_empty();
        has_ended && !self.has_waiting() && self.heard.iter().all(is_at_top)
    }

    /// What is not settled, for people.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{}: {} publications without an end from {:?} on, {:?}, subscriptions {:?}",
            self.name,
            self.owed.len(),
            self.owed.keys().next(),
            self.calls,
            self.heard
        )
    }

    fn key(&self, id: PublicationId) -> String {
        format!("{}-{}", self.name, id.0)
    }

    fn channel(&self, index: usize) -> String {
        let heard = self.heard.get(index);
        heard.map_or_else(String::new, |heard| heard.channel.clone())
    }
}

impl Heard {
    /// It was told that something is missing: behind what it has seen, and only if it really is.
    fn skip(&mut self, name: &str, from: Option<&Position>, to: Position, books: &mut Books<'_>) {
        books.totals.gaps += 1;
        let place = format!(
            "{name} was told a gap in {} from {from:?} to {to:?}",
            self.channel
        );
        if from != self.seen.as_ref() {
            let seen = format!("{place}, and stood at {:?}", self.seen);
            books.reference.break_promise(Promise::OrderIsKept, seen);
        }
        let fell_out = from.is_some_and(|from| books.has_fallen_out(from, &to));
        books.totals.positions_fallen_out += u64::from(fell_out);
        if books.is_whole && !fell_out {
            books
                .reference
                .break_promise(Promise::AGapMeansALoss, place);
        }
        self.seen = Some(to);
    }

    fn see(&mut self, name: &str, publication: &Publication, books: &mut Books<'_>) {
        books.totals.delivered += 1;
        let offset = publication.offset;
        let Some(seen) = &mut self.seen else {
            let seen = format!("{name} got {offset} of {} before its start", self.channel);
            return books.reference.break_promise(Promise::OrderIsKept, seen);
        };
        let expected = seen.offset + 1;
        if offset != expected {
            let promise = if offset < expected {
                Promise::NothingIsDeliveredTwice
            } else {
                Promise::OrderIsKept
            };
            let seen = format!(
                "{name} expected {expected} of {} and got {offset}",
                self.channel
            );
            books.reference.break_promise(promise, seen);
        }
        let key = key_of(&publication.data);
        books
            .reference
            .deliver(&self.channel, &seen.epoch, offset, key);
        seen.offset = offset;
    }
}

/// One answer of the gateway may go beyond the buffer: its items, and the word that the subscription stands.
const REPLY_ITEMS_MAX: usize = 8;
