//! The reference model of membership: which clients are subscribed to which channels of which node.
//!
//! It knows only what clients and sockets do, not what hubs do. So a client is certainly a member from the reply to its
//! subscribe command until it unsubscribes or one end of its connection is closed; it may be a member from its subscribe
//! command until the gateway has certainly removed it. A presence reply must contain the former and nothing but the
//! latter. Joins and leaves may be late, so they are counted at once, and complete when everything is quiet.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_machine::Instant;

use crate::ids::{ConnectionId, NodeIndex};

/// One subscription of a connection to a channel.
#[derive(Debug, Default)]
struct Stay {
    requested_at: Instant,
    /// When the client received the reply.
    granted_at: Option<Instant>,
    /// Since when it may be over: the client has unsubscribed, or the gateway has removed it.
    cancelled_at: Option<Instant>,
    /// Since when it is certainly over.
    ended_at: Option<Instant>,
    /// Whether the client requested joins and leaves.
    is_listener: bool,
    /// The joins and leaves that the client received, by client id.
    joins: BTreeMap<String, u64>,
    leaves: BTreeMap<String, u64>,
}

/// A connection, as a member of channels.
#[derive(Debug)]
struct Member {
    node: NodeIndex,
    /// The id that the gateway shows to other clients.
    client: String,
    /// When its client closed it.
    left_at: Option<Instant>,
    /// When the gateway closed it.
    closed_at: Option<Instant>,
    /// By channel, the oldest first.
    stays: BTreeMap<String, Vec<Stay>>,
}

impl Member {
    /// Whether the connection was certainly subscribed from `from` to `until`.
    fn is_certain(&self, channel: &str, from: Instant, until: Instant) -> bool {
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= until);
        let mut stays = self.stays.get(channel).into_iter().flatten();
        !is_over(self.left_at)
            && !is_over(self.closed_at)
            && stays.any(|stay| {
                stay.granted_at.is_some_and(|at| at <= from) && !is_over(stay.cancelled_at)
            })
    }

    /// Whether the connection may have been subscribed at any time from `from` on.
    fn is_possible(&self, channel: &str, from: Instant) -> bool {
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at < from);
        let mut stays = self.stays.get(channel).into_iter().flatten();
        !is_over(self.closed_at) && stays.any(|stay| !is_over(stay.ended_at))
    }
}

/// How a presence reply relates to the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PresenceVerdict {
    /// No client came or went in the meantime, and the reply contains exactly the members.
    Exact,
    /// Clients came or went in the meantime, and the reply is consistent with that.
    Consistent,
    /// The reply contradicts the members.
    Wrong(String),
}

/// What a presence reply contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PresenceReply {
    /// The ids of the clients.
    Clients(BTreeSet<String>),
    /// How many clients there are.
    Count(usize),
}

/// All connections of a run, and when each node last dropped a message between its shards.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    members: BTreeMap<ConnectionId, Member>,
    last_drop_at: BTreeMap<NodeIndex, Instant>,
    /// The connections and channels with an exact presence reply, and when it arrived last.
    exact_replies: BTreeMap<(ConnectionId, String), Instant>,
}

impl Membership {
    /// A node has accepted a connection.
    pub(crate) fn on_accepted(
        &mut self,
        connection: ConnectionId,
        node: NodeIndex,
        client: String,
    ) {
        let member = Member {
            node,
            client,
            left_at: None,
            closed_at: None,
            stays: BTreeMap::new(),
        };
        self.members.insert(connection, member);
    }

    /// The client has closed its end.
    pub(crate) fn on_client_left(&mut self, now: Instant, connection: ConnectionId) {
        if let Some(member) = self.members.get_mut(&connection) {
            member.left_at.get_or_insert(now);
        }
    }

    /// The gateway has closed its end.
    pub(crate) fn on_gateway_closed(&mut self, now: Instant, connection: ConnectionId) {
        if let Some(member) = self.members.get_mut(&connection) {
            member.closed_at.get_or_insert(now);
        }
    }

    /// A message between shards of a node was dropped: joins and leaves may be missing.
    pub(crate) fn on_message_dropped(&mut self, now: Instant, node: NodeIndex) {
        self.last_drop_at.insert(node, now);
    }

    /// The client has sent a subscribe command.
    pub(crate) fn on_subscribe_sent(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        channel: &str,
        is_listener: bool,
    ) {
        if let Some(member) = self.members.get_mut(&connection) {
            let stays = member.stays.entry(channel.to_owned()).or_default();
            stays.push(Stay {
                requested_at: now,
                is_listener,
                ..Stay::default()
            });
        }
    }

    /// The client has received the reply to a subscribe command: `number` counts its subscriptions to this channel.
    pub(crate) fn on_subscribe_reply(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        channel: &str,
        number: usize,
        is_granted: bool,
    ) {
        let Some(stay) = self.stays_mut(connection, channel).get_mut(number) else {
            return;
        };
        if is_granted {
            stay.granted_at = Some(now);
        } else {
            stay.cancelled_at.get_or_insert(now);
            stay.ended_at.get_or_insert(now);
        }
    }

    /// The number of subscriptions of a connection to a channel.
    pub(crate) fn subscriptions(&self, connection: ConnectionId, channel: &str) -> usize {
        let member = self.members.get(&connection);
        member
            .and_then(|member| member.stays.get(channel))
            .map_or(0, Vec::len)
    }

    /// The client has sent an unsubscribe command.
    pub(crate) fn on_unsubscribe_sent(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        channel: &str,
    ) {
        for stay in self.stays_mut(connection, channel) {
            stay.cancelled_at.get_or_insert(now);
        }
    }

    /// The client has received the reply to an unsubscribe command after its first `count` subscriptions.
    pub(crate) fn on_unsubscribe_reply(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        channel: &str,
        count: usize,
    ) {
        for stay in self.stays_mut(connection, channel).iter_mut().take(count) {
            stay.ended_at.get_or_insert(now);
        }
    }

    /// The gateway has ended a subscription of a connection to a channel, and sends this to the client.
    pub(crate) fn on_unsubscribed(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        channel: &str,
    ) {
        self.on_unsubscribe_sent(now, connection, channel);
    }

    /// The client has received the reply to a presence query that it sent at `sent_at`.
    pub(crate) fn check_presence(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        channel: &str,
        sent_at: Instant,
        reply: &PresenceReply,
    ) -> PresenceVerdict {
        let Some(node) = self.members.get(&connection).map(|member| member.node) else {
            return PresenceVerdict::Wrong(format!("{connection:?} was never accepted"));
        };
        let of_node = || self.members.values().filter(|member| member.node == node);
        let ids = |members: Vec<&Member>| -> BTreeSet<String> {
            members.iter().map(|member| member.client.clone()).collect()
        };
        let certain = of_node().filter(|member| member.is_certain(channel, sent_at, now));
        let certain = ids(certain.collect());
        let possible = ids(of_node()
            .filter(|member| member.is_possible(channel, sent_at))
            .collect());
        let is_consistent = match reply {
            PresenceReply::Clients(clients) => {
                certain.is_subset(clients) && clients.is_subset(&possible)
            }
            PresenceReply::Count(count) => (certain.len()..=possible.len()).contains(count),
        };
        if !is_consistent {
            return PresenceVerdict::Wrong(format!(
                "{reply:?} of {channel} at {node:?}, members are {certain:?}, possible are {possible:?}"
            ));
        }
        if certain != possible {
            return PresenceVerdict::Consistent;
        }
        let entry = (connection, channel.to_owned());
        self.exact_replies.insert(entry, now);
        PresenceVerdict::Exact
    }

    /// Whether the connection has received an exact presence reply since then.
    pub(crate) fn has_exact_reply_since(
        &self,
        connection: ConnectionId,
        channel: &str,
        since: Instant,
    ) -> bool {
        let entry = (connection, channel.to_owned());
        self.exact_replies
            .get(&entry)
            .is_some_and(|at| *at >= since)
    }

    /// The client has received a join. Returns why that is wrong, if it is.
    pub(crate) fn on_join(
        &mut self,
        connection: ConnectionId,
        channel: &str,
        client: &str,
    ) -> Option<String> {
        let possible = |stays: &[Stay], _| stays.len();
        self.count_push(connection, channel, client, possible, |stay| {
            &mut stay.joins
        })
    }

    /// The client has received a leave. Returns why that is wrong, if it is.
    pub(crate) fn on_leave(
        &mut self,
        connection: ConnectionId,
        channel: &str,
        client: &str,
    ) -> Option<String> {
        let possible = |stays: &[Stay], is_closed| {
            let is_over = |stay: &&Stay| is_closed || stay.cancelled_at.is_some();
            stays.iter().filter(is_over).count()
        };
        self.count_push(connection, channel, client, possible, |stay| {
            &mut stay.leaves
        })
    }

    fn count_push(
        &mut self,
        connection: ConnectionId,
        channel: &str,
        client: &str,
        possible: impl Fn(&[Stay], bool) -> usize,
        counts: impl Fn(&mut Stay) -> &mut BTreeMap<String, u64>,
    ) -> Option<String> {
        let node = self.members.get(&connection)?.node;
        let mut subjects = self.members.values();
        let subject = subjects.find(|member| member.node == node && member.client == client);
        let most = subject.map_or(0, |subject| {
            let stays = subject.stays.get(channel).map_or(&[][..], Vec::as_slice);
            possible(stays, subject.closed_at.is_some())
        });
        let Some(stay) = self
            .stays_mut(connection, channel)
            .last_mut()
            .filter(|stay| stay.is_listener)
        else {
            return Some(format!("{connection:?} did not request it in {channel}"));
        };
        let count = counts(stay).entry(client.to_owned()).or_default();
        *count += 1;
        let is_wrong = usize::try_from(*count).is_ok_and(|count| count > most);
        is_wrong.then(|| {
            format!("{connection:?} received {count} of client {client} in {channel}, at most {most} are possible")
        })
    }

    /// Checks the joins and leaves that a connection has received in all its channels; everything is quiet. Returns
    /// what is missing.
    pub(crate) fn check_quiet(&self, connection: ConnectionId) -> Option<String> {
        let listener = self.members.get(&connection)?;
        let last_drop_at = self.last_drop_at.get(&listener.node);
        for (channel, stays) in &listener.stays {
            let stay = stays.last().filter(|stay| {
                let has_drops = last_drop_at.is_some_and(|at| *at >= stay.requested_at);
                stay.is_listener && stay.cancelled_at.is_none() && !has_drops
            });
            let Some((stay, since)) = stay.and_then(|stay| Some((stay, stay.granted_at?))) else {
                continue;
            };
            for subject in self.members.values().filter(|it| it.node == listener.node) {
                if let Some(missing) = missing_push(stay, since, subject, channel) {
                    return Some(format!("{connection:?} in {channel}: {missing}"));
                }
            }
        }
        None
    }

    fn stays_mut(&mut self, connection: ConnectionId, channel: &str) -> &mut [Stay] {
        let member = self.members.get_mut(&connection);
        let stays = member.and_then(|member| member.stays.get_mut(channel));
        stays.map_or(&mut [], Vec::as_mut_slice)
    }
}

/// Returns which join or leave of a member a listener that was subscribed since then has missed.
fn missing_push(stay: &Stay, since: Instant, subject: &Member, channel: &str) -> Option<String> {
    let stays = subject.stays.get(channel)?;
    let granted = stays.iter().filter(|it| it.granted_at.is_some());
    let joins = granted.clone().filter(|it| it.requested_at > since).count();
    let leaves = granted.filter(|it| {
        let over_at = [it.cancelled_at, subject.closed_at];
        let over_at = over_at.into_iter().flatten().min();
        it.ended_at.or(subject.closed_at).is_some() && over_at.is_some_and(|at| at > since)
    });
    let leaves = leaves.count();
    let received = |counts: &BTreeMap<String, u64>| counts.get(&subject.client).copied();
    let received_joins = received(&stay.joins).unwrap_or_default();
    let received_leaves = received(&stay.leaves).unwrap_or_default();
    let is_short =
        |received: u64, least: usize| usize::try_from(received).is_ok_and(|it| it < least);
    if is_short(received_joins, joins) {
        return Some(format!(
            "{received_joins} of {joins} joins of client {}",
            subject.client
        ));
    }
    is_short(received_leaves, leaves).then(|| {
        format!(
            "{received_leaves} of {leaves} leaves of client {}",
            subject.client
        )
    })
}
