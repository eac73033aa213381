//! What the application wants to hear, against what the server knows of it.
//!
//! The registry is of desired state: it outlives connections, and after each new one everything that is missing is asked
//! for again, from the last position that was handed over. An item at or below the position is dropped; a hole is never
//! skipped in silence. A buffer that is full pauses its subscription at the server, which keeps the history meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_machine::Instant;
use steadfast_protocol::codes::{Advice, retry_in};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ChannelRequest, Position, Publication, ReplyError, Request, SubscribeRequest, SubscribeResult,
};

use crate::io::{Feed, SubscribeOptions, SubscriptionId};

/// The first pause before a subscription asks again; doubles up to [`PAUSE_MAX`].
const PAUSE_BASE: Duration = Duration::from_millis(500);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// Where a subscription stands with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The server does not know it; it is to be asked.
    Wanted,
    /// It was asked, with this command.
    Asked(u32),
    /// It stands.
    Live,
    /// The server could not at the moment; it is asked again then.
    Postponed(Instant),
    /// The application is behind; it is asked again when there is room.
    Paused,
}

/// One subscription.
#[derive(Debug)]
struct Subscription {
    options: SubscribeOptions,
    standing: Standing,
    /// The last that was handed over; `None` before the first answer, and when it was lost.
    position: Option<Position>,
    /// The position that was lost: the next answer is a gap behind it.
    lost_position: Option<Position>,
    /// It stood before, so standing again is a resumption.
    has_stood: bool,
    /// Items that the application has not taken.
    waiting: usize,
    /// Refusals in a row.
    refusals: u32,
}

/// All subscriptions.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    len_max: usize,
    all: BTreeMap<SubscriptionId, Subscription>,
    by_channel: BTreeMap<String, SubscriptionId>,
}

/// What comes of something that the server said: items for the application, and maybe a word to the server.
#[derive(Debug, Default)]
pub(crate) struct Consequence {
    pub(crate) feeds: Vec<(SubscriptionId, Feed)>,
    pub(crate) request: Option<Request>,
}

impl Subscriptions {
    pub(crate) const fn new(len_max: usize) -> Self {
        Self {
            len_max,
            all: BTreeMap::new(),
            by_channel: BTreeMap::new(),
        }
    }

    /// Takes a subscription in; refused when there are too many, or one for its channel already.
    pub(crate) fn add(&mut self, id: SubscriptionId, options: SubscribeOptions) -> Option<Feed> {
        let is_refused = self.all.len() >= self.len_max
            || self.by_channel.contains_key(&options.channel)
            || options.channel.len() > Limits::CHANNEL_BYTES;
        if is_refused {
            return Some(Feed::Ended {
                code: 0,
                reason: "too many subscriptions, one for this channel already, or a name that is too long"
                    .to_owned(),
            });
        }
        self.by_channel.insert(options.channel.clone(), id);
        let subscription = Subscription {
            position: options.since.clone(),
            lost_position: None,
            options,
            standing: Standing::Wanted,
            has_stood: false,
            waiting: 0,
            refusals: 0,
        };
        self.all.insert(id, subscription);
        None
    }

    /// Takes one out; what the server must be told about it.
    pub(crate) fn remove(&mut self, id: SubscriptionId) -> Option<Request> {
        let subscription = self.all.remove(&id)?;
        let channel = subscription.options.channel;
        self.by_channel.remove(&channel);
        match subscription.standing {
            Standing::Live | Standing::Asked(_) => {
                Some(Request::Unsubscribe(ChannelRequest { channel }))
            }
            Standing::Wanted | Standing::Postponed(_) | Standing::Paused => None,
        }
    }

    /// The next subscription that the server is to be asked for, with this command.
    pub(crate) fn ask_next(&mut self, now: Instant, command: u32) -> Option<Request> {
        let next = self.all.values_mut().find(|it| match it.standing {
            Standing::Wanted => true,
            Standing::Postponed(until) => now >= until,
            Standing::Asked(_) | Standing::Live | Standing::Paused => false,
        })?;
        next.standing = Standing::Asked(command);
        Some(Request::Subscribe(SubscribeRequest {
            channel: next.options.channel.clone(),
            recover: next.position.is_some(),
            position: next.position.clone().unwrap_or_default(),
            positioned: true,
            recoverable: true,
            join_leave: next.options.join_leave,
            ..SubscribeRequest::default()
        }))
    }

    /// True when every subscription that can stand does.
    pub(crate) fn is_settled(&self) -> bool {
        self.all.values().all(|it| match it.standing {
            Standing::Wanted | Standing::Asked(_) => false,
            Standing::Live | Standing::Postponed(_) | Standing::Paused => true,
        })
    }

    /// The connection is gone. Refusals stay, so that a server that refuses is not asked more often for it.
    pub(crate) fn lost(&mut self) {
        for it in self.all.values_mut() {
            if !matches!(it.standing, Standing::Paused) {
                it.standing = Standing::Wanted;
            }
        }
    }

    /// The server has forgotten everything: positions count no more. The next answer is a gap.
    pub(crate) fn forget_positions(&mut self) {
        for it in self.all.values_mut() {
            it.forget_position();
        }
    }

    /// The answer to a subscribe command; `None` when it is not one of these.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        command: u32,
        outcome: Result<SubscribeResult, ReplyError>,
    ) -> Option<Consequence> {
        let (id, it) = self
            .all
            .iter_mut()
            .find(|(_, it)| it.standing == Standing::Asked(command))?;
        let id = *id;
        match outcome {
            Ok(result) => Some(it.stands(id, result)),
            Err(error) => match Advice::for_subscribe_error(&error) {
                Advice::Retry | Advice::RenewToken => {
                    it.postpone(now, retry_in(&error.message));
                    Some(Consequence::default())
                }
                Advice::ResubscribeWithFreshState | Advice::Resubscribe => {
                    if it.position.is_some() {
                        it.forget_position();
                        it.standing = Standing::Wanted;
                    } else {
                        // It asked for nothing that the server could have lost: asking at once would go round and round.
                        it.postpone(now, None);
                    }
                    Some(Consequence::default())
                }
                Advice::EndSubscription
                | Advice::TellCaller
                | Advice::Terminal
                | Advice::Reconnect
                | Advice::ReconnectWithFreshState => Some(self.end(id, error.code, error.message)),
            },
        }
    }

    /// A publication of a channel.
    pub(crate) fn published(&mut self, channel: &str, publication: Publication) -> Consequence {
        let mut consequence = Consequence::default();
        if let Some((id, it)) = self.live(channel) {
            it.hand_over(id, publication, &mut consequence.feeds);
            consequence.request = it.pause_if_full();
        }
        consequence
    }

    /// Somebody joined or left.
    pub(crate) fn moved(&mut self, channel: &str, feed: Feed) -> Consequence {
        let mut consequence = Consequence::default();
        if let Some((id, it)) = self.live(channel) {
            it.waiting += 1;
            consequence.feeds.push((id, feed));
            consequence.request = it.pause_if_full();
        }
        consequence
    }

    /// The server ended a subscription.
    pub(crate) fn unsubscribed(&mut self, channel: &str, code: u32, reason: String) -> Consequence {
        let Some((id, it)) = self.live(channel) else {
            return Consequence::default();
        };
        match Advice::for_unsubscribe(code) {
            Advice::ResubscribeWithFreshState => {
                it.forget_position();
                it.standing = Standing::Wanted;
                Consequence::default()
            }
            Advice::Resubscribe => {
                it.standing = Standing::Wanted;
                Consequence::default()
            }
            Advice::EndSubscription
            | Advice::Retry
            | Advice::RenewToken
            | Advice::TellCaller
            | Advice::Terminal
            | Advice::Reconnect
            | Advice::ReconnectWithFreshState => self.end(id, code, reason),
        }
    }

    /// The application took items. True when a pause is over.
    pub(crate) fn taken(&mut self, id: SubscriptionId, items: usize) -> bool {
        let Some(it) = self.all.get_mut(&id) else {
            return false;
        };
        it.waiting = it.waiting.saturating_sub(items);
        let has_room = it.waiting <= it.options.buffer_len_max / 2;
        if it.standing == Standing::Paused && has_room {
            it.standing = Standing::Wanted;
            return true;
        }
        false
    }

    /// When a postponed subscription asks again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let postponed = |it: &Subscription| match it.standing {
            Standing::Postponed(until) => Some(until),
            Standing::Wanted | Standing::Asked(_) | Standing::Live | Standing::Paused => None,
        };
        self.all.values().filter_map(postponed).min()
    }

    fn live(&mut self, channel: &str) -> Option<(SubscriptionId, &mut Subscription)> {
        let id = *self.by_channel.get(channel)?;
        let it = self.all.get_mut(&id)?;
        (it.standing == Standing::Live).then_some((id, it))
    }

    fn end(&mut self, id: SubscriptionId, code: u32, reason: String) -> Consequence {
        self.remove(id);
        Consequence {
            feeds: vec![(id, Feed::Ended { code, reason })],
            request: None,
        }
    }
}

impl Subscription {
    fn stands(&mut self, id: SubscriptionId, result: SubscribeResult) -> Consequence {
        self.standing = Standing::Live;
        self.refusals = 0;
        let mut consequence = Consequence::default();
        let to = result.position;
        let lost = self.lost_position.take();
        let (position, feed) = match self.position.take() {
            // What follows is told by what was handed over, not by the reply, whose position may be the channel's top.
            // An offset counts in its own history alone: a recovery into another one is none.
            Some(had) if result.recovered && (had.epoch == to.epoch || had.epoch.is_empty()) => {
                let position = Position {
                    offset: had.offset,
                    epoch: to.epoch,
                };
                let told = position.clone();
                let feed = if self.has_stood {
                    Feed::Resumed { position: told }
                } else {
                    Feed::Started { position: told }
                };
                (position, feed)
            }
            None if lost.is_none() && !self.has_stood => {
                let position = to.clone();
                (to, Feed::Started { position })
            }
            had => {
                let from = had.or(lost);
                let feed = Feed::Gap {
                    from,
                    to: to.clone(),
                };
                (to, feed)
            }
        };
        self.position = Some(position);
        self.has_stood = true;
        self.waiting += 1;
        consequence.feeds.push((id, feed));
        for publication in result.publications {
            self.hand_over(id, publication, &mut consequence.feeds);
        }
        consequence.request = self.pause_if_full();
        consequence
    }

    /// Hands a publication over unless it was already; the position moves with it.
    fn hand_over(
        &mut self,
        id: SubscriptionId,
        publication: Publication,
        feeds: &mut Vec<(SubscriptionId, Feed)>,
    ) {
        let position = self.position.get_or_insert_default();
        let has_place = publication.offset > 0;
        if has_place && publication.offset <= position.offset {
            return;
        }
        if has_place {
            let before = publication.offset - 1;
            // Without an epoch nobody has said where the offsets began.
            if before > position.offset && !position.epoch.is_empty() {
                let from = Some(position.clone());
                position.offset = before;
                let to = position.clone();
                self.waiting += 1;
                feeds.push((id, Feed::Gap { from, to }));
            }
            position.offset = publication.offset;
        }
        self.waiting += 1;
        feeds.push((id, Feed::Item(publication)));
    }

    /// The server keeps what the application cannot take yet.
    fn pause_if_full(&mut self) -> Option<Request> {
        if self.waiting <= self.options.buffer_len_max {
            return None;
        }
        self.standing = Standing::Paused;
        let channel = self.options.channel.clone();
        Some(Request::Unsubscribe(ChannelRequest { channel }))
    }

    /// The position counts no more; the next answer is a gap behind it.
    fn forget_position(&mut self) {
        if let Some(position) = self.position.take() {
            self.lost_position = Some(position);
        }
    }

    fn postpone(&mut self, now: Instant, hint: Option<Duration>) {
        let factor = 1_u32.checked_shl(self.refusals).unwrap_or(u32::MAX);
        let pause = PAUSE_BASE.saturating_mul(factor).min(PAUSE_MAX);
        self.refusals = self.refusals.saturating_add(1).min(u32::BITS);
        self.standing = Standing::Postponed(now + hint.map_or(pause, |hint| hint.max(pause)));
    }
}
