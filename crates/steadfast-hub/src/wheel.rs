//! One coarse wheel for the timers of all peers of a hub.
//!
//! A tick is 100 ms: coarse enough that ten thousand pings cost a handful of wake-ups a second, fine enough for
//! deadlines of seconds. A peer has at most one valid entry, its next deadline of any kind; entering an earlier one
//! makes the old one stale, and stale entries are dropped when they come up. The wheel knows no kinds of timers.

use std::time::Duration;

use steadfast_machine::Instant;

use crate::io::PeerId;

/// The length of a tick.
pub const TICK: Duration = Duration::from_millis(100);

/// Ticks in one turn of the wheel: 51.2 s. Later deadlines wait in the last slot and are entered again from there.
const SLOTS: usize = 512;
const SLOTS_U64: u64 = 512;

/// A deadline, rounded up to a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TickNumber(u64);

impl TickNumber {
    /// The first tick that is not before `deadline`.
    pub(crate) fn at_or_after(deadline: Instant) -> Self {
        Self(deadline.as_nanos().div_ceil(tick_nanos()))
    }

    /// The last tick that is not after `now`.
    fn at_or_before(now: Instant) -> Self {
        Self(now.as_nanos() / tick_nanos())
    }

    fn instant(self) -> Instant {
        Instant::from_nanos(self.0.saturating_mul(tick_nanos()))
    }
}

fn tick_nanos() -> u64 {
    u64::try_from(TICK.as_nanos()).unwrap_or(u64::MAX)
}

/// A peer whose deadline may have come. Valid only if the peer still waits for this very tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) peer: PeerId,
    pub(crate) tick: TickNumber,
}

/// The wheel.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Vec<Vec<Due>>,
    /// The last tick that was taken out.
    done: u64,
    entries: usize,
}

impl Wheel {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            slots: vec![Vec::new(); SLOTS],
            done: TickNumber::at_or_before(now).0,
            entries: 0,
        }
    }

    /// Enters a deadline; one that has passed comes up at the next tick.
    pub(crate) fn enter(&mut self, due: Due) {
        let tick = due.tick.0.clamp(self.done + 1, self.done + SLOTS_U64 - 1);
        if let Some(slot) = self.slot_mut(tick) {
            slot.push(due);
            self.entries += 1;
        }
    }

    /// Takes out everything that has come up by `now`, in order of ticks.
    pub(crate) fn advance(&mut self, now: Instant, due: &mut Vec<Due>) {
        let target = TickNumber::at_or_before(now).0;
        let mut early = Vec::new();
        // More than one turn behind, every slot has come up once: the rest of the ticks are empty.
        let last = target.min(self.done.saturating_add(SLOTS_U64));
        while self.done < last {
            self.done += 1;
            let mut slot = self
                .slot_mut(self.done)
                .map(std::mem::take)
                .unwrap_or_default();
            self.entries -= slot.len();
            for entry in slot.drain(..) {
                let list = if entry.tick.0 <= target {
                    &mut *due
                } else {
                    &mut early
                };
                list.push(entry);
            }
            // Give the allocation back to its slot, but not one that a rare crowd has blown up.
            if let Some(place) = self.slot_mut(self.done).filter(|_| slot.capacity() <= 1024) {
                *place = slot;
            }
        }
        self.done = target.max(self.done);
        for entry in early {
            self.enter(entry);
        }
    }

    /// The next tick at which something may come up.
    pub(crate) fn next(&self) -> Option<Instant> {
        if self.entries == 0 {
            return None;
        }
        (self.done + 1..self.done + SLOTS_U64)
            .find(|tick| self.slot(*tick).is_some_and(|slot| !slot.is_empty()))
            .map(|tick| TickNumber(tick).instant())
    }

    fn slot(&self, tick: u64) -> Option<&Vec<Due>> {
        self.slots
            .get(usize::try_from(tick % SLOTS_U64).unwrap_or(0))
    }

    fn slot_mut(&mut self, tick: u64) -> Option<&mut Vec<Due>> {
        self.slots
            .get_mut(usize::try_from(tick % SLOTS_U64).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_never_comes_up_early_and_at_most_one_tick_late() {
        let mut wheel = Wheel::new(Instant::START);
        let deadlines: Vec<u64> = vec![1, 99, 100, 101, 950, 51_000, 51_200, 52_000, 250_000];
        for (index, millis) in (0_u32..).zip(&deadlines) {
            wheel.enter(entry(index, *millis));
        }

        let mut seen = Vec::new();
        while let Some(next) = wheel.next() {
            let mut due = Vec::new();
            wheel.advance(next, &mut due);
            seen.extend(
                due.iter()
                    .map(|due| (due.peer.index, next.as_nanos() / 1_000_000)),
            );
        }

        assert_eq!(seen.len(), deadlines.len());
        for (index, at) in seen {
            let deadline = deadlines[usize::try_from(index).unwrap()];
            assert!(
                at >= deadline && at < deadline + 100,
                "{deadline} came up at {at}"
            );
        }
    }

    #[test]
    fn a_driver_that_slept_through_many_turns_gets_everything_at_once() {
        let mut wheel = Wheel::new(Instant::START);
        wheel.enter(entry(0, 500));
        wheel.enter(entry(1, 200_000));
        let mut due = Vec::new();

        wheel.advance(Instant::START + Duration::from_hours(1), &mut due);

        assert_eq!(due.len(), 2);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn a_deadline_in_the_past_comes_up_at_the_next_tick() {
        let mut wheel = Wheel::new(Instant::START + Duration::from_secs(10));
        wheel.enter(entry(0, 5));

        assert_eq!(
            wheel.next(),
            Some(Instant::START + Duration::from_millis(10_100))
        );
    }

    fn entry(index: u32, millis: u64) -> Due {
        let deadline = Instant::START + Duration::from_millis(millis);
        Due {
            peer: PeerId {
                index,
                generation: 0,
            },
            tick: TickNumber::at_or_after(deadline),
        }
    }
}
