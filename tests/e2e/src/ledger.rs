//! The book of a run: what was published, what was acknowledged, what each subscriber was handed.
//!
//! It is told facts in the order in which the harness learnt them and judges at the end. It starts nothing and waits
//! for nothing. A publication whose answer was lost may be delivered or not; one that was acknowledged must reach every
//! subscriber of its channel, once and in offset order. Called by `kills`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::verdict::{Counts, Fault, Verdict};

pub use steadfast_faults::ledger::event::Subscribed;
pub use steadfast_protocol::message::Position;

/// A publication as the harness sent it. Its payload carries the key, so that it is known wherever it turns up.
#[derive(Debug)]
struct Publication {
    channel: String,
    data: Value,
    /// Published by `gw.publish`, so that a repeat is safe.
    keyed: bool,
    acknowledged: bool,
}

/// What one subscriber was handed.
#[derive(Debug, Default)]
struct Stream {
    /// The position of its first subscription; what came before is not its business.
    start: Option<u64>,
    last: u64,
    offsets: BTreeSet<u64>,
    keys: BTreeSet<String>,
}

/// The book of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    publications: BTreeMap<String, Publication>,
    streams: BTreeMap<(String, String), Stream>,
    epochs: BTreeMap<String, String>,
    /// Per channel: what stands at each offset according to the gateway's history.
    history: BTreeMap<String, BTreeMap<u64, String>>,
    /// Per key: every (channel, offset) at which anybody saw it.
    places: BTreeMap<String, BTreeSet<(String, u64)>>,
    counts: Counts,
    faults: Vec<Fault>,
}

/// The key inside a payload.
pub fn key_of(data: &Value) -> Option<&str> {
    data.get("idempotency_key").and_then(Value::as_str)
}

impl Ledger {
    /// A subscriber exists and shall be handed everything from its first subscription on.
    pub fn expect_subscriber(&mut self, client: &str, channel: &str) {
        self.streams
            .entry((client.to_owned(), channel.to_owned()))
            .or_default();
    }

    /// A publication is sent for the first time.
    pub fn published(&mut self, key: &str, channel: &str, data: Value, keyed: bool) {
        self.counts.published.add(keyed);
        let publication = Publication {
            channel: channel.to_owned(),
            data,
            keyed,
            acknowledged: false,
        };
        self.publications.insert(key.to_owned(), publication);
    }

    /// A keyed publication is sent again, since its answer was lost.
    pub fn repeated(&mut self) {
        self.counts.repeated += 1;
    }

    /// So many calls were unanswered when the gateway was killed, and their answers never came.
    pub fn killed_in_flight(&mut self, keyed: u64, plain: u64) {
        self.counts.kills += 1;
        self.counts.in_flight_at_kills.keyed += keyed;
        self.counts.in_flight_at_kills.plain += plain;
        self.counts.in_flight_at_each.push(keyed + plain);
    }

    /// A kill found nothing under way that could be repeated, and proves nothing about repeats.
    pub fn killed_idle(&mut self) {
        self.counts.kills_not_counted += 1;
    }

    /// The gateway refused a publication for now, with this error code; it is sent again.
    pub fn refused(&mut self) {
        self.counts.refused += 1;
    }

    /// A plain publication was acknowledged; the protocol gives it no position.
    pub fn acknowledged_plain(&mut self, key: &str) {
        if let Some(publication) = self.publications.get_mut(key) {
            publication.acknowledged = true;
            self.counts.acknowledged.plain += 1;
        }
    }

    /// A keyed publication was acknowledged.
    pub fn acknowledged(&mut self, key: &str, position: &Position, duplicate: bool) {
        if duplicate {
            self.counts.duplicates_answered += 1;
        }
        let Some(publication) = self.publications.get_mut(key) else {
            return;
        };
        if !publication.acknowledged {
            publication.acknowledged = true;
            self.counts.acknowledged.keyed += 1;
        }
        let channel = publication.channel.clone();
        self.see_epoch(&channel, &position.epoch);
        self.see_place(key, &channel, position.offset);
    }

    /// A subscription stands.
    pub fn subscribed(&mut self, client: &str, channel: &str, outcome: &Subscribed) {
        self.see_epoch(channel, &outcome.position.epoch);
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

    /// A subscriber was handed a publication.
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
        self.see_place(&key, channel, offset);
    }

    /// What the gateway says that a channel holds.
    pub fn history(&mut self, channel: &str, epoch: &str, publications: &[(u64, Value)]) {
        self.see_epoch(channel, epoch);
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
            self.see_place(&key, channel, *offset);
            let held = self.history.entry(channel.to_owned()).or_default();
            if held.insert(*offset, key).is_some() {
                let whom = ("history".to_owned(), channel.to_owned(), *offset);
                self.faults.push(Fault::DeliveredTwice(whom));
            }
        }
    }

    /// Two ways to read a channel did not give the same.
    pub fn histories_differ(&mut self, channel: &str) {
        self.faults.push(Fault::HistoriesDiffer {
            channel: channel.to_owned(),
        });
    }

    /// Subscriptions that have not been handed everything up to the top that history told.
    pub fn behind(&self) -> usize {
        let top = |channel: &str| {
            self.history
                .get(channel)
                .and_then(|held| held.last_key_value())
                .map_or(0, |(offset, _)| *offset)
        };
        self.streams
            .iter()
            .filter(|((_, channel), stream)| stream.last < top(channel))
            .count()
    }

    /// Publications acknowledged so far.
    pub fn acknowledged_count(&self) -> u64 {
        self.counts.acknowledged.keyed + self.counts.acknowledged.plain
    }

    /// Judges the whole book. At least so many publications must have been acknowledged, and every subscription must
    /// have been resumed behind every kill: a client that stays silent breaks no promise, and proves none.
    pub fn judge(mut self, acknowledged_min: u64) -> Verdict {
        self.judge_amounts(acknowledged_min);
        self.judge_answers();
        self.judge_streams();
        self.judge_places();
        Verdict::new(self.counts, self.faults)
    }

    fn judge_amounts(&mut self, acknowledged_min: u64) {
        let kills = self.counts.kills + self.counts.kills_not_counted;
        let subscriptions = u64::try_from(self.streams.len()).unwrap_or(u64::MAX);
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
                self.faults.push(Fault::TooLittle { what, least, found });
            }
        }
    }

    /// Every keyed publication was answered in the end.
    fn judge_answers(&mut self) {
        for (key, publication) in &self.publications {
            if publication.keyed && !publication.acknowledged {
                self.faults.push(Fault::NeverAnswered { key: key.clone() });
            }
        }
    }

    /// Every subscriber was handed all that was acknowledged, and all that the channel holds.
    fn judge_streams(&mut self) {
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
            let promised = acknowledged.get(channel.as_str()).unwrap_or(&none);
            let due: BTreeSet<&str> = promised.iter().copied().chain(held).collect();
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

    /// Every publication stands at one place, and every place holds one publication, whoever looks.
    fn judge_places(&mut self) {
        let mut owners: BTreeMap<&(String, u64), Vec<&str>> = BTreeMap::new();
        for (key, places) in &self.places {
            if places.len() > 1 {
                self.faults.push(Fault::AppliedTwice {
                    key: key.clone(),
                    offsets: places.iter().map(|(_, offset)| *offset).collect(),
                });
            }
            for place in places {
                owners.entry(place).or_default().push(key);
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

    fn see_epoch(&mut self, channel: &str, epoch: &str) {
        let first = self.epochs.entry(channel.to_owned());
        let first = first.or_insert_with(|| epoch.to_owned());
        if first != epoch {
            self.faults.push(Fault::EpochChanged {
                channel: channel.to_owned(),
            });
            epoch.clone_into(first);
        }
    }

    fn see_place(&mut self, key: &str, channel: &str, offset: u64) {
        let places = self.places.entry(key.to_owned()).or_default();
        places.insert((channel.to_owned(), offset));
    }
}

#[cfg(test)]
mod tests;
