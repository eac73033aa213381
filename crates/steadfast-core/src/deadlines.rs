//! The deadlines of numbered items, the earliest first, so that the next one is known without a search of all items.

use steadfast_machine::Instant;

use crate::sorted_queue::SortedQueue;

/// Deadlines with the numbers of their items, in order.
#[derive(Debug)]
pub(crate) struct Deadlines {
    sorted: SortedQueue<(Instant, u64)>,
}

impl Deadlines {
    pub(crate) const fn new() -> Self {
        Self {
            sorted: SortedQueue::new(),
        }
    }

    /// Adds the deadline of an item.
    pub(crate) fn insert(&mut self, at: Instant, number: u64) {
        self.sorted.insert((at, number));
    }

    /// Removes the deadline of an item.
    pub(crate) fn remove(&mut self, at: Instant, number: u64) {
        self.sorted.remove(&(at, number));
    }

    /// Replaces the deadline of an item, which may have none before or afterwards.
    pub(crate) fn replace(&mut self, number: u64, old: Option<Instant>, new: Option<Instant>) {
        let item = |at| (at, number);
        self.sorted.replace(old.map(item), new.map(item));
    }

    /// The earliest deadline.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.sorted.first().map(|(at, _)| *at)
    }

    /// Whether a deadline has passed.
    pub(crate) fn has_passed(&self, now: Instant) -> bool {
        self.first().is_some_and(|at| now >= at)
    }

    /// The items whose deadlines have passed.
    pub(crate) fn passed(&self, now: Instant) -> impl Iterator<Item = u64> {
        let passed = self.sorted.iter().take_while(move |(at, _)| now >= *at);
        passed.map(|(_, number)| *number)
    }

    /// Removes all deadlines.
    pub(crate) fn clear(&mut self) {
        self.sorted.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Deadlines {
        /// All deadlines, in order.
        pub(crate) fn all(&self) -> Vec<(Instant, u64)> {
            self.sorted.iter().copied().collect()
        }
    }

    #[test]
    fn a_deadline_has_passed_when_it_is_reached() {
        let mut deadlines = Deadlines::new();
        for (number, nanos) in [(1, 30), (2, 10), (3, 20)] {
            deadlines.insert(Instant::from_nanos(nanos), number);
        }
        let passed = |nanos| {
            let passed = deadlines.passed(Instant::from_nanos(nanos));
            passed.collect::<Vec<_>>()
        };

        assert_eq!(deadlines.first(), Some(Instant::from_nanos(10)));
        assert!(!deadlines.has_passed(Instant::from_nanos(9)));
        assert!(deadlines.has_passed(Instant::from_nanos(10)));
        assert_eq!(passed(20), [2, 3]);
    }
}
