//! What follows the reply: the rest of a long recovery, page by page, and then live publications.

use steadfast_protocol::codes::UnsubscribeCode;
use steadfast_protocol::message::{Push, PushEvent, Reply};

use crate::asks::{Purpose, publication};
use crate::channel::{ChannelIndex, Cursor};
use crate::epoch::ChannelEpoch;
use crate::hub::Hub;
use crate::io::PeerId;
use crate::log::io::{Page, ReadFrom, ReadResponse, Rejection};
use crate::peer::{NextPage, Peer, Stage};

impl Hub {
    /// Goes live if nothing is missing behind `seen`, else sees to what is missing.
    pub(super) fn go_on(
        &mut self,
        id: PeerId,
        channel: ChannelIndex,
        epoch: ChannelEpoch,
        seen: u64,
        is_whole: bool,
    ) {
        let Some(cursor) = self.channels.get(channel).map(|channel| channel.cursor) else {
            return;
        };
        let page = match cursor {
            Cursor::At { top, .. } if is_whole && seen == top => {
                self.go_live(id, channel);
                return self.ask_next_page(id);
            }
            // The answer knows more than this core has read: it fell behind, and will be told so.
            Cursor::At { top, .. } if is_whole && seen > top => NextPage::AwaitsChannel,
            Cursor::Behind { .. } if is_whole => NextPage::AwaitsChannel,
            Cursor::Unknown | Cursor::At { .. } | Cursor::Behind { .. } => NextPage::AwaitsTurn,
        };
        if let Some(subscription) = self
            .peers
            .get_mut(id)
            .and_then(|peer| peer.subscription_mut(channel))
        {
            subscription.stage = Stage::Recovering {
                epoch,
                offset: seen,
                page,
            };
        }
        self.ask_next_page(id);
    }

    /// Has the next page of this peer read, one at a time whatever the number of its recoveries: so much the socket
    /// must be able to take.
    pub(crate) fn ask_next_page(&mut self, id: PeerId) {
        let limit = self.settings().recovery_publications_max;
        let Some(subscription) = self.peers.get_mut(id).and_then(Peer::next_recovery) else {
            return;
        };
        let Stage::Recovering {
            epoch,
            offset,
            page,
        } = &mut subscription.stage
        else {
            return;
        };
        *page = NextPage::Asked;
        let from = ReadFrom::After {
            epoch: *epoch,
            offset: *offset,
        };
        let purpose = Purpose::Page {
            peer: id,
            channel: subscription.channel,
            number: subscription.number,
        };
        self.ask_recovery(purpose, from, limit);
    }

    /// This core has read what it missed of the channel: a recovery that waited for that goes on.
    pub(crate) fn on_channel_caught_up(&mut self, id: PeerId, channel: ChannelIndex) {
        let subscription = self
            .peers
            .get_mut(id)
            .and_then(|peer| peer.subscription_mut(channel));
        if let Some(Stage::Recovering { page, .. }) = subscription.map(|known| &mut known.stage)
            && *page == NextPage::AwaitsChannel
        {
            *page = NextPage::AwaitsTurn;
            self.ask_next_page(id);
        }
    }

    fn go_live(&mut self, id: PeerId, channel: ChannelIndex) {
        let Some(place) = self
            .peers
            .get(id)
            .and_then(|peer| peer.subscription(channel))
            .map(|s| s.place)
        else {
            return;
        };
        self.vacate(channel, place);
        let Some(place) = self
            .channels
            .get_mut(channel)
            .map(|channel| channel.enter_live(id))
        else {
            return;
        };
        if let Some(subscription) = self
            .peers
            .get_mut(id)
            .and_then(|peer| peer.subscription_mut(channel))
        {
            subscription.place = place;
            subscription.stage = Stage::Live;
        }
    }

    /// A page of a long recovery has come.
    pub(crate) fn on_page(
        &mut self,
        id: PeerId,
        channel: ChannelIndex,
        answer: Result<ReadResponse, Rejection>,
    ) {
        let Some(Stage::Recovering {
            epoch,
            offset,
            page: NextPage::Asked,
        }) = self.stage(id, channel)
        else {
            return;
        };
        let Ok(ReadResponse {
            epoch: now,
            page:
                Page::Records {
                    records,
                    has_more: more,
                },
            ..
        }) = answer
        else {
            return self.end_subscription(id, channel, UnsubscribeCode::Insufficient);
        };
        if now != epoch {
            return self.end_subscription(id, channel, UnsubscribeCode::Insufficient);
        }
        if self
            .peers
            .get(id)
            .is_some_and(|peer| !peer.has_room(self.settings()))
        {
            // Read again when the socket has taken what waits.
            return self.go_on(id, channel, epoch, offset, false);
        }
        let Some(name) = self
            .channels
            .get(channel)
            .map(|channel| channel.name.clone())
        else {
            return;
        };
        let seen = records.last().map_or(offset, |record| record.offset);
        for record in records {
            let event = PushEvent::Publication(publication(record));
            self.reply(
                id,
                &Reply::Push(Push {
                    channel: name.as_str().to_owned(),
                    event,
                }),
            );
        }
        self.go_on(id, channel, epoch, seen, !more);
    }
}
