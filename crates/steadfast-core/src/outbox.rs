//! Publications on their way: queued, sent, unanswered. Each ends in exactly one outcome.
//!
//! One class: keyed, at least once, so effectively once as long as the server remembers the key. Nothing leaves before
//! its answer; after a loss what is unanswered is sent again with its key, in the original order and before anything
//! newer. It encodes nothing: the session does.

use std::collections::VecDeque;

use steadfast_machine::Instant;

use crate::io::{Delivery, DropReason, PublicationId, Publish};
use crate::policy::OutboxSettings;

/// One publication.
#[derive(Debug)]
struct Item {
    publish: Publish,
    /// Nobody wants it after this.
    expires_at: Option<Instant>,
    /// When it was sent for the first time: from then on it may have been applied.
    first_sent_at: Option<Instant>,
    /// The command that carries it on the present connection.
    command: Option<u32>,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Outbox {
    settings: OutboxSettings,
    /// Oldest first; those with a command are unanswered.
    items: VecDeque<Item>,
    bytes: usize,
    /// The server could not take something at the moment.
    paused_until: Option<Instant>,
}

impl Outbox {
    pub(crate) const fn new(settings: OutboxSettings) -> Self {
        Self {
            settings,
            items: VecDeque::new(),
            bytes: 0,
            paused_until: None,
        }
    }

    /// Takes a publication in, unless it is full.
    pub(crate) fn offer(&mut self, now: Instant, publish: Publish) -> Option<Delivery> {
        let bytes = self.bytes.saturating_add(publish.data.len());
        if self.items.len() >= self.settings.messages_max || bytes > self.settings.bytes_max {
            return Some(Delivery::Dropped(DropReason::OutboxFull));
        }
        self.bytes = bytes;
        self.items.push_back(Item {
            expires_at: publish.ttl.map(|ttl| now + ttl),
            publish,
            first_sent_at: None,
            command: None,
        });
        None
    }

    /// The next publication to be sent, if the window and the order allow one; it counts as sent with this command.
    pub(crate) fn send_next(&mut self, now: Instant, command: u32) -> Option<&Publish> {
        if self.paused_until.is_some_and(|until| now < until)
            || self.unanswered() >= self.settings.window
        {
            return None;
        }
        let item = self.items.iter_mut().find(|item| item.command.is_none())?;
        item.command = Some(command);
        item.first_sent_at.get_or_insert(now);
        Some(&item.publish)
    }

    /// The publication that this command carried is answered for good.
    pub(crate) fn settle(&mut self, command: u32) -> Option<PublicationId> {
        let place = self.place_of(command)?;
        let item = self.items.remove(place)?;
        self.bytes = self.bytes.saturating_sub(item.publish.data.len());
        Some(item.publish.id)
    }

    /// The server could not take it at the moment: it is sent again after a pause. True when the command was one of
    /// these.
    pub(crate) fn postpone(&mut self, now: Instant, command: u32) -> bool {
        let Some(item) = self
            .place_of(command)
            .and_then(|place| self.items.get_mut(place))
        else {
            return false;
        };
        item.command = None;
        self.paused_until = Some(now + self.settings.retry_after);
        true
    }

    /// The connection is gone, and no answer can come any more.
    pub(crate) fn lost(&mut self) {
        self.paused_until = None;
        for item in &mut self.items {
            item.command = None;
        }
    }

    /// What is over: expired, or sent so long ago that a repeat could be applied twice.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<(PublicationId, Delivery)> {
        let window = self.settings.key_window;
        let mut over = Vec::new();
        let mut freed = 0;
        self.items.retain(|item| {
            let Some(delivery) = item.over(now, window) else {
                return true;
            };
            freed += item.publish.data.len();
            over.push((item.publish.id, delivery));
            false
        });
        self.bytes = self.bytes.saturating_sub(freed);
        over
    }

    /// Everything that is left, because the session ends.
    pub(crate) fn abandon(&mut self) -> Vec<(PublicationId, Delivery)> {
        self.bytes = 0;
        self.paused_until = None;
        let ended = |item: Item| {
            let delivery = match item.first_sent_at {
                Some(_) => Delivery::Interrupted {
                    maybe_delivered: true,
                },
                None => Delivery::Dropped(DropReason::Closed),
            };
            (item.publish.id, delivery)
        };
        self.items.drain(..).map(ended).collect()
    }

    /// When something here expires or may be sent again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let window = self.settings.key_window;
        let items = self.items.iter().filter_map(|item| item.ends_at(window));
        items.chain(self.paused_until).min()
    }

    /// The pause is over.
    pub(crate) fn wake(&mut self, now: Instant) {
        self.paused_until = self.paused_until.filter(|until| now < *until);
    }

    /// Publications that were sent and not answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.items
            .iter()
            .filter(|item| item.command.is_some())
            .count()
    }

    /// Publications that wait to be sent, for the first time or again.
    pub(crate) fn queued(&self) -> usize {
        self.items.len() - self.unanswered()
    }

    /// True when nothing is left to be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn place_of(&self, command: u32) -> Option<usize> {
        self.items
            .iter()
            .position(|item| item.command == Some(command))
    }
}

impl Item {
    fn over(&self, now: Instant, window: std::time::Duration) -> Option<Delivery> {
        if self.ends_at(window).is_none_or(|at| now < at) {
            return None;
        }
        Some(match self.first_sent_at {
            Some(_) => Delivery::Interrupted {
                maybe_delivered: true,
            },
            None => Delivery::Expired,
        })
    }

    /// What is under way waits for its answer; else its own time counts, and that of the server's memory for keys.
    fn ends_at(&self, window: std::time::Duration) -> Option<Instant> {
        if self.command.is_some() {
            return None;
        }
        let forgotten_at = self.first_sent_at.map(|sent| sent + window);
        [self.expires_at, forgotten_at].into_iter().flatten().min()
    }
}
