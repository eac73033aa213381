//! The channels of a hub: only those with a member or a pending request on this shard.

use std::collections::{BTreeMap, HashMap};

use steadfast_machine::convert;
use steadfast_protocol::message::ChannelName;

use crate::channel::{CatchUp, Channel, ChannelIndex};
use crate::policy::ChannelOptions;

/// The channels of a hub: only those with a subscription or a pending request on this shard.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    slots: Vec<Option<Channel>>,
    free: Vec<u32>,
    /// For lookups only; never iterated.
    by_name: HashMap<ChannelName, ChannelIndex>,
    /// The channels that are due to be read again, by ticket: the first has waited longest.
    catch_up_queue: BTreeMap<u64, ChannelIndex>,
    last_ticket: u64,
}

impl Channels {
    /// The channel of a subscription or of a pending request.
    ///
    /// # Panics
    ///
    /// If there is none: a channel exists as long as it has members or pending requests.
    pub(crate) fn get(&self, index: ChannelIndex) -> &Channel {
        let slot = self.slots.get(convert::to_usize(index.0));
        slot.and_then(Option::as_ref)
            .expect("a channel with members or pending requests exists")
    }

    /// Like [`Channels::get`].
    ///
    /// # Panics
    ///
    /// If there is no such channel.
    pub(crate) fn get_mut(&mut self, index: ChannelIndex) -> &mut Channel {
        let slot = self.slots.get_mut(convert::to_usize(index.0));
        slot.and_then(Option::as_mut)
            .expect("a channel with members or pending requests exists")
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

    /// Adds a channel that is not known.
    pub(crate) fn create(&mut self, name: &str, options: ChannelOptions) -> ChannelIndex {
        let name = ChannelName::from(name);
        let channel = Channel::new(name.clone(), options);
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

    /// Records that a request about the channel has its response.
    pub(crate) fn end_request(&mut self, index: ChannelIndex) {
        self.get_mut(index).pending_requests -= 1;
        self.release(index);
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
            if let CatchUp::Queued { ticket } = channel.catch_up {
                self.catch_up_queue.remove(&ticket);
            }
            self.free.push(index.0);
        }
    }

    /// Puts a channel at the end of the queue of those that are due to be read again, unless it is due already. The
    /// queue has each channel at most once, and none that has been removed.
    pub(crate) fn queue_catch_up(&mut self, index: ChannelIndex) {
        let ticket = self.last_ticket + 1;
        let channel = self.get_mut(index);
        if channel.catch_up == CatchUp::NotDue {
            channel.catch_up = CatchUp::Queued { ticket };
            self.catch_up_queue.insert(ticket, index);
            self.last_ticket = ticket;
        }
    }

    /// Removes the first channel from the queue of those that are due to be read again.
    pub(crate) fn next_catch_up(&mut self) -> Option<ChannelIndex> {
        let (_, index) = self.catch_up_queue.pop_first()?;
        self.get_mut(index).catch_up = CatchUp::NotDue;
        Some(index)
    }

    /// All channels, in the order of their slots.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (ChannelIndex, &mut Channel)> {
        let numbered = (0..).map(ChannelIndex).zip(&mut self.slots);
        numbered.filter_map(|(index, slot)| Some((index, slot.as_mut()?)))
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

/// The index of the last entry of a list that is not empty.
fn last_index(len: usize) -> u32 {
    u32::try_from(len - 1).expect("a shard has fewer channels than 32 bits can count")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PeerId;
    use crate::policy::JoinLeave;

    const OPTIONS: ChannelOptions = ChannelOptions {
        join_leave: JoinLeave::On,
    };

    #[test]
    fn an_idle_channel_is_removed_and_its_slot_is_reused() {
        let mut channels = Channels::default();
        let index = channels.create("one", OPTIONS);
        let slot = channels.get_mut(index).add_pending(peer(1));

        channels.release(index);
        assert_eq!(channels.len(), 1);

        channels.get_mut(index).remove(slot);
        channels.release(index);
        assert_eq!(channels.len(), 0);
        assert_eq!(channels.create("two", OPTIONS), index);
        assert_eq!(channels.find("one"), None);
    }

    #[test]
    fn the_queue_of_channels_to_read_again_has_each_of_them_once_and_no_removed_one() {
        let mut channels = Channels::default();
        let [first, second, third] =
            ["one", "two", "three"].map(|name| channels.create(name, OPTIONS));

        for index in [first, second, first, third] {
            channels.queue_catch_up(index);
        }
        channels.release(second);

        assert_eq!(channels.next_catch_up(), Some(first));
        channels.queue_catch_up(first);
        assert_eq!(channels.next_catch_up(), Some(third));
        assert_eq!(channels.next_catch_up(), Some(first));
        assert_eq!(channels.next_catch_up(), None);
    }

    fn peer(index: u32) -> PeerId {
        PeerId {
            index,
            generation: 0,
        }
    }
}
