//! Deliveries of streams: messages with sequences that count up in steps of 1, of a server that has no acknowledgements.
//!
//! Which message exists follows from its neighbours: between two messages that a client received, none may be missing
//! that the guarantee of its load covers. A server that sends to connected clients only loses what lies between two
//! messages of one connection; one that resumes loses also what a client missed between two connections, and at the end
//! what other clients of the load received.

use std::collections::BTreeMap;

use steadfast_machine::{Instant, convert};

use crate::ledger::delivery::DeliveryStats;
use crate::ledger::event::{ClientEvent, RunPhase};
use crate::ledger::timeline::Timeline;
use crate::scenario::model::{Load, Traffic};
use crate::topology::{Client, Topology};

/// The newest sequence of each stream that any client of its load received before the senders stopped.
#[derive(Debug, Default)]
pub(super) struct Streams {
    newest: BTreeMap<u32, u64>,
}

/// The receipt of a message.
#[derive(Clone, Copy, Debug)]
struct Receipt {
    at: Instant,
    /// The number of the client's connection.
    connection: u64,
}

impl Streams {
    /// Reads what all clients received. The numbers of streams differ between loads and instances.
    pub(super) fn collect(topology: &Topology, timeline: &Timeline<'_>) -> Self {
        let mut streams = Self::default();
        let stop = timeline.begin(RunPhase::Drain);
        for client in topology.clients() {
            for (at, event) in timeline.of_client(client.id) {
                if let ClientEvent::Received { stream, sequence } = event
                    && stop.is_none_or(|stop| *at < stop)
                {
                    let newest = streams.newest.entry(*stream).or_default();
                    *newest = (*sequence).max(*newest);
                }
            }
        }
        streams
    }

    /// Classifies what a client received, and what it did not. Also returns when it was first connected, which takes the
    /// place of a subscription.
    pub(super) fn reconcile(
        &self,
        client: &Client,
        load: &Load,
        timeline: &Timeline<'_>,
    ) -> (DeliveryStats, Option<Instant>) {
        let mut stats = DeliveryStats::default();
        let mut received: BTreeMap<u32, BTreeMap<u64, Receipt>> = BTreeMap::new();
        let (mut connection, mut connected) = (0, None);
        let baseline = timeline.begin(RunPhase::Baseline)..timeline.begin(RunPhase::Steps);
        for (at, event) in timeline.of_client(client.id) {
            if **event == ClientEvent::Connected {
                connection += 1;
                connected = connected.or(Some(*at));
            }
            if let ClientEvent::Received { stream, sequence } = event {
                stats.received += 1;
                stats.in_baseline += u64::from(baseline.contains(&Some(*at)));
                let of_stream = received.entry(*stream).or_default();
                let receipt = Receipt {
                    at: *at,
                    connection,
                };
                on_receipt(of_stream, &mut stats, *sequence, receipt);
            }
        }
        let is_resumed = load.traffic == Traffic::Streams && load.guarantee.is_repeated();
        let stop = timeline.begin(RunPhase::Drain);
        for (stream, messages) in &received {
            let newest = self.newest.get(stream).copied().filter(|_| is_resumed);
            classify(messages, newest, is_resumed, &mut stats);
            let in_time = messages
                .values()
                .filter(|it| stop.is_none_or(|stop| it.at <= stop));
            stats.delivered_at_stop += convert::to_u64(in_time.count());
        }
        stats.expected = stats.delivered.saturating_add(stats.lost);
        (stats, connected)
    }
}

fn on_receipt(
    messages: &mut BTreeMap<u64, Receipt>,
    stats: &mut DeliveryStats,
    sequence: u64,
    receipt: Receipt,
) {
    if messages.contains_key(&sequence) {
        stats.duplicate += 1;
        return;
    }
    let is_late = messages
        .last_key_value()
        .is_some_and(|(newest, _)| sequence < *newest);
    stats.reordered += u64::from(is_late);
    stats.delivered += 1;
    messages.insert(sequence, receipt);
}

/// Counts what is missing between the messages of a stream, and after the last one.
fn classify(
    messages: &BTreeMap<u64, Receipt>,
    newest: Option<u64>,
    is_resumed: bool,
    stats: &mut DeliveryStats,
) {
    let mut before: Option<(u64, Receipt)> = None;
    for (sequence, receipt) in messages {
        if let Some((last, earlier)) = before {
            let missing = sequence.saturating_sub(last).saturating_sub(1);
            if is_resumed || earlier.connection == receipt.connection {
                stats.lost = stats.lost.saturating_add(missing);
            } else {
                stats.missed = stats.missed.saturating_add(missing);
            }
        }
        before = Some((*sequence, *receipt));
    }
    let last = before.map_or(0, |(last, _)| last);
    let missing = newest.map_or(0, |newest| newest.saturating_sub(last));
    stats.lost = stats.lost.saturating_add(missing);
}
