//! The places of calls: each call has one from when it is made until it has its outcome, so that there are never more
//! calls than the session accepts.
//!
//! Those who wait for a place have no order: all of them are woken when one is free, because any of them may have lost
//! interest without saying so, and would keep a place that was reserved for it.

use std::collections::BTreeMap;
use std::mem;
use std::task::Waker;

/// The free places, and who waits for one.
#[derive(Debug)]
pub(super) struct CallSpace {
    free: usize,
    /// The tasks that wait, at most one for each reservation that exists.
    waiting: BTreeMap<u64, Waker>,
    #[cfg(feature = "tower")]
    next_ticket: u64,
}

impl CallSpace {
    pub(super) const fn new(calls_max: usize) -> Self {
        Self {
            free: calls_max,
            waiting: BTreeMap::new(),
            #[cfg(feature = "tower")]
            next_ticket: 0,
        }
    }

    /// Takes a place, if one is free.
    pub(super) const fn take(&mut self) -> bool {
        let is_free = self.free > 0;
        if is_free {
            self.free -= 1;
        }
        is_free
    }

    pub(super) const fn give_back(&mut self) {
        self.free += 1;
    }

    /// The tasks to wake, if a place is free: all that wait.
    pub(super) fn take_wakers_if_free(&mut self) -> impl Iterator<Item = Waker> + use<> {
        let waiting = if self.free > 0 {
            self.take_waiting()
        } else {
            BTreeMap::new()
        };
        waiting.into_values()
    }

    /// All tasks that wait.
    pub(super) fn take_wakers(&mut self) -> impl Iterator<Item = Waker> + use<> {
        self.take_waiting().into_values()
    }

    fn take_waiting(&mut self) -> BTreeMap<u64, Waker> {
        mem::take(&mut self.waiting)
    }
}

#[cfg(feature = "tower")]
impl CallSpace {
    /// Takes a place, or wakes this task once when one is free. The ticket identifies the reservation from its first wait
    /// on. Also returns a task that is to be dropped outside of the lock.
    pub(super) fn poll_take(
        &mut self,
        ticket: &mut Option<u64>,
        waker: &Waker,
    ) -> (bool, Option<Waker>) {
        if self.take() {
            return (true, ticket.and_then(|it| self.waiting.remove(&it)));
        }
        let ticket = *ticket.get_or_insert_with(|| {
            let ticket = self.next_ticket;
            self.next_ticket += 1;
            ticket
        });
        (false, self.waiting.insert(ticket, waker.clone()))
    }

    /// A reservation no longer waits. Returns its task, which is to be dropped outside of the lock.
    pub(super) fn forget(&mut self, ticket: u64) -> Option<Waker> {
        self.waiting.remove(&ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_calls_and_each_is_free_again_when_it_is_given_back() {
        let mut space = CallSpace::new(2);

        let taken = [space.take(), space.take(), space.take()];
        space.give_back();

        assert_eq!(taken, [true, true, false]);
        assert_eq!([space.take(), space.take()], [true, false]);
    }

    #[cfg(feature = "tower")]
    #[test]
    fn all_that_wait_are_woken_when_a_place_is_free_and_none_before() {
        let mut space = CallSpace::new(1);
        let (mut first, mut second, mut third) = (None, None, None);
        assert!(space.take());
        for ticket in [&mut first, &mut second, &mut third] {
            assert!(!space.poll_take(ticket, Waker::noop()).0);
        }
        assert!(space.poll_take(&mut second, Waker::noop()).1.is_some());
        assert!(space.forget(third.unwrap()).is_some());

        let before = space.take_wakers_if_free().count();
        space.give_back();
        let after = space.take_wakers_if_free().count();

        assert_eq!((before, after), (0, 2));
        assert!(space.poll_take(&mut second, Waker::noop()).0);
        assert!(!space.poll_take(&mut first, Waker::noop()).0);
        assert_eq!(space.take_wakers().count(), 1);
    }
}
