//! The outcomes that are awaited, each in an entry of one table: no allocation per request.
//!
//! An entry belongs to two sides, the future of a handle and the driver, and is free again when both are done with it.
//! Its key has a generation, so that a late key does not find the next request in the same entry.

use std::mem;
use std::task::{Context, Poll, Waker};

use steadfast_machine::convert;

/// Tables with more entries are freed when none is in use.
const RETAINED_MAX: usize = 64;

/// Identifies an entry. Unique among the last 2^32 keys of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplyKey {
    index: u32,
    generation: u32,
}

impl ReplyKey {
    /// The index of the entry.
    pub(super) const fn index(self) -> u32 {
        self.index
    }

    /// The key as the number of a request.
    pub(super) fn number(self) -> u64 {
        u64::from(self.generation) << u32::BITS | u64::from(self.index)
    }

    /// The key of a request with this number.
    pub(super) fn from_number(number: u64) -> Self {
        let half = |bits: u64| convert::saturating(bits & u64::from(u32::MAX));
        Self {
            index: half(number),
            generation: half(number >> u32::BITS),
        }
    }
}

/// The entries of one kind of request, with what a request holds until it has its outcome.
#[derive(Debug)]
pub(super) struct ReplyTable<T, H> {
    entries: Vec<Entry<T, H>>,
    /// The free entry that is used next.
    first_free: Option<u32>,
    used: usize,
    next_generation: u32,
}

#[derive(Debug)]
struct Entry<T, H> {
    generation: u32,
    held: H,
    state: State<T>,
}

#[derive(Debug)]
pub(super) enum State<T> {
    Free {
        next: Option<u32>,
    },
    Waiting(Option<Waker>),
    /// The future was dropped before the outcome.
    Abandoned,
    Done(T),
}

impl<T, H> ReplyTable<T, H> {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            first_free: None,
            used: 0,
            next_generation: 0,
        }
    }

    /// Adds an entry whose outcome wakes this task.
    pub(super) fn insert(&mut self, waker: Option<Waker>, held: H) -> ReplyKey {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        self.used += 1;
        let entry = Entry {
            generation,
            held,
            state: State::Waiting(waker),
        };
        let index = match self.first_free {
            Some(index) => index,
            None => convert::saturating(self.entries.len()),
        };
        match self.entries.get_mut(convert::to_usize(index)) {
            Some(free) => {
                if let State::Free { next } = free.state {
                    self.first_free = next;
                }
                *free = entry;
            }
            None => self.entries.push(entry),
        }
        ReplyKey { index, generation }
    }

    /// Returns the outcome, and frees the entry; until there is one, it wakes this task. Also returns the task that it
    /// replaces, which is to be dropped outside of the lock.
    pub(super) fn poll(
        &mut self,
        key: ReplyKey,
        context: &Context<'_>,
    ) -> (Poll<T>, Option<Waker>) {
        let Some(state) = self.state_mut(key) else {
            return (Poll::Pending, None);
        };
        let polled = match state {
            State::Done(_) => match self.free(key) {
                Some(State::Done(outcome)) => Poll::Ready(outcome),
                Some(State::Free { .. } | State::Waiting(_) | State::Abandoned) | None => {
                    Poll::Pending
                }
            },
            State::Waiting(waker) => return (Poll::Pending, register(waker, context)),
            State::Free { .. } | State::Abandoned => Poll::Pending,
        };
        (polled, None)
    }

    /// Stores an outcome, and returns the task that waits for it, if any. The outcome of an abandoned entry is dropped.
    pub(super) fn complete(&mut self, key: ReplyKey, outcome: T) -> Option<Waker> {
        let state = self.state_mut(key)?;
        match state {
            State::Waiting(waker) => {
                let waker = waker.take();
                *state = State::Done(outcome);
                waker
            }
            State::Abandoned => {
                self.free(key);
                None
            }
            State::Free { .. } | State::Done(_) => None,
        }
    }

    /// The future of this entry was dropped. Returns its state, which is to be dropped outside of the lock. If that is
    /// [`State::Waiting`], the entry stays until [`Self::complete`] or [`Self::remove`].
    pub(super) fn abandon(&mut self, key: ReplyKey) -> Option<State<T>> {
        match self.state_mut(key)? {
            state @ State::Waiting(_) => Some(mem::replace(state, State::Abandoned)),
            State::Done(_) => self.free(key),
            State::Free { .. } | State::Abandoned => None,
        }
    }

    /// Whether the future of this entry was dropped.
    pub(super) fn is_abandoned(&mut self, key: ReplyKey) -> bool {
        matches!(self.state_mut(key), Some(State::Abandoned))
    }

    /// Whether the future of this entry exists, and has no outcome.
    pub(super) fn is_waiting(&mut self, key: ReplyKey) -> bool {
        matches!(self.state_mut(key), Some(State::Waiting(_)))
    }

    /// What the request of this entry holds.
    pub(super) fn held_mut(&mut self, key: ReplyKey) -> Option<&mut H> {
        Some(&mut self.entry_mut(key)?.held)
    }

    /// Removes an entry, whatever its state, which is to be dropped outside of the lock.
    pub(super) fn remove(&mut self, key: ReplyKey) -> Option<State<T>> {
        self.free(key)
    }

    /// Returns the tasks of all entries without an outcome, which stay.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        let entries = self.entries.iter_mut();
        let wakers = entries.filter_map(|entry| match &mut entry.state {
            State::Waiting(waker) => waker.take(),
            State::Free { .. } | State::Abandoned | State::Done(_) => None,
        });
        wakers.collect()
    }

    fn entry_mut(&mut self, key: ReplyKey) -> Option<&mut Entry<T, H>> {
        let entry = self.entries.get_mut(convert::to_usize(key.index))?;
        let is_used = !matches!(entry.state, State::Free { .. });
        (is_used && entry.generation == key.generation).then_some(entry)
    }

    fn state_mut(&mut self, key: ReplyKey) -> Option<&mut State<T>> {
        Some(&mut self.entry_mut(key)?.state)
    }

    /// Frees an entry, and returns its state.
    fn free(&mut self, key: ReplyKey) -> Option<State<T>> {
        let next = self.first_free;
        let state = mem::replace(self.state_mut(key)?, State::Free { next });
        self.first_free = Some(key.index);
        self.used -= 1;
        if self.used == 0 && self.entries.len() > RETAINED_MAX {
            self.entries = Vec::new();
            self.first_free = None;
        }
        Some(state)
    }
}

/// Keeps a task that is to be woken. Returns the one that it replaces: the last reference to a task drops its future, and
/// so whatever it owns, which must not happen under a lock.
#[must_use]
pub(super) fn register(waker: &mut Option<Waker>, context: &Context<'_>) -> Option<Waker> {
    let is_same = waker
        .as_ref()
        .is_some_and(|it| it.will_wake(context.waker()));
    if is_same {
        None
    } else {
        waker.replace(context.waker().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Table = ReplyTable<u32, ()>;

    fn poll(table: &mut Table, key: ReplyKey) -> Poll<u32> {
        table.poll(key, &Context::from_waker(Waker::noop())).0
    }

    #[test]
    fn an_outcome_is_returned_once_and_only_for_its_own_key() {
        let mut table = Table::new();
        let (first, second) = (table.insert(None, ()), table.insert(None, ()));

        assert_eq!(poll(&mut table, first), Poll::Pending);
        assert!(table.complete(first, 1).is_some());
        assert!(table.complete(first, 9).is_none());
        assert_eq!(poll(&mut table, first), Poll::Ready(1));
        assert_eq!(poll(&mut table, first), Poll::Pending);
        let third = table.insert(None, ());

        assert_eq!(third.index(), first.index());
        assert_ne!(third.number(), first.number());
        assert!(table.complete(first, 9).is_none());
        table.complete(third, 3);
        table.complete(second, 2);
        assert_eq!(poll(&mut table, second), Poll::Ready(2));
        assert_eq!(poll(&mut table, third), Poll::Ready(3));
    }

    #[test]
    fn an_abandoned_entry_is_free_once_it_has_its_outcome() {
        let mut table = Table::new();
        let (waiting, done) = (table.insert(None, ()), table.insert(None, ()));
        table.complete(done, 1);

        assert!(matches!(table.abandon(waiting), Some(State::Waiting(_))));
        assert!(matches!(table.abandon(done), Some(State::Done(1))));
        assert!(table.is_abandoned(waiting));
        assert_eq!(table.used, 1);

        assert!(table.complete(waiting, 1).is_none());
        assert_eq!(table.used, 0);
    }

    #[test]
    fn a_number_has_its_key_and_a_large_table_is_freed_when_it_is_unused() {
        let mut table = Table::new();
        table.next_generation = u32::MAX;
        let keys: Vec<ReplyKey> = (0..=RETAINED_MAX).map(|_| table.insert(None, ())).collect();

        for key in keys {
            assert_eq!(ReplyKey::from_number(key.number()), key);
            table.remove(key);
        }

        assert_eq!(table.entries.capacity(), 0);
        let key = table.insert(None, ());
        table.complete(key, 5);
        assert_eq!(poll(&mut table, key), Poll::Ready(5));
    }
}
