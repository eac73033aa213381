//! Presence: the clients that are subscribed to a channel, on all shards.
//!
//! Every shard knows only its own peers, so a query is sent to all shards (scatter-gather). Query and responses are
//! shard messages, which may be dropped. If a shard does not respond in time, the command fails with a temporary error;
//! a reply is never silently partial.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use steadfast_machine::{Instant, convert};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{
    ChannelName, ClientInfo, PresenceStats, Push, PushEvent, Reply, ReplyResult,
};

use crate::event::HubLimit;
use crate::hub::Hub;
use crate::io::{Output, PeerId, PresenceDetail, ShardMessage, ShardPresence};
use crate::peer::{Peer, SubscriptionPhase};
use crate::pending_requests::large_weight;
use crate::rejections::RejectionCause;

/// What a push reports to listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MembershipChange {
    Joined,
    Left,
}

/// A query that not all shards have responded to.
#[derive(Debug)]
struct PresenceQuery {
    peer: PeerId,
    command: u32,
    deadline: Instant,
    responses_missing: u16,
    /// By client id, which is the order in the reply.
    clients: BTreeMap<String, ClientInfo>,
    num_clients: u32,
    users: BTreeSet<String>,
    detail: PresenceDetail,
}

/// The pending queries of a hub. Numbers grow, so the first query is the oldest.
#[derive(Debug, Default)]
pub(crate) struct PresenceQueries {
    by_number: BTreeMap<u64, PresenceQuery>,
    next: u64,
}

impl PresenceQueries {
    /// When the oldest query times out.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.by_number
            .first_key_value()
            .map(|(_, query)| query.deadline)
    }
}

impl Hub {
    pub(crate) fn query_presence(
        &mut self,
        peer: PeerId,
        command: u32,
        channel: &str,
        detail: PresenceDetail,
    ) {
        if channel.is_empty() {
            return self.reject(peer, command, ErrorCode::BadRequest);
        }
        if self.presence_queries.by_number.len() >= self.settings().pending_requests_max {
            self.record_rejection(RejectionCause::Limit(HubLimit::PresenceQueries));
            return self.reject(peer, command, ErrorCode::TooManyRequests);
        }
        let (shard, shards) = (self.settings().shard, self.settings().shards);
        let deadline = self.now + self.settings().presence_timeout;
        self.presence_queries.next += 1;
        let number = self.presence_queries.next;
        let query = PresenceQuery {
            peer,
            command,
            deadline,
            responses_missing: shards,
            clients: BTreeMap::new(),
            num_clients: 0,
            users: BTreeSet::new(),
            detail,
        };
        self.presence_queries.by_number.insert(number, query);
        let channel = self.channels.name(channel);
        self.emit(Output::Broadcast(ShardMessage::PresenceQuery {
            shard,
            number,
            channel,
            detail,
        }));
        self.reserve_weight(peer, large_weight(self.settings()));
    }

    /// Responds to a query with the peers of this shard.
    pub(crate) fn respond_to_presence_query(
        &mut self,
        shard: u16,
        number: u64,
        channel: &ChannelName,
        detail: PresenceDetail,
    ) {
        let limit = self.settings().presence_clients_max.saturating_add(1);
        let presence = match detail {
            PresenceDetail::Clients => ShardPresence::Clients(
                self.present_peers(channel)
                    .take(limit)
                    .map(Peer::info)
                    .collect(),
            ),
            PresenceDetail::Counts => {
                let clients: u32 = convert::saturating(self.present_peers(channel).count());
                // All clients are anonymous and count as one user.
                let users = (clients > 0).then(String::new).into_iter().collect();
                ShardPresence::Counts { clients, users }
            }
        };
        self.emit(Output::Broadcast(ShardMessage::PresenceResponse {
            shard,
            number,
            presence,
        }));
    }

    /// The peers of this shard whose subscription to the channel has been granted.
    fn present_peers(&self, name: &ChannelName) -> impl Iterator<Item = &Peer> + '_ {
        let index = self.channels.find(name.as_str());
        let members = index
            .and_then(|index| self.channels.get(index))
            .map(crate::channel::Channel::members);
        members.into_iter().flatten().filter_map(move |id| {
            let peer = self.peers.get(id)?;
            let subscription = peer.subscription(index?)?;
            (!matches!(subscription.phase, SubscriptionPhase::Requested { .. })).then_some(peer)
        })
    }

    pub(crate) fn on_presence_response(
        &mut self,
        shard: u16,
        number: u64,
        presence: ShardPresence,
    ) {
        if shard != self.settings().shard {
            return;
        }
        let Some(query) = self.presence_queries.by_number.get_mut(&number) else {
            return;
        };
        match presence {
            ShardPresence::Clients(clients) => {
                query
                    .clients
                    .extend(clients.into_iter().map(|info| (info.client.clone(), info)));
            }
            ShardPresence::Counts { clients, users } => {
                query.num_clients = query.num_clients.saturating_add(clients);
                query.users.extend(users);
            }
        }
        query.responses_missing = query.responses_missing.saturating_sub(1);
        if query.responses_missing == 0
            && let Some(query) = self.presence_queries.by_number.remove(&number)
        {
            self.finish_presence_query(query);
        }
    }

    fn finish_presence_query(&mut self, query: PresenceQuery) {
        let PresenceQuery {
            peer,
            command,
            clients,
            num_clients,
            users,
            detail,
            ..
        } = query;
        match detail {
            PresenceDetail::Clients if clients.len() > self.settings().presence_clients_max => {
                self.record_rejection(RejectionCause::Limit(HubLimit::PresenceClients));
                self.reject(peer, command, ErrorCode::LimitExceeded);
            }
            PresenceDetail::Clients => self.reply_ok(peer, command, ReplyResult::Presence(clients)),
            PresenceDetail::Counts => {
                let num_users = convert::saturating(users.len());
                self.reply_ok(
                    peer,
                    command,
                    ReplyResult::PresenceStats(PresenceStats {
                        num_clients,
                        num_users,
                    }),
                );
            }
        }
        self.release_weight(peer, large_weight(self.settings()));
    }

    /// Rejects the commands of queries that have timed out.
    pub(crate) fn expire_presence_queries(&mut self) {
        while let Some(entry) = self
            .presence_queries
            .by_number
            .first_entry()
            .filter(|entry| entry.get().deadline <= self.now)
        {
            let query = entry.remove();
            self.reject(query.peer, query.command, ErrorCode::Internal);
            self.release_weight(query.peer, large_weight(self.settings()));
        }
    }

    /// Sends a join or leave push to the peers that requested such pushes.
    pub(crate) fn push_membership(
        &mut self,
        channel: &ChannelName,
        info: ClientInfo,
        change: MembershipChange,
    ) {
        let Some(index) = self.channels.find(channel.as_str()) else {
            return;
        };
        let Some(listeners) = self
            .channels
            .get(index)
            .map(|channel| channel.listeners.clone())
            .filter(|listeners| !listeners.is_empty())
        else {
            return;
        };
        let event = match change {
            MembershipChange::Joined => PushEvent::Join(info),
            MembershipChange::Left => PushEvent::Leave(info),
        };
        self.emit(Output::Fanout {
            message: Reply::Push(Push {
                channel: channel.clone(),
                event,
            }),
            to: Rc::new(listeners),
        });
    }
}
