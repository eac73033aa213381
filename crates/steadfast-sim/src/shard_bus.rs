//! The bus between the simulated shards: the inbox of each shard, its bound, and its delays.
//!
//! As in production, a message that does not fit is dropped and reported to the hub that sent it.

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_hub::io::{Destination, Input, ShardMessage};

use crate::settings::SHARDS;
use crate::world::{World, WorldEvent};

/// The maximum number of messages that a shard takes at once: so few that messages often stay in the inbox.
const MESSAGES_MAX: usize = 2;

/// The messages that a shard has not received.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    messages: VecDeque<ShardMessage>,
    is_delivery_scheduled: bool,
}

/// The inbox has no capacity; the message is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InboxFull;

impl Inbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

impl World {
    /// Puts a message of a shard into the inboxes of its destination.
    pub(crate) fn send_to_shards(&mut self, sender: usize, message: &ShardMessage) {
        for shard in 0..SHARDS {
            let is_receiver = match message.destination() {
                Destination::AllShards => true,
                Destination::Shard(receiver) => receiver == shard,
            };
            if is_receiver && self.try_put(usize::from(shard), message) == Err(InboxFull) {
                self.totals.shard_messages_dropped += 1;
                self.drive_hub(sender, Input::ShardMessageDropped { shard });
            }
        }
    }

    /// Puts a message into an inbox. A shard that has ended misses nothing.
    fn try_put(&mut self, receiver: usize, message: &ShardMessage) -> Result<(), InboxFull> {
        let Some(shard) = self
            .gateway
            .as_mut()
            .and_then(|gateway| gateway.shards.get_mut(receiver))
        else {
            return Ok(());
        };
        if shard.inbox.messages.len() >= self.settings.inbox_messages {
            return Err(InboxFull);
        }
        shard.inbox.messages.push_back(message.clone());
        self.schedule_delivery(receiver);
        Ok(())
    }

    fn schedule_delivery(&mut self, receiver: usize) {
        let process_number = self.process_number;
        let Some(shard) = self
            .gateway
            .as_mut()
            .and_then(|gateway| gateway.shards.get_mut(receiver))
        else {
            return;
        };
        if shard.inbox.is_empty() || shard.inbox.is_delivery_scheduled {
            return;
        }
        shard.inbox.is_delivery_scheduled = true;
        // Occasionally a shard is busy for some time.
        let longest = if self.generator.chance(1, 20) {
            50_000
        } else {
            500
        };
        let delay = self
            .generator
            .between(Duration::from_micros(5), Duration::from_micros(longest));
        let event = WorldEvent::DeliverMessages {
            process_number,
            shard: receiver,
        };
        self.clock.schedule(delay, event);
    }

    /// A shard takes messages from its inbox.
    pub(crate) fn deliver_messages(&mut self, receiver: usize) {
        let Some(shard) = self
            .gateway
            .as_mut()
            .and_then(|gateway| gateway.shards.get_mut(receiver))
        else {
            return;
        };
        shard.inbox.is_delivery_scheduled = false;
        let count = shard.inbox.messages.len().min(MESSAGES_MAX);
        let messages: Vec<ShardMessage> = shard.inbox.messages.drain(..count).collect();
        for message in messages {
            self.totals.shard_messages_received += 1;
            self.drive_hub(receiver, Input::ShardMessageReceived { message });
        }
        self.schedule_delivery(receiver);
    }
}
