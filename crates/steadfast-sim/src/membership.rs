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
    /// The id of the subscribe command.
    command: u32,
    requested_at: Instant,
    /// Whether the gateway has sent the reply that grants it.
    is_grant_sent: bool,
    /// When the client received the reply.
    granted_at: Option<Instant>,
    /// Since when it may be over: the client has unsubscribed, or the gateway has removed it.
    cancelled_at: Option<Instant>,
    /// Since when it is certainly over.
    ended_at: Option<Instant>,
    /// Whether the gateway rejected it, so that it never began.
    is_rejected: bool,
    /// Whether the client requested joins and leaves.
    is_listener: bool,
    /// The joins and leaves that the client received, by client id.
    joins: BTreeMap<String, usize>,
    leaves: BTreeMap<String, usize>,
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

    /// The largest number of joins of this connection: one for each subscription that was not rejected.
    fn joins_max(&self, channel: &str) -> usize {
        let stays = self.stays.get(channel).into_iter().flatten();
        stays.filter(|stay| !stay.is_rejected).count()
    }

    /// The largest number of leaves: one for each such subscription that may be over.
    fn leaves_max(&self, channel: &str) -> usize {
        let is_closed = self.closed_at.is_some();
        let stays = self.stays.get(channel).into_iter().flatten();
        let is_over = |stay: &&Stay| is_closed || stay.cancelled_at.is_some();
        stays
            .filter(|stay| !stay.is_rejected)
            .filter(is_over)
            .count()
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
        command: u32,
        is_listener: bool,
    ) {
        if let Some(member) = self.members.get_mut(&connection) {
            let stays = member.stays.entry(channel.to_owned()).or_default();
            stays.push(Stay {
                command,
                requested_at: now,
                is_listener,
                ..Stay::default()
            });
        }
    }

    /// The gateway has granted the subscription of a subscribe command, and sends this to the client.
    pub(crate) fn on_subscribe_granted(&mut self, connection: ConnectionId, command: u32) {
        let member = self.members.get_mut(&connection);
        let channels = member.into_iter().flat_map(|it| it.stays.values_mut());
        for stay in channels.flatten().filter(|it| it.command == command) {
            stay.is_grant_sent = true;
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
        stay.is_rejected = !is_granted;
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

    /// The gateway has ended a subscription of a connection to a channel, and sends this to the client. It ends only what
    /// it has granted: a subscribe command that it has not replied to, or has not received, begins a later subscription.
    pub(crate) fn on_unsubscribed(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        channel: &str,
    ) {
        let stays = self.stays_mut(connection, channel).iter_mut();
        for stay in stays.filter(|it| it.is_grant_sent) {
            stay.cancelled_at.get_or_insert(now);
        }
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
            return PresenceVerdict::Wrong(format!("{connection} was never accepted"));
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
            let clients = match reply {
                PresenceReply::Clients(clients) => clients.len(),
                PresenceReply::Count(count) => *count,
            };
            return PresenceVerdict::Wrong(format!(
                "a reply has {clients} clients of {channel} at {node}; {} certainly subscribed, at most {}",
                certain.len(),
                possible.len()
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
        let most = |subject: &Member| subject.joins_max(channel);
        self.count_push(connection, channel, client, most, |stay| &mut stay.joins)
    }

    /// The client has received a leave. Returns why that is wrong, if it is.
    pub(crate) fn on_leave(
        &mut self,
        connection: ConnectionId,
        channel: &str,
        client: &str,
    ) -> Option<String> {
        let most = |subject: &Member| subject.leaves_max(channel);
        self.count_push(connection, channel, client, most, |stay| &mut stay.leaves)
    }

    fn count_push(
        &mut self,
        connection: ConnectionId,
        channel: &str,
        client: &str,
        most: impl Fn(&Member) -> usize,
        counts: impl Fn(&mut Stay) -> &mut BTreeMap<String, usize>,
    ) -> Option<String> {
        let node = self.members.get(&connection)?.node;
        let mut subjects = self.members.values();
        let subject = subjects.find(|member| member.node == node && member.client == client);
        let most = subject.map_or(0, most);
        // What arrives before the reply to a subscribe command belongs to the former subscription.
        let mut stays = self.stays_mut(connection, channel).iter_mut().rev();
        let Some(stay) = stays
            .find(|stay| stay.granted_at.is_some())
            .filter(|stay| stay.is_listener && stay.ended_at.is_none())
        else {
            return Some(format!(
                "{connection} requests no joins and leaves in {channel}"
            ));
        };
        let count = counts(stay).entry(client.to_owned()).or_default();
        *count += 1;
        (*count > most).then(|| {
            format!("{connection} received {count} of client {client} in {channel}, at most {most} are possible")
        })
    }

    /// The number of joins and leaves that a connection has received since it subscribed to a channel last.
    pub(crate) fn pushes_received(&self, connection: ConnectionId, channel: &str) -> usize {
        let member = self.members.get(&connection);
        let stay = member.and_then(|member| member.stays.get(channel)?.last());
        stay.map_or(0, |stay| {
            stay.joins.values().chain(stay.leaves.values()).sum()
        })
    }

    /// Checks the joins and leaves that a connection has received in all its channels; everything is quiet. Returns
    /// which are wrong.
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
                if let Some(wrong) = wrong_pushes(stay, since, subject, channel) {
                    return Some(format!("{connection} in {channel}: {wrong}"));
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

/// Returns which joins or leaves of a member are wrong for a listener that was subscribed since then. At least those
/// after this time were due, and at most one for each subscription of the member: the gateway may have rejected one only
/// after the listener received its leave.
fn wrong_pushes(stay: &Stay, since: Instant, subject: &Member, channel: &str) -> Option<String> {
    let stays = subject.stays.get(channel)?;
    let granted = stays.iter().filter(|it| it.granted_at.is_some());
    let joins = granted.clone().filter(|it| it.requested_at > since).count();
    let leaves = granted.filter(|it| {
        let over_at = [it.cancelled_at, subject.closed_at];
        let over_at = over_at.into_iter().flatten().min();
        it.ended_at.or(subject.closed_at).is_some() && over_at.is_some_and(|at| at > since)
    });
    let (joins, leaves) = (
        joins..=subject.joins_max(channel),
        leaves.count()..=subject.leaves_max(channel),
    );
    let received = |counts: &BTreeMap<String, usize>| {
        let count = counts.get(&subject.client).copied();
        count.unwrap_or_default()
    };
    let (received_joins, received_leaves) = (received(&stay.joins), received(&stay.leaves));
    let is_expected = joins.contains(&received_joins) && leaves.contains(&received_leaves);
    (!is_expected).then(|| {
        format!(
            "{received_joins} joins and {received_leaves} leaves of client {}, expected {} to {} and {} to {}",
            subject.client,
            joins.start(),
            joins.end(),
            leaves.start(),
            leaves.end()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LISTENER: ConnectionId = ConnectionId(0);
    const SUBJECT: ConnectionId = ConnectionId(1);

    #[test]
    fn a_listener_misses_a_join_until_it_has_received_it() {
        let mut membership = with_listener();
        subscribe(&mut membership, SUBJECT);

        assert!(membership.check_quiet(LISTENER).is_some());
        assert_eq!(membership.on_join(LISTENER, "channel", "subject"), None);
        assert_eq!(membership.check_quiet(LISTENER), None);
    }

    #[test]
    fn a_second_join_of_one_subscription_is_wrong() {
        let mut membership = with_listener();
        subscribe(&mut membership, SUBJECT);
        membership.on_join(LISTENER, "channel", "subject");

        assert!(membership.on_join(LISTENER, "channel", "subject").is_some());
    }

    #[test]
    fn a_leave_of_a_subscription_that_never_began_is_wrong() {
        let mut membership = with_listener();
        membership.on_subscribe_sent(at(2), SUBJECT, "channel", 1, false);
        membership.on_unsubscribe_sent(at(2), SUBJECT, "channel");
        // At this time the gateway may still have accepted the subscription.
        assert_eq!(membership.on_leave(LISTENER, "channel", "subject"), None);

        membership.on_subscribe_reply(at(3), SUBJECT, "channel", 0, false);

        assert!(membership.check_quiet(LISTENER).is_some());
    }

    #[test]
    fn a_join_after_the_end_of_a_subscription_is_wrong() {
        let mut membership = with_listener();
        subscribe(&mut membership, SUBJECT);
        membership.on_unsubscribe_sent(at(3), LISTENER, "channel");
        membership.on_unsubscribe_reply(at(4), LISTENER, "channel", 1);

        assert!(membership.on_join(LISTENER, "channel", "subject").is_some());
    }

    #[test]
    fn a_join_before_the_reply_belongs_to_the_former_subscription() {
        let mut membership = with_listener();
        subscribe(&mut membership, SUBJECT);
        membership.on_unsubscribe_sent(at(3), LISTENER, "channel");
        membership.on_subscribe_sent(at(3), LISTENER, "channel", 2, true);

        assert_eq!(membership.on_join(LISTENER, "channel", "subject"), None);
        membership.on_unsubscribe_reply(at(4), LISTENER, "channel", 1);
        membership.on_subscribe_reply(at(4), LISTENER, "channel", 1, true);

        assert_eq!(membership.pushes_received(LISTENER, "channel"), 0);
    }

    #[test]
    fn the_gateway_ends_a_subscription_but_not_the_one_that_replaces_it() {
        let mut membership = with_listener();
        membership.on_unsubscribe_sent(at(3), LISTENER, "channel");
        membership.on_subscribe_sent(at(3), LISTENER, "channel", 2, true);
        // The commands are still on their way.
        membership.on_unsubscribed(at(4), LISTENER, "channel");
        membership.on_subscribe_granted(LISTENER, 2);
        membership.on_unsubscribe_reply(at(5), LISTENER, "channel", 1);
        membership.on_subscribe_reply(at(5), LISTENER, "channel", 1, true);

        assert_eq!(
            presence_of_listener(&mut membership),
            PresenceVerdict::Exact
        );

        membership.on_unsubscribed(at(6), LISTENER, "channel");

        let verdict = presence_of_listener(&mut membership);
        assert_eq!(verdict, PresenceVerdict::Consistent);
    }

    /// The verdict on a presence reply that contains the listener alone.
    fn presence_of_listener(membership: &mut Membership) -> PresenceVerdict {
        let reply = PresenceReply::Clients(["listener".to_owned()].into());
        membership.check_presence(at(8), LISTENER, "channel", at(7), &reply)
    }

    /// A listener that is subscribed from 1 on, and another connection.
    fn with_listener() -> Membership {
        let mut membership = Membership::default();
        membership.on_accepted(LISTENER, NodeIndex(0), "listener".to_owned());
        membership.on_accepted(SUBJECT, NodeIndex(0), "subject".to_owned());
        membership.on_subscribe_sent(at(0), LISTENER, "channel", 1, true);
        membership.on_subscribe_granted(LISTENER, 1);
        membership.on_subscribe_reply(at(1), LISTENER, "channel", 0, true);
        membership
    }

    fn subscribe(membership: &mut Membership, client: ConnectionId) {
        membership.on_subscribe_sent(at(2), client, "channel", 1, false);
        membership.on_subscribe_granted(client, 1);
        membership.on_subscribe_reply(at(2), client, "channel", 0, true);
    }

    fn at(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }
}
