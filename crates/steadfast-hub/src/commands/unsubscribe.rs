//! The end of a subscription: the client's command, the server's decision, or the end of the connection.

use steadfast_protocol::codes::UnsubscribeCode;
use steadfast_protocol::message::{Push, PushEvent, Reply, ReplyResult};

use crate::channel::ChannelIndex;
use crate::io::{Output, ShardMessage};
use crate::peer::Peer;
use crate::peer::subscription::Subscription;
use crate::policy::JoinLeave;
use crate::shared::Shared;

impl Peer {
    pub(super) fn unsubscribe(&mut self, shared: &mut Shared, command: u32, channel: &str) {
        if let Some(channel) = shared.channels.find(channel) {
            self.remove_subscription(shared, channel);
        }
        self.reply(&mut shared.context, command, ReplyResult::Unsubscribe);
    }

    /// Closes a subscription from the server's side and notifies the client.
    pub(crate) fn close_subscription(
        &mut self,
        shared: &mut Shared,
        channel: ChannelIndex,
        code: UnsubscribeCode,
    ) {
        let name = shared.channels.get(channel).name.clone();
        if self.remove_subscription(shared, channel) {
            let push = Push {
                channel: name,
                event: PushEvent::Unsubscribe {
                    code: code.code(),
                    reason: code.reason().to_owned(),
                },
            };
            self.send(&mut shared.context, Reply::Push(push));
        }
    }

    /// Removes a subscription of a peer that stays connected. Returns `false` if there is none.
    pub(super) fn remove_subscription(
        &mut self,
        shared: &mut Shared,
        channel: ChannelIndex,
    ) -> bool {
        let Some(subscription) = self.take_subscription(channel) else {
            return false;
        };
        self.leave_channel(shared, &subscription);
        // The pending page may have been that of the removed subscription.
        self.request_next_page(shared);
        true
    }

    /// Removes the peer from all its channels: its connection is closed.
    pub(crate) fn leave_all_channels(&self, shared: &mut Shared) {
        for subscription in self.subscriptions() {
            self.leave_channel(shared, subscription);
        }
    }

    /// Removes a subscription from its channel, and notifies all shards if it was announced to them.
    fn leave_channel(&self, shared: &mut Shared, subscription: &Subscription) {
        let left = shared.channels.get_mut(subscription.channel);
        left.remove(subscription.slot);
        if let Some(listener) = subscription.listener {
            left.remove_listener(listener);
        }
        let is_announced = left.options.join_leave == JoinLeave::On && subscription.has_position();
        let message = is_announced.then(|| ShardMessage::Leave {
            channel: left.name.clone(),
            info: self.info(),
        });
        shared.channels.release(subscription.channel);
        if let Some(message) = message {
            shared.context.emit(Output::Broadcast(message));
        }
    }
}
