//! Catching up on publications that this shard has missed.

use steadfast_engine::{ChannelEpoch, Page, ReadFrom, ReadResponse, Rejection};

use crate::channel::{ChannelIndex, Cursor};
use crate::event::Event;
use crate::peers::Peers;
use crate::pending::{Caller, Purpose};
use crate::position;
use crate::shared::Shared;

/// Handles a lag of this shard: every channel with a current cursor is read again from that cursor.
pub(crate) fn on_lagged(shared: &mut Shared) {
    let lagging: Vec<_> = shared
        .channels
        .iter_mut()
        .filter_map(|(index, channel)| match channel.cursor {
            Cursor::Current { epoch, offset } => Some((index, epoch, offset)),
            Cursor::Unknown | Cursor::Lagging { .. } => None,
        })
        .collect();
    shared.context.notify(Event::ShardLagged {
        channels: lagging.len(),
    });
    for (channel, epoch, offset) in lagging {
        begin(shared, channel, epoch, offset);
    }
}

/// Reads what follows `offset`.
pub(crate) fn begin(shared: &mut Shared, channel: ChannelIndex, epoch: ChannelEpoch, offset: u64) {
    shared.channels.get_mut(channel).cursor = Cursor::Lagging { epoch, offset };
    let limit = shared.context.settings().recovery_publications_max;
    let purpose = Purpose::CatchUp { channel };
    let from = ReadFrom::After { epoch, offset };
    // The hub has no limit of its own for what it requests for itself.
    let _weight = shared.request_page(Caller::Hub, channel, purpose, from, limit);
}

/// Handles the engine's response with the publications of a channel that this shard missed. Does nothing if the channel
/// no longer lags: a response with a new epoch has replaced its cursor.
pub(crate) fn on_response(
    peers: &mut Peers,
    shared: &mut Shared,
    index: ChannelIndex,
    response: Result<ReadResponse, Rejection>,
) {
    let channel = shared.channels.get_mut(index);
    let Cursor::Lagging { epoch, offset } = channel.cursor else {
        return;
    };
    let (records, high_watermark, has_more) = match response {
        Ok(ReadResponse {
            epoch: now,
            high_watermark,
            page: Page::Records {
                records, has_more, ..
            },
        }) if now == epoch => (records, high_watermark, has_more),
        Ok(ReadResponse {
            epoch,
            high_watermark,
            ..
        }) => {
            let newest = Cursor::Current {
                epoch,
                offset: high_watermark,
            };
            return position::lose(peers, shared, index, newest);
        }
        Err(_rejection) => return position::lose(peers, shared, index, Cursor::Unknown),
    };
    let reached = records.last().map_or(offset, |record| record.offset);
    for record in records {
        channel.fan_out(&mut shared.context, epoch, record);
    }
    if has_more {
        return begin(shared, index, epoch, reached);
    }
    channel.cursor = Cursor::Current {
        epoch,
        offset: high_watermark,
    };
    for id in channel.pending().to_vec() {
        if let Some(peer) = peers.get_mut(id) {
            peer.on_caught_up(shared, index);
        }
    }
}
