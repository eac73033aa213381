//! The window in which a repeated key is recognised.
//!
//! Owns the keys, their answers and their age. While a process lives, age is counted by the monotonic clock; after a
//! start it follows from the wall clock in the records, never longer than the window. It writes nothing: keys stand in
//! the records of their publications, and the checkpoint carries those whose records are about to be removed.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use steadfast_machine::{Instant, Timestamp};

use crate::log::record;

/// What a key is scoped to: users cannot use up each other's keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    /// The id of the channel.
    pub(crate) channel: u32,
    /// The user.
    pub(crate) user: Bytes,
    /// The key.
    pub(crate) key: Bytes,
}

/// What is known about a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// The offset of its publication.
    pub(crate) offset: u64,
    /// When that was accepted.
    pub(crate) at: Timestamp,
    /// The ordinal of the segment in which the key stands.
    pub(crate) segment: u32,
    /// False while its group is under way.
    pub(crate) durable: bool,
    until: Instant,
}

/// The keys of the window.
#[derive(Debug)]
pub(crate) struct Window {
    length: Duration,
    known: HashMap<Scope, Known>,
    /// In order of arrival; an entry whose deadline differs from the map's is out of date.
    order: VecDeque<(Instant, Scope)>,
    /// What the durable keys of each segment come to.
    held: BTreeMap<u32, Held>,
}

/// Keys of one segment.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    count: usize,
    /// What they would take in a checkpoint.
    bytes: u64,
}

impl Window {
    /// An empty window of this length.
    pub(crate) fn new(length: Duration) -> Self {
        Self {
            length,
            known: HashMap::new(),
            order: VecDeque::new(),
            held: BTreeMap::new(),
        }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// What is known about a key that is still in the window.
    pub(crate) fn find(&self, now: Instant, scope: &Scope) -> Option<Known> {
        self.known
            .get(scope)
            .copied()
            .filter(|known| known.until > now)
    }

    /// Adds a key of the group under way.
    pub(crate) fn assign(&mut self, now: Instant, scope: &Scope, offset: u64, at: Timestamp) {
        let known = Known {
            offset,
            at,
            segment: 0,
            durable: false,
            until: now + self.length,
        };
        self.insert(detached(scope.channel, &scope.user, &scope.key), known);
    }

    /// Marks a key as durable in this segment: its group is, or the checkpoint that carries it.
    pub(crate) fn confirm(&mut self, scope: &Scope, segment: u32) {
        if let Some(known) = self.known.get_mut(scope) {
            release(&mut self.held, record_bytes(scope), known);
            known.durable = true;
            known.segment = segment;
            hold(&mut self.held, record_bytes(scope), known);
        }
    }

    /// Removes a key of a group that failed.
    pub(crate) fn give_back(&mut self, scope: &Scope) {
        self.remove(scope);
    }

    /// Adds a key that was found in a record of this segment while opening, unless its time is over.
    pub(crate) fn restore(
        &mut self,
        now: Instant,
        wall: Timestamp,
        key: &record::Key<'_>,
        segment: u32,
    ) {
        let age = wall.saturating_since(key.at);
        if let Some(rest) = self.length.checked_sub(age) {
            let known = Known {
                offset: key.offset,
                at: key.at,
                segment,
                durable: true,
                until: now + rest,
            };
            self.insert(detached(key.channel, key.user, key.text), known);
        }
    }

    /// Drops the keys whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((until, _)) = self.order.front()
            && *until <= now
        {
            if let Some((until, scope)) = self.order.pop_front()
                && self
                    .known
                    .get(&scope)
                    .is_some_and(|known| known.until == until)
            {
                self.remove(&scope);
            }
        }
    }

    /// Drops the keys of channels that were forgotten, since their ids may be used again.
    pub(crate) fn forget(&mut self, channels: &BTreeSet<u32>) {
        let of_channels = |(_, scope): &&(Instant, Scope)| channels.contains(&scope.channel);
        let gone: Vec<Scope> = self
            .order
            .iter()
            .filter(of_channels)
            .map(|(_, scope)| scope.clone())
            .collect();
        for scope in &gone {
            self.remove(scope);
        }
    }

    /// Bytes that the keys of a segment would take in a checkpoint.
    pub(crate) fn bytes_of_segment(&self, segment: u32) -> u64 {
        self.held.get(&segment).map_or(0, |held| held.bytes)
    }

    /// The keys that stand in segments before this one, in order of arrival.
    pub(crate) fn before_segment(&self, segment: u32) -> Vec<(Scope, Known)> {
        let count = self.held.range(..segment).map(|(_, held)| held.count).sum();
        let before = self.order.iter().filter_map(|(until, scope)| {
            let known = self.known.get(scope)?;
            let counts = known.durable && known.segment < segment && known.until == *until;
            counts.then(|| (scope.clone(), *known))
        });
        // Old segments have the oldest keys, so the search ends early.
        before.take(count).collect()
    }

    fn insert(&mut self, scope: Scope, known: Known) {
        // A crash can leave both a publication and the checkpoint that carried its key: one place in the order.
        let is_placed = self
            .known
            .get(&scope)
            .is_some_and(|before| before.until == known.until);
        if !is_placed {
            self.order.push_back((known.until, scope.clone()));
        }
        let bytes = record_bytes(&scope);
        hold(&mut self.held, bytes, &known);
        if let Some(before) = self.known.insert(scope, known) {
            release(&mut self.held, bytes, &before);
        }
    }

    fn remove(&mut self, scope: &Scope) {
        if let Some(known) = self.known.remove(scope) {
            release(&mut self.held, record_bytes(scope), &known);
        }
    }
}

fn hold(held: &mut BTreeMap<u32, Held>, bytes: u64, known: &Known) {
    if known.durable {
        let of_segment = held.entry(known.segment).or_default();
        of_segment.count += 1;
        of_segment.bytes += bytes;
    }
}

fn release(held: &mut BTreeMap<u32, Held>, bytes: u64, known: &Known) {
    if known.durable
        && let Some(of_segment) = held.get_mut(&known.segment)
    {
        of_segment.count -= 1;
        of_segment.bytes -= bytes;
        if of_segment.count == 0 {
            held.remove(&known.segment);
        }
    }
}

fn record_bytes(scope: &Scope) -> u64 {
    let len = record::key_len(scope.user.len(), scope.key.len());
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A copy with storage of its own, so that two minutes of keys do not hold on to the buffers they arrived in.
fn detached(channel: u32, user: &[u8], key: &[u8]) -> Scope {
    let mut both = Vec::with_capacity(user.len() + key.len());
    both.extend_from_slice(user);
    both.extend_from_slice(key);
    let mut both = Bytes::from(both);
    let key = both.split_off(user.len());
    Scope {
        channel,
        user: both,
        key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_until_its_window_ends_and_the_wall_clock_cannot_prolong_it() {
        let length = Duration::from_mins(2);
        let mut window = Window::new(length);
        let wall = Timestamp::from_millis(10_000_000);
        let future = Timestamp::from_millis(99_000_000);
        let past = Timestamp::from_millis(1_000);

        let key = |text, offset, at| record::Key {
            channel: 0,
            offset,
            at,
            user: b"ann",
            text,
        };
        window.restore(Instant::START, wall, &key(b"future", 1, future), 0);
        window.restore(Instant::START, wall, &key(b"past", 2, past), 0);
        window.assign(Instant::START, &scope("fresh"), 3, past);

        let last = Instant::START + Duration::from_millis(119_999);
        assert_eq!(
            window
                .find(last, &scope("future"))
                .map(|known| known.offset),
            Some(1)
        );
        assert_eq!(
            window.find(last, &scope("fresh")).map(|known| known.offset),
            Some(3)
        );
        assert!(window.find(Instant::START, &scope("past")).is_none());
        window.expire(Instant::START + length);
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn a_key_given_back_can_be_used_again_and_keeps_its_new_time() {
        let mut window = Window::new(Duration::from_mins(2));
        let later = Instant::START + Duration::from_mins(1);

        window.assign(Instant::START, &scope("k"), 1, Timestamp::default());
        window.give_back(&scope("k"));
        window.assign(later, &scope("k"), 2, Timestamp::default());
        window.expire(Instant::START + Duration::from_mins(2));

        assert_eq!(
            window.find(later, &scope("k")).map(|known| known.offset),
            Some(2)
        );
    }

    fn scope(key: &'static str) -> Scope {
        Scope {
            channel: 0,
            user: Bytes::from_static(b"ann"),
            key: Bytes::from_static(key.as_bytes()),
        }
    }
}
