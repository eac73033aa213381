//! Publications on their way: queued, sent, unanswered. Each ends in exactly one outcome.
//!
//! One class: keyed, at least once, so effectively once as long as the server remembers the key. Nothing leaves before
//! its answer; after a loss what is unanswered is sent again with its key, in the original order and before anything
//! newer; so is what a living server does not answer in time. It encodes nothing: the session does.
//!
//! Publications of one channel are sent in the order in which they were handed in, and stored in it, over losses and
//! repeats. One thing can break it: a server that cannot take one at the moment may have taken those of its channel
//! that were under way behind it. Nothing that is sent later overtakes. With a window of one for each channel nothing
//! is under way behind another, and the order holds whatever happens.

mod item;
mod lanes;

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_machine::Instant;

use crate::io::{Delivery, DropReason, PublicationId, Publish};
use crate::policy::OutboxSettings;
use item::Item;
use lanes::Lanes;

/// The queue.
#[derive(Debug)]
pub(crate) struct Outbox {
    settings: OutboxSettings,
    /// Oldest first, sent or not.
    items: VecDeque<Item>,
    lanes: Lanes,
    bytes: usize,
    /// Those under way.
    unanswered: usize,
}

impl Outbox {
    pub(crate) fn new(settings: OutboxSettings) -> Self {
        Self {
            settings,
            items: VecDeque::new(),
            lanes: Lanes::default(),
            bytes: 0,
            unanswered: 0,
        }
    }

    /// Takes a publication in, unless it is full.
    pub(crate) fn offer(&mut self, now: Instant, publish: Publish) -> Option<Delivery> {
        let bytes = self.bytes.saturating_add(publish.data.len());
        if self.items.len() >= self.settings.messages_max || bytes > self.settings.bytes_max {
            return Some(Delivery::Dropped(DropReason::OutboxFull));
        }
        self.bytes = bytes;
        let lane = self.lanes.enter(&publish.channel);
        self.items.push_back(Item::new(now, publish, lane));
        None
    }

    /// The next publication to be sent, if the windows and the order allow one; it counts as sent with this command.
    /// What is over by time is not sent, although nobody may have looked at the clock yet: a process that stood still
    /// reads what its socket holds before it hears of its deadlines.
    pub(crate) fn send_next(&mut self, now: Instant, command: u32) -> Option<&Publish> {
        if self.unanswered >= self.settings.window || self.queued() == 0 {
            return None;
        }
        let (lanes, window) = (&self.lanes, self.settings.channel_window);
        let key_window = self.settings.key_window;
        // A lane that may not send holds back all that is behind in it, so the first that may is the right one.
        let may_go = |it: &&mut Item| {
            !it.is_under_way()
                && lanes.may_send(it.lane, now, window)
                && !it.is_over(now, key_window)
        };
        let item = self.items.iter_mut().find(may_go)?;
        item.send(now, command, &self.settings);
        self.unanswered += 1;
        self.lanes.sent(item.lane);
        Some(&item.publish)
    }

    /// Whether this command carries a publication that has no outcome yet, or did.
    pub(crate) fn carries(&self, command: u32) -> bool {
        self.place_of(command).is_some()
    }

    /// The server has applied the publication that this command carried, maybe long after it was sent again.
    pub(crate) fn taken(&mut self, command: u32) -> Option<PublicationId> {
        let place = self.place_of(command)?;
        let item = self.items.remove(place)?;
        if item.is_under_way() {
            self.lanes.taken(item.lane);
        }
        self.forget(&item);
        Some(item.publish.id)
    }

    /// The server could not take it at the moment: its channel pauses, at least for the hint, and it is sent again.
    /// The pause is stretched, so that all who were refused do not come at the same time.
    pub(crate) fn postpone(
        &mut self,
        now: Instant,
        command: u32,
        hint: Option<Duration>,
        may_be_applied: bool,
        stretch: impl FnOnce(Duration) -> Duration,
    ) {
        let Some(place) = self.note_refusal(command, may_be_applied) else {
            return;
        };
        let Some(lane) = self.items.get(place).map(|item| item.lane) else {
            return;
        };
        let pause = self.lanes.refused(lane, self.settings.retry_after);
        let pause = stretch(hint.unwrap_or_default().max(pause));
        self.lanes.hold(lane, now + pause);
    }

    /// The server refuses it for good: it ends with this, unless another sending of it may have been applied.
    pub(crate) fn refuse(
        &mut self,
        command: u32,
        refused: Delivery,
    ) -> Option<(PublicationId, Delivery)> {
        let place = self.note_refusal(command, false)?;
        let item = self.items.remove(place)?;
        self.forget(&item);
        Some((item.publish.id, item.outcome(refused)))
    }

    /// The connection is gone, and no answer can come any more.
    pub(crate) fn lost(&mut self) {
        self.lanes.lost();
        self.unanswered = 0;
        for item in &mut self.items {
            item.lose();
        }
    }

    /// What is over: expired, or sent so long ago that a repeat could be applied twice. What the server has not
    /// answered in time is to be sent again, but not while the transport is clogged with what was sent before.
    pub(crate) fn expire(
        &mut self,
        now: Instant,
        is_clogged: bool,
    ) -> Vec<(PublicationId, Delivery)> {
        self.lanes.wake(now);
        let settings = self.settings;
        let mut over = Vec::new();
        let mut items = std::mem::take(&mut self.items);
        items.retain_mut(|item| {
            if item.is_overdue(now) && !(is_clogged && item.wait_on(now, &settings)) {
                item.time_out();
                self.came_back(item.lane);
            }
            let is_over = item.is_over(now, settings.key_window);
            if is_over {
                over.push((item.publish.id, item.outcome(Delivery::Expired)));
                self.forget(item);
            }
            !is_over
        });
        self.items = items;
        over
    }

    /// Everything that is left, because the session ends.
    pub(crate) fn abandon(&mut self) -> Vec<(PublicationId, Delivery)> {
        self.bytes = 0;
        self.unanswered = 0;
        self.lanes.clear();
        let closed = || Delivery::Dropped(DropReason::Closed);
        let ended = |item: Item| (item.publish.id, item.outcome(closed()));
        self.items.drain(..).map(ended).collect()
    }

    /// When something here is over, or may be sent again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let window = self.settings.key_window;
        let items = self.items.iter().filter_map(|item| item.deadline(window));
        items.chain(self.lanes.deadline()).min()
    }

    /// Publications that were sent and not answered.
    pub(crate) const fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Publications that wait to be sent, for the first time or again.
    pub(crate) fn queued(&self) -> usize {
        self.items.len() - self.unanswered
    }

    /// True when nothing is left to be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn place_of(&self, command: u32) -> Option<usize> {
        self.items
            .iter()
            .position(|item| item.is_carried_by(command))
    }

    /// Takes the refusal of a command down. Returns the place of its publication when it is the newest sending: what
    /// becomes of a newer one decides.
    fn note_refusal(&mut self, command: u32, may_be_applied: bool) -> Option<usize> {
        let place = self.place_of(command)?;
        let item = self.items.get_mut(place)?;
        let was_under_way = item.is_under_way();
        let is_newest = item.refused(command, may_be_applied);
        let came_back = (was_under_way && !item.is_under_way()).then_some(item.lane);
        if let Some(lane) = came_back {
            self.came_back(lane);
        }
        is_newest.then_some(place)
    }

    fn came_back(&mut self, lane: usize) {
        self.unanswered -= 1;
        self.lanes.came_back(lane);
    }

    /// An item that is not in the queue any more.
    fn forget(&mut self, item: &Item) {
        self.bytes = self.bytes.saturating_sub(item.publish.data.len());
        if item.is_under_way() {
            self.came_back(item.lane);
        }
        self.lanes.leave(item.lane, &item.publish.channel);
    }
}
