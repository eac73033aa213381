//! One channel as a hub sees it: its subscribers on this shard, and how far the shard has read it.
//!
//! The member lists are unordered. A subscription stores its slot in them, so that removing a member costs the same in
//! a large channel as in a small one; the return value names the peer that was moved into the free slot.

use std::collections::HashMap;
use std::rc::Rc;

use steadfast_engine::ChannelEpoch;
use steadfast_machine::convert;
use steadfast_protocol::message::ChannelName;

use crate::io::PeerId;

/// The slot of a channel in the hub's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChannelIndex(u32);

/// How far this shard has read the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// The log has not responded about the channel yet.
    Unknown,
    /// Everything up to `offset` was read; the next commit follows it.
    Current { epoch: ChannelEpoch, offset: u64 },
    /// Commits after `offset` were missed; a read that fetches them is pending.
    Lagging { epoch: ChannelEpoch, offset: u64 },
}

/// The slot of a subscription in the member lists of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberSlot {
    /// Receives every publication as it is committed.
    Live(u32),
    /// Receives no publications yet: the log's response or the rest of the recovery is pending.
    Pending(u32),
}

/// One channel of this shard.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: ChannelName,
    pub(crate) cursor: Cursor,
    live: Rc<Vec<PeerId>>,
    pending: Vec<PeerId>,
    /// Peers that requested join and leave pushes.
    pub(crate) listeners: Vec<PeerId>,
    /// Pending requests to the log about this channel.
    pub(crate) pending_requests: u32,
}

impl Channel {
    fn new(name: ChannelName) -> Self {
        Self {
            name,
            cursor: Cursor::Unknown,
            live: Rc::default(),
            pending: Vec::new(),
            listeners: Vec::new(),
            pending_requests: 0,
        }
    }

    /// The peers that receive every publication; the list is shared with outputs that are still queued.
    pub(crate) fn live(&self) -> Rc<Vec<PeerId>> {
        Rc::clone(&self.live)
    }

    pub(crate) fn pending(&self) -> &[PeerId] {
        &self.pending
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.live.iter().chain(&self.pending).copied()
    }

    pub(crate) fn add_pending(&mut self, peer: PeerId) -> MemberSlot {
        self.pending.push(peer);
        MemberSlot::Pending(last_index(self.pending.len()))
    }

    pub(crate) fn add_live(&mut self, peer: PeerId) -> MemberSlot {
        let live = Rc::make_mut(&mut self.live);
        live.push(peer);
        MemberSlot::Live(last_index(live.len()))
    }

    /// Removes a member. Returns the peer that was moved to `slot` instead.
    pub(crate) fn remove(&mut self, slot: MemberSlot) -> Option<PeerId> {
        let (list, index) = match slot {
            MemberSlot::Live(index) => (Rc::make_mut(&mut self.live), index),
            MemberSlot::Pending(index) => (&mut self.pending, index),
        };
        let index = convert::to_usize(index);
        list.swap_remove(index);
        list.get(index).copied()
    }

    pub(crate) fn remove_listener(&mut self, peer: PeerId) {
        self.listeners.retain(|listener| *listener != peer);
    }

    /// Whether the channel has neither members nor pending requests.
    fn is_idle(&self) -> bool {
        self.live.is_empty() && self.pending.is_empty() && self.pending_requests == 0
    }
}

/// The index of the last entry of a list that is not empty.
fn last_index(len: usize) -> u32 {
    u32::try_from(len - 1).expect("a shard has fewer peers and channels than 32 bits can count")
}

/// The channels of a hub: only those with a subscription or a pending request on this shard.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    slots: Vec<Option<Channel>>,
    free: Vec<u32>,
    /// For lookups only; never iterated.
    by_name: HashMap<ChannelName, ChannelIndex>,
}

impl Channels {
    pub(crate) fn get(&self, index: ChannelIndex) -> Option<&Channel> {
        self.slots.get(convert::to_usize(index.0))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: ChannelIndex) -> Option<&mut Channel> {
        self.slots.get_mut(convert::to_usize(index.0))?.as_mut()
    }

    pub(crate) fn find(&self, name: &str) -> Option<ChannelIndex> {
        self.by_name.get(name).copied()
    }

    /// The name as a shared string; the name of a known channel is not copied.
    pub(crate) fn name(&self, name: &str) -> ChannelName {
        self.by_name
            .get_key_value(name)
            .map_or_else(|| ChannelName::from(name), |(known, _)| known.clone())
    }

    pub(crate) fn find_or_create(&mut self, name: &str) -> ChannelIndex {
        if let Some(index) = self.find(name) {
            return index;
        }
        let name = ChannelName::from(name);
        let channel = Channel::new(name.clone());
        let index = if let Some(free) = self.free.pop() {
            if let Some(slot) = self.slots.get_mut(convert::to_usize(free)) {
                *slot = Some(channel);
            }
            ChannelIndex(free)
        } else {
            self.slots.push(Some(channel));
            ChannelIndex(last_index(self.slots.len()))
        };
        self.by_name.insert(name, index);
        index
    }

    /// Removes the channel if it has neither members nor pending requests.
    pub(crate) fn release(&mut self, index: ChannelIndex) {
        let Some(slot) = self.slots.get_mut(convert::to_usize(index.0)) else {
            return;
        };
        if slot.as_ref().is_some_and(Channel::is_idle)
            && let Some(channel) = slot.take()
        {
            self.by_name.remove(&channel.name);
            self.free.push(index.0);
        }
    }

    /// All channels, in the order of their slots.
    pub(crate) fn indices(&self) -> Vec<ChannelIndex> {
        (0..last_index(self.slots.len() + 1))
            .map(ChannelIndex)
            .filter(|index| self.get(*index).is_some())
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_a_member_returns_the_peer_that_was_moved_to_its_slot() {
        let mut channels = Channels::default();
        let index = channels.find_or_create("news");
        let channel = channels.get_mut(index).unwrap();
        let first = channel.add_live(peer(1));
        channel.add_live(peer(2));
        channel.add_live(peer(3));

        assert_eq!(channel.remove(first), Some(peer(3)));
        assert_eq!(*channel.live(), vec![peer(3), peer(2)]);
        assert_eq!(channel.remove(MemberSlot::Live(1)), None);
    }

    #[test]
    fn a_queued_output_keeps_its_list_of_receivers() {
        let mut channels = Channels::default();
        let index = channels.find_or_create("news");
        let channel = channels.get_mut(index).unwrap();
        channel.add_live(peer(1));

        let queued = channel.live();
        channel.add_live(peer(2));

        assert_eq!(*queued, vec![peer(1)]);
        assert_eq!(*channel.live(), vec![peer(1), peer(2)]);
    }

    #[test]
    fn an_idle_channel_is_removed_and_its_slot_is_reused() {
        let mut channels = Channels::default();
        let index = channels.find_or_create("one");
        let slot = channels.get_mut(index).unwrap().add_pending(peer(1));

        channels.release(index);
        assert_eq!(channels.len(), 1);

        channels.get_mut(index).unwrap().remove(slot);
        channels.release(index);
        assert_eq!(channels.len(), 0);
        assert_eq!(channels.find_or_create("two"), index);
        assert_eq!(channels.find("one"), None);
    }

    fn peer(index: u32) -> PeerId {
        PeerId {
            index,
            generation: 0,
        }
    }
}
