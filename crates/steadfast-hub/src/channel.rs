//! One channel as a hub sees it: its subscribers on this shard, and how far the shard has read it.
//!
//! A subscription stores its key in the member lists, so that removing a member costs the same in a large channel as in
//! a small one.

use std::collections::HashMap;
use std::rc::Rc;

use steadfast_engine::ChannelEpoch;
use steadfast_machine::convert;
use steadfast_protocol::message::ChannelName;

use self::members::{MemberKey, Members};
use crate::ids::PeerId;

mod members;

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
    Live(MemberKey),
    /// Receives no publications yet: the log's response or the rest of the recovery is pending.
    Pending(MemberKey),
}

/// One channel of this shard.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: ChannelName,
    pub(crate) cursor: Cursor,
    live: Members,
    pending: Members,
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
            live: Members::default(),
            pending: Members::default(),
            listeners: Vec::new(),
            pending_requests: 0,
        }
    }

    /// The peers that receive every publication, for an output; `None` if there are none.
    pub(crate) fn live(&self) -> Option<Rc<Vec<PeerId>>> {
        self.live.share()
    }

    pub(crate) fn pending(&self) -> &[PeerId] {
        self.pending.as_slice()
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = PeerId> + '_ {
        let (live, pending) = (self.live.as_slice(), self.pending.as_slice());
        live.iter().chain(pending).copied()
    }

    pub(crate) fn add_pending(&mut self, peer: PeerId) -> MemberSlot {
        MemberSlot::Pending(self.pending.add(peer))
    }

    pub(crate) fn add_live(&mut self, peer: PeerId) -> MemberSlot {
        MemberSlot::Live(self.live.add(peer))
    }

    /// Removes a member.
    pub(crate) fn remove(&mut self, slot: MemberSlot) {
        match slot {
            MemberSlot::Live(key) => self.live.remove(key),
            MemberSlot::Pending(key) => self.pending.remove(key),
        }
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
    u32::try_from(len - 1).expect("a shard has fewer channels than 32 bits can count")
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
