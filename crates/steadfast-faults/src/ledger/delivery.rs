//! Who was owed which publication, and what became of each pair of a publication and a subscriber.
//!
//! Owed is what was acknowledged, to every subscriber of the room whose subscription began before it. What was never
//! answered is neither owed nor forbidden. What is missing at the end of the run is lost, with no excuse of being on its
//! way.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_machine::Instant;
use steadfast_protocol::message::Position;

use crate::ledger::record::{ClientFact, MessageId, Phase};
use crate::ledger::timeline::Timeline;
use crate::roster::{ClientId, RoomId, Roster};

/// What became of a publication at its publisher.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Message {
    pub(super) published: Option<Instant>,
    /// The first answer that is final.
    pub(super) answered: Option<Instant>,
    pub(super) outcome: Outcome,
    position: Option<Position>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    #[default]
    Unknown,
    Acknowledged,
    Refused,
}

/// Publications of one client by what it was told about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Sent at least once.
    pub sent: u64,
    /// Acknowledged.
    pub acknowledged: u64,
    /// Refused for good.
    pub refused: u64,
    /// Never answered.
    pub unknown: u64,
    /// Sent again.
    pub repeats: u64,
    /// Acknowledgements that said that the key had been seen before.
    pub duplicates_answered: u64,
    /// Due and never sent, since the queue was full.
    pub unsent: u64,
    /// Sent for the first time during the baseline.
    pub in_baseline: u64,
}

/// Deliveries to one client, in pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Publications that it had to be handed.
    pub owed: u64,
    /// Of those, handed to it.
    pub delivered: u64,
    /// Of those, handed to it before the senders stopped.
    pub delivered_by_stop: u64,
    /// Of those, never handed to it.
    pub lost: u64,
    /// Publications whose outcome is not known, delivered or not.
    pub unknown: u64,
    /// Of those, handed to it.
    pub unknown_delivered: u64,
    /// Acknowledged, not owed since the subscription began later, and handed to it all the same.
    pub excused: u64,
    /// Deliveries of what it already had.
    pub duplicate: u64,
    /// Deliveries of what nobody of its room published, or what was refused.
    pub unexpected: u64,
    /// Deliveries behind a later one.
    pub reordered: u64,
    /// All deliveries.
    pub seen: u64,
    /// Subscriptions that came back and were told that something may be missing.
    pub gaps_announced: u64,
}

/// What the places of rooms say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Changes of a channel epoch.
    pub epoch_changes: u64,
    /// Places with more than one publication, and publications at more than one place.
    pub reused: u64,
}

/// Every publication of the run.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pub(super) all: BTreeMap<MessageId, Message>,
    by_room: BTreeMap<RoomId, Vec<MessageId>>,
    pub(super) by_publisher: BTreeMap<ClientId, Published>,
    epochs: BTreeMap<RoomId, BTreeSet<String>>,
    places: BTreeSet<(RoomId, String, u64, MessageId)>,
}

impl Messages {
    pub(super) fn collect(roster: &Roster, line: &Timeline<'_>) -> Self {
        let mut messages = Self::default();
        for client in roster.clients() {
            let mut counts = Published::default();
            for (at, fact) in line.of_client(client.id) {
                messages.read(client.id, client.room, *at, fact, &mut counts);
            }
            let baseline = line.begin(Phase::Baseline)..line.begin(Phase::Steps);
            for (id, message) in messages.of(client.id) {
                counts.sent += u64::from(message.published.is_some());
                counts.in_baseline += u64::from(baseline.contains(&message.published));
                match message.outcome {
                    Outcome::Unknown => counts.unknown += 1,
                    Outcome::Acknowledged => counts.acknowledged += 1,
                    Outcome::Refused => counts.refused += 1,
                }
                messages.by_room.entry(client.room).or_default().push(id);
            }
            messages.by_publisher.insert(client.id, counts);
        }
        messages
    }

    /// The publications of one client, with their ids.
    pub(super) fn of(&self, publisher: ClientId) -> Vec<(MessageId, Message)> {
        let id = |sequence| MessageId {
            publisher,
            sequence,
        };
        let range = self.all.range(id(0)..=id(u64::MAX));
        range.map(|(id, message)| (*id, message.clone())).collect()
    }

    fn read(
        &mut self,
        publisher: ClientId,
        room: RoomId,
        at: Instant,
        fact: &ClientFact,
        counts: &mut Published,
    ) {
        let id = |sequence| MessageId {
            publisher,
            sequence,
        };
        match fact {
            ClientFact::Published { sequence } => {
                let message = self.all.entry(id(*sequence)).or_default();
                message.published = message.published.or(Some(at));
            }
            ClientFact::Repeated { .. } => counts.repeats += 1,
            ClientFact::Acknowledged {
                sequence,
                position,
                duplicate,
            } => {
                counts.duplicates_answered += u64::from(*duplicate);
                let message = self.all.entry(id(*sequence)).or_default();
                message.answered = message.answered.or(Some(at));
                message.outcome = Outcome::Acknowledged;
                if let Some(position) = position {
                    message.position = message.position.take().or_else(|| Some(position.clone()));
                    self.see(room, &position.epoch);
                    let place = (room, position.epoch.clone(), position.offset, id(*sequence));
                    self.places.insert(place);
                }
            }
            ClientFact::Refused { sequence, .. } => {
                let message = self.all.entry(id(*sequence)).or_default();
                message.answered = message.answered.or(Some(at));
                if message.outcome == Outcome::Unknown {
                    message.outcome = Outcome::Refused;
                }
            }
            ClientFact::Unsent => counts.unsent += 1,
            ClientFact::AttemptFailed
            | ClientFact::Connected
            | ClientFact::Lost(_)
            | ClientFact::GaveUp { .. }
            | ClientFact::Subscribed(_)
            | ClientFact::Delivered { .. } => {}
        }
    }

    fn see(&mut self, room: RoomId, epoch: &str) {
        let epochs = self.epochs.entry(room).or_default();
        if !epochs.contains(epoch) {
            epochs.insert(epoch.to_owned());
        }
    }

    /// What the places say; after every reader.
    pub(super) fn places(&self) -> Places {
        let mut at_place: BTreeMap<(RoomId, &str, u64), u64> = BTreeMap::new();
        let mut of_message: BTreeMap<MessageId, u64> = BTreeMap::new();
        for (room, epoch, offset, id) in &self.places {
            *at_place.entry((*room, epoch, *offset)).or_default() += 1;
            *of_message.entry(*id).or_default() += 1;
        }
        let places = at_place.values().filter(|count| **count > 1).count();
        let messages = of_message.values().filter(|count| **count > 1).count();
        let changes: usize = self
            .epochs
            .values()
            .map(|epochs| epochs.len().saturating_sub(1))
            .sum();
        Places {
            epoch_changes: u64::try_from(changes).unwrap_or(u64::MAX),
            reused: u64::try_from(places + messages).unwrap_or(u64::MAX),
        }
    }
}

/// What one subscriber had been handed so far.
#[derive(Debug, Default)]
struct Stream {
    start: Option<(Instant, Position)>,
    epoch: String,
    last_offset: u64,
    last_sequence: BTreeMap<ClientId, u64>,
    first_seen: BTreeMap<MessageId, Instant>,
}

/// Judges what one client was handed; tells also when its first subscription stood.
pub(super) fn judge(
    client: &crate::roster::Client,
    ordered: bool,
    line: &Timeline<'_>,
    messages: &mut Messages,
) -> (Delivery, Option<Instant>) {
    let mut stream = Stream::default();
    let mut delivery = Delivery::default();
    for (at, fact) in line.of_client(client.id) {
        match fact {
            ClientFact::Subscribed(subscribed) => {
                messages.see(client.room, &subscribed.position.epoch);
                if stream.start.is_none() {
                    stream.start = Some((*at, subscribed.position.clone()));
                } else if !(subscribed.was_recovering && subscribed.recovered) {
                    delivery.gaps_announced += 1;
                }
                if stream.epoch != subscribed.position.epoch {
                    stream.epoch.clone_from(&subscribed.position.epoch);
                    stream.last_offset = 0;
                }
            }
            ClientFact::Delivered { message, offset } => {
                delivery.seen += 1;
                let known = message.filter(|id| messages.is_of_room(client.room, *id));
                match known {
                    None => delivery.unexpected += 1,
                    Some(id) => {
                        let place = (client.room, stream.epoch.clone(), *offset, id);
                        if *offset > 0 {
                            messages.places.insert(place);
                        }
                        take(&mut stream, &mut delivery, id, *offset, *at, ordered);
                    }
                }
            }
            ClientFact::AttemptFailed
            | ClientFact::Connected
            | ClientFact::Lost(_)
            | ClientFact::GaveUp { .. }
            | ClientFact::Published { .. }
            | ClientFact::Repeated { .. }
            | ClientFact::Acknowledged { .. }
            | ClientFact::Refused { .. }
            | ClientFact::Unsent => {}
        }
    }
    settle(&stream, client.room, line, messages, &mut delivery);
    (delivery, stream.start.map(|(at, _)| at))
}

fn take(
    stream: &mut Stream,
    delivery: &mut Delivery,
    id: MessageId,
    offset: u64,
    at: Instant,
    ordered: bool,
) {
    if stream.first_seen.contains_key(&id) {
        delivery.duplicate += 1;
        return;
    }
    stream.first_seen.insert(id, at);
    let last = stream.last_sequence.entry(id.publisher).or_default();
    // An offset of 0 is that of a channel without history, which has no places.
    let behind = offset > 0 && offset <= stream.last_offset;
    if behind || (ordered && id.sequence < *last) {
        delivery.reordered += 1;
    }
    *last = id.sequence.max(*last);
    stream.last_offset = offset.max(stream.last_offset);
}

/// Sorts every publication of the room into owed, unknown and the rest.
fn settle(
    stream: &Stream,
    room: RoomId,
    line: &Timeline<'_>,
    messages: &Messages,
    delivery: &mut Delivery,
) {
    let stop = line.begin(Phase::Drain);
    for id in messages.by_room.get(&room).into_iter().flatten() {
        let Some(message) = messages.all.get(id) else {
            continue;
        };
        let seen = stream.first_seen.get(id);
        let owed = stream
            .start
            .as_ref()
            .is_some_and(|start| began_before(start, message));
        match message.outcome {
            Outcome::Acknowledged if owed => {
                delivery.owed += 1;
                delivery.delivered += u64::from(seen.is_some());
                delivery.lost += u64::from(seen.is_none());
                let in_time = seen.is_some_and(|at| stop.is_none_or(|stop| *at <= stop));
                delivery.delivered_by_stop += u64::from(in_time);
            }
            Outcome::Acknowledged => delivery.excused += u64::from(seen.is_some()),
            Outcome::Unknown => {
                delivery.unknown += u64::from(owed || seen.is_some());
                delivery.unknown_delivered += u64::from(seen.is_some());
            }
            Outcome::Refused => delivery.unexpected += u64::from(seen.is_some()),
        }
    }
}

/// Whether a subscription began before a publication: by its place, if both are of one channel epoch, else by time.
fn began_before(start: &(Instant, Position), message: &Message) -> bool {
    let (subscribed, from) = start;
    match &message.position {
        Some(position) if position.epoch == from.epoch => position.offset > from.offset,
        Some(_) | None => message.published.is_some_and(|at| at >= *subscribed),
    }
}

impl Messages {
    /// Whether somebody of this room published it.
    fn is_of_room(&self, room: RoomId, id: MessageId) -> bool {
        let ids = self.by_room.get(&room);
        ids.is_some_and(|ids| ids.binary_search(&id).is_ok())
    }
}
