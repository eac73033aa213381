//! What follows the reply: the remaining pages of a long recovery, and then live publications.

use steadfast_engine::{ChannelEpoch, Page, ReadFrom, ReadResponse, Rejection};
use steadfast_protocol::codes::UnsubscribeCode;
use steadfast_protocol::message::{Push, PushEvent, Reply};

use crate::channel::{ChannelIndex, Cursor};
use crate::hub::Hub;
use crate::io::PeerId;
use crate::peer::{NextPage, Peer, SubscriptionPhase};
use crate::pending_requests::{Purpose, publication};

impl Hub {
    /// Adds the peer to the live subscribers if nothing is missing after `sent_offset`, else requests the rest.
    pub(super) fn continue_subscription(
        &mut self,
        id: PeerId,
        channel: ChannelIndex,
        epoch: ChannelEpoch,
        sent_offset: u64,
        is_complete: bool,
    ) {
        let Some(cursor) = self.channels.get(channel).map(|channel| channel.cursor) else {
            return;
        };
        let page = match cursor {
            Cursor::Current { offset, .. } if is_complete && sent_offset == offset => {
                self.make_live(id, channel);
                return self.request_next_page(id);
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
        if let Some(subscription) = self
            .peers
            .get_mut(id)
            .and_then(|peer| peer.subscription_mut(channel))
        {
            subscription.phase = SubscriptionPhase::Recovering {
                epoch,
                offset: sent_offset,
                page,
            };
        }
        self.request_next_page(id);
    }

    /// Requests the next page of this peer, one at a time regardless of the number of its recoveries: the socket must
    /// accept one page before the next is read.
    pub(crate) fn request_next_page(&mut self, id: PeerId) {
        let limit = self.settings().recovery_publications_max;
        let Some(subscription) = self.peers.get_mut(id).and_then(Peer::next_recovery) else {
            return;
        };
        let SubscriptionPhase::Recovering {
            epoch,
            offset,
            page,
        } = &mut subscription.phase
        else {
            return;
        };
        *page = NextPage::Requested;
        let from = ReadFrom::After {
            epoch: *epoch,
            offset: *offset,
        };
        let purpose = Purpose::Page {
            peer: id,
            channel: subscription.channel,
            number: subscription.number,
        };
        self.request_page(purpose, from, limit);
    }

    /// This shard has caught up on the channel: a recovery that awaited it continues.
    pub(crate) fn on_channel_caught_up(&mut self, id: PeerId, channel: ChannelIndex) {
        let subscription = self
            .peers
            .get_mut(id)
            .and_then(|peer| peer.subscription_mut(channel));
        if let Some(SubscriptionPhase::Recovering { page, .. }) =
            subscription.map(|known| &mut known.phase)
            && *page == NextPage::AwaitsCatchUp
        {
            *page = NextPage::AwaitsTurn;
            self.request_next_page(id);
        }
    }

    fn make_live(&mut self, id: PeerId, channel: ChannelIndex) {
        let Some(slot) = self
            .peers
            .get(id)
            .and_then(|peer| peer.subscription(channel))
            .map(|s| s.slot)
        else {
            return;
        };
        let Some(entered) = self.channels.get_mut(channel) else {
            return;
        };
        entered.remove(slot);
        let slot = entered.add_live(id);
        if let Some(subscription) = self
            .peers
            .get_mut(id)
            .and_then(|peer| peer.subscription_mut(channel))
        {
            subscription.slot = slot;
            subscription.phase = SubscriptionPhase::Live;
        }
    }

    /// Handles a page of a long recovery.
    pub(crate) fn on_page(
        &mut self,
        id: PeerId,
        channel: ChannelIndex,
        response: Result<ReadResponse, Rejection>,
    ) {
        let Some(SubscriptionPhase::Recovering {
            epoch,
            offset,
            page: NextPage::Requested,
        }) = self.subscription_phase(id, channel)
        else {
            return;
        };
        let Ok(ReadResponse {
            epoch: current_epoch,
            high_watermark,
            page: Page::Records {
                records, has_more, ..
            },
        }) = response
        else {
            return self.close_subscription(id, channel, UnsubscribeCode::Insufficient);
        };
        if current_epoch != epoch {
            return self.close_subscription(id, channel, UnsubscribeCode::Insufficient);
        }
        if self
            .peers
            .get(id)
            .is_some_and(|peer| !peer.has_space_for_page(self.settings()))
        {
            // Read again when the send buffer is empty.
            return self.continue_subscription(id, channel, epoch, offset, false);
        }
        let Some(name) = self
            .channels
            .get(channel)
            .map(|channel| channel.name.clone())
        else {
            return;
        };
        let last = records.last().map_or(offset, |record| record.offset);
        let sent_offset = if has_more { last } else { high_watermark };
        for record in records {
            let event = PushEvent::Publication(publication(record));
            self.send(
                id,
                Reply::Push(Push {
                    channel: name.clone(),
                    event,
                }),
            );
        }
        self.continue_subscription(id, channel, epoch, sent_offset, !has_more);
    }
}
