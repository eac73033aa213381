//! The idempotency keys within the deduplication window, with the results of their first appends.
//!
//! The monotonic clock measures the window. Every key is valid for the same time, so keys expire in the order in which
//! they were added.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use bytes::Bytes;
use steadfast_machine::Instant;
use steadfast_protocol::message::PayloadKind;

use crate::request::Append;

/// Approximate memory of a key in addition to its texts: two entries that share the texts, in tables that are partly free.
pub(super) const KEY_BYTES: usize = 384;

/// The scope of an idempotency key: users cannot use up each other's keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyScope {
    /// The number of the channel; a later channel of the same name has another number.
    pub(super) channel: u64,
    pub(super) user: Bytes,
    pub(super) key: Bytes,
}

impl KeyScope {
    /// Approximate memory of a known key in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        KEY_BYTES + self.user.len() + self.key.len()
    }
}

/// What is known about a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstResult {
    /// The offset of the key's publication.
    pub(super) offset: u64,
    /// The hash of the publication's data, as [`data_hash`] returns it.
    pub(super) data_hash: u64,
}

/// The hash of an append's data, with which a repeat with other data is detected.
pub(super) fn data_hash(append: &Append) -> u64 {
    // The hash of the standard library has a fixed key, so it is the same in each process.
    let mut hasher = DefaultHasher::new();
    let kind: u8 = match append.kind {
        PayloadKind::Json => 0,
        PayloadKind::Binary => 1,
    };
    (kind, &append.data).hash(&mut hasher);
    hasher.finish()
}

/// The keys of the deduplication window.
#[derive(Debug)]
pub(super) struct DedupWindow {
    length: Duration,
    /// The first result of each key. For lookups only; never iterated.
    results: HashMap<KeyScope, FirstResult>,
    bytes: usize,
    /// When each key expires, in order.
    deadlines: VecDeque<(Instant, KeyScope)>,
}

impl DedupWindow {
    /// An empty window of this length.
    pub(super) fn new(length: Duration) -> Self {
        Self {
            length,
            results: HashMap::new(),
            bytes: 0,
            deadlines: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.results.len()
    }

    /// Approximate memory of all keys in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first result of this key.
    pub(super) fn find(&self, scope: &KeyScope) -> Option<FirstResult> {
        self.results.get(scope).copied()
    }

    /// Adds a key that is not in the window.
    pub(super) fn add(&mut self, now: Instant, scope: &KeyScope, first: FirstResult) {
        let scope = detached(scope);
        self.bytes += scope.memory_bytes();
        self.deadlines.push_back((now + self.length, scope.clone()));
        self.results.insert(scope, first);
    }

    /// Removes the keys whose window has passed.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.deadlines.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, scope)) = self.deadlines.pop_front() {
                self.bytes -= scope.memory_bytes();
                self.results.remove(&scope);
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
