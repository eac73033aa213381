//! What passes over one connection of a client, decoded independently of the client: it feeds the model of membership,
//! and checks that replies belong to commands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use steadfast_machine::{Instant, convert};
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::idempotent;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    Command, Push, PushEvent, Reply, ReplyError, ReplyResult, Request, RpcRequest,
};

use super::command_order::{CommandOrder, Kind};
use crate::context::Context;
use crate::ids::{ConnectionId, NodeIndex};
use crate::membership::{PresenceReply, PresenceVerdict};
use crate::reference_model::Invariant;
use crate::settings::PRESENCE_TIMEOUT;
use crate::words;

/// A command that has no reply yet.
#[derive(Clone, Debug)]
enum PendingCommand {
    /// The number of the subscription, among those of the connection to this channel.
    Subscribe {
        channel: String,
        number: usize,
    },
    /// The number of subscriptions that it ends.
    Unsubscribe {
        channel: String,
        count: usize,
    },
    Presence {
        channel: String,
    },
    Publish {
        channel: String,
        key: String,
    },
    History,
    Other,
}

/// What a lost connection leaves without a reply.
#[derive(Debug, Default)]
pub(crate) struct WithoutReply {
    /// The channels and keys of publications.
    pub(crate) publications: BTreeSet<(String, String)>,
    /// The channels in doubt.
    pub(crate) in_doubt: BTreeSet<String>,
    /// The number of calls.
    pub(crate) calls: usize,
}

/// Observes one connection.
#[derive(Debug)]
pub(crate) struct Observer {
    connection: ConnectionId,
    node: NodeIndex,
    encoding: Encoding,
    /// The commands without a reply, by id, and when each was sent.
    pending: BTreeMap<u32, (Instant, PendingCommand)>,
    /// The channels with publications whose outcome was lost with an earlier connection: until one is acknowledged, at
    /// most one publication of such a channel may be in flight.
    in_doubt: BTreeSet<String>,
    order: CommandOrder,
}

impl Observer {
    /// `in_doubt` are the channels that the previous connection of the client left in doubt.
    pub(crate) fn new(
        connection: ConnectionId,
        node: NodeIndex,
        encoding: Encoding,
        in_doubt: BTreeSet<String>,
    ) -> Self {
        Self {
            connection,
            node,
            encoding,
            pending: BTreeMap::new(),
            in_doubt,
            order: CommandOrder::default(),
        }
    }

    /// The client has sent a message.
    pub(crate) fn on_sent(&mut self, ctx: &mut Context, message: &Bytes) {
        for command in self.encoding.decode_commands(message, &Limits::DEFAULT) {
            let Command { id, request } = command.expect("a client sends valid commands");
            if id > 0 {
                let pending = self.observe_command(ctx, id, request);
                self.pending.insert(id, (ctx.now(), pending));
            }
        }
    }

    fn observe_command(&mut self, ctx: &mut Context, id: u32, request: Request) -> PendingCommand {
        let (now, connection) = (ctx.now(), self.connection);
        let membership = &mut ctx.membership;
        match request {
            Request::Subscribe(it) => {
                let channel = it.channel;
                let number = membership.subscriptions(connection, &channel);
                membership.on_subscribe_sent(now, connection, &channel, id, it.join_leave);
                self.order.on_sent(id, &channel, Kind::Membership, false);
                PendingCommand::Subscribe { channel, number }
            }
            Request::Unsubscribe(it) => {
                let channel = it.channel;
                let count = membership.subscriptions(connection, &channel);
                membership.on_unsubscribe_sent(now, connection, &channel);
                self.order.on_sent(id, &channel, Kind::Membership, false);
                PendingCommand::Unsubscribe { channel, count }
            }
            Request::Presence(it) | Request::PresenceStats(it) => {
                let channel = it.channel;
                self.order.on_sent(id, &channel, Kind::Presence, false);
                PendingCommand::Presence { channel }
            }
            Request::Rpc(rpc) => self.observe_publish(ctx, id, &rpc),
            Request::History(it) => {
                let is_newest = it.reverse && it.since.is_none();
                self.order
                    .on_sent(id, &it.channel, Kind::History, is_newest);
                PendingCommand::History
            }
            Request::Connect(_)
            | Request::Publish(_)
            | Request::Ping
            | Request::Send(_)
            | Request::Refresh(_)
            | Request::SubRefresh(_)
            | Request::Pong => PendingCommand::Other,
        }
    }

    fn observe_publish(&mut self, ctx: &mut Context, id: u32, rpc: &RpcRequest) -> PendingCommand {
        let publish = idempotent::decode_publish(&rpc.data, &Limits::DEFAULT)
            .expect("a client publishes with idempotency keys");
        let (channel, key) = (publish.channel, publish.idempotency_key);
        let is_other = |(_, pending): &&(Instant, PendingCommand)| {
            matches!(pending, PendingCommand::Publish { channel: at, key: other }
                if *at == channel && *other != key)
        };
        if self.in_doubt.contains(&channel)
            && let Some((_, PendingCommand::Publish { key: other, .. })) =
                self.pending.values().find(is_other)
        {
            let details = format!(
                "{key} is sent to {channel} while {other} is in flight, after a lost connection"
            );
            ctx.report(Invariant::CarefulAfterLoss, details);
        }
        self.order.on_sent(id, &channel, Kind::Publish, false);
        PendingCommand::Publish { channel, key }
    }

    /// The client has received a message.
    pub(crate) fn on_received(&mut self, ctx: &mut Context, message: &Bytes) {
        for reply in self.encoding.decode_replies(message, &Limits::REPLIES) {
            match reply.expect("a hub sends valid replies") {
                Reply::Ping => {}
                Reply::Push(push) => self.observe_push(ctx, &push),
                Reply::Response { id, outcome } => {
                    self.check_order(ctx, id, &outcome);
                    if let Some((sent_at, pending)) = self.pending.remove(&id) {
                        self.observe_reply(ctx, sent_at, pending, outcome);
                    } else {
                        let details = format!(
                            "{} received a reply to command {id}, which it did not send",
                            self.connection
                        );
                        ctx.report(Invariant::RepliesMatchCommands, details);
                    }
                }
            }
        }
    }

    fn check_order(
        &mut self,
        ctx: &mut Context,
        id: u32,
        outcome: &Result<ReplyResult, ReplyError>,
    ) {
        match self.order.on_reply(id, outcome) {
            Ok(had_to_wait) => ctx.totals.commands_in_order += u64::from(had_to_wait),
            Err(details) => ctx.report(Invariant::CommandsInOrder, details),
        }
    }

    fn observe_reply(
        &mut self,
        ctx: &mut Context,
        sent_at: Instant,
        pending: PendingCommand,
        outcome: Result<ReplyResult, ReplyError>,
    ) {
        let (now, connection) = (ctx.now(), self.connection);
        if let Some(epoch) = outcome.as_ref().ok().and_then(epoch_of) {
            ctx.reference_model.record_epoch(&epoch, self.node.0);
        }
        let membership = &mut ctx.membership;
        match (pending, outcome) {
            (PendingCommand::Subscribe { channel, number }, outcome) => {
                let is_granted = outcome.is_ok();
                membership.on_subscribe_reply(now, connection, &channel, number, is_granted);
            }
            (PendingCommand::Unsubscribe { channel, count }, _) => {
                membership.on_unsubscribe_reply(now, connection, &channel, count);
            }
            (PendingCommand::Presence { channel }, Ok(ReplyResult::Presence(clients))) => {
                let reply = PresenceReply::Clients(clients.into_keys().collect());
                self.check_presence(ctx, &channel, sent_at, &reply);
            }
            (PendingCommand::Presence { channel }, Ok(ReplyResult::PresenceStats(stats))) => {
                let reply = PresenceReply::Count(convert::to_usize(stats.num_clients));
                self.check_presence(ctx, &channel, sent_at, &reply);
            }
            (PendingCommand::Publish { channel, .. }, Ok(_)) => {
                self.in_doubt.remove(&channel);
            }
            (
                PendingCommand::Presence { .. }
                | PendingCommand::Publish { .. }
                | PendingCommand::History
                | PendingCommand::Other,
                _,
            ) => {}
        }
    }

    fn check_presence(
        &self,
        ctx: &mut Context,
        channel: &str,
        sent_at: Instant,
        reply: &PresenceReply,
    ) {
        let (now, connection) = (ctx.now(), self.connection);
        ctx.totals.presence_replies += 1;
        let verdict = ctx
            .membership
            .check_presence(now, connection, channel, sent_at, reply);
        match verdict {
            PresenceVerdict::Exact => ctx.totals.presence_exact += 1,
            PresenceVerdict::Consistent => {}
            PresenceVerdict::Wrong(details) => ctx.report(Invariant::PresenceMatches, details),
        }
    }

    fn observe_push(&mut self, ctx: &mut Context, push: &Push) {
        let (connection, channel) = (self.connection, push.channel.as_str());
        let wrong = match &push.event {
            PushEvent::Join(info) => {
                ctx.totals.joins_received += 1;
                ctx.membership.on_join(connection, channel, &info.client)
            }
            PushEvent::Leave(info) => {
                ctx.totals.leaves_received += 1;
                ctx.membership.on_leave(connection, channel, &info.client)
            }
            PushEvent::Unsubscribe { .. } => {
                self.order.on_unsubscribed(channel);
                None
            }
            PushEvent::Publication(_)
            | PushEvent::Message(_)
            | PushEvent::Subscribe { .. }
            | PushEvent::Connect(_)
            | PushEvent::Disconnect { .. }
            | PushEvent::Refresh { .. } => None,
        };
        if let Some(details) = wrong {
            ctx.report(Invariant::MembershipPushed, details);
        }
    }

    /// A publication has an outcome: its reply, if there is one, does not count any more.
    pub(crate) fn on_outcome(&mut self, key: &str) {
        for (_, pending) in self.pending.values_mut() {
            if matches!(pending, PendingCommand::Publish { key: at, .. } if at == key) {
                *pending = PendingCommand::Other;
            }
        }
    }

    /// A channel has no publication without an outcome any more.
    pub(crate) fn on_nothing_pending(&mut self, channel: &str) {
        self.in_doubt.remove(channel);
    }

    /// Checks that every command has its reply; everything is quiet.
    pub(crate) fn check_replies(&self, ctx: &mut Context) {
        let now = ctx.now();
        let is_overdue = |sent_at: Instant| now.saturating_since(sent_at) > REPLY_TIME_MAX;
        let mut pending = self.pending.iter();
        let overdue = pending.find(|(_, (sent_at, _))| is_overdue(*sent_at));
        let Some((id, (sent_at, _))) = overdue else {
            return;
        };
        let details = format!(
            "{} has no reply to command {id}, which was sent at {}",
            self.connection,
            words::at(*sent_at)
        );
        ctx.report(Invariant::RepliesMatchCommands, details);
    }

    /// An earlier connection of the client left these channels in doubt.
    pub(crate) fn add_doubt(&mut self, channels: BTreeSet<String>) {
        self.in_doubt.extend(channels);
    }

    /// The connection is lost, or replaced. Returns what has no reply.
    pub(crate) fn without_reply(&self) -> WithoutReply {
        let mut without_reply = WithoutReply {
            in_doubt: self.in_doubt.clone(),
            ..WithoutReply::default()
        };
        for (_, pending) in self.pending.values() {
            match pending {
                PendingCommand::Publish { channel, key } => {
                    without_reply.in_doubt.insert(channel.clone());
                    let publication = (channel.clone(), key.clone());
                    without_reply.publications.insert(publication);
                }
                PendingCommand::Presence { .. } | PendingCommand::History => {
                    without_reply.calls += 1;
                }
                PendingCommand::Subscribe { .. }
                | PendingCommand::Unsubscribe { .. }
                | PendingCommand::Other => {}
            }
        }
        without_reply
    }
}

/// The longest time from a command to its reply when everything is quiet: a presence query can fail at its timeout.
const REPLY_TIME_MAX: Duration = PRESENCE_TIMEOUT.saturating_add(Duration::from_millis(500));

/// The channel epoch in the result of a command.
fn epoch_of(result: &ReplyResult) -> Option<String> {
    match result {
        ReplyResult::Subscribe(it) => Some(it.position.epoch.clone()),
        ReplyResult::History(it) => Some(it.position.epoch.clone()),
        ReplyResult::Rpc(data) => {
            let ack = idempotent::decode_ack(data, &Limits::REPLIES);
            ack.ok().map(|ack| ack.epoch)
        }
        ReplyResult::Connect(_)
        | ReplyResult::Unsubscribe
        | ReplyResult::Publish
        | ReplyResult::Presence(_)
        | ReplyResult::PresenceStats(_)
        | ReplyResult::Ping
        | ReplyResult::Refresh(_)
        | ReplyResult::SubRefresh(_) => None,
    }
}
