//! The channels that the log knows, and where their visible publications stand.
//!
//! A table from name to id and from id to state. It holds what is committed, and beside it the offset that the group
//! under way has assigned; what becomes visible or forgotten is decided by commit and retention.

use std::collections::{BTreeSet, HashMap, VecDeque};

use steadfast_machine::Timestamp;
use steadfast_protocol::message::ChannelName;

use crate::epoch::ChannelEpoch;
use crate::log::record;
use crate::policy::log::LogPolicy;

/// Ids stay below this, the most that a policy allows.
const IDS_MAX: u32 = 1 << 20;

/// Where a visible publication stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The ordinal of its segment.
    pub(crate) segment: u32,
    /// Where its record begins.
    pub(crate) position: u32,
    /// The length of its record.
    pub(crate) len: u32,
    /// When it was accepted.
    pub(crate) at: Timestamp,
}

/// One channel.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Its name.
    pub(crate) name: ChannelName,
    /// The epoch in which its offsets count.
    pub(crate) epoch: ChannelEpoch,
    /// The newest committed offset.
    pub(crate) top: u64,
    /// The newest offset that the group under way has assigned; equal to `top` when there is none.
    pub(crate) assigned: u64,
    /// When the newest publication was accepted.
    pub(crate) last_at: Timestamp,
    /// True while the group under way forgets it.
    pub(crate) leaving: bool,
    /// The visible publications, without a gap up to `top`.
    pub(crate) entries: VecDeque<Entry>,
}

impl Channel {
    /// A channel without a visible publication.
    pub(crate) const fn new(
        name: ChannelName,
        epoch: ChannelEpoch,
        top: u64,
        last_at: Timestamp,
    ) -> Self {
        Self {
            name,
            epoch,
            top,
            assigned: top,
            last_at,
            leaving: false,
            entries: VecDeque::new(),
        }
    }

    /// The oldest visible offset; `top + 1` when nothing is visible.
    pub(crate) fn start(&self) -> u64 {
        let visible = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        self.top.saturating_sub(visible).saturating_add(1)
    }

    /// The entry of a visible offset.
    pub(crate) fn entry(&self, offset: u64) -> Option<Entry> {
        let index = offset.checked_sub(self.start())?;
        self.entries.get(usize::try_from(index).ok()?).copied()
    }

    /// Adds the newest publication of a log that is being opened at this time.
    ///
    /// Looks at no older entry, so the caller prunes at the end: ages count back from the same time all along.
    pub(crate) fn restore(&mut self, entry: Entry, policy: &LogPolicy, at: Timestamp) {
        self.top += 1;
        self.assigned = self.top;
        self.last_at = entry.at;
        let is_old = at.saturating_since(entry.at) > policy.visible_age_max();
        if !(is_old && self.entries.is_empty()) {
            self.entries.push_back(entry);
        }
        if self.entries.len() > policy.visible_count_max() {
            self.entries.pop_front();
        }
    }

    /// Hides what count and age no longer allow.
    pub(crate) fn prune(&mut self, policy: &LogPolicy, at: Timestamp) {
        let count_max = policy.visible_count_max();
        let age_max = policy.visible_age_max();
        while let Some(oldest) = self.entries.front()
            && (self.entries.len() > count_max || at.saturating_since(oldest.at) > age_max)
        {
            self.entries.pop_front();
        }
    }

    /// Hides everything below an offset.
    pub(crate) fn hide_below(&mut self, start: u64) {
        while self.start() < start && self.entries.pop_front().is_some() {}
    }

    /// Hides what stands in segments before this one.
    pub(crate) fn hide_segments_before(&mut self, segment: u32) {
        while self
            .entries
            .front()
            .is_some_and(|oldest| oldest.segment < segment)
        {
            self.entries.pop_front();
        }
    }
}

/// The table of channels.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    names: HashMap<ChannelName, u32>,
    slots: Vec<Option<Channel>>,
    free: BTreeSet<u32>,
    checkpoint_bytes: u64,
}

impl Channels {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Bytes that a checkpoint of them takes.
    pub(crate) const fn checkpoint_bytes(&self) -> u64 {
        self.checkpoint_bytes
    }

    /// The id of a name.
    pub(crate) fn find(&self, name: &ChannelName) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// A channel by its id.
    pub(crate) fn by_id(&self, id: u32) -> Option<&Channel> {
        self.slots.get(usize::try_from(id).ok()?)?.as_ref()
    }

    /// A channel by its id, to change it.
    pub(crate) fn by_id_mut(&mut self, id: u32) -> Option<&mut Channel> {
        self.slots.get_mut(usize::try_from(id).ok()?)?.as_mut()
    }

    /// A channel by its name.
    pub(crate) fn by_name(&self, name: &ChannelName) -> Option<&Channel> {
        self.by_id(self.find(name)?)
    }

    /// The smallest free id.
    pub(crate) fn free_id(&self) -> u32 {
        let next = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.free.first().copied().unwrap_or(next)
    }

    /// Adds a channel; false when the id is out of range or taken, or the name is known.
    pub(crate) fn insert(&mut self, id: u32, channel: Channel) -> bool {
        if id >= IDS_MAX || self.names.contains_key(&channel.name) || self.by_id(id).is_some() {
            return false;
        }
        let mut len = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        while len <= id {
            self.slots.push(None);
            self.free.insert(len);
            len += 1;
        }
        self.free.remove(&id);
        self.checkpoint_bytes += record_bytes(&channel.name);
        self.names.insert(channel.name.clone(), id);
        if let Some(slot) = usize::try_from(id)
            .ok()
            .and_then(|index| self.slots.get_mut(index))
        {
            *slot = Some(channel);
        }
        true
    }

    /// Removes a channel and frees its id.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Channel> {
        let channel = self.slots.get_mut(usize::try_from(id).ok()?)?.take()?;
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

    /// All channels in order of their ids, to change them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Channel> {
        self.slots.iter_mut().flatten()
    }
}

fn record_bytes(name: &ChannelName) -> u64 {
    u64::try_from(record::channel_len(name.as_str().len())).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::log::LogSettings;

    #[test]
    fn ids_are_dense_and_used_again() {
        let mut channels = Channels::default();

        assert!(channels.insert(0, channel("a")));
        assert!(channels.insert(2, channel("b")));
        assert!(!channels.insert(2, channel("c")), "the id is taken");
        assert!(!channels.insert(3, channel("a")), "the name is known");
        assert!(
            !channels.insert(u32::MAX, channel("d")),
            "no table of that size"
        );
        assert_eq!(channels.free_id(), 1);
        assert!(channels.remove(0).is_some());
        assert_eq!(channels.free_id(), 0);
        assert_eq!(channels.find(&ChannelName::from("a")), None);
        assert_eq!(channels.len(), 1);
    }

    #[test]
    fn what_is_visible_after_an_opening_is_what_pruning_at_each_publication_leaves() {
        let settings = LogSettings {
            visible_count_max: 4,
            visible_age_max: Duration::from_secs(10),
            ..LogSettings::typical()
        };
        let policy = LogPolicy::new(settings).unwrap();
        let now = Timestamp::from_millis(100_000);
        // The clock was set back and forth while they were written: 0 is old, 1 is young.
        for pattern in 0_u32..1 << 9 {
            let mut opened = channel("a");
            let mut pruned = channel("a");
            for position in 0..9 {
                let is_young = pattern >> position & 1 == 1;
                let entry = Entry {
                    segment: 0,
                    position,
                    len: 1,
                    at: Timestamp::from_millis(if is_young { 95_000 } else { 5_000 }),
                };
                opened.restore(entry, &policy, now);
                pruned.top += 1;
                pruned.entries.push_back(entry);
                pruned.prune(&policy, now);
            }
            opened.prune(&policy, now);

            assert_eq!(opened.start(), pruned.start(), "pattern {pattern:b}");
            assert_eq!(opened.entries.len(), pruned.entries.len());
        }
    }

    fn channel(name: &str) -> Channel {
        let epoch = ChannelEpoch {
            incarnation: 1,
            counter: 0,
        };
        Channel::new(ChannelName::from(name), epoch, 0, Timestamp::default())
    }
}
