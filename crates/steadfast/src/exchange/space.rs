//! The free space of the outbox: a message is handed to the driver only when the outbox has space for it, so that none
//! is accepted and then dropped.
//!
//! Space is granted in the order of the requests, so the order of messages is that in which it was requested.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use steadfast_core::policy::OutboxSettings;

use super::reply_table::register;

/// Identifies a request that waits; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// The space of one message, until it is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    bytes: usize,
}

/// The free space, and who waits for it.
#[derive(Debug)]
pub(super) struct Space {
    messages: usize,
    bytes: usize,
    bytes_max: usize,
    /// The oldest request first.
    waiting: VecDeque<(Ticket, Option<Waker>)>,
    next_ticket: u64,
}

impl Space {
    pub(super) const fn new(settings: &OutboxSettings) -> Self {
        Self {
            messages: settings.messages_max,
            bytes: settings.bytes_max,
            bytes_max: settings.bytes_max,
            waiting: VecDeque::new(),
            next_ticket: 0,
        }
    }

    /// Takes the space of a message with this much data, unless there is none or others wait for it.
    pub(super) fn try_take(&mut self, bytes: usize) -> Option<Place> {
        if self.waiting.is_empty() {
            self.take(bytes)
        } else {
            None
        }
    }

    /// Takes the space of a message with this much data, or waits for it with a ticket. Ends with [`Self::cancel`] if
    /// the request is dropped. Also returns a task that is to be dropped outside of the lock.
    pub(super) fn poll_take(
        &mut self,
        bytes: usize,
        ticket: &mut Option<Ticket>,
        context: &Context<'_>,
    ) -> (Option<Place>, Option<Waker>) {
        if ticket.is_none()
            && let Some(place) = self.try_take(bytes)
        {
            return (Some(place), None);
        }
        let own = *ticket.get_or_insert_with(|| self.enqueue());
        let is_first = self.waiting.front().is_some_and(|(it, _)| *it == own);
        if is_first && let Some(place) = self.take(bytes) {
            *ticket = None;
            let own = self.waiting.pop_front();
            return (Some(place), own.and_then(|(_, waker)| waker));
        }
        let index = self.waiting.binary_search_by_key(&own, |(it, _)| *it);
        if let Ok(index) = index
            && let Some((_, waker)) = self.waiting.get_mut(index)
        {
            return (None, register(waker, context));
        }
        (None, None)
    }

    fn enqueue(&mut self) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.push_back((ticket, None));
        ticket
    }

    /// A request no longer waits. Returns its task, which is to be dropped outside of the lock.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> Option<Waker> {
        let index = self.waiting.binary_search_by_key(&ticket, |(it, _)| *it);
        self.waiting.remove(index.ok()?)?.1
    }

    /// Gives the space of a message back.
    pub(super) const fn give_back(&mut self, place: Place) {
        self.messages += 1;
        self.bytes += place.bytes;
    }

    /// The task whose request is the next one; woken when the space, or who waits for it, has changed.
    pub(super) fn next(&mut self) -> Option<Waker> {
        self.waiting.front_mut()?.1.take()
    }

    /// All tasks that wait.
    pub(super) fn take_wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.waiting
            .iter_mut()
            .filter_map(|(_, waker)| waker.take())
    }

    /// A message that can never fit takes an empty outbox, which then rejects it.
    fn take(&mut self, bytes: usize) -> Option<Place> {
        let bytes = bytes.min(self.bytes_max);
        if self.messages == 0 || self.bytes < bytes {
            return None;
        }
        self.messages -= 1;
        self.bytes -= bytes;
        Some(Place { bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults;

    fn space() -> Space {
        Space::new(&defaults::OUTBOX.messages_max(2).bytes_max(10))
    }

    fn poll(space: &mut Space, bytes: usize, ticket: &mut Option<Ticket>) -> Option<Place> {
        space
            .poll_take(bytes, ticket, &Context::from_waker(Waker::noop()))
            .0
    }

    #[test]
    fn space_is_limited_by_count_and_by_bytes_and_is_free_again_when_it_is_given_back() {
        let mut space = space();

        let first = space.try_take(9).unwrap();
        let by_bytes = space.try_take(2);
        let second = space.try_take(1).unwrap();
        let by_count = space.try_take(0);

        assert_eq!((by_bytes, by_count), (None, None));
        space.give_back(first);
        space.give_back(second);
        assert!(space.try_take(usize::MAX).is_some());
        assert_eq!(space.try_take(1), None);
    }

    #[test]
    fn a_small_message_does_not_overtake_a_large_one_that_waits() {
        let mut space = space();
        let first = space.try_take(5).unwrap();
        let (mut large, mut small) = (None, None);

        assert_eq!(poll(&mut space, 10, &mut large), None);
        assert_eq!(space.try_take(1), None);
        assert_eq!(poll(&mut space, 1, &mut small), None);
        space.give_back(first);
        assert!(space.next().is_some());
        assert_eq!(poll(&mut space, 1, &mut small), None);

        let place = poll(&mut space, 10, &mut large).unwrap();
        space.give_back(place);
        assert!(poll(&mut space, 1, &mut small).is_some());
        assert_eq!((large, small), (None, None));
    }

    #[test]
    fn a_request_that_no_longer_waits_leaves_its_turn_to_the_next_one() {
        let mut space = space();
        let all = space.try_take(10).unwrap();
        let (mut first, mut second) = (None, None);
        assert_eq!(poll(&mut space, 1, &mut first), None);
        assert_eq!(poll(&mut space, 1, &mut second), None);

        space.give_back(all);
        assert!(space.cancel(first.unwrap()).is_some());

        assert!(space.next().is_some());
        assert!(poll(&mut space, 1, &mut second).is_some());
    }
}
