//! What the application wants to hear, against what the server knows of it.
//!
//! The registry is of desired state: it outlives connections, and after each new one everything that is missing is asked
//! for again, from the last position that was handed over. An item at or below the position is dropped; a hole is never
//! skipped in silence. A buffer that is full pauses its subscription at the server, which keeps the history meanwhile.

mod subscription;

use std::collections::BTreeMap;

use steadfast_machine::Instant;
use steadfast_protocol::codes::{Advice, retry_in};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ChannelRequest, Publication, ReplyError, Request, SubscribeRequest, SubscribeResult,
};

use crate::backoff::Backoff;
use crate::io::{Feed, SubscribeOptions, SubscriptionId};
use subscription::{Standing, Subscription};

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
        self.all.insert(id, Subscription::new(options));
        None
    }

    /// Takes one out; what the server must be told about it.
    pub(crate) fn remove(&mut self, id: SubscriptionId) -> Option<Request> {
        let subscription = self.all.remove(&id)?;
        let channel = subscription.options.channel;
        self.by_channel.remove(&channel);
        match subscription.standing {
            Standing::Live | Standing::Asked { .. } => {
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
            Standing::Asked { .. } | Standing::Live | Standing::Paused => false,
        })?;
        next.ask(now, command);
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
            Standing::Wanted | Standing::Asked { .. } => false,
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
        backoff: &mut Backoff,
    ) -> Option<Consequence> {
        let is_asked = |it: &Subscription| match it.standing {
            Standing::Asked { command: asked, .. } => asked == command,
            Standing::Wanted | Standing::Live | Standing::Postponed(_) | Standing::Paused => false,
        };
        let (id, it) = self.all.iter_mut().find(|(_, it)| is_asked(it))?;
        let id = *id;
        match outcome {
            Ok(result) => Some(it.stands(id, result)),
            Err(error) => match Advice::for_subscribe_error(&error) {
                Advice::Retry | Advice::RenewToken => {
                    let (own, hint) = (it.next_pause(), retry_in(&error.message));
                    it.postpone(now + backoff.pause(own, hint));
                    Some(Consequence::default())
                }
                Advice::ResubscribeWithFreshState | Advice::Resubscribe => {
                    if it.position.is_some() {
                        it.forget_position();
                        it.standing = Standing::Wanted;
                    } else {
                        // It asked for nothing that the server could have lost: asking at once would go round and round.
                        let own = it.next_pause();
                        it.postpone(now + backoff.pause(own, None));
                    }
                    Some(Consequence::default())
                }
                Advice::EndSubscription
                | Advice::ReportToCaller
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
            | Advice::ReportToCaller
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

    /// The server lives and did not answer in time: what it is told about that.
    pub(crate) fn give_up_answers(&mut self, now: Instant) -> Vec<Request> {
        let all = self.all.values_mut();
        all.filter_map(|it| it.give_up_answer(now)).collect()
    }

    /// When a postponed subscription asks again, or an answer is overdue.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let due = |it: &Subscription| match it.standing {
            Standing::Postponed(until) => Some(until),
            Standing::Asked { until, .. } => Some(until),
            Standing::Wanted | Standing::Live | Standing::Paused => None,
        };
        self.all.values().filter_map(due).min()
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
