//! The lanes of the outbox, one for each channel that has something in it: how much of it is under way, and whether
//! the server has asked for patience.
//!
//! After a refusal that passes, a lane sends one publication at a time until one of these is taken, so that nothing
//! further can overtake the one that was refused. So it does after a loss, when a server is most likely to refuse.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_machine::Instant;

/// The longest pause between two tries of a lane.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// One lane.
#[derive(Debug, Default)]
struct Lane {
    /// Publications in it.
    items: usize,
    /// Those that wait for an answer.
    under_way: usize,
    /// One at a time, until one of these is taken.
    is_careful: bool,
    /// What is under way was sent with care.
    is_proving: bool,
    /// Refusals since the care began.
    refusals: u32,
    /// Nothing of it is sent before this.
    held_until: Option<Instant>,
}

/// All lanes. A place of [`Self::enter`] stays valid until its last item has left.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    all: Vec<Lane>,
    free: Vec<usize>,
    by_channel: BTreeMap<String, usize>,
}

impl Lanes {
    /// A publication of this channel comes in; returns the place of its lane.
    pub(super) fn enter(&mut self, channel: &str) -> usize {
        let place = if let Some(place) = self.by_channel.get(channel) {
            *place
        } else {
            let place = self.free.pop().unwrap_or_else(|| {
                self.all.push(Lane::default());
                self.all.len() - 1
            });
            self.by_channel.insert(channel.to_owned(), place);
            place
        };
        self.change(place, |lane| lane.items += 1);
        place
    }

    /// A publication that is not under way leaves.
    pub(super) fn leave(&mut self, place: usize, channel: &str) {
        let Some(lane) = self.all.get_mut(place) else {
            return;
        };
        lane.items -= 1;
        if lane.items == 0 {
            *lane = Lane::default();
            self.by_channel.remove(channel);
            self.free.push(place);
        }
    }

    /// Whether its next publication may be sent while others, at most `window` in all, are under way.
    pub(super) fn may_send(&self, place: usize, now: Instant, window: usize) -> bool {
        self.all.get(place).is_some_and(|lane| {
            let window = if lane.is_careful { 1 } else { window };
            lane.under_way < window && lane.held_until.is_none_or(|until| now >= until)
        })
    }

    /// One was sent.
    pub(super) fn sent(&mut self, place: usize) {
        self.change(place, |lane| {
            lane.under_way += 1;
            lane.is_proving = lane.is_careful;
        });
    }

    /// One is not under way any more.
    pub(super) fn came_back(&mut self, place: usize) {
        self.change(place, |lane| lane.under_way -= 1);
    }

    /// The server took one that was under way.
    pub(super) fn taken(&mut self, place: usize) {
        self.change(place, |lane| {
            if lane.is_proving {
                lane.is_careful = false;
                lane.is_proving = false;
                lane.refusals = 0;
            }
        });
    }

    /// The server could not take one; returns the pause that this asks for. What was under way together is refused
    /// together, and counts once.
    pub(super) fn refused(&mut self, place: usize, pause: Duration) -> Duration {
        let mut longer = pause;
        self.change(place, |lane| {
            let is_another = !lane.is_careful || lane.is_proving;
            lane.refusals = lane.refusals.saturating_add(u32::from(is_another));
            lane.is_careful = true;
            lane.is_proving = false;
            let doublings = lane.refusals.saturating_sub(1);
            let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
            longer = pause.saturating_mul(factor).min(PAUSE_MAX.max(pause));
        });
        longer
    }

    /// Nothing is sent before this. The longest of several pauses counts: what was under way together is refused
    /// together, and only one of the answers may say for how long.
    pub(super) fn hold(&mut self, place: usize, until: Instant) {
        self.change(place, |lane| {
            lane.held_until = lane.held_until.max(Some(until));
        });
    }

    /// The connection is gone, and with it what was under way. The next one is used at once, but with care.
    pub(super) fn lost(&mut self) {
        for lane in &mut self.all {
            lane.under_way = 0;
            lane.is_careful = lane.items > 0;
            lane.is_proving = false;
            lane.held_until = None;
        }
    }

    /// When the first pause is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.all.iter().filter_map(|lane| lane.held_until).min()
    }

    /// Ends the pauses that are over.
    pub(super) fn wake(&mut self, now: Instant) {
        for lane in &mut self.all {
            lane.held_until = lane.held_until.filter(|until| now < *until);
        }
    }

    /// Everything has left.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn change(&mut self, place: usize, change: impl FnOnce(&mut Lane)) {
        if let Some(lane) = self.all.get_mut(place) {
            change(lane);
        }
    }
}
