//! Expected deliveries: which publication each subscriber should receive, and whether it did.
//!
//! An acknowledged publication is expected by every subscriber of the channel whose subscription began before it. A
//! publication without a final reply is neither expected nor unexpected. A delivery that is missing at the end of the
//! run is lost, even if the publication was still in flight.

use std::collections::BTreeMap;

use steadfast_machine::Instant;
use steadfast_protocol::message::Position;

use crate::ledger::event::{ClientEvent, MessageId, RunPhase};
use crate::ledger::offsets::{OffsetStats, Positions};
use crate::ledger::problems::{DeliveryProblem, ProblemKind, Problems};
use crate::ledger::timeline::Timeline;
use crate::topology::{ChannelId, ClientId, Topology};

/// A publication from the view of its publisher.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Message {
    pub(super) published: Option<Instant>,
    /// When the first final reply arrived.
    pub(super) settled: Option<Instant>,
    pub(super) outcome: PublicationOutcome,
    position: Option<Position>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PublicationOutcome {
    #[default]
    Unknown,
    Acknowledged,
    Rejected,
}

/// The publications of one client, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct PublicationStats {
    /// Publications that were sent at least once.
    pub sent: u64,
    pub acknowledged: u64,
    /// Publications that were rejected permanently.
    pub rejected: u64,
    /// Publications without a final reply.
    pub unknown: u64,
    /// Sends after the first, of any publication.
    pub resends: u64,
    /// Acknowledgements that marked the publication as a duplicate.
    pub duplicates_acknowledged: u64,
    /// Publications that were due but never sent, because the queue was full.
    pub unsent: u64,
    /// Publications that were first sent during the baseline.
    pub in_baseline: u64,
}

/// The deliveries to one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryStats {
    /// Publications that the client should have received.
    pub expected: u64,
    /// Expected publications that the client received.
    pub delivered: u64,
    /// Expected publications that the client received before the senders stopped.
    pub delivered_at_stop: u64,
    /// Expected publications that the client never received.
    pub lost: u64,
    /// Publications with an unknown outcome, delivered or not.
    pub unknown: u64,
    /// Publications with an unknown outcome that the client received.
    pub unknown_delivered: u64,
    /// Acknowledged publications that the client received, but that were not expected: its subscription began later.
    pub optional: u64,
    /// Deliveries of a publication that the client had received before.
    pub duplicate: u64,
    /// Deliveries of a publication that no client of the channel published, or that was rejected.
    pub unexpected: u64,
    /// Deliveries of a publication after a later publication.
    pub reordered: u64,
    /// All deliveries, of any kind.
    pub received: u64,
    /// Resubscriptions to which the server replied that publications may be missing.
    pub gaps_reported: u64,
    /// Messages of a stream that passed between two connections, which its guarantee does not cover.
    pub missed: u64,
    /// Messages of a stream that were received during the baseline.
    pub in_baseline: u64,
}

/// Every publication of the run.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pub(super) all: BTreeMap<MessageId, Message>,
    by_channel: BTreeMap<ChannelId, Vec<MessageId>>,
    pub(super) by_publisher: BTreeMap<ClientId, PublicationStats>,
    positions: Positions,
    pub(super) problems: Problems,
}

impl Messages {
    fn report(
        &mut self,
        kind: ProblemKind,
        subscriber: ClientId,
        message: Option<MessageId>,
        delivered: Option<Instant>,
    ) {
        let published = message.and_then(|id| self.all.get(&id)?.published);
        self.problems.add(DeliveryProblem {
            kind,
            subscriber,
            message,
            published,
            delivered,
        });
    }

    pub(super) fn collect(topology: &Topology, timeline: &Timeline<'_>) -> Self {
        let mut messages = Self::default();
        for client in topology.clients() {
            let mut counts = PublicationStats::default();
            for (at, event) in timeline.of_client(client.id) {
                messages.read(client.id, client.channel, *at, event, &mut counts);
            }
            let baseline = timeline.begin(RunPhase::Baseline)..timeline.begin(RunPhase::Steps);
            for (id, message) in messages.of(client.id) {
                counts.sent += u64::from(message.published.is_some());
                counts.in_baseline += u64::from(baseline.contains(&message.published));
                match message.outcome {
                    PublicationOutcome::Unknown => counts.unknown += 1,
                    PublicationOutcome::Acknowledged => counts.acknowledged += 1,
                    PublicationOutcome::Rejected => counts.rejected += 1,
                }
                messages
                    .by_channel
                    .entry(client.channel)
                    .or_default()
                    .push(id);
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
        channel: ChannelId,
        at: Instant,
        event: &ClientEvent,
        counts: &mut PublicationStats,
    ) {
        let id = |sequence| MessageId {
            publisher,
            sequence,
        };
        match event {
            ClientEvent::Published { sequence } => {
                let message = self.all.entry(id(*sequence)).or_default();
                message.published = message.published.or(Some(at));
            }
            ClientEvent::Resent { .. } => counts.resends += 1,
            ClientEvent::Acknowledged {
                sequence,
                position,
                is_duplicate,
            } => {
                counts.duplicates_acknowledged += u64::from(*is_duplicate);
                let message = self.all.entry(id(*sequence)).or_default();
                message.settled = message.settled.or(Some(at));
                message.outcome = PublicationOutcome::Acknowledged;
                if let Some(position) = position {
                    message.position = message.position.take().or_else(|| Some(position.clone()));
                    let Position { epoch, offset } = position;
                    self.positions.add_epoch(channel, epoch, at);
                    self.positions
                        .add(channel, epoch.clone(), *offset, id(*sequence));
                }
            }
            ClientEvent::Rejected { sequence, .. } => {
                let message = self.all.entry(id(*sequence)).or_default();
                message.settled = message.settled.or(Some(at));
                if message.outcome == PublicationOutcome::Unknown {
                    message.outcome = PublicationOutcome::Rejected;
                }
            }
            ClientEvent::Unsent => counts.unsent += 1,
            ClientEvent::Opened
            | ClientEvent::Attempting
            | ClientEvent::TransportOpened
            | ClientEvent::AttemptFailed
            | ClientEvent::Connected
            | ClientEvent::ConnectionLost(_)
            | ClientEvent::GaveUp { .. }
            | ClientEvent::Subscribed(_)
            | ClientEvent::Delivered { .. }
            | ClientEvent::Received { .. }
            | ClientEvent::Requested { .. }
            | ClientEvent::RequestedAgain { .. }
            | ClientEvent::Settled { .. } => {}
        }
    }

    /// What is wrong with epochs and offsets; complete once the deliveries of every client are reconciled.
    pub(super) fn offsets(&self) -> OffsetStats {
        self.positions.stats()
    }
}

/// What one subscriber has received so far.
#[derive(Debug, Default)]
struct Stream {
    start: Option<(Instant, Position)>,
    epoch: String,
    last_offset: u64,
    last_sequence: BTreeMap<ClientId, u64>,
    first_seen: BTreeMap<MessageId, Instant>,
}

/// Classifies the deliveries to one client. Also returns when its first subscription was active.
pub(super) fn reconcile(
    client: &crate::topology::Client,
    is_ordered: bool,
    timeline: &Timeline<'_>,
    messages: &mut Messages,
) -> (DeliveryStats, Option<Instant>) {
    let mut stream = Stream::default();
    let mut delivery = DeliveryStats::default();
    for (at, event) in timeline.of_client(client.id) {
        match event {
            ClientEvent::Subscribed(subscribed) => {
                let epoch = &subscribed.position.epoch;
                messages.positions.add_epoch(client.channel, epoch, *at);
                if stream.start.is_none() {
                    stream.start = Some((*at, subscribed.position.clone()));
                } else if !(subscribed.was_recovering && subscribed.recovered) {
                    delivery.gaps_reported += 1;
                }
                if stream.epoch != subscribed.position.epoch {
                    stream.epoch.clone_from(&subscribed.position.epoch);
                    stream.last_offset = 0;
                }
            }
            ClientEvent::Delivered { message, offset } => {
                delivery.received += 1;
                let known = message.filter(|id| messages.is_in_channel(client.channel, *id));
                match known {
                    None => {
                        delivery.unexpected += 1;
                        let kind = ProblemKind::Unexpected;
                        messages.report(kind, client.id, *message, Some(*at));
                    }
                    Some(id) => {
                        if *offset > 0 {
                            let epoch = stream.epoch.clone();
                            messages.positions.add(client.channel, epoch, *offset, id);
                        }
                        let problem =
                            on_delivery(&mut stream, &mut delivery, id, *offset, *at, is_ordered);
                        if let Some(kind) = problem {
                            messages.report(kind, client.id, Some(id), Some(*at));
                        }
                    }
                }
            }
            ClientEvent::Opened
            | ClientEvent::Attempting
            | ClientEvent::TransportOpened
            | ClientEvent::AttemptFailed
            | ClientEvent::Connected
            | ClientEvent::ConnectionLost(_)
            | ClientEvent::GaveUp { .. }
            | ClientEvent::Published { .. }
            | ClientEvent::Resent { .. }
            | ClientEvent::Acknowledged { .. }
            | ClientEvent::Rejected { .. }
            | ClientEvent::Unsent
            | ClientEvent::Received { .. }
            | ClientEvent::Requested { .. }
            | ClientEvent::RequestedAgain { .. }
            | ClientEvent::Settled { .. } => {}
        }
    }
    for (kind, id) in classify(&stream, client.channel, timeline, messages, &mut delivery) {
        let delivered = stream.first_seen.get(&id).copied();
        messages.report(kind, client.id, Some(id), delivered);
    }
    (delivery, stream.start.map(|(at, _)| at))
}

/// Classifies one delivery, and returns what is wrong with it.
fn on_delivery(
    stream: &mut Stream,
    delivery: &mut DeliveryStats,
    id: MessageId,
    offset: u64,
    at: Instant,
    is_ordered: bool,
) -> Option<ProblemKind> {
    if stream.first_seen.contains_key(&id) {
        delivery.duplicate += 1;
        return Some(ProblemKind::Duplicate);
    }
    stream.first_seen.insert(id, at);
    let last = stream.last_sequence.entry(id.publisher).or_default();
    // The offset is 0 in a channel without history, which has no offsets.
    let is_late = offset > 0 && offset <= stream.last_offset;
    let is_reordered = is_late || (is_ordered && id.sequence < *last);
    delivery.reordered += u64::from(is_reordered);
    *last = id.sequence.max(*last);
    stream.last_offset = offset.max(stream.last_offset);
    is_reordered.then_some(ProblemKind::Reordered)
}

/// Classifies every publication of the channel as expected, unknown or neither. Returns those that are lost or
/// unexpected.
fn classify(
    stream: &Stream,
    channel: ChannelId,
    timeline: &Timeline<'_>,
    messages: &Messages,
    delivery: &mut DeliveryStats,
) -> Vec<(ProblemKind, MessageId)> {
    let mut problems = Vec::new();
    let stop = timeline.begin(RunPhase::Drain);
    for id in messages.by_channel.get(&channel).into_iter().flatten() {
        let Some(message) = messages.all.get(id) else {
            continue;
        };
        let received = stream.first_seen.get(id);
        let is_expected = stream
            .start
            .as_ref()
            .is_some_and(|start| began_before(start, message));
        match message.outcome {
            PublicationOutcome::Acknowledged if is_expected => {
                delivery.expected += 1;
                delivery.delivered += u64::from(received.is_some());
                if received.is_none() {
                    delivery.lost += 1;
                    problems.push((ProblemKind::Lost, *id));
                }
                let is_in_time = received.is_some_and(|at| stop.is_none_or(|stop| *at <= stop));
                delivery.delivered_at_stop += u64::from(is_in_time);
            }
            PublicationOutcome::Acknowledged => delivery.optional += u64::from(received.is_some()),
            PublicationOutcome::Unknown => {
                delivery.unknown += u64::from(is_expected || received.is_some());
                delivery.unknown_delivered += u64::from(received.is_some());
            }
            PublicationOutcome::Rejected => {
                if received.is_some() {
                    delivery.unexpected += 1;
                    problems.push((ProblemKind::Unexpected, *id));
                }
            }
        }
    }
    problems
}

/// Whether a subscription began before a publication: by offset, if both have the same channel epoch, else by time.
fn began_before(start: &(Instant, Position), message: &Message) -> bool {
    let (subscribed, from) = start;
    match &message.position {
        Some(position) if position.epoch == from.epoch => position.offset > from.offset,
        Some(_) | None => message.published.is_some_and(|at| at >= *subscribed),
    }
}

impl Messages {
    /// Whether a client of this channel published this publication.
    fn is_in_channel(&self, channel: ChannelId, id: MessageId) -> bool {
        let ids = self.by_channel.get(&channel);
        ids.is_some_and(|ids| ids.binary_search(&id).is_ok())
    }
}
