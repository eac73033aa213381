//! The channels of the memory engine with their visible publications, and which publication is the oldest of all.
//!
//! Limits of count and age remove publications of one channel. The limit of bytes removes the oldest publication of all
//! channels, whichever channel it is in.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use steadfast_machine::{Timestamp, convert};
use steadfast_protocol::message::{ChannelName, PayloadKind};

use crate::epoch::ChannelEpoch;
use crate::memory::policy::MemoryPolicy;
use crate::request::{Append, Publisher};
use crate::response::Record;
use crate::retention::RetentionClass;

/// Approximate memory of a publication in addition to its bytes: its entry, the index, and the allocation.
const ENTRY_BYTES: usize = 192;

/// A queue of publications is not shrunk below this capacity.
const CAPACITY_MIN: usize = 16;

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

    fn cost(&self) -> usize {
        self.bytes.len() + ENTRY_BYTES
    }
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
        let (len, capacity) = (self.history.len(), self.history.capacity());
        if capacity > CAPACITY_MIN && len < capacity / 4 {
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
    bytes: usize,
    created: u64,
    added: u64,
}

impl Channels {
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The size of all visible publications.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
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
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(channel);
        }
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
        channel.last_at = at;
        self.bytes += stored.cost();
        if channel.history.is_empty() {
            self.by_oldest.insert(stored.number, slot.0);
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

    /// Removes the oldest publications of all channels until the rest has at most this size.
    pub(super) fn shrink_to(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some((_, slot)) = self.by_oldest.first_key_value()
        {
            self.remove_oldest(ChannelSlot(*slot));
        }
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

    fn remove(&mut self, slot: ChannelSlot) {
        if let Some(channel) = self.slots.get_mut(slot.0).and_then(Option::take) {
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
        }
        self.bytes -= channel.pop_oldest().unwrap_or(0);
        if let Some(number) = channel.oldest_number() {
            self.by_oldest.insert(number, slot.0);
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
        assert_eq!(of_none, CAPACITY_MIN);
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
