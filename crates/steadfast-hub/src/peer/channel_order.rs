//! The order of a peer's commands in each channel: which have no reply yet, and which wait for them.
//!
//! Commands of different channels take effect independently. In one channel, a command waits while an earlier one has
//! no reply whose effect it could otherwise miss, or that could otherwise include its own; see [`Effect::waits_for`].
//! Publications never wait for each other, so a client can send many at once. Subscribe commands without a reply are
//! not here: the subscription itself is in its phase `Requested`.

use std::collections::VecDeque;

use steadfast_protocol::message::ChannelName;

use crate::commands::ChannelCommand;

/// The capacity that the list of commands in flight retains.
const IN_FLIGHT_RETAINED: usize = 16;

/// What a command does with its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Appends to the history.
    Publish,
    /// Reads the history.
    ReadHistory,
    /// Reads the members.
    ReadPresence,
    /// Changes the members, at a position of the history.
    ChangeMembership,
}

impl Effect {
    /// Whether a command with this effect waits for an earlier one that has no reply.
    ///
    /// A subscribe or unsubscribe command waits for publications: whether the client receives them depends on it. A
    /// publication after a subscribe command need not wait: the engine has the position of the subscription before it.
    pub(crate) const fn waits_for(self, earlier: Self) -> bool {
        match (self, earlier) {
            (Self::Publish, Self::ReadHistory)
            | (Self::ReadHistory, Self::Publish)
            | (Self::ReadPresence, Self::ChangeMembership)
            | (
                Self::ChangeMembership,
                Self::Publish | Self::ReadPresence | Self::ChangeMembership,
            ) => true,
            (Self::Publish, Self::Publish | Self::ReadPresence | Self::ChangeMembership)
            | (
                Self::ReadHistory,
                Self::ReadHistory | Self::ReadPresence | Self::ChangeMembership,
            )
            | (Self::ReadPresence, Self::Publish | Self::ReadHistory | Self::ReadPresence)
            | (Self::ChangeMembership, Self::ReadHistory) => false,
        }
    }
}

/// The number of commands in one channel that have one effect and no reply.
#[derive(Debug)]
struct InFlight {
    channel: ChannelName,
    effect: Effect,
    count: u32,
}

/// A command that waits for earlier ones in its channel.
#[derive(Debug)]
pub(crate) struct WaitingCommand {
    pub(crate) id: u32,
    pub(crate) command: ChannelCommand,
}

/// The commands of a peer that have no reply, and those that wait for them.
#[derive(Debug, Default)]
pub(crate) struct ChannelOrder {
    /// One entry for each channel and effect.
    in_flight: Vec<InFlight>,
    /// In the order of their arrival. Bounded by the weight of each: the peer is not read from at its limit.
    waiting: VecDeque<WaitingCommand>,
}

impl ChannelOrder {
    /// Whether a command has to wait for one that has no reply.
    pub(crate) fn has_in_flight_before(&self, effect: Effect, channel: &str) -> bool {
        self.in_flight
            .iter()
            .any(|entry| effect.waits_for(entry.effect) && entry.channel.as_str() == channel)
    }

    /// Whether a command waits in this channel.
    pub(crate) fn is_waiting(&self, channel: &str) -> bool {
        self.first_waiting(channel).is_some()
    }

    /// Records that a command is executed and has no reply yet.
    pub(crate) fn begin(&mut self, effect: Effect, channel: &ChannelName) {
        if let Some(index) = self.find(effect, channel)
            && let Some(entry) = self.in_flight.get_mut(index)
        {
            entry.count += 1;
            return;
        }
        self.in_flight.push(InFlight {
            channel: channel.clone(),
            effect,
            count: 1,
        });
    }

    /// Records that a command has its reply. Does nothing if none with this effect is in flight in the channel.
    pub(crate) fn end(&mut self, effect: Effect, channel: &ChannelName) {
        if let Some(index) = self.find(effect, channel)
            && let Some(entry) = self.in_flight.get_mut(index)
        {
            entry.count -= 1;
            if entry.count == 0 {
                self.in_flight.swap_remove(index);
            }
        }
        if self.in_flight.is_empty() && self.in_flight.capacity() > IN_FLIGHT_RETAINED {
            self.in_flight = Vec::new();
        }
    }

    fn find(&self, effect: Effect, channel: &ChannelName) -> Option<usize> {
        self.in_flight
            .iter()
            .position(|entry| entry.effect == effect && entry.channel == *channel)
    }

    /// Lets a command wait until [`Self::take_waiting`].
    pub(crate) fn wait(&mut self, id: u32, command: ChannelCommand) {
        self.waiting.push_back(WaitingCommand { id, command });
    }

    /// The command that waits longest in this channel.
    pub(crate) fn first_waiting(&self, channel: &str) -> Option<&WaitingCommand> {
        let mut waiting = self.waiting.iter();
        waiting.find(|waiting| waiting.command.channel() == channel)
    }

    /// Removes the command that waits longest in this channel.
    pub(crate) fn take_waiting(&mut self, channel: &str) -> Option<WaitingCommand> {
        let mut waiting = self.waiting.iter();
        let index = waiting.position(|waiting| waiting.command.channel() == channel)?;
        let taken = self.waiting.remove(index);
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_flight_is_counted_by_channel_and_effect() {
        let [news, other] = ["news", "other"].map(ChannelName::from);
        let mut order = ChannelOrder::default();

        order.begin(Effect::Publish, &news);
        order.begin(Effect::Publish, &news);
        order.begin(Effect::ReadPresence, &other);
        order.end(Effect::Publish, &news);

        assert!(order.has_in_flight_before(Effect::ReadHistory, "news"));
        assert!(!order.has_in_flight_before(Effect::ReadHistory, "other"));
        assert!(!order.has_in_flight_before(Effect::Publish, "news"));

        order.end(Effect::Publish, &news);

        assert!(!order.has_in_flight_before(Effect::ReadHistory, "news"));
        assert!(order.has_in_flight_before(Effect::ChangeMembership, "other"));
    }

    #[test]
    fn the_memory_of_many_commands_in_flight_is_released() {
        let names: Vec<_> = (0..1000)
            .map(|number| ChannelName::from(&*format!("{number}")))
            .collect();
        let mut order = ChannelOrder::default();

        for name in &names {
            order.begin(Effect::Publish, name);
        }
        for name in &names {
            order.end(Effect::Publish, name);
        }

        assert_eq!(order.in_flight.capacity(), 0);
    }
}
