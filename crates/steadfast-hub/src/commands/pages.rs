//! The pages that follow the reply of a long recovery.

use steadfast_engine::{ChannelEpoch, Page, ReadResponse, Record, Rejection};
use steadfast_protocol::codes::UnsubscribeCode;
use steadfast_protocol::message::{Push, PushEvent, Reply};

use crate::channel::ChannelIndex;
use crate::from_engine::{is_sendable, publication};
use crate::peer::Peer;
use crate::peer::subscription::{NextPage, SubscriptionPhase};
use crate::shared::Shared;

/// A page of one history.
struct HistoryPage {
    records: Vec<Record>,
    high_watermark: u64,
    has_more: bool,
}

impl Peer {
    /// Handles a page of a long recovery. Does nothing for a subscription that no longer awaits it.
    pub(crate) fn on_page(
        &mut self,
        shared: &mut Shared,
        channel: ChannelIndex,
        response: Result<ReadResponse, Rejection>,
    ) {
        let Some(SubscriptionPhase::Recovering {
            epoch,
            offset,
            page: NextPage::Requested,
        }) = self.subscription(channel).map(|known| known.phase)
        else {
            return;
        };
        let Some(page) = page_of(epoch, response) else {
            return self.close_subscription(shared, channel, UnsubscribeCode::Insufficient);
        };
        if !self.has_space_for_page(shared.context.settings()) {
            // Read again when the send buffer is empty.
            return self.continue_subscription(shared, channel, epoch, offset, false);
        }
        let HistoryPage {
            records,
            high_watermark,
            has_more,
        } = page;
        let settings = shared.context.settings();
        let sendable = records.iter().take_while(|it| is_sendable(settings, it));
        let (read, sendable) = (records.len(), sendable.count());
        let last = records.last().map_or(offset, |record| record.offset);
        let sent_offset = if has_more { last } else { high_watermark };
        let name = shared.channels.get(channel).name.clone();
        for record in records.into_iter().take(sendable) {
            let push = Push {
                channel: name.clone(),
                event: PushEvent::Publication(publication(record)),
            };
            self.send(&mut shared.context, Reply::Push(push));
        }
        if sendable < read {
            // The client resubscribes, and its reply reports that it gets past the next publication without it.
            return self.close_subscription(shared, channel, UnsubscribeCode::Insufficient);
        }
        let (now, settings) = (shared.context.now, shared.context.settings());
        self.pace(now, settings).record_page(now);
        self.continue_subscription(shared, channel, epoch, sent_offset, !has_more);
    }
}

/// The page, unless it is of another history or cannot be read.
fn page_of(epoch: ChannelEpoch, response: Result<ReadResponse, Rejection>) -> Option<HistoryPage> {
    let response = response.ok().filter(|response| response.epoch == epoch)?;
    match response.page {
        Page::Records {
            previous: _,
            records,
            has_more,
        } => Some(HistoryPage {
            records,
            high_watermark: response.high_watermark,
            has_more,
        }),
        Page::Unrecoverable => None,
    }
}
