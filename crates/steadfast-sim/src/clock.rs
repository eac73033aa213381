//! Virtual time: a queue of what happens next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use steadfast_machine::Instant;

/// Events in order of time; those at one instant in the order in which they were planned.
#[derive(Debug)]
pub(crate) struct Clock<E> {
    now: Instant,
    planned: u64,
    queue: BinaryHeap<Reverse<Planned<E>>>,
}

#[derive(Debug)]
struct Planned<E> {
    at: Instant,
    number: u64,
    event: E,
}

impl<E> Clock<E> {
    pub(crate) const fn new() -> Self {
        Self {
            now: Instant::START,
            planned: 0,
            queue: BinaryHeap::new(),
        }
    }

    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// Plans an event; one in the past happens now.
    pub(crate) fn plan_at(&mut self, at: Instant, event: E) {
        self.planned += 1;
        self.queue.push(Reverse(Planned {
            at: at.max(self.now),
            number: self.planned,
            event,
        }));
    }

    pub(crate) fn plan(&mut self, delay: Duration, event: E) {
        self.plan_at(self.now + delay, event);
    }

    /// Jumps to the next event, unless it lies behind `end`.
    pub(crate) fn next(&mut self, end: Instant) -> Option<E> {
        if self.queue.peek()?.0.at > end {
            return None;
        }
        let Reverse(planned) = self.queue.pop()?;
        self.now = planned.at;
        Some(planned.event)
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
