//! Virtual time: a queue of future events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use steadfast_machine::Instant;

/// Events in the order of their time; events of the same instant in the order in which they were scheduled.
#[derive(Debug)]
pub(crate) struct Clock<E> {
    now: Instant,
    scheduled_count: u64,
    queue: BinaryHeap<Reverse<Scheduled<E>>>,
}

#[derive(Debug)]
struct Scheduled<E> {
    at: Instant,
    number: u64,
    event: E,
}

impl<E> Clock<E> {
    pub(crate) const fn new() -> Self {
        Self {
            now: Instant::START,
            scheduled_count: 0,
            queue: BinaryHeap::new(),
        }
    }

    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// Schedules an event; an event in the past happens now.
    pub(crate) fn schedule_at(&mut self, at: Instant, event: E) {
        self.scheduled_count += 1;
        self.queue.push(Reverse(Scheduled {
            at: at.max(self.now),
            number: self.scheduled_count,
            event,
        }));
    }

    pub(crate) fn schedule(&mut self, delay: Duration, event: E) {
        self.schedule_at(self.now + delay, event);
    }

    /// Advances to the next event and returns it, unless it is after `end`.
    pub(crate) fn next(&mut self, end: Instant) -> Option<E> {
        if self.queue.peek()?.0.at > end {
            return None;
        }
        let Reverse(scheduled) = self.queue.pop()?;
        self.now = scheduled.at;
        Some(scheduled.event)
    }
}

impl<E> PartialEq for Scheduled<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<E> Eq for Scheduled<E> {}

impl<E> PartialOrd for Scheduled<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Scheduled<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
