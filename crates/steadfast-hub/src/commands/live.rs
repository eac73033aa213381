//! What follows the reply to a subscribe command: the rest of a recovery, and then live publications.

use steadfast_engine::ChannelEpoch;

use crate::channel::{ChannelIndex, Cursor};
use crate::peer::Peer;
use crate::peer::subscription::{NextPage, SubscriptionPhase};
use crate::pending::{Caller, Purpose};
use crate::shared::Shared;

impl Peer {
    /// Adds the peer to the live subscribers if nothing is missing after `sent_offset`, else requests the rest.
    pub(super) fn continue_subscription(
        &mut self,
        shared: &mut Shared,
        channel: ChannelIndex,
        epoch: ChannelEpoch,
        sent_offset: u64,
        is_complete: bool,
    ) {
        let page = match shared.channels.get(channel).cursor {
            Cursor::Current { offset, .. } if is_complete && sent_offset == offset => {
                self.make_live(shared, channel);
                return self.request_next_page(shared);
            }
            // The response is newer than the cursor of this shard: the shard lags, and will be notified.
            Cursor::Current { offset, .. } if is_complete && sent_offset > offset => {
                NextPage::AwaitsCatchUp
            }
            Cursor::Lagging { .. } if is_complete => NextPage::AwaitsCatchUp,
            Cursor::Unknown | Cursor::Current { .. } | Cursor::Lagging { .. } => {
                NextPage::AwaitsTurn
            }
        };
        if let Some(subscription) = self.subscription_mut(channel) {
            subscription.phase = SubscriptionPhase::Recovering {
                epoch,
                offset: sent_offset,
                page,
            };
        }
        self.request_next_page(shared);
    }

    fn make_live(&mut self, shared: &mut Shared, channel: ChannelIndex) {
        let id = self.id;
        if let Some(subscription) = self.subscription_mut(channel) {
            let entered = shared.channels.get_mut(channel);
            entered.remove(subscription.slot);
            subscription.slot = entered.add_live(id);
            subscription.phase = SubscriptionPhase::Live;
        }
    }

    /// Requests the next page of this peer, one at a time regardless of the number of its recoveries: the socket must
    /// accept one page before the next is read. Does nothing if no recovery awaits its turn.
    pub(crate) fn request_next_page(&mut self, shared: &mut Shared) {
        let id = self.id;
        let Some(subscription) = self.next_recovery() else {
            return;
        };
        let (channel, number) = (subscription.channel, subscription.number);
        let Some(from) = subscription.begin_page() else {
            return;
        };
        let (now, settings) = (shared.context.now, shared.context.settings());
        let limit = settings.recovery_publications_max;
        let bytes_max = self.pace(now, settings).next_page(now, settings);
        let caller = Caller::Peer {
            peer: id,
            command: 0,
        };
        let purpose = Purpose::Page { channel, number };
        let weight = shared.request_page(caller, channel, purpose, from, (limit, bytes_max));
        self.reserve(&mut shared.context, weight);
    }

    /// This shard has caught up on the channel: a recovery that awaited it continues.
    pub(crate) fn on_caught_up(&mut self, shared: &mut Shared, channel: ChannelIndex) {
        if let Some(subscription) = self.subscription_mut(channel)
            && subscription.end_catch_up()
        {
            self.request_next_page(shared);
        }
    }
}
