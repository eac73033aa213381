//! The idempotency keys within the deduplication window, with the results of their first appends.
//!
//! The monotonic clock measures the window. Every key is valid for the same time, so keys expire in the order in which
//! they were added.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use steadfast_machine::Instant;

/// The scope of an idempotency key: users cannot use up each other's keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyScope {
    /// The number of the channel; a later channel of the same name has another number.
    pub(super) channel: u64,
    pub(super) user: Bytes,
    pub(super) key: Bytes,
}

/// The keys of the deduplication window.
#[derive(Debug)]
pub(super) struct DedupWindow {
    length: Duration,
    /// The offset of each key's publication. For lookups only; never iterated.
    offsets: HashMap<KeyScope, u64>,
    /// When each key expires, in order.
    deadlines: VecDeque<(Instant, KeyScope)>,
}

impl DedupWindow {
    /// An empty window of this length.
    pub(super) fn new(length: Duration) -> Self {
        Self {
            length,
            offsets: HashMap::new(),
            deadlines: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// The offset of the first append with this key.
    pub(super) fn find(&self, scope: &KeyScope) -> Option<u64> {
        self.offsets.get(scope).copied()
    }

    /// Adds a key that is not in the window.
    pub(super) fn add(&mut self, now: Instant, scope: &KeyScope, offset: u64) {
        let scope = detached(scope);
        self.deadlines.push_back((now + self.length, scope.clone()));
        self.offsets.insert(scope, offset);
    }

    /// Removes the keys whose window has passed.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.deadlines.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, scope)) = self.deadlines.pop_front() {
                self.offsets.remove(&scope);
            }
        }
    }
}

/// A copy in its own buffer, so that a key does not keep in memory the buffer in which it arrived.
fn detached(scope: &KeyScope) -> KeyScope {
    let mut both = Vec::with_capacity(scope.user.len() + scope.key.len());
    both.extend_from_slice(&scope.user);
    both.extend_from_slice(&scope.key);
    let mut user = Bytes::from(both);
    let key = user.split_off(scope.user.len());
    KeyScope {
        channel: scope.channel,
        user,
        key,
    }
}
