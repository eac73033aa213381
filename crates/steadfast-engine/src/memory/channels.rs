//! The channels of the memory engine with their visible publications, and which publication is the oldest of all.
//!
//! Limits of count and age remove publications of one channel. The limit of bytes removes the oldest publication of all
//! channels, or while that is young, the oldest of a channel that has more than its own bound. Channels without visible
//! publications are listed by age, so that the oldest one is found when a new channel needs its place.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use steadfast_machine::{Timestamp, convert};
use steadfast_protocol::message::{ChannelName, PayloadKind};

use crate::epoch::ChannelEpoch;
use crate::memory::policy::MemoryPolicy;
use crate::request::{Append, Publisher};
use crate::response::Record;
use crate::retention::{PROTECTED_AGE, RetentionClass};

/// Approximate memory of a publication in addition to its bytes: its entry, the index, and the allocation.
const ENTRY_BYTES: usize = 192;

/// Approximate memory of a channel in addition to its name: its entries in the tables, which are partly free, and the
/// least capacity of its queue.
const CHANNEL_BYTES: usize = 768;

/// A queue of publications is not shrunk below this capacity, unless it is empty.
const CAPACITY_MIN: usize = 4;

/// The place of a channel in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChannelSlot(usize);

/// A visible publication.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) offset: u64,
    /// The number of the publication among those of all channels.
    number: u64,
    at: Timestamp,
    kind: PayloadKind,
    retention: RetentionClass,
    /// Payload, user and client, in their own buffer.
    bytes: Bytes,
    /// Where the user begins.
    payload_len: usize,
    user_len: usize,
}

impl Stored {
    /// Copies the publication, so that it does not keep in memory the buffer in which it arrived.
    fn new(offset: u64, number: u64, at: Timestamp, append: &Append) -> Self {
        let (data, Publisher { user, client }) = (&append.data, &append.publisher);
        let mut bytes = Vec::with_capacity(data.len() + user.len() + client.len());
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(user);
        bytes.extend_from_slice(client);
        Self {
            offset,
            number,
            at,
            kind: append.kind,
            retention: append.retention,
            bytes: Bytes::from(bytes),
            payload_len: data.len(),
            user_len: user.len(),
        }
    }

    pub(super) const fn payload_len(&self) -> usize {
        self.payload_len
    }

    /// The publication at the time of the engine; it shares the buffer.
    pub(super) fn record(&self) -> Record {
        let user_end = self.payload_len + self.user_len;
        Record {
            offset: self.offset,
            kind: self.kind,
            retention: self.retention,
            data: self.bytes.slice(..self.payload_len),
            publisher: Publisher {
                user: self.bytes.slice(self.payload_len..user_end),
                client: self.bytes.slice(user_end..),
            },
            at: self.at,
        }
    }

    const fn cost(&self) -> usize {
        self.bytes.len() + ENTRY_BYTES
    }
}

/// Approximate memory of a channel of this name, without its publications.
pub(super) fn memory_bytes(name: &ChannelName) -> usize {
    CHANNEL_BYTES + name.as_str().len()
}

/// A channel that has had a publication.
#[derive(Debug)]
pub(super) struct Channel {
    name: ChannelName,
    /// The number of the channel among all channels that were ever created.
    pub(super) number: u64,
    pub(super) epoch: ChannelEpoch,
    pub(super) high_watermark: u64,
    /// The offset that the oldest visible publication follows; `high_watermark` if none is visible.
    pub(super) removed_to: u64,
    /// When the newest publication was accepted.
    last_at: Timestamp,
    /// The visible publications, in order of offsets.
    pub(super) history: VecDeque<Stored>,
    /// The size of the visible publications.
    bytes: usize,
}

impl Channel {
    fn oldest_number(&self) -> Option<u64> {
        self.history.front().map(|oldest| oldest.number)
    }

    fn has_excess(&self, policy: &MemoryPolicy, at: Timestamp) -> bool {
        self.history.len() > policy.history_size()
            || self
                .history
                .front()
                .is_some_and(|oldest| at.saturating_since(oldest.at) > policy.history_ttl())
    }

    /// Removes the oldest publication, and returns its cost.
    fn pop_oldest(&mut self) -> Option<usize> {
        let oldest = self.history.pop_front()?;
        self.removed_to = oldest.offset;
        self.bytes -= oldest.cost();
        let (len, capacity) = (self.history.len(), self.history.capacity());
        if len == 0 {
            self.history = VecDeque::new();
        } else if capacity > CAPACITY_MIN && len < capacity / 4 {
            self.history.shrink_to((len * 2).max(CAPACITY_MIN));
        }
        Some(oldest.cost())
    }
}

/// All channels, by name and by slot.
#[derive(Debug, Default)]
pub(super) struct Channels {
    /// For lookups only; never iterated.
    by_name: HashMap<ChannelName, usize>,
    slots: Vec<Option<Channel>>,
    free: Vec<usize>,
    /// The slot of each channel with a visible publication, by the number of its oldest one.
    by_oldest: BTreeMap<u64, usize>,
    /// The same of the channels above their own bound.
    above_bound: BTreeMap<u64, usize>,
    channel_bytes_max: usize,
    /// The slot of each channel without a visible publication, by the time of its newest one.
    vacant: BTreeSet<(Timestamp, usize)>,
    bytes: usize,
    /// Approximate memory of the channels without their publications.
    channel_bytes: usize,
    created: u64,
    added: u64,
}

impl Channels {
    /// No channels, each of which may have as many bytes of publications before they are removed first.
    pub(super) fn new(channel_bytes_max: usize) -> Self {
        Self {
            channel_bytes_max,
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The size of all visible publications.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Approximate memory of all channels without their publications.
    pub(super) const fn channel_bytes(&self) -> usize {
        self.channel_bytes
    }

    pub(super) fn find(&self, name: &ChannelName) -> Option<ChannelSlot> {
        self.by_name.get(name).copied().map(ChannelSlot)
    }

    pub(super) fn get(&self, slot: ChannelSlot) -> Option<&Channel> {
        self.slots.get(slot.0)?.as_ref()
    }

    /// Adds a channel without a publication. The name must be unknown.
    pub(super) fn create(
        &mut self,
        name: ChannelName,
        epoch: ChannelEpoch,
        at: Timestamp,
    ) -> ChannelSlot {
        self.created += 1;
        let channel = Channel {
            name: name.clone(),
            number: self.created,
            epoch,
            high_watermark: 0,
            removed_to: 0,
            last_at: at,
            history: VecDeque::new(),
            bytes: 0,
        };
        self.channel_bytes += memory_bytes(&name);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(channel);
        }
        self.vacant.insert((at, slot));
        self.by_name.insert(name, slot);
        ChannelSlot(slot)
    }

    /// Adds the newest publication of a channel. Returns the offset that it follows, and the publication.
    pub(super) fn add(
        &mut self,
        slot: ChannelSlot,
        offset: u64,
        at: Timestamp,
        append: &Append,
    ) -> Option<(u64, Record)> {
        let channel = self.slots.get_mut(slot.0)?.as_mut()?;
        self.added += 1;
        let stored = Stored::new(offset, self.added, at, append);
        let record = stored.record();
        let previous = std::mem::replace(&mut channel.high_watermark, offset);
        let last_at = std::mem::replace(&mut channel.last_at, at);
        self.bytes += stored.cost();
        channel.bytes += stored.cost();
        let oldest = channel.oldest_number().unwrap_or(stored.number);
        if channel.history.is_empty() {
            self.vacant.remove(&(last_at, slot.0));
            self.by_oldest.insert(oldest, slot.0);
        }
        if channel.bytes > self.channel_bytes_max {
            self.above_bound.insert(oldest, slot.0);
        }
        channel.history.push_back(stored);
        Some((previous, record))
    }

    /// Removes publications of a channel that exceed the limits of count and age.
    pub(super) fn prune(&mut self, slot: ChannelSlot, policy: &MemoryPolicy, at: Timestamp) {
        while self
            .get(slot)
            .is_some_and(|channel| channel.has_excess(policy, at))
        {
            self.remove_oldest(slot);
        }
    }

    /// Removes the oldest publications of all channels until the rest has at most this size. While they are young, those
    /// of channels above their own bound are removed instead.
    pub(super) fn shrink_to(&mut self, bytes_max: usize, at: Timestamp) {
        let first = |slots: &BTreeMap<u64, usize>| {
            let first = slots.first_key_value();
            first.map(|(_, slot)| ChannelSlot(*slot))
        };
        while self.bytes > bytes_max
            && let Some(oldest) = first(&self.by_oldest)
        {
            let above_bound = first(&self.above_bound).filter(|_| self.is_oldest_young(oldest, at));
            self.remove_oldest(above_bound.unwrap_or(oldest));
        }
    }

    fn is_oldest_young(&self, slot: ChannelSlot, at: Timestamp) -> bool {
        let oldest = self.get(slot).and_then(|channel| channel.history.front());
        oldest.is_some_and(|oldest| at.saturating_since(oldest.at) < PROTECTED_AGE)
    }

    /// Prunes all channels, and removes those whose last publication is too old. Returns the number of removed channels.
    pub(super) fn expire(&mut self, policy: &MemoryPolicy, at: Timestamp) -> u64 {
        let before = self.len();
        for slot in (0..self.slots.len()).map(ChannelSlot) {
            self.prune(slot, policy, at);
            let is_expired = self.get(slot).is_some_and(|channel| {
                at.saturating_since(channel.last_at) > policy.channel_ttl()
                    && channel.history.is_empty()
            });
            if is_expired {
                self.remove(slot);
            }
        }
        convert::to_u64(before - self.len())
    }

    /// The oldest channel without a visible publication. It has no key in the deduplication window, since no key is newer
    /// than the newest publication; `None` if there is no such channel.
    pub(super) fn vacant(&mut self, policy: &MemoryPolicy, at: Timestamp) -> Option<ChannelSlot> {
        // The oldest publications of all channels, of which the check of ages has not removed some yet.
        while let Some(slot) = self.by_oldest.first_key_value().map(|(_, slot)| *slot)
            && self
                .get(ChannelSlot(slot))
                .is_some_and(|it| it.has_excess(policy, at))
        {
            self.remove_oldest(ChannelSlot(slot));
        }
        let (last_at, slot) = *self.vacant.first()?;
        (at.saturating_since(last_at) > policy.dedup_window()).then_some(ChannelSlot(slot))
    }

    pub(super) fn remove(&mut self, slot: ChannelSlot) {
        while self
            .get(slot)
            .is_some_and(|channel| !channel.history.is_empty())
        {
            self.remove_oldest(slot);
        }
        if let Some(channel) = self.slots.get_mut(slot.0).and_then(Option::take) {
            self.vacant.remove(&(channel.last_at, slot.0));
            self.channel_bytes -= memory_bytes(&channel.name);
            self.by_name.remove(&channel.name);
            self.free.push(slot.0);
        }
    }

    fn remove_oldest(&mut self, slot: ChannelSlot) {
        let Some(channel) = self.slots.get_mut(slot.0).and_then(Option::as_mut) else {
            return;
        };
        if let Some(number) = channel.oldest_number() {
            self.by_oldest.remove(&number);
            self.above_bound.remove(&number);
        }
        self.bytes -= channel.pop_oldest().unwrap_or(0);
        match channel.oldest_number() {
            Some(number) => {
                self.by_oldest.insert(number, slot.0);
                if channel.bytes > self.channel_bytes_max {
                    self.above_bound.insert(number, slot.0);
                }
            }
            None => {
                self.vacant.insert((channel.last_at, slot.0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::RequestId;

    #[test]
    fn a_queue_is_shrunk_when_most_of_it_is_free_and_not_at_every_removal() {
        let mut channel = channel_with(1_000);
        let filled = channel.history.capacity();

        let of_third = remove_until(&mut channel, filled / 3);
        let of_quarter = remove_until(&mut channel, filled / 4 - 1);
        let of_none = remove_until(&mut channel, 0);

        assert_eq!(
            of_third, filled,
            "moving the rest would cost more than it frees"
        );
        assert!(
            (filled / 3..=filled / 2).contains(&of_quarter),
            "half of {of_quarter} is free for the next ones"
        );
        assert_eq!(of_none, 0);
    }

    fn channel_with(publications: u64) -> Channel {
        let mut channels = Channels::default();
        let slot = channels.create(
            "a".into(),
            ChannelEpoch::new(1, 1),
            Timestamp::from_millis(1),
        );
        let append = Append {
            request_id: RequestId {
                shard: 0,
                number: 0,
            },
            channel: "a".into(),
            data: Bytes::from_static(b"1"),
            kind: PayloadKind::Json,
            retention: RetentionClass::Kept,
            publisher: Publisher::default(),
            idempotency_key: None,
            may_create_channel: true,
        };
        for offset in 1..=publications {
            channels.add(slot, offset, Timestamp::from_millis(1), &append);
        }
        channels.slots.swap_remove(slot.0).expect("it was created")
    }

    /// Removes the oldest publications until so many are left; returns the capacity.
    fn remove_until(channel: &mut Channel, len: usize) -> usize {
        while channel.history.len() > len {
            channel.pop_oldest();
        }
        channel.history.capacity()
    }
}
