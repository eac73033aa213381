//! The deduplication window, in which a repeated idempotency key is recognised.
//!
//! The window owns the keys, their results and their ages. Log time measures ages: a key is known until its window has
//! certainly passed, whatever the wall clock shows.
//! The window writes nothing: keys are in the records of their publications, and the checkpoint keeps the keys whose
//! records are about to be removed.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use steadfast_machine::{Timestamp, convert};

use crate::record;

/// The scope of an idempotency key: users cannot use up each other's keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyScope {
    pub(crate) channel: u32,
    pub(crate) user: Bytes,
    pub(crate) key: Bytes,
}

/// The publication of a key that is used for the first time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstResult {
    pub(crate) offset: u64,
    /// The log time at which the publication was accepted.
    pub(crate) at: Timestamp,
    /// The hash of the publication's data, with which a repeat with other data can be detected.
    pub(crate) data_hash: u64,
}

/// The result that is remembered for a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownKey {
    /// The offset of the key's publication.
    pub(crate) offset: u64,
    /// The log time at which the publication was accepted.
    pub(crate) at: Timestamp,
    /// The hash of the publication's data.
    pub(crate) data_hash: u64,
    /// The ordinal of the segment that holds the key.
    pub(crate) segment: u32,
    /// False while its batch is in flight.
    pub(crate) is_durable: bool,
    /// The log time at which the window of the key ends.
    until: Timestamp,
}

/// The keys of the deduplication window.
#[derive(Debug)]
pub(crate) struct DedupWindow {
    length: Duration,
    known: HashMap<KeyScope, KnownKey>,
    /// In order of arrival; an entry is out of date when its deadline differs from the deadline in `known`.
    order: VecDeque<(Timestamp, KeyScope)>,
    /// Totals of the durable keys of each segment.
    totals: BTreeMap<u32, KeyTotals>,
    /// The number of keys of each channel that has any. For lookups only; never iterated.
    of_channels: HashMap<u32, usize>,
    /// The size of all keys as copies in checkpoints.
    bytes: u64,
    /// The size of the longest key since the window was empty.
    longest_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct KeyTotals {
    count: usize,
    /// The size of the keys in a checkpoint.
    bytes: u64,
}

impl DedupWindow {
    /// An empty window of this length.
    pub(crate) fn new(length: Duration) -> Self {
        Self {
            length,
            known: HashMap::new(),
            order: VecDeque::new(),
            totals: BTreeMap::new(),
            of_channels: HashMap::new(),
            bytes: 0,
            longest_bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The size of all keys as copies in checkpoints, in bytes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The size of the longest key since the window was empty, in bytes.
    pub(crate) const fn longest_bytes(&self) -> u64 {
        self.longest_bytes
    }

    /// The result of a key that is still in the window.
    pub(crate) fn find(&self, now: Timestamp, scope: &KeyScope) -> Option<KnownKey> {
        self.known
            .get(scope)
            .copied()
            .filter(|known| known.until > now)
    }

    /// Adds a key of the batch in flight.
    pub(crate) fn assign(&mut self, scope: &KeyScope, first: FirstResult) {
        let known = KnownKey {
            offset: first.offset,
            at: first.at,
            data_hash: first.data_hash,
            segment: 0,
            is_durable: false,
            until: first.at + self.length,
        };
        self.insert(detached(scope.channel, &scope.user, &scope.key), known);
    }

    /// Marks a key as durable in this segment, with its batch or with the checkpoint that holds it.
    pub(crate) fn confirm(&mut self, scope: &KeyScope, segment: u32) {
        if let Some(known) = self.known.get_mut(scope) {
            subtract_from_totals(&mut self.totals, record_bytes(scope), known);
            known.is_durable = true;
            known.segment = segment;
            add_to_totals(&mut self.totals, record_bytes(scope), known);
        }
    }

    /// Removes a key of a batch that failed.
    pub(crate) fn release(&mut self, scope: &KeyScope) {
        self.remove(scope);
    }

    /// Adds a key that was found in a record of this segment while the log is opened.
    pub(crate) fn restore(&mut self, key: &record::Key<'_>, segment: u32) {
        let known = KnownKey {
            offset: key.offset,
            at: key.at,
            data_hash: key.data_hash,
            segment,
            is_durable: true,
            until: key.at + self.length,
        };
        self.insert(detached(key.channel, key.user, key.text), known);
    }

    /// Sorts the keys by age. A checkpoint holds copies of old keys, which are restored after newer keys of other segments.
    pub(crate) fn sort(&mut self) {
        let order = self.order.make_contiguous();
        order.sort_by_key(|(until, _)| *until);
    }

    /// Removes expired keys.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        while let Some((until, _)) = self.order.front()
            && *until <= now
        {
            if let Some((until, scope)) = self.order.pop_front()
                && self
                    .known
                    .get(&scope)
                    .is_some_and(|known| known.until == until)
            {
                self.remove(&scope);
            }
        }
    }

    /// Removes the oldest keys until the rest has at most this size.
    pub(crate) fn shrink_to(&mut self, bytes_max: u64) {
        while self.bytes > bytes_max
            && let Some(until) = self.order.front().map(|(until, _)| *until)
        {
            self.expire(until);
        }
    }

    /// Removes the keys of channels that expired, since the ids of these channels may be reused. Such a channel has usually
    /// no keys, and then no key is searched.
    pub(crate) fn remove_channels(&mut self, channels: &BTreeSet<u32>) {
        if !channels.iter().any(|id| self.of_channels.contains_key(id)) {
            return;
        }
        let of_channels = |(_, scope): &&(Timestamp, KeyScope)| channels.contains(&scope.channel);
        let gone: Vec<KeyScope> = self
            .order
            .iter()
            .filter(of_channels)
            .map(|(_, scope)| scope.clone())
            .collect();
        for scope in &gone {
            self.remove(scope);
        }
    }

    /// The size of a segment's keys in a checkpoint, in bytes.
    pub(crate) fn bytes_of_segment(&self, segment: u32) -> u64 {
        self.totals.get(&segment).map_or(0, |totals| totals.bytes)
    }

    /// Durable keys of the oldest segments: at least this many bytes of them, and at most one key more.
    pub(crate) fn in_oldest_segments(&self, bytes: u64) -> Vec<(KeyScope, KnownKey)> {
        let (mut all_before, mut left, mut count) = (0, bytes, 0);
        for (segment, totals) in &self.totals {
            if left < totals.bytes {
                all_before = *segment;
                break;
            }
            all_before = segment.saturating_add(1);
            left -= totals.bytes;
            count += totals.count;
        }
        let mut found = Vec::with_capacity(count);
        for (until, scope) in &self.order {
            // Old segments have old keys, so the search usually ends early.
            if count == 0 && left == 0 {
                break;
            }
            let known = self.known.get(scope);
            let Some(known) = known.filter(|it| it.is_durable && it.until == *until) else {
                continue;
            };
            if known.segment < all_before {
                count = count.saturating_sub(1);
                found.push((scope.clone(), *known));
            } else if known.segment == all_before && left > 0 {
                left = left.saturating_sub(record_bytes(scope));
                found.push((scope.clone(), *known));
            }
        }
        found
    }

    fn insert(&mut self, scope: KeyScope, known: KnownKey) {
        // A crash can leave both a publication and the checkpoint that holds its key: such a key is queued once.
        let is_queued = self
            .known
            .get(&scope)
            .is_some_and(|before| before.until == known.until);
        if !is_queued {
            self.order.push_back((known.until, scope.clone()));
        }
        let bytes = record_bytes(&scope);
        self.bytes += bytes;
        self.longest_bytes = self.longest_bytes.max(bytes);
        add_to_totals(&mut self.totals, bytes, &known);
        *self.of_channels.entry(scope.channel).or_default() += 1;
        let channel = scope.channel;
        if let Some(before) = self.known.insert(scope, known) {
            self.subtract(channel, bytes, &before);
        }
    }

    fn remove(&mut self, scope: &KeyScope) {
        if let Some(known) = self.known.remove(scope) {
            self.subtract(scope.channel, record_bytes(scope), &known);
        }
        if self.known.is_empty() {
            self.longest_bytes = 0;
        }
    }

    fn subtract(&mut self, channel: u32, bytes: u64, known: &KnownKey) {
        self.bytes -= bytes;
        subtract_from_totals(&mut self.totals, bytes, known);
        if let Entry::Occupied(mut count) = self.of_channels.entry(channel) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

fn add_to_totals(totals: &mut BTreeMap<u32, KeyTotals>, bytes: u64, known: &KnownKey) {
    if known.is_durable {
        let of_segment = totals.entry(known.segment).or_default();
        of_segment.count += 1;
        of_segment.bytes += bytes;
    }
}

fn subtract_from_totals(totals: &mut BTreeMap<u32, KeyTotals>, bytes: u64, known: &KnownKey) {
    if known.is_durable
        && let Some(of_segment) = totals.get_mut(&known.segment)
    {
        of_segment.count -= 1;
        of_segment.bytes -= bytes;
        if of_segment.count == 0 {
            totals.remove(&known.segment);
        }
    }
}

/// The size of a key as a copy in a checkpoint, in bytes.
fn record_bytes(scope: &KeyScope) -> u64 {
    let len = record::key_len(scope.user.len(), scope.key.len());
    convert::to_u64(len)
}

/// A copy in its own buffer, so that the keys of the window do not keep in memory the buffers in which they arrived.
fn detached(channel: u32, user: &[u8], key: &[u8]) -> KeyScope {
    let mut both = Vec::with_capacity(user.len() + key.len());
    both.extend_from_slice(user);
    both.extend_from_slice(key);
    let mut both = Bytes::from(both);
    let key = both.split_off(user.len());
    KeyScope {
        channel,
        user: both,
        key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_mins(2);
    const START: Timestamp = Timestamp::from_millis(10_000_000);

    #[test]
    fn a_key_is_known_until_its_window_ends() {
        let mut window = DedupWindow::new(LENGTH);
        let restored = record::Key {
            channel: 0,
            offset: 1,
            at: START,
            data_hash: 0,
            user: b"ann",
            text: b"restored",
        };
        window.restore(&restored, 0);
        window.assign(&scope("assigned"), first(2, START));

        let last = (START + LENGTH).shifted(-1);
        for (key, offset) in [("restored", 1), ("assigned", 2)] {
            let known = window.find(last, &scope(key)).map(|known| known.offset);
            assert_eq!(known, Some(offset));
            assert!(window.find(START + LENGTH, &scope(key)).is_none());
        }
        window.expire(last);
        assert_eq!(window.len(), 2);
        window.expire(START + LENGTH);
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn a_released_key_can_be_used_again_and_keeps_its_new_time() {
        let mut window = DedupWindow::new(LENGTH);
        let later = START + Duration::from_mins(1);

        window.assign(&scope("k"), first(1, START));
        window.release(&scope("k"));
        window.assign(&scope("k"), first(2, later));
        window.expire(START + LENGTH);

        assert_eq!(
            window.find(later, &scope("k")).map(|known| known.offset),
            Some(2)
        );
    }

    #[test]
    fn a_segment_whose_keys_have_moved_or_expired_takes_no_memory() {
        let mut window = DedupWindow::new(LENGTH);
        for (key, offset) in [("moved", 1), ("expired", 2)] {
            window.assign(&scope(key), first(offset, START));
            window.confirm(&scope(key), 1);
        }
        let one = record_bytes(&scope("moved"));
        assert!(window.bytes_of_segment(1) > one);

        window.confirm(&scope("moved"), 2);
        assert_eq!(window.bytes_of_segment(1), record_bytes(&scope("expired")));
        assert_eq!(window.bytes_of_segment(2), one);
        window.expire(START + LENGTH);

        assert!(window.totals.is_empty(), "{:?}", window.totals);
    }

    fn first(offset: u64, at: Timestamp) -> FirstResult {
        FirstResult {
            offset,
            at,
            data_hash: 0,
        }
    }

    fn scope(key: &'static str) -> KeyScope {
        KeyScope {
            channel: 0,
            user: Bytes::from_static(b"ann"),
            key: Bytes::from_static(key.as_bytes()),
        }
    }
}
