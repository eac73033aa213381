//! One subscription: its state at the server, and the application's position in the channel.

use std::time::Duration;

use steadfast_machine::{Instant, Position};

use super::Effects;
use super::event_buffer::EventBuffer;
use crate::backoff::{RETRY_DELAY_MAX, retry_delay};
use crate::dialect::{Dialect, Subscribed};
use crate::event::DisconnectCause;
use crate::io::{EventOf, SubscribeOptions, SubscriptionEvent, SubscriptionId};

/// The first delay before a subscription is requested again; doubles up to [`RETRY_DELAY_MAX`].
const RETRY_DELAY_BASE: Duration = Duration::from_millis(500);

/// How long a connected server may take to reply. Afterwards the subscription is requested again, with a delay as after
/// a rejection.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// The state of a subscription at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubscriptionState {
    /// A subscribe command is due.
    Pending,
    /// The command was sent; its reply is due at `until`.
    Subscribing {
        command: u32,
        until: Instant,
    },
    Subscribed,
    /// The server temporarily rejected it; it is requested again at this time.
    Delayed(Instant),
    /// The application lags behind; it is requested again when the buffer has space.
    Paused,
}

/// What a subscription has reported about its connection, if it reports interruptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    /// No connection yet, or the end of the last one.
    Interrupted,
    /// The subscription is active.
    Active,
    /// The session has failed.
    Failed,
}

/// The desired state of a subscription, and its progress.
#[derive(Debug)]
pub(super) struct Subscription<D: Dialect> {
    pub(super) options: SubscribeOptions<D::Topic>,
    pub(super) state: SubscriptionState,
    /// The last delivered position; `None` before the first reply, and after it became invalid.
    pub(super) position: Option<Position>,
    /// The log in which the position counts; `None` before the first reply.
    log: Option<usize>,
    /// The position that became invalid: the next reply is reported as a gap after it.
    invalidated_position: Option<Position>,
    /// The position at which a message above the limit last ended the connection.
    too_large_after: Option<Position>,
    /// It was active before, so the next reply resumes it.
    has_subscribed: bool,
    /// What was last reported about the connection.
    reported: Reported,
    /// Delivered events that the application has not consumed.
    pub(super) buffer: EventBuffer,
    /// Consecutive temporary rejections.
    rejections: u32,
    /// When the server last accepted it.
    accepted_at: Instant,
    /// How often in a row the server ended it soon after it had accepted it.
    early_ends: u32,
}

impl<D: Dialect> Subscription<D> {
    pub(super) fn new(options: SubscribeOptions<D::Topic>) -> Self {
        Self {
            position: options.since.clone(),
            log: None,
            invalidated_position: None,
            too_large_after: None,
            options,
            state: SubscriptionState::Pending,
            has_subscribed: false,
            reported: Reported::Interrupted,
            buffer: EventBuffer::default(),
            rejections: 0,
            accepted_at: Instant::START,
            early_ends: 0,
        }
    }

    /// Whether a subscribe command with this id waits for its reply.
    pub(super) fn is_subscribing(&self, id: u32) -> bool {
        match self.state {
            SubscriptionState::Subscribing { command, .. } => command == id,
            SubscriptionState::Pending
            | SubscriptionState::Subscribed
            | SubscriptionState::Delayed(_)
            | SubscriptionState::Paused => false,
        }
    }

    /// The position to start after in this log. It is kept while another log has not replied, since the session may return
    /// to the first one.
    pub(super) fn position_in(&self, log: usize) -> Option<&Position> {
        self.position.as_ref().filter(|_| self.is_of_log(log))
    }

    fn is_of_log(&self, log: usize) -> bool {
        self.log.is_none_or(|own| own == log)
    }

    pub(super) fn on_subscribed(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        result: Subscribed<D::Item>,
        log: usize,
    ) -> Effects<D> {
        if !self.is_of_log(log) {
            self.invalidate_position();
        }
        self.log = Some(log);
        self.state = SubscriptionState::Subscribed;
        self.rejections = 0;
        self.accepted_at = now;
        let mut effects = Effects::default();
        let to = result.position;
        let invalidated = self.invalidated_position.take();
        let (position, event) = match self.position.take() {
            // The delivered position counts, not that of the reply, which may be the channel's high watermark. An
            // offset is only valid in its own history: a recovery from another epoch is a gap.
            Some(previous)
                if result.is_recovered
                    && (previous.epoch == to.epoch || previous.epoch.is_empty()) =>
            {
                let position = Position {
                    offset: previous.offset,
                    epoch: to.epoch,
                };
                let subscribed_at = position.clone();
                let event = if self.has_subscribed {
                    SubscriptionEvent::Resumed {
                        position: subscribed_at,
                    }
                } else {
                    SubscriptionEvent::Subscribed {
                        position: subscribed_at,
                    }
                };
                (position, event)
            }
            None if invalidated.is_none() && !self.has_subscribed => {
                let position = to.clone();
                (to, SubscriptionEvent::Subscribed { position })
            }
            // The message above the limit belongs to another channel: nothing is missing.
            None if invalidated.as_ref() == Some(&to) && self.too_large_after == invalidated => {
                let position = to.clone();
                (to, SubscriptionEvent::Resumed { position })
            }
            previous => {
                let from = previous.or(invalidated);
                let event = SubscriptionEvent::Gap {
                    from,
                    to: to.clone(),
                };
                (to, event)
            }
        };
        self.position = Some(position);
        self.has_subscribed = true;
        self.reported = Reported::Active;
        self.buffer.add(self.options.has_bytes_max().then_some(0));
        effects.events.push((id, event));
        for (offset, item) in result.items {
            self.deliver(id, offset, item, &mut effects.events);
        }
        effects.unsubscribe = self.pause_if_full();
        effects
    }

    /// Delivers an item unless it was delivered before, and advances the position.
    pub(super) fn deliver(
        &mut self,
        id: SubscriptionId,
        offset: Option<u64>,
        item: D::Item,
        events: &mut Vec<(SubscriptionId, EventOf<D>)>,
    ) {
        if let Some(offset) = offset {
            let position = self.position.get_or_insert_default();
            if offset <= position.offset {
                return;
            }
            let before = offset - 1;
            // Without an epoch it is unknown where the offsets begin.
            if before > position.offset && !position.epoch.is_empty() {
                let from = Some(position.clone());
                position.offset = before;
                let to = position.clone();
                self.buffer.add(self.options.has_bytes_max().then_some(0));
                events.push((id, SubscriptionEvent::Gap { from, to }));
            }
            position.offset = offset;
        }
        let bytes = D::item_bytes(&item);
        self.buffer
            .add(self.options.has_bytes_max().then_some(bytes));
        events.push((id, SubscriptionEvent::Item(item)));
    }

    /// Items may be missing after the position.
    pub(super) fn on_items_missed(&mut self, id: SubscriptionId) -> Effects<D> {
        let from = self.position.clone();
        let to = from.clone().unwrap_or_default();
        self.buffer.add(self.options.has_bytes_max().then_some(0));
        Effects {
            events: vec![(id, SubscriptionEvent::Gap { from, to })],
            unsubscribe: self.pause_if_full(),
        }
    }

    /// Unsubscribes when the buffer is full; the server keeps the history.
    pub(super) fn pause_if_full(&mut self) -> Option<D::Topic> {
        if !self
            .buffer
            .exceeds(self.options.buffer_len_max, self.options.buffer_bytes_max)
        {
            return None;
        }
        self.state = SubscriptionState::Paused;
        Some(self.options.topic.clone())
    }

    /// The event that reports the end of a connection, or that the session has failed, if the application requested it
    /// and does not know it already. A failure that it has not read yet is not reported again, so that a session that is
    /// restarted in vain fills no buffer.
    pub(super) fn interrupt(
        &mut self,
        cause: &DisconnectCause,
        is_final: bool,
    ) -> Option<EventOf<D>> {
        if !self.options.reports_interruptions {
            return None;
        }
        let is_known = match (self.reported, is_final) {
            (Reported::Active, _) | (Reported::Interrupted, true) => false,
            (Reported::Interrupted | Reported::Failed, false) => true,
            (Reported::Failed, true) => !self.buffer.is_empty(),
        };
        if is_known {
            return None;
        }
        self.reported = if is_final {
            Reported::Failed
        } else {
            Reported::Interrupted
        };
        self.buffer.add(self.options.has_bytes_max().then_some(0));
        let cause = cause.clone();
        Some(SubscriptionEvent::Interrupted { cause, is_final })
    }

    /// The session has another connection, on which a position without an epoch means nothing.
    pub(super) fn on_switched(&mut self) {
        if self.has_subscribed && self.position.as_ref().is_some_and(|it| it.epoch.is_empty()) {
            self.position = None;
        }
    }

    /// Invalidates the position; the next reply is reported as a gap after it.
    pub(super) fn invalidate_position(&mut self) {
        if let Some(position) = self.position.take() {
            self.invalidated_position = Some(position);
        }
    }

    /// A message above the limit ended the connection. If this happens twice at the same position, the position becomes
    /// invalid.
    pub(super) fn on_message_too_large(&mut self) {
        if self.position.is_some() && self.position == self.too_large_after {
            return self.invalidate_position();
        }
        self.too_large_after.clone_from(&self.position);
    }

    /// A subscribe command was sent.
    pub(super) fn on_subscribe_sent(&mut self, now: Instant, command: u32) {
        let until = now + REPLY_TIMEOUT;
        self.state = SubscriptionState::Subscribing { command, until };
    }

    /// Unsubscribes when the reply is overdue; the subscription is requested again after a delay.
    pub(super) fn time_out_reply(&mut self, now: Instant) -> Option<D::Topic> {
        let SubscriptionState::Subscribing { until, .. } = self.state else {
            return None;
        };
        if now < until {
            return None;
        }
        let delay = self.next_retry_delay();
        self.delay(now + delay);
        Some(self.options.topic.clone())
    }

    /// The delay after a rejection; doubles each time.
    pub(super) fn next_retry_delay(&mut self) -> Duration {
        let delay = retry_delay(RETRY_DELAY_BASE, self.rejections);
        self.rejections = self.rejections.saturating_add(1).min(u32::BITS);
        delay
    }

    /// The delay after the server ended the subscription: none after a long one, and none the first time, so that a
    /// subscription that moves continues at once; then it doubles each time.
    pub(super) fn next_resubscribe_delay(&mut self, now: Instant) -> Option<Duration> {
        if now.saturating_since(self.accepted_at) >= RETRY_DELAY_MAX {
            self.early_ends = 0;
        }
        let earlier = self.early_ends.checked_sub(1);
        self.early_ends = self.early_ends.saturating_add(1).min(u32::BITS);
        earlier.map(|earlier| retry_delay(RETRY_DELAY_BASE, earlier))
    }

    pub(super) const fn delay(&mut self, until: Instant) {
        self.state = SubscriptionState::Delayed(until);
    }
}
