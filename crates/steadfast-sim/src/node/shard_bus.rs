//! The bus between the simulated shards: the inbox of each shard, its bound, and its delays.
//!
//! As in production, a message that does not fit is dropped and reported to the hub that sent it.

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_hub::io::ShardMessage;

use crate::context::Context;
use crate::event::node::ProcessEvent;
use crate::ids::ProcessId;
use crate::settings::SHARDS;

/// The maximum number of messages that a shard takes at once: so few that messages often stay in the inbox.
const MESSAGES_MAX: usize = 2;

/// The messages that a shard has not received.
#[derive(Debug, Default)]
struct Inbox {
    messages: VecDeque<ShardMessage>,
    is_delivery_scheduled: bool,
}

/// The inbox has no capacity; the message is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InboxFull;

/// The inboxes of all shards of a process.
#[derive(Debug)]
pub(crate) struct ShardBus {
    process: ProcessId,
    inboxes: Vec<Inbox>,
}

impl ShardBus {
    pub(crate) fn new(process: ProcessId) -> Self {
        Self {
            process,
            inboxes: (0..SHARDS).map(|_| Inbox::default()).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inboxes.iter().all(|inbox| inbox.messages.is_empty())
    }

    /// Puts a message into the inbox of a shard.
    pub(crate) fn try_put(
        &mut self,
        ctx: &mut Context,
        shard: usize,
        message: &ShardMessage,
    ) -> Result<(), InboxFull> {
        let Some(inbox) = self.inboxes.get_mut(shard) else {
            return Ok(());
        };
        if inbox.messages.len() >= ctx.settings.inbox_messages {
            ctx.totals.shard_messages_dropped += 1;
            let now = ctx.now();
            ctx.membership.on_message_dropped(now, self.process.node);
            return Err(InboxFull);
        }
        inbox.messages.push_back(message.clone());
        self.schedule_delivery(ctx, shard);
        Ok(())
    }

    /// Takes the messages that a shard receives in one loop iteration.
    pub(crate) fn take(&mut self, shard: usize) -> Vec<ShardMessage> {
        let Some(inbox) = self.inboxes.get_mut(shard) else {
            return Vec::new();
        };
        inbox.is_delivery_scheduled = false;
        let count = inbox.messages.len().min(MESSAGES_MAX);
        inbox.messages.drain(..count).collect()
    }

    /// Schedules the next delivery to a shard if its inbox holds messages.
    pub(crate) fn schedule_delivery(&mut self, ctx: &mut Context, shard: usize) {
        let Some(inbox) = self.inboxes.get_mut(shard) else {
            return;
        };
        if inbox.messages.is_empty() || inbox.is_delivery_scheduled {
            return;
        }
        inbox.is_delivery_scheduled = true;
        // Occasionally a shard is busy for some time.
        let is_busy = ctx.generator.chance(1, 20);
        let longest = if is_busy { 50_000 } else { 500 };
        let delay = ctx.between(Duration::from_micros(5), Duration::from_micros(longest));
        let event = ProcessEvent::DeliverMessages { shard };
        ctx.schedule_process(ctx.now() + delay, self.process, event);
    }
}
