//! One subscription: where it stands with the server, and where the application stands in the channel.

use std::time::Duration;

use steadfast_machine::Instant;
use steadfast_protocol::message::{
    ChannelRequest, Position, Publication, Request, SubscribeResult,
};

use super::Consequence;
use crate::io::{Feed, SubscribeOptions, SubscriptionId};

/// The first pause before a subscription asks again; doubles up to [`PAUSE_MAX`].
const PAUSE_BASE: Duration = Duration::from_millis(500);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// The time for an answer of a living server; what is asked again after it takes a pause of a refusal.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a subscription stands with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The server does not know it; it is to be asked.
    Wanted,
    /// It was asked, with this command, and answers by then if it is well.
    Asked { command: u32, until: Instant },
    /// It stands.
    Live,
    /// The server could not at the moment; it is asked again then.
    Postponed(Instant),
    /// The application is behind; it is asked again when there is room.
    Paused,
}

/// One subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) options: SubscribeOptions,
    pub(super) standing: Standing,
    /// The last that was handed over; `None` before the first answer, and when it was lost.
    pub(super) position: Option<Position>,
    /// The position that was lost: the next answer is a gap behind it.
    lost_position: Option<Position>,
    /// It stood before, so standing again is a resumption.
    has_stood: bool,
    /// Items that the application has not taken.
    pub(super) waiting: usize,
    /// Refusals in a row.
    refusals: u32,
}

impl Subscription {
    pub(super) fn new(options: SubscribeOptions) -> Self {
        Self {
            position: options.since.clone(),
            lost_position: None,
            options,
            standing: Standing::Wanted,
            has_stood: false,
            waiting: 0,
            refusals: 0,
        }
    }

    pub(super) fn stands(&mut self, id: SubscriptionId, result: SubscribeResult) -> Consequence {
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
    pub(super) fn hand_over(
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
    pub(super) fn pause_if_full(&mut self) -> Option<Request> {
        if self.waiting <= self.options.buffer_len_max {
            return None;
        }
        self.standing = Standing::Paused;
        let channel = self.options.channel.clone();
        Some(Request::Unsubscribe(ChannelRequest { channel }))
    }

    /// The position counts no more; the next answer is a gap behind it.
    pub(super) fn forget_position(&mut self) {
        if let Some(position) = self.position.take() {
            self.lost_position = Some(position);
        }
    }

    /// It is asked for with this command.
    pub(super) fn ask(&mut self, now: Instant, command: u32) {
        let until = now + ANSWER_TIMEOUT;
        self.standing = Standing::Asked { command, until };
    }

    /// A server that does not answer in time is told to forget the question, and asked again after a pause.
    pub(super) fn give_up_answer(&mut self, now: Instant) -> Option<Request> {
        let Standing::Asked { until, .. } = self.standing else {
            return None;
        };
        if now < until {
            return None;
        }
        let pause = self.next_pause();
        self.postpone(now + pause);
        let channel = self.options.channel.clone();
        Some(Request::Unsubscribe(ChannelRequest { channel }))
    }

    /// The pause after a refusal; twice as long each time.
    pub(super) fn next_pause(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.refusals).unwrap_or(u32::MAX);
        self.refusals = self.refusals.saturating_add(1).min(u32::BITS);
        PAUSE_BASE.saturating_mul(factor).min(PAUSE_MAX)
    }

    pub(super) const fn postpone(&mut self, until: Instant) {
        self.standing = Standing::Postponed(until);
    }
}
