//! The ledger of a run: what was published, acknowledged, and delivered to each subscriber.
//!
//! It records events in the order in which the harness observed them, and evaluates them at the end, without I/O. A
//! publication whose acknowledgement was lost may be delivered or not; an acknowledged one must reach every subscriber
//! of its channel, once and in offset order. The module `kills` calls it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use steadfast_machine::convert;

use crate::verdict::{Counts, Fault, Verdict};

pub use steadfast_faults::ledger::event::Subscribed;
pub use steadfast_protocol::message::Position;

/// A publication as the harness sent it. Its payload contains the key, so that every copy can be identified.
#[derive(Debug)]
struct Publication {
    channel: String,
    data: Value,
    /// Published by `gw.publish`, so that repeating it is safe.
    idempotent: bool,
    acknowledged: bool,
}

/// The deliveries to one subscriber in one channel.
#[derive(Debug, Default)]
struct Stream {
    /// The offset of its first subscription; earlier publications are not expected.
    start: Option<u64>,
    last: u64,
    offsets: BTreeSet<u64>,
    keys: BTreeSet<String>,
}

/// All events of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    publications: BTreeMap<String, Publication>,
    streams: BTreeMap<(String, String), Stream>,
    epochs: BTreeMap<String, String>,
    /// By channel: the key at each offset according to the gateway's history.
    history: BTreeMap<String, BTreeMap<u64, String>>,
    /// By key: every (channel, offset) at which it was observed.
    positions: BTreeMap<String, BTreeSet<(String, u64)>>,
    counts: Counts,
    faults: Vec<Fault>,
}

/// The idempotency key in a payload.
pub fn key_of(data: &Value) -> Option<&str> {
    data.get("idempotency_key").and_then(Value::as_str)
}

impl Ledger {
    /// Registers a subscriber; every publication after its first subscription is expected to be delivered to it.
    pub fn expect_subscriber(&mut self, client: &str, channel: &str) {
        self.streams
            .entry((client.to_owned(), channel.to_owned()))
            .or_default();
    }

    /// Records the first send of a publication.
    pub fn published(&mut self, key: &str, channel: &str, data: Value, idempotent: bool) {
        self.counts.published.add(idempotent);
        let publication = Publication {
            channel: channel.to_owned(),
            data,
            idempotent,
            acknowledged: false,
        };
        self.publications.insert(key.to_owned(), publication);
    }

    /// Records that an idempotent publication is repeated, because its acknowledgement was lost.
    pub fn repeated(&mut self) {
        self.counts.repeated += 1;
    }

    /// Records a kill with this number of publications in flight whose acknowledgements were lost.
    pub fn killed_in_flight(&mut self, idempotent: u64, plain: u64) {
        self.counts.kills += 1;
        self.counts.in_flight_at_kills.idempotent += idempotent;
        self.counts.in_flight_at_kills.plain += plain;
        self.counts.in_flight_at_each.push(idempotent + plain);
    }

    /// Records a kill that hit no idempotent publication in flight, and so proves nothing about repeats.
    pub fn killed_without_publications_in_flight(&mut self) {
        self.counts.kills_not_counted += 1;
    }

    /// Records a temporary rejection of a publication; it is repeated.
    pub fn rejected(&mut self) {
        self.counts.rejected += 1;
    }

    /// Records the acknowledgement of a plain publication, to which the protocol assigns no position.
    pub fn acknowledged_plain(&mut self, key: &str) {
        if let Some(publication) = self.publications.get_mut(key) {
            publication.acknowledged = true;
            self.counts.acknowledged.plain += 1;
        }
    }

    /// Records the acknowledgement of an idempotent publication.
    pub fn acknowledged(&mut self, key: &str, position: &Position, duplicate: bool) {
        if duplicate {
            self.counts.duplicate_acknowledgements += 1;
        }
        let Some(publication) = self.publications.get_mut(key) else {
            return;
        };
        if !publication.acknowledged {
            publication.acknowledged = true;
            self.counts.acknowledged.idempotent += 1;
        }
        let channel = publication.channel.clone();
        self.record_epoch(&channel, &position.epoch);
        self.record_position(key, &channel, position.offset);
    }

    /// Records that a subscription is active.
    pub fn subscribed(&mut self, client: &str, channel: &str, outcome: &Subscribed) {
        self.record_epoch(channel, &outcome.position.epoch);
        let id = (client.to_owned(), channel.to_owned());
        let stream = self.streams.entry(id).or_default();
        if stream.start.is_none() {
            stream.start = Some(outcome.position.offset);
            stream.last = outcome.position.offset;
        } else if outcome.was_recovering && outcome.recovered {
            self.counts.resumed += 1;
        } else {
            self.faults.push(Fault::NotRecovered {
                client: client.to_owned(),
                channel: channel.to_owned(),
                asked: outcome.was_recovering,
            });
        }
    }

    /// Records a delivery to a subscriber.
    pub fn delivered(&mut self, client: &str, channel: &str, offset: u64, data: &Value) {
        self.counts.delivered += 1;
        let whom = || (client.to_owned(), channel.to_owned(), offset);
        let known = key_of(data).and_then(|key| self.publications.get_key_value(key));
        let Some((key, publication)) = known else {
            self.faults.push(Fault::Unknown(whom()));
            return;
        };
        if publication.channel != channel || publication.data != *data {
            self.faults.push(Fault::Altered(whom()));
        }
        let key = key.clone();
        let id = (client.to_owned(), channel.to_owned());
        let stream = self.streams.entry(id).or_default();
        let again = stream.offsets.contains(&offset) || stream.keys.contains(&key);
        if again {
            self.faults.push(Fault::DeliveredTwice(whom()));
        } else if offset <= stream.last {
            self.faults.push(Fault::Reordered(whom()));
        }
        stream.last = stream.last.max(offset);
        stream.offsets.insert(offset);
        stream.keys.insert(key.clone());
        self.record_position(&key, channel, offset);
    }

    /// Records the history of a channel as returned by the gateway.
    pub fn history(&mut self, channel: &str, epoch: &str, publications: &[(u64, Value)]) {
        self.record_epoch(channel, epoch);
        for (offset, data) in publications {
            self.counts.in_history += 1;
            let key = key_of(data).unwrap_or_default().to_owned();
            let altered = self
                .publications
                .get(&key)
                .is_none_or(|sent| sent.data != *data || sent.channel != channel);
            if altered {
                let whom = ("history".to_owned(), channel.to_owned(), *offset);
                self.faults.push(Fault::Altered(whom));
            }
            self.record_position(&key, channel, *offset);
            let held = self.history.entry(channel.to_owned()).or_default();
            if held.insert(*offset, key).is_some() {
                let whom = ("history".to_owned(), channel.to_owned(), *offset);
                self.faults.push(Fault::DeliveredTwice(whom));
            }
        }
    }

    /// Records that reading a channel in both directions gave different publications.
    pub fn histories_differ(&mut self, channel: &str) {
        self.faults.push(Fault::HistoriesDiffer {
            channel: channel.to_owned(),
        });
    }

    /// The number of subscriptions that are below the high watermark according to the history.
    pub fn lagging(&self) -> usize {
        let high_watermark = |channel: &str| {
            self.history
                .get(channel)
                .and_then(|held| held.last_key_value())
                .map_or(0, |(offset, _)| *offset)
        };
        self.streams
            .iter()
            .filter(|((_, channel), stream)| stream.last < high_watermark(channel))
            .count()
    }

    /// The number of acknowledged publications.
    pub fn acknowledged_count(&self) -> u64 {
        self.counts.acknowledged.idempotent + self.counts.acknowledged.plain
    }

    /// Evaluates all events. At least `acknowledged_min` publications must have been acknowledged, and every
    /// subscription must have been resumed after every kill: a silent client violates no guarantee, and proves none.
    pub fn evaluate(mut self, acknowledged_min: u64) -> Verdict {
        self.check_counts(acknowledged_min);
        self.check_acknowledgements();
        self.check_deliveries();
        self.check_positions();
        Verdict::new(self.counts, self.faults)
    }

    fn check_counts(&mut self, acknowledged_min: u64) {
        let kills = self.counts.kills + self.counts.kills_not_counted;
        let subscriptions = convert::to_u64(self.streams.len());
        let amounts = [
            ("acknowledged", acknowledged_min, self.acknowledged_count()),
            (
                "resumed subscriptions",
                kills.saturating_mul(subscriptions),
                self.counts.resumed,
            ),
        ];
        for (what, least, found) in amounts {
            if found < least {
                self.faults.push(Fault::BelowMinimum { what, least, found });
            }
        }
    }

    /// Every idempotent publication was acknowledged in the end.
    fn check_acknowledgements(&mut self) {
        for (key, publication) in &self.publications {
            if publication.idempotent && !publication.acknowledged {
                self.faults
                    .push(Fault::NeverAcknowledged { key: key.clone() });
            }
        }
    }

    /// Every subscriber received all acknowledged publications, and all that the channel contains.
    fn check_deliveries(&mut self) {
        let mut acknowledged: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, publication) in &self.publications {
            if publication.acknowledged {
                let channel = publication.channel.as_str();
                acknowledged.entry(channel).or_default().push(key);
            }
        }
        let nothing = BTreeMap::new();
        let none = Vec::new();
        let mut lost = Vec::new();
        for ((client, channel), stream) in &self.streams {
            let start = stream.start.unwrap_or(0);
            let held = self.history.get(channel).unwrap_or(&nothing);
            let held = held
                .range(start.saturating_add(1)..)
                .map(|(_, key)| key.as_str());
            let acknowledged_here = acknowledged.get(channel.as_str()).unwrap_or(&none);
            let due: BTreeSet<&str> = acknowledged_here.iter().copied().chain(held).collect();
            for key in due {
                if !stream.keys.contains(key) {
                    lost.push(Fault::Lost {
                        client: client.clone(),
                        channel: channel.clone(),
                        key: key.to_owned(),
                    });
                }
            }
        }
        for (channel, keys) in &acknowledged {
            let held: BTreeSet<&str> = self
                .history
                .get(*channel)
                .unwrap_or(&nothing)
                .values()
                .map(String::as_str)
                .collect();
            for key in keys.iter().filter(|key| !held.contains(**key)) {
                lost.push(Fault::Lost {
                    client: "history".to_owned(),
                    channel: (*channel).to_owned(),
                    key: (*key).to_owned(),
                });
            }
        }
        self.faults.append(&mut lost);
    }

    /// Every publication has one position, and every position one publication, for all observers.
    fn check_positions(&mut self) {
        let mut owners: BTreeMap<&(String, u64), Vec<&str>> = BTreeMap::new();
        for (key, positions) in &self.positions {
            if positions.len() > 1 {
                self.faults.push(Fault::AppliedTwice {
                    key: key.clone(),
                    offsets: positions.iter().map(|(_, offset)| *offset).collect(),
                });
            }
            for position in positions {
                owners.entry(position).or_default().push(key);
            }
        }
        for ((channel, offset), keys) in owners {
            if keys.len() > 1 {
                self.faults.push(Fault::OffsetReused {
                    channel: channel.clone(),
                    offset: *offset,
                    keys: keys.into_iter().map(str::to_owned).collect(),
                });
            }
        }
    }

    fn record_epoch(&mut self, channel: &str, epoch: &str) {
        let first = self.epochs.entry(channel.to_owned());
        let first = first.or_insert_with(|| epoch.to_owned());
        if first != epoch {
            self.faults.push(Fault::EpochChanged {
                channel: channel.to_owned(),
            });
            epoch.clone_into(first);
        }
    }

    fn record_position(&mut self, key: &str, channel: &str, offset: u64) {
        let positions = self.positions.entry(key.to_owned()).or_default();
        positions.insert((channel.to_owned(), offset));
    }
}

#[cfg(test)]
mod tests;
