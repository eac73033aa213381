//! Presence: the clients that are subscribed to a channel, on all shards; and their joins and leaves.
//!
//! Every shard knows only its own peers, so a query is sent to all shards (scatter-gather). Query and responses are
//! shard messages, which may be dropped. If a query is dropped, the command fails at once with a temporary error, and if a
//! shard does not respond in time, it fails then; a reply is never silently partial.

use std::collections::BTreeSet;

use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{ChannelName, ClientInfo, Push, PushEvent, Reply};

use crate::event::HubLimit;
use crate::io::{Output, PresenceDetail, ShardMessage, ShardPresence};
use crate::peer::Peer;
use crate::peer::channel_order::Effect;
use crate::peers::Peers;
use crate::pending::{Awaited, Caller, PendingEntry, PresenceGather, large_weight};
use crate::rejections::RejectionCause;
use crate::shared::Shared;

/// What a push reports to listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MembershipChange {
    Joined,
    Left,
}

impl Peer {
    pub(crate) fn query_presence(
        &mut self,
        shared: &mut Shared,
        command: u32,
        channel: &str,
        detail: PresenceDetail,
    ) {
        let Shared {
            context,
            channels,
            pending,
            ..
        } = shared;
        if pending.presence_queries() >= context.settings().pending_requests_max {
            context.record_rejection(RejectionCause::Limit(HubLimit::PresenceQueries));
            return self.reject(context, command, ErrorCode::TooManyRequests);
        }
        let settings = context.settings();
        let (shard, weight) = (settings.shard, large_weight(settings));
        let gather = PresenceGather::new(detail, settings.shards);
        let channel = channels.name(channel);
        let order = self.channel_order_mut();
        order.begin(Effect::ReadPresence, &channel);
        let number = pending.add(PendingEntry {
            caller: Caller::Peer {
                peer: self.id,
                command,
            },
            weight,
            bytes: 0,
            deadline: Some(context.now + settings.presence_timeout),
            awaited: Awaited::Presence {
                channel: channel.clone(),
                gather: Box::new(gather),
            },
        });
        context.emit(Output::Broadcast(ShardMessage::PresenceQuery {
            shard,
            number,
            channel,
            detail,
        }));
        self.reserve(context, weight);
    }

    /// Replies to a query that all shards have responded to.
    pub(crate) fn on_presence(&self, shared: &mut Shared, command: u32, gather: PresenceGather) {
        let context = &mut shared.context;
        match gather.into_result(context.settings().presence_clients_max) {
            Ok(result) => self.reply(context, command, result),
            Err(_too_many) => {
                context.record_rejection(RejectionCause::Limit(HubLimit::PresenceClients));
                self.reject(context, command, ErrorCode::LimitExceeded);
            }
        }
    }
}

/// Responds to a query with the peers of this shard.
pub(crate) fn respond(
    peers: &Peers,
    shared: &mut Shared,
    shard: u16,
    number: u64,
    channel: &ChannelName,
    detail: PresenceDetail,
) {
    let clients_max = shared.context.settings().presence_clients_max;
    let present = present_peers(peers, shared, channel);
    let presence = match detail {
        PresenceDetail::Clients => ShardPresence::Clients(
            present
                .take(clients_max.saturating_add(1))
                .map(Peer::info)
                .collect(),
        ),
        PresenceDetail::Counts => {
            let mut clients = 0_u32;
            // All anonymous clients count as one user.
            let mut users = BTreeSet::new();
            for peer in present {
                clients = clients.saturating_add(1);
                users.insert(peer.user());
            }
            let users = users.into_iter().map(str::to_owned).collect();
            ShardPresence::Counts { clients, users }
        }
    };
    let response = ShardMessage::PresenceResponse {
        shard,
        number,
        presence,
    };
    shared.context.emit(Output::Broadcast(response));
}

/// The peers of this shard whose subscription to the channel has been granted.
fn present_peers<'a>(
    peers: &'a Peers,
    shared: &'a Shared,
    name: &ChannelName,
) -> impl Iterator<Item = &'a Peer> {
    let index = shared.channels.find(name.as_str());
    index.into_iter().flat_map(move |index| {
        let members = shared.channels.get(index).members();
        members.filter_map(move |id| {
            let peer = peers.get(id)?;
            peer.subscription(index)?.has_position().then_some(peer)
        })
    })
}

/// Sends a join or leave push to the peers that requested such pushes.
pub(crate) fn push_membership(
    shared: &mut Shared,
    channel: &ChannelName,
    info: ClientInfo,
    change: MembershipChange,
) {
    // A channel that is not known has no members on this shard, and so no listeners.
    let Some(index) = shared.channels.find(channel.as_str()) else {
        return;
    };
    let Some(to) = shared.channels.get(index).listeners() else {
        return;
    };
    let event = match change {
        MembershipChange::Joined => PushEvent::Join(info),
        MembershipChange::Left => PushEvent::Leave(info),
    };
    let message = Reply::Push(Push {
        channel: channel.clone(),
        event,
    });
    shared.context.emit(Output::Fanout { message, to });
}
