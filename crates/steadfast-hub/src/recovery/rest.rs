//! What follows the reply: the rest of a long recovery, page by page, and then live publications.

use steadfast_protocol::codes::UnsubscribeCode;
use steadfast_protocol::message::{Push, PushEvent, Reply};

use crate::asks::{Purpose, publication};
use crate::channel::{ChannelIndex, Cursor};
use crate::epoch::ChannelEpoch;
use crate::hub::Hub;
use crate::io::PeerId;
use crate::log::io::{Page, ReadAnswer, ReadFrom, Refusal};
use crate::peer::{NextPage, Stage};

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
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let has_backlog = peer.backlog.is_some();
        let Some(subscription) = peer.subscription_mut(channel) else {
            return;
        };
        let next = match cursor {
            Cursor::At { top, .. } if is_whole && seen == top => return self.go_live(id, channel),
            // The answer knows more than this core has read: it fell behind, and will be told so.
            Cursor::At { top, .. } if is_whole && seen > top => NextPage::AwaitsChannel,
            Cursor::Behind { .. } if is_whole => NextPage::AwaitsChannel,
            Cursor::Unknown | Cursor::At { .. } | Cursor::Behind { .. } if has_backlog => {
                NextPage::AwaitsDrain
            }
            Cursor::Unknown | Cursor::At { .. } | Cursor::Behind { .. } => NextPage::Asked,
        };
        subscription.stage = Stage::Recovering {
            epoch,
            offset: seen,
            page: next,
        };
        if next == NextPage::Asked {
            self.ask_page(id, channel, epoch, seen);
        }
    }

    fn ask_page(&mut self, id: PeerId, channel: ChannelIndex, epoch: ChannelEpoch, offset: u64) {
        let limit = self.settings().recovery_publications_max;
        let Some(number) = self
            .peers
            .get(id)
            .and_then(|peer| peer.subscription(channel))
            .map(|subscription| subscription.number)
        else {
            return;
        };
        self.ask_recovery(
            Purpose::Page {
                peer: id,
                channel,
                number,
            },
            ReadFrom::After { epoch, offset },
            limit,
        );
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
        answer: Result<ReadAnswer, Refusal>,
    ) {
        let Some(Stage::Recovering {
            epoch,
            offset,
            page: NextPage::Asked,
        }) = self.stage(id, channel)
        else {
            return;
        };
        let Ok(ReadAnswer {
            epoch: now,
            page: Page::Records { records, more },
            ..
        }) = answer
        else {
            return self.end_subscription(id, channel, UnsubscribeCode::Insufficient);
        };
        if now != epoch {
            return self.end_subscription(id, channel, UnsubscribeCode::Insufficient);
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

    /// The socket has taken everything: recoveries of this peer go on.
    pub(crate) fn resume_recoveries(&mut self, id: PeerId, awaited: NextPage) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let mut pages = Vec::new();
        for subscription in &mut peer.subscriptions {
            if let Stage::Recovering {
                epoch,
                offset,
                page,
            } = &mut subscription.stage
                && *page == awaited
            {
                *page = NextPage::Asked;
                pages.push((subscription.channel, *epoch, *offset));
            }
        }
        for (channel, epoch, offset) in pages {
            self.ask_page(id, channel, epoch, offset);
        }
    }
}
