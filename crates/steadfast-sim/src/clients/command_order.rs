//! The order in which the commands of one connection take effect in one channel, checked by their replies alone.
//!
//! A command that reads or changes what an earlier one changes or reads must not be replied to before it, and its result
//! must be consistent with the results of those before and after it.

use std::collections::BTreeMap;
use std::fmt;

use steadfast_protocol::idempotent;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{ClientInfo, HistoryResult, ReplyError, ReplyResult};

/// What a command does with its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Publish,
    History,
    Presence,
    Membership,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Publish => "a publication to",
            Kind::History => "a history of",
            Kind::Presence => "the presence of",
            Kind::Membership => "a subscription to or its end in",
        };
        write!(f, "{kind} {}", self.channel)
    }
}

impl Kind {
    /// Whether its reply must follow that of an earlier command.
    const fn follows(self, earlier: Self) -> bool {
        match self {
            Self::Publish => matches!(earlier, Self::History),
            Self::History => matches!(earlier, Self::Publish),
            Self::Presence => matches!(earlier, Self::Membership),
            Self::Membership => !matches!(earlier, Self::History),
        }
    }
}

/// A channel epoch and an offset in it.
type Position = (String, u64);

/// A command without a reply.
#[derive(Clone, Debug)]
struct Sent {
    channel: String,
    kind: Kind,
    /// Whether it is a history that begins with the newest publication.
    is_newest: bool,
    /// Whether an earlier command that it must follow had no reply when it was sent.
    waits: bool,
    /// Of a history: the newest publication that was acknowledged to an earlier command.
    contains: Option<Position>,
    /// Of a publication: the newest one in the reply to an earlier history.
    above: Option<Position>,
}

/// The commands of one connection that act on a channel.
#[derive(Debug, Default)]
pub(crate) struct CommandOrder {
    in_flight: BTreeMap<u32, Sent>,
    /// The id that the gateway gave to the client.
    client: String,
    /// Whether the client is subscribed, by channel, as the replies say; without an entry it is not known.
    members: BTreeMap<String, bool>,
}

impl CommandOrder {
    /// The client has sent a command.
    pub(crate) fn on_sent(&mut self, id: u32, channel: &str, kind: Kind, is_newest: bool) {
        let mut earlier = self.in_flight.values();
        let waits = earlier.any(|it| it.channel == channel && kind.follows(it.kind));
        let sent = Sent {
            channel: channel.to_owned(),
            kind,
            is_newest,
            waits,
            contains: None,
            above: None,
        };
        self.in_flight.insert(id, sent);
    }

    /// The gateway has ended a subscription.
    pub(crate) fn on_unsubscribed(&mut self, channel: &str) {
        self.members.remove(channel);
    }

    /// The client has received the reply to a command. Returns whether the command had to wait for another one, or what
    /// contradicts the order.
    pub(crate) fn on_reply(
        &mut self,
        id: u32,
        outcome: &Result<ReplyResult, ReplyError>,
    ) -> Result<bool, String> {
        if let Ok(ReplyResult::Connect(connected)) = outcome {
            self.client.clone_from(&connected.client);
        }
        let Some(sent) = self.in_flight.remove(&id) else {
            return Ok(false);
        };
        let mut earlier = self.in_flight.range(..id);
        let overtaken = earlier
            .find(|(_, it)| it.channel == sent.channel && sent.kind.follows(it.kind))
            .map(|(earlier, it)| {
                format!("command {id}, {sent}, overtakes command {earlier}, {it}")
            });
        if let Some(details) = overtaken {
            return Err(details);
        }
        let contradiction = match outcome {
            Ok(ReplyResult::Rpc(data)) => self.check_ack(id, &sent, data),
            Ok(ReplyResult::History(history)) => self.check_history(id, &sent, history),
            Ok(ReplyResult::Presence(clients)) => self.check_presence(&sent, clients),
            Ok(ReplyResult::Subscribe(_)) => {
                self.members.insert(sent.channel.clone(), true);
                None
            }
            Ok(ReplyResult::Unsubscribe) => {
                self.members.insert(sent.channel.clone(), false);
                None
            }
            Ok(_) | Err(_) => None,
        };
        contradiction.map_or(Ok(sent.waits), Err)
    }

    fn check_ack(&mut self, id: u32, sent: &Sent, data: &bytes::Bytes) -> Option<String> {
        let ack = idempotent::decode_ack(data, &Limits::REPLIES).ok()?;
        for later in self.later(id, &sent.channel, Kind::History) {
            let newest = later.contains.as_ref();
            let is_newer =
                newest.is_none_or(|(epoch, offset)| *epoch != ack.epoch || *offset < ack.offset);
            if is_newer {
                later.contains = Some((ack.epoch.clone(), ack.offset));
            }
        }
        let (epoch, offset) = sent.above.as_ref()?;
        (*epoch == ack.epoch && ack.offset <= *offset && !ack.duplicate)
            .then(|| {
                let offset = ack.offset;
                format!("command {id}, {sent}, is stored at offset {offset}, which is in the history before it")
            })
    }

    fn check_history(&mut self, id: u32, sent: &Sent, history: &HistoryResult) -> Option<String> {
        let newest = history.publications.iter().map(|it| it.offset).max();
        let epoch = &history.position.epoch;
        for later in self.later(id, &sent.channel, Kind::Publish) {
            later.above = newest.map(|newest| (epoch.clone(), newest));
        }
        let (acknowledged, offset) = sent.contains.as_ref()?;
        // An empty history says nothing more: retention may have removed everything.
        let is_missing = history.position.offset < *offset
            || (sent.is_newest && newest.is_some_and(|newest| newest < *offset));
        (acknowledged == epoch && is_missing).then(|| {
            format!(
                "command {id}, {sent}, ends at {}, before the acknowledged offset {offset}",
                newest.map_or_else(
                    || "no publication".to_owned(),
                    |newest| format!("offset {newest}")
                )
            )
        })
    }

    fn check_presence(
        &self,
        sent: &Sent,
        clients: &BTreeMap<String, ClientInfo>,
    ) -> Option<String> {
        let is_member = *self.members.get(&sent.channel)?;
        let is_present = clients.contains_key(&self.client);
        (is_member != is_present).then(|| {
            format!(
                "presence of {}: subscribed {is_member}, present {is_present}",
                sent.channel
            )
        })
    }

    /// The later commands of a kind in the channel.
    fn later<'a>(
        &'a mut self,
        id: u32,
        channel: &'a str,
        kind: Kind,
    ) -> impl Iterator<Item = &'a mut Sent> {
        let later = self.in_flight.range_mut(id..).map(|(_, it)| it);
        later.filter(move |it| it.channel == channel && it.kind == kind)
    }
}
