//! How far this shard has read a channel, and what happens to subscribers whose position it cannot continue.

use steadfast_engine::ReadResponse;
use steadfast_protocol::codes::UnsubscribeCode;

use crate::channel::{ChannelIndex, Cursor};
use crate::event::Event;
use crate::ids::PeerId;
use crate::peers::Peers;
use crate::shared::Shared;

/// Sets the cursor from the first response about a channel; a response with a new epoch replaces the cursor.
pub(crate) fn update(
    peers: &mut Peers,
    shared: &mut Shared,
    channel: ChannelIndex,
    response: &ReadResponse,
) {
    let newest = Cursor::Current {
        epoch: response.epoch,
        offset: response.high_watermark,
    };
    let known = shared.channels.get_mut(channel);
    match known.cursor {
        Cursor::Unknown => known.cursor = newest,
        Cursor::Current { epoch, .. } | Cursor::Lagging { epoch, .. }
            if epoch != response.epoch =>
        {
            lose(peers, shared, channel, newest);
        }
        Cursor::Current { .. } | Cursor::Lagging { .. } => {}
    }
}

/// The position of the subscribers cannot be continued on this shard: they are unsubscribed with a code whose advice is
/// to resubscribe and recover. A subscriber whose reply is still pending has no position yet, and stays.
pub(crate) fn lose(peers: &mut Peers, shared: &mut Shared, channel: ChannelIndex, cursor: Cursor) {
    let lost = shared.channels.get_mut(channel);
    lost.cursor = cursor;
    let name = lost.name.clone();
    let holders: Vec<PeerId> = lost
        .members()
        .filter(|peer| has_position(peers, *peer, channel))
        .collect();
    shared.context.notify(Event::PositionLost {
        channel: name,
        subscriptions: holders.len(),
    });
    for holder in holders {
        if let Some(peer) = peers.get_mut(holder) {
            peer.close_subscription(shared, channel, UnsubscribeCode::Insufficient);
        }
    }
}

fn has_position(peers: &Peers, id: PeerId, channel: ChannelIndex) -> bool {
    let subscription = peers.get(id).and_then(|peer| peer.subscription(channel));
    subscription.is_some_and(crate::peer::subscription::Subscription::has_position)
}
