//! The items that a machine holds, in order.

use std::collections::VecDeque;

use bytes::Bytes;
use steadfast_machine::Instant;

use super::{HELD_BYTES_MAX, Item};

/// Items with the time at which each passes, or since which it waits.
#[derive(Debug)]
pub(in crate::toxic) struct Held {
    items: VecDeque<(Instant, Item)>,
    bytes: usize,
}

impl Held {
    pub(in crate::toxic) const fn new() -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(in crate::toxic) fn push(&mut self, at: Instant, item: Item) {
        self.bytes += item.len();
        self.items.push_back((at, item));
    }

    /// Returns the first item if its time has passed.
    pub(in crate::toxic) fn pop_due(&mut self, now: Instant) -> Option<Item> {
        if self.front().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        self.pop().map(|(_, item)| item)
    }

    pub(in crate::toxic) fn pop(&mut self) -> Option<(Instant, Item)> {
        let (at, item) = self.items.pop_front()?;
        self.bytes -= item.len();
        Some((at, item))
    }

    pub(in crate::toxic) fn front(&self) -> Option<&(Instant, Item)> {
        self.items.front()
    }

    /// Takes the first bytes of the first item, at most all of it; the rest keeps its time.
    pub(in crate::toxic) fn take(&mut self, len: usize) -> Option<Item> {
        match self.items.front_mut() {
            Some((_, Item::Bytes(bytes))) if len < bytes.len() => {
                self.bytes -= len;
                Some(Item::Bytes(bytes.split_to(len)))
            }
            _ => self.pop().map(|(_, item)| item),
        }
    }

    pub(in crate::toxic) fn next_at(&self) -> Option<Instant> {
        self.front().map(|(at, _)| *at)
    }

    pub(in crate::toxic) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::toxic) fn len(&self) -> usize {
        self.items.len()
    }

    pub(in crate::toxic) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The bytes in the order in which they arrived.
    pub(in crate::toxic) fn iter_bytes(&self) -> impl Iterator<Item = &Bytes> {
        self.items.iter().filter_map(|(_, item)| match item {
            Item::Bytes(bytes) => Some(bytes),
            Item::Fin | Item::Close(_) => None,
        })
    }

    /// Whether it is below the usual limit.
    pub(in crate::toxic) const fn has_space(&self) -> bool {
        self.bytes < HELD_BYTES_MAX
    }

    pub(in crate::toxic) fn drain(&mut self) -> VecDeque<Item> {
        self.bytes = 0;
        self.items.drain(..).map(|(_, item)| item).collect()
    }

    /// Lets everything pass from `now` on.
    pub(in crate::toxic) fn release(&mut self, now: Instant) {
        for (at, _) in &mut self.items {
            *at = now.min(*at);
        }
    }
}
