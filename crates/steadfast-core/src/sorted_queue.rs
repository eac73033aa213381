//! A queue in the order of its items, for changes that are mostly at its ends: those cost the same for any number of items.

use std::collections::VecDeque;

/// Items in order.
#[derive(Debug)]
pub(crate) struct SortedQueue<T> {
    items: VecDeque<T>,
}

impl<T: Ord> SortedQueue<T> {
    pub(crate) const fn new() -> Self {
        Self {
            items: VecDeque::new(),
        }
    }

    pub(crate) fn insert(&mut self, item: T) {
        if self.items.back().is_none_or(|last| *last <= item) {
            return self.items.push_back(item);
        }
        let index = self.items.partition_point(|it| *it < item);
        self.items.insert(index, item);
    }

    pub(crate) fn remove(&mut self, item: &T) {
        if self.items.front() == Some(item) {
            self.items.pop_front();
        } else if let Ok(index) = self.items.binary_search(item) {
            self.items.remove(index);
        }
    }

    /// Replaces an item; either may be absent.
    pub(crate) fn replace(&mut self, old: Option<T>, new: Option<T>) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.remove(&old);
        }
        if let Some(new) = new {
            self.insert(new);
        }
    }

    pub(crate) fn first(&self) -> Option<&T> {
        self.items.front()
    }

    /// All items, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn items_are_in_order_whatever_the_order_in_which_they_are_replaced(
            changes in proptest::collection::vec((0_usize..8, proptest::option::of(0_u64..50)), 0..60),
        ) {
            let (mut queue, mut expected) = (SortedQueue::new(), [None; 8]);
            for (number, value) in changes {
                let new = value.map(|value| (value, number));
                queue.replace(expected[number], new);
                expected[number] = new;

                let mut all: Vec<_> = expected.iter().flatten().copied().collect();
                all.sort_unstable();
                prop_assert_eq!(queue.first(), all.first());
                prop_assert!(queue.iter().eq(&all));
            }
        }
    }
}
