//! Channel epochs and offsets: how often an epoch changed, and which offsets do not identify one publication.
//!
//! [`crate::ledger::delivery`] collects the positions that publishers and subscribers report; this module counts what is
//! wrong with them, and keeps the first of each kind as evidence.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_machine::{Instant, convert};

use crate::ledger::event::MessageId;
use crate::ledger::problems::PROBLEMS_MAX;
use crate::topology::ChannelId;

/// Channel epochs and offsets of all channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetStats {
    /// Changes of a channel epoch.
    pub epoch_changes: u64,
    /// The first of these changes by time, at most [`PROBLEMS_MAX`].
    pub changes: Vec<EpochChange>,
    /// Offsets with more than one publication, and publications with more than one offset.
    pub reused: u64,
    /// The first of both kinds, at most [`PROBLEMS_MAX`] of each.
    pub reuses: Vec<ReusedOffset>,
}

/// A channel that has another epoch than before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochChange {
    /// When the first client reported the new epoch.
    pub at: Instant,
    /// The channel with the new epoch.
    pub channel: ChannelId,
    /// The new epoch.
    pub epoch: String,
}

/// An offset that does not identify one publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReusedOffset {
    /// Two or more publications have this offset in one channel epoch; the first two.
    Offset {
        /// The channel of the publications.
        channel: ChannelId,
        /// The offset that they share.
        offset: u64,
        /// Two of them.
        publications: [MessageId; 2],
    },
    /// A publication has two or more positions; the offsets of the first two.
    Publication {
        /// The publication that has them.
        publication: MessageId,
        /// Two of its offsets, which are equal if the epochs differ.
        offsets: [u64; 2],
    },
}

/// Every position that was reported.
#[derive(Debug, Default)]
pub(super) struct Positions {
    /// When each epoch of a channel was reported first.
    epochs: BTreeMap<ChannelId, BTreeMap<String, Instant>>,
    all: BTreeSet<(ChannelId, String, u64, MessageId)>,
}

impl Positions {
    /// A client reported this epoch.
    pub(super) fn add_epoch(&mut self, channel: ChannelId, epoch: &str, at: Instant) {
        let epochs = self.epochs.entry(channel).or_default();
        match epochs.get_mut(epoch) {
            Some(first) => *first = at.min(*first),
            None => {
                epochs.insert(epoch.to_owned(), at);
            }
        }
    }

    /// A client reported this position of a publication.
    pub(super) fn add(&mut self, channel: ChannelId, epoch: String, offset: u64, id: MessageId) {
        self.all.insert((channel, epoch, offset, id));
    }

    /// Counts what is wrong.
    pub(super) fn stats(&self) -> OffsetStats {
        let changes = self.changes();
        let (shared, moved) = (self.shared(), self.moved());
        let count = |list: &[ReusedOffset]| convert::to_u64(list.len());
        OffsetStats {
            epoch_changes: convert::to_u64(changes.len()),
            changes: changes.into_iter().take(PROBLEMS_MAX).collect(),
            reused: count(&shared) + count(&moved),
            reuses: [shared, moved]
                .into_iter()
                .flat_map(|list| list.into_iter().take(PROBLEMS_MAX))
                .collect(),
        }
    }

    /// Each epoch of a channel except the one that was reported first, in order of time.
    fn changes(&self) -> Vec<EpochChange> {
        let mut changes = Vec::new();
        for (channel, epochs) in &self.epochs {
            let mut by_time: Vec<(Instant, &String)> =
                epochs.iter().map(|(epoch, at)| (*at, epoch)).collect();
            by_time.sort_unstable();
            changes.extend(by_time.into_iter().skip(1).map(|(at, epoch)| EpochChange {
                at,
                channel: *channel,
                epoch: epoch.clone(),
            }));
        }
        changes.sort_unstable();
        changes
    }

    /// Offsets with more than one publication.
    fn shared(&self) -> Vec<ReusedOffset> {
        let entries = self.all.iter();
        let entries = entries.map(|(channel, epoch, offset, id)| ((channel, epoch, offset), *id));
        let shared = repeated(entries).into_iter();
        let shared = shared.map(
            |((channel, _, offset), publications)| ReusedOffset::Offset {
                channel: *channel,
                offset: *offset,
                publications,
            },
        );
        shared.collect()
    }

    /// Publications with more than one position.
    fn moved(&self) -> Vec<ReusedOffset> {
        let entries = self.all.iter().map(|(_, _, offset, id)| (*id, *offset));
        let moved = repeated(entries).into_iter();
        let moved = moved.map(|(publication, offsets)| ReusedOffset::Publication {
            publication,
            offsets,
        });
        moved.collect()
    }
}

/// The keys that occur more than once, each with its first two values.
fn repeated<K: Ord, V>(entries: impl Iterator<Item = (K, V)>) -> Vec<(K, [V; 2])> {
    let mut by_key: BTreeMap<K, (V, Option<V>)> = BTreeMap::new();
    for (key, value) in entries {
        match by_key.get_mut(&key) {
            Some((_, second)) => {
                second.get_or_insert(value);
            }
            None => {
                by_key.insert(key, (value, None));
            }
        }
    }
    let repeated = by_key.into_iter();
    let repeated = repeated.filter_map(|(key, (first, second))| Some((key, [first, second?])));
    repeated.collect()
}
