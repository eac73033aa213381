//! The channels that the log knows, and the locations of their visible publications.
//!
//! A table maps names to ids and ids to states. It holds what is committed and the newest offset that the batch in
//! flight has assigned; commit and retention decide what becomes visible or expires.

use std::collections::{BTreeSet, HashMap, VecDeque};

use steadfast_engine::ChannelEpoch;
use steadfast_machine::{Timestamp, convert};
use steadfast_protocol::message::ChannelName;

use crate::clock::Ages;
use crate::policy::LogPolicy;
use crate::record;

/// Ids are below this number, twice the maximum number of channels that a policy allows: a batch may create a channel for
/// each channel that it removes, whose ids are in use until it is committed.
const IDS_MAX: u32 = 1 << 21;

/// The location of a visible publication.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexEntry {
    pub(crate) segment: u32,
    /// The byte position of its record in the segment.
    pub(crate) byte_position: u32,
    /// The length of its record in bytes.
    pub(crate) len: u32,
    /// The log time at which the publication was accepted.
    pub(crate) at: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: ChannelName,
    pub(crate) epoch: ChannelEpoch,
    pub(crate) high_watermark: u64,
    /// The newest offset that the batch in flight has assigned; equal to `high_watermark` if there is no such offset.
    pub(crate) assigned: u64,
    /// The log time at which the newest publication was accepted.
    pub(crate) last_at: Timestamp,
    /// True while the batch in flight removes the channel.
    pub(crate) is_expiring: bool,
    /// The publications that were not removed, without a gap up to `high_watermark`.
    pub(crate) entries: VecDeque<IndexEntry>,
    /// What the channel uses of each segment.
    pub(crate) stored: StoredBytes,
}

/// The bytes of a channel's publications in each segment, hidden ones included.
#[derive(Debug, Default)]
pub(crate) struct StoredBytes {
    /// In order of the segments' ordinals.
    by_segment: VecDeque<(u32, u64)>,
    bytes: u64,
}

impl StoredBytes {
    /// The bytes in all segments.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn add(&mut self, entry: &IndexEntry) {
        let len = u64::from(entry.len);
        self.bytes += len;
        match self.by_segment.back_mut() {
            Some((segment, bytes)) if *segment == entry.segment => *bytes += len,
            Some(_) | None => self.by_segment.push_back((entry.segment, len)),
        }
    }

    fn remove_before(&mut self, segment: u32) {
        while let Some((oldest, bytes)) = self.by_segment.front().copied()
            && oldest < segment
        {
            self.by_segment.pop_front();
            self.bytes -= bytes;
        }
    }
}

impl Channel {
    /// A channel without a visible publication.
    pub(crate) const fn new(
        name: ChannelName,
        epoch: ChannelEpoch,
        high_watermark: u64,
        last_at: Timestamp,
    ) -> Self {
        Self {
            name,
            epoch,
            high_watermark,
            assigned: high_watermark,
            last_at,
            is_expiring: false,
            entries: VecDeque::new(),
            stored: StoredBytes {
                by_segment: VecDeque::new(),
                bytes: 0,
            },
        }
    }

    /// Adds the newest publication.
    pub(crate) fn push(&mut self, offset: u64, entry: IndexEntry) {
        self.high_watermark = offset;
        self.last_at = entry.at;
        self.stored.add(&entry);
        self.entries.push_back(entry);
    }

    /// The oldest offset whose publication was not removed; `high_watermark + 1` when there is none.
    pub(crate) fn start(&self) -> u64 {
        let visible = convert::to_u64(self.entries.len());
        self.high_watermark
            .saturating_sub(visible)
            .saturating_add(1)
    }

    pub(crate) fn entry(&self, offset: u64) -> Option<IndexEntry> {
        let index = offset.checked_sub(self.start())?;
        self.entries.get(usize::try_from(index).ok()?).copied()
    }

    /// Adds the newest publication while a log is being opened. The records that follow may prove greater ages, so the
    /// caller prunes at the end.
    pub(crate) fn restore(&mut self, entry: IndexEntry, policy: &LogPolicy) {
        self.push(self.high_watermark + 1, entry);
        self.assigned = self.high_watermark;
        self.prune(policy, &Ages::at(entry.at));
    }

    /// Removes publications that exceed the limits of count and of proven age.
    pub(crate) fn prune(&mut self, policy: &LogPolicy, ages: &Ages) {
        let count_max = policy.history_size();
        let age_max = policy.history_ttl();
        while let Some(oldest) = self.entries.front()
            && (self.entries.len() > count_max || ages.proven(oldest.at) > age_max)
        {
            self.entries.pop_front();
        }
    }

    /// The oldest offset whose publication is not too old by the estimated ages, which may become smaller again.
    pub(crate) fn visible_start(&self, policy: &LogPolicy, ages: &Ages) -> u64 {
        let hidden = if ages.has_estimate() {
            self.entries
                .partition_point(|entry| ages.estimated(entry.at) > policy.history_ttl())
        } else {
            0
        };
        self.start() + convert::to_u64(hidden)
    }

    /// Whether the channel can be removed: its newest publication is committed and certainly too old, and no batch in
    /// flight removes it.
    pub(crate) fn has_expired(&self, policy: &LogPolicy, ages: &Ages) -> bool {
        self.is_idle() && ages.proven(self.last_at) > policy.channel_ttl()
    }

    /// Whether nothing of the channel is in flight, neither a publication nor its removal.
    pub(crate) const fn is_idle(&self) -> bool {
        self.assigned == self.high_watermark && !self.is_expiring
    }

    /// Hides every publication below an offset.
    pub(crate) fn hide_below(&mut self, start: u64) {
        while self.start() < start && self.entries.pop_front().is_some() {}
    }

    /// Hides the publications in segments before this one, which are removed.
    pub(crate) fn hide_segments_before(&mut self, segment: u32) {
        self.stored.remove_before(segment);
        while self
            .entries
            .front()
            .is_some_and(|oldest| oldest.segment < segment)
        {
            self.entries.pop_front();
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Channels {
    names: HashMap<ChannelName, u32>,
    slots: Vec<Option<Channel>>,
    free: BTreeSet<u32>,
    checkpoint_bytes: u64,
}

impl Channels {
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The size of a checkpoint of all channels in bytes.
    pub(crate) const fn checkpoint_bytes(&self) -> u64 {
        self.checkpoint_bytes
    }

    /// The size of one channel in a checkpoint, in bytes; 0 if it is unknown.
    pub(crate) fn checkpoint_bytes_of(&self, id: u32) -> u64 {
        self.by_id(id)
            .map_or(0, |channel| record_bytes(&channel.name))
    }

    pub(crate) fn find(&self, name: &ChannelName) -> Option<u32> {
        self.names.get(name).copied()
    }

    pub(crate) fn by_id(&self, id: u32) -> Option<&Channel> {
        self.slots.get(convert::to_usize(id))?.as_ref()
    }

    pub(crate) fn by_id_mut(&mut self, id: u32) -> Option<&mut Channel> {
        self.slots.get_mut(convert::to_usize(id))?.as_mut()
    }

    pub(crate) fn by_name(&self, name: &ChannelName) -> Option<&Channel> {
        self.by_id(self.find(name)?)
    }

    /// The smallest free id.
    pub(crate) fn free_id(&self) -> u32 {
        let free = self.free.first().copied();
        free.unwrap_or_else(|| self.next_id())
    }

    /// The id after those that were used so far.
    fn next_id(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("at most `IDS_MAX`")
    }

    /// Adds a channel; returns `false` if the id is out of range or in use, or the name is known.
    pub(crate) fn insert(&mut self, id: u32, channel: Channel) -> bool {
        if id >= IDS_MAX || self.names.contains_key(&channel.name) || self.by_id(id).is_some() {
            return false;
        }
        for unused in self.next_id()..=id {
            self.slots.push(None);
            self.free.insert(unused);
        }
        self.free.remove(&id);
        self.checkpoint_bytes += record_bytes(&channel.name);
        self.names.insert(channel.name.clone(), id);
        if let Some(slot) = self.slots.get_mut(convert::to_usize(id)) {
            *slot = Some(channel);
        }
        true
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<Channel> {
        let channel = self.slots.get_mut(convert::to_usize(id))?.take()?;
        self.names.remove(&channel.name);
        self.free.insert(id);
        self.checkpoint_bytes -= record_bytes(&channel.name);
        Some(channel)
    }

    /// All channels in order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Channel)> {
        (0..)
            .zip(&self.slots)
            .filter_map(|(id, slot)| Some((id, slot.as_ref()?)))
    }

    /// All channels in order of their ids, mutable.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Channel> {
        self.slots.iter_mut().flatten()
    }
}

fn record_bytes(name: &ChannelName) -> u64 {
    convert::to_u64(record::channel_len(name.as_str().len()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::LogSettings;

    #[test]
    fn ids_are_dense_and_reused() {
        let mut channels = Channels::default();

        assert!(channels.insert(0, channel("a")));
        assert!(channels.insert(2, channel("b")));
        assert!(!channels.insert(2, channel("c")), "the id is in use");
        assert!(!channels.insert(3, channel("a")), "the name is known");
        assert!(
            !channels.insert(u32::MAX, channel("d")),
            "the id is out of range"
        );
        assert_eq!(channels.free_id(), 1);
        assert!(channels.remove(0).is_some());
        assert_eq!(channels.free_id(), 0);
        assert_eq!(channels.find(&ChannelName::from("a")), None);
        assert_eq!(channels.len(), 1);
    }

    #[test]
    fn a_removed_channel_takes_no_space_in_checkpoints() {
        let mut channels = Channels::default();
        for (id, name) in [(0, "a"), (1, "long")] {
            assert!(channels.insert(id, channel(name)));
        }
        let of_long = record_bytes(&ChannelName::from("long"));
        assert!(channels.checkpoint_bytes() > of_long);

        channels.remove(0);
        assert_eq!(channels.checkpoint_bytes(), of_long);
        channels.remove(1);

        assert_eq!(channels.checkpoint_bytes(), 0);
    }

    #[test]
    fn an_estimate_hides_publications_and_removes_none() {
        let settings = LogSettings {
            history_ttl: Duration::from_secs(10),
            ..LogSettings::for_tests()
        };
        let policy = LogPolicy::new(settings).unwrap();
        let mut channel = channel("a");
        for millis in [1_000, 2_000, 9_000] {
            let at = Timestamp::from_millis(millis);
            let entry = IndexEntry {
                segment: 0,
                byte_position: 0,
                len: 1,
                at,
            };
            channel.restore(entry, &policy);
        }
        let proven = Ages::at(Timestamp::from_millis(11_500));
        let estimated = Ages::estimating(
            Timestamp::from_millis(11_500),
            Timestamp::from_millis(3_000),
            5_000,
        );

        channel.prune(&policy, &estimated);
        assert_eq!(channel.start(), 2, "the age of the first is proven");
        assert_eq!(channel.visible_start(&policy, &estimated), 3);
        assert_eq!(channel.visible_start(&policy, &proven), 2);
    }

    fn channel(name: &str) -> Channel {
        let epoch = ChannelEpoch::new(1, 0);
        Channel::new(ChannelName::from(name), epoch, 0, Timestamp::default())
    }
}
