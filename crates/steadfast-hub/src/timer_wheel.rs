//! One coarse timer wheel for the deadlines of all peers of a hub.
//!
//! A tick is 100 ms: coarse enough that ten thousand pings cost at most ten wake-ups a second, fine enough for
//! deadlines of seconds. A peer has at most one valid entry, its next deadline of any kind; adding an earlier entry
//! makes the old entry stale, and stale entries are dropped when they expire. The timer wheel does not distinguish
//! kinds of deadlines.

use std::time::Duration;

use steadfast_machine::{Instant, convert};

use crate::ids::PeerId;

/// The length of a tick.
pub const TICK: Duration = Duration::from_nanos(TICK_NANOS);
const TICK_NANOS: u64 = 100_000_000;

/// Ticks in one revolution of the wheel: 51.2 s. Later deadlines are stored in the last slot and added again from
/// there.
const SLOTS: usize = 512;
const SLOTS_U64: u64 = convert::to_u64(SLOTS);

/// A deadline, rounded up to a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TickNumber(u64);

impl TickNumber {
    /// The first tick that is not before `deadline`.
    pub(crate) fn at_or_after(deadline: Instant) -> Self {
        Self(deadline.as_nanos().div_ceil(TICK_NANOS))
    }

    /// The last tick that is not after `now`.
    fn at_or_before(now: Instant) -> Self {
        Self(now.as_nanos() / TICK_NANOS)
    }

    fn instant(self) -> Instant {
        Instant::from_nanos(self.0.saturating_mul(TICK_NANOS))
    }
}

/// A peer whose deadline may have passed. The entry is valid only if the peer is still scheduled for this tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerEntry {
    pub(crate) peer: PeerId,
    pub(crate) tick: TickNumber,
}

/// A timer wheel with one level.
#[derive(Debug)]
pub(crate) struct TimerWheel {
    slots: Vec<Vec<TimerEntry>>,
    /// The last tick whose slot was processed.
    done: u64,
    entries: usize,
}

impl TimerWheel {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            slots: vec![Vec::new(); SLOTS],
            done: TickNumber::at_or_before(now).0,
            entries: 0,
        }
    }

    /// Adds a deadline; a deadline that has passed expires at the next tick.
    pub(crate) fn add(&mut self, entry: TimerEntry) {
        let tick = entry.tick.0.clamp(self.done + 1, self.done + SLOTS_U64 - 1);
        if let Some(slot) = self.slot_mut(tick) {
            slot.push(entry);
            self.entries += 1;
        }
    }

    /// Removes all entries that have expired by `now`, in the order of slots.
    pub(crate) fn advance(&mut self, now: Instant, due: &mut Vec<TimerEntry>) {
        let target = TickNumber::at_or_before(now).0;
        let mut early = Vec::new();
        // After more than one revolution, every slot has been visited once: the remaining ticks are empty.
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
            // Keep the allocation of the slot, unless a rare burst has made it large.
            if let Some(stored) = self.slot_mut(self.done).filter(|_| slot.capacity() <= 1024) {
                *stored = slot;
            }
        }
        self.done = target.max(self.done);
        for entry in early {
            self.add(entry);
        }
    }

    /// The next tick at which an entry may expire.
    pub(crate) fn next(&self) -> Option<Instant> {
        if self.entries == 0 {
            return None;
        }
        (self.done + 1..self.done + SLOTS_U64)
            .find(|tick| self.slot(*tick).is_some_and(|slot| !slot.is_empty()))
            .map(|tick| TickNumber(tick).instant())
    }

    fn slot(&self, tick: u64) -> Option<&Vec<TimerEntry>> {
        self.slots.get(slot_index(tick))
    }

    fn slot_mut(&mut self, tick: u64) -> Option<&mut Vec<TimerEntry>> {
        self.slots.get_mut(slot_index(tick))
    }
}

/// The index of the slot to which a tick belongs.
fn slot_index(tick: u64) -> usize {
    usize::try_from(tick % SLOTS_U64).expect("below the number of slots")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_never_expires_early_and_at_most_one_tick_late() {
        let mut wheel = TimerWheel::new(Instant::START);
        let deadlines: Vec<u64> = vec![1, 99, 100, 101, 950, 51_000, 51_200, 52_000, 250_000];
        for (index, millis) in (0_u32..).zip(&deadlines) {
            wheel.add(entry(index, *millis));
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
                "{deadline} expired at {at}"
            );
        }
    }

    #[test]
    fn a_driver_that_was_suspended_for_many_revolutions_gets_all_entries_at_once() {
        let mut wheel = TimerWheel::new(Instant::START);
        wheel.add(entry(0, 500));
        wheel.add(entry(1, 200_000));
        let mut due = Vec::new();

        wheel.advance(Instant::START + Duration::from_hours(1), &mut due);

        assert_eq!(due.len(), 2);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn a_deadline_in_the_past_expires_at_the_next_tick() {
        let mut wheel = TimerWheel::new(Instant::START + Duration::from_secs(10));
        wheel.add(entry(0, 5));

        assert_eq!(
            wheel.next(),
            Some(Instant::START + Duration::from_millis(10_100))
        );
    }

    #[test]
    fn nothing_wakes_the_driver_before_the_earliest_deadline_of_this_revolution() {
        let mut wheel = TimerWheel::new(Instant::START + Duration::from_secs(1));
        let next_millis = |wheel: &TimerWheel| wheel.next().map(|at| at.as_nanos() / 1_000_000);

        wheel.add(entry(0, 40_000));
        assert_eq!(next_millis(&wheel), Some(40_000));
        wheel.add(entry(1, 7_000));
        assert_eq!(next_millis(&wheel), Some(7_000));
        wheel.add(entry(2, 9_000));
        assert_eq!(next_millis(&wheel), Some(7_000));

        wheel.advance(Instant::START + Duration::from_secs(7), &mut Vec::new());
        assert_eq!(next_millis(&wheel), Some(9_000));
    }

    fn entry(index: u32, millis: u64) -> TimerEntry {
        let deadline = Instant::START + Duration::from_millis(millis);
        TimerEntry {
            peer: PeerId {
                index,
                generation: 0,
            },
            tick: TickNumber::at_or_after(deadline),
        }
    }
}
