//! One channel as a hub sees it: who is subscribed here, and how far this core has read it.
//!
//! The lists are plain and unordered. A subscription knows its place in them, so that leaving costs the same in a
//! crowd as alone; whoever is moved into the gap is told by the return value.

use std::collections::HashMap;
use std::rc::Rc;

use steadfast_protocol::message::ChannelName;

use crate::epoch::ChannelEpoch;
use crate::io::PeerId;

/// The place of a channel in the hub's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChannelIndex(u32);

/// How far this core has read the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// No answer of the log about it has come yet.
    Unknown,
    /// Everything up to here was seen; the next commit is `top + 1`.
    At { epoch: ChannelEpoch, top: u64 },
    /// Commits behind `top` were missed; a read that fetches them is under way.
    Behind { epoch: ChannelEpoch, top: u64 },
}

/// Where a subscription stands in its channel's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Gets every publication as it is committed.
    Live(u32),
    /// Gets none yet: its answer or the rest of its recovery is on the way.
    Waiting(u32),
}

/// One channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: ChannelName,
    pub(crate) cursor: Cursor,
    live: Rc<Vec<PeerId>>,
    waiting: Vec<PeerId>,
    /// Those who want join and leave pushes.
    pub(crate) listeners: Vec<PeerId>,
    /// Requests to the log about this channel that are unanswered.
    pub(crate) asks: u32,
}

impl Channel {
    fn new(name: ChannelName) -> Self {
        Self {
            name,
            cursor: Cursor::Unknown,
            live: Rc::default(),
            waiting: Vec::new(),
            listeners: Vec::new(),
            asks: 0,
        }
    }

    /// Those who get every publication, shared with the orders that are not out yet.
    pub(crate) fn live(&self) -> Rc<Vec<PeerId>> {
        Rc::clone(&self.live)
    }

    pub(crate) fn waiting(&self) -> &[PeerId] {
        &self.waiting
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.live.iter().chain(&self.waiting).copied()
    }

    pub(crate) fn enter_waiting(&mut self, peer: PeerId) -> Place {
        self.waiting.push(peer);
        Place::Waiting(last_index(self.waiting.len()))
    }

    pub(crate) fn enter_live(&mut self, peer: PeerId) -> Place {
        let live = Rc::make_mut(&mut self.live);
        live.push(peer);
        Place::Live(last_index(live.len()))
    }

    /// Takes a member out. Returns who was moved to `place` in its stead.
    pub(crate) fn leave(&mut self, place: Place) -> Option<PeerId> {
        let (list, index) = match place {
            Place::Live(index) => (Rc::make_mut(&mut self.live), index),
            Place::Waiting(index) => (&mut self.waiting, index),
        };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        list.swap_remove(index);
        list.get(index).copied()
    }

    pub(crate) fn forget_listener(&mut self, peer: PeerId) {
        self.listeners.retain(|listener| *listener != peer);
    }

    /// Whether anything still needs this channel.
    fn is_idle(&self) -> bool {
        self.live.is_empty() && self.waiting.is_empty() && self.asks == 0
    }
}

fn last_index(len: usize) -> u32 {
    // A peer enters a channel once and peers have 32-bit indices, so the list cannot be longer.
    u32::try_from(len.saturating_sub(1)).unwrap_or(u32::MAX)
}

/// The channels of a hub: only those that somebody here is subscribed to, or asks about.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    slots: Vec<Option<Channel>>,
    free: Vec<u32>,
    /// Look-ups only; never iterated.
    by_name: HashMap<ChannelName, ChannelIndex>,
}

impl Channels {
    pub(crate) fn get(&self, index: ChannelIndex) -> Option<&Channel> {
        self.slots.get(usize::try_from(index.0).ok()?)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: ChannelIndex) -> Option<&mut Channel> {
        self.slots.get_mut(usize::try_from(index.0).ok()?)?.as_mut()
    }

    pub(crate) fn find(&self, name: &str) -> Option<ChannelIndex> {
        self.by_name.get(name).copied()
    }

    /// The name as a shared text; no copy is made of one that is known.
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
            if let Some(slot) = usize::try_from(free)
                .ok()
                .and_then(|i| self.slots.get_mut(i))
            {
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

    /// Forgets the channel if nothing needs it any more.
    pub(crate) fn release(&mut self, index: ChannelIndex) {
        let Some(slot) = usize::try_from(index.0)
            .ok()
            .and_then(|i| self.slots.get_mut(i))
        else {
            return;
        };
        if slot.as_ref().is_some_and(Channel::is_idle)
            && let Some(channel) = slot.take()
        {
            self.by_name.remove(&channel.name);
            self.free.push(index.0);
        }
    }

    /// All channels, in the order of their places.
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
    fn leaving_names_who_was_moved_into_the_gap() {
        let mut channels = Channels::default();
        let index = channels.find_or_create("room");
        let channel = channels.get_mut(index).unwrap();
        let first = channel.enter_live(peer(1));
        channel.enter_live(peer(2));
        channel.enter_live(peer(3));

        assert_eq!(channel.leave(first), Some(peer(3)));
        assert_eq!(*channel.live(), vec![peer(3), peer(2)]);
        assert_eq!(channel.leave(Place::Live(1)), None);
    }

    #[test]
    fn an_order_that_is_not_out_yet_keeps_its_list() {
        let mut channels = Channels::default();
        let index = channels.find_or_create("room");
        let channel = channels.get_mut(index).unwrap();
        channel.enter_live(peer(1));

        let ordered = channel.live();
        channel.enter_live(peer(2));

        assert_eq!(*ordered, vec![peer(1)]);
        assert_eq!(*channel.live(), vec![peer(1), peer(2)]);
    }

    #[test]
    fn a_channel_is_forgotten_when_nobody_needs_it_and_its_place_is_used_again() {
        let mut channels = Channels::default();
        let index = channels.find_or_create("one");
        let place = channels.get_mut(index).unwrap().enter_waiting(peer(1));

        channels.release(index);
        assert_eq!(channels.len(), 1);

        channels.get_mut(index).unwrap().leave(place);
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
