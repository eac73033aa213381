//! What was published and who has received it: the check behind every number.
//!
//! The first copy of a message is parsed in full. Every later copy is compared with it byte for byte, frame header
//! included, which is as strict and as fast as memory allows. Each subscriber must receive consecutive numbers.

use std::time::Instant;

/// The most messages that may be under way; a power of two.
pub const RING: u64 = 4096;

#[derive(Debug)]
struct Entry {
    /// The frame that carries only this message, once one was parsed in full.
    frame: Vec<u8>,
    /// How many subscribers have it.
    seen: u32,
    /// When it was due to be published.
    due: Instant,
}

/// The messages under way.
#[derive(Debug)]
pub struct Ledger {
    entries: Vec<Entry>,
    subscribers: u32,
    /// The next number to publish.
    next: u64,
    /// The lowest number that somebody has yet to receive.
    first_open: u64,
}

impl Ledger {
    /// An empty one, for this many subscribers.
    #[must_use]
    pub fn new(subscribers: u32, now: Instant) -> Self {
        let entries = (0..RING)
            .map(|_| Entry {
                frame: Vec::new(),
                seen: 0,
                due: now,
            })
            .collect();
        Self {
            entries,
            subscribers,
            next: 0,
            first_open: 0,
        }
    }

    /// Messages published and not received by all.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.next - self.first_open
    }

    /// The number of messages published so far.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.next
    }

    /// The number of messages that all subscribers have.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.first_open
    }

    /// True when no further message may be published now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.in_flight() >= RING
    }

    /// Notes that a message due at `due` is published now and gives its number.
    pub fn publish(&mut self, due: Instant) -> u64 {
        let sequence = self.next;
        let entry = self.entry(sequence);
        entry.frame.clear();
        entry.seen = 0;
        entry.due = due;
        self.next += 1;
        sequence
    }

    /// The length of message `sequence`'s frame if `bytes` begins with an exact copy of it.
    #[must_use]
    pub fn copy_len(&self, sequence: u64, bytes: &[u8]) -> Option<usize> {
        if sequence >= self.next {
            return None;
        }
        let frame = &self.entries.get(index(sequence))?.frame;
        (!frame.is_empty() && bytes.starts_with(frame)).then_some(frame.len())
    }

    /// Keeps the frame of a message whose first copy was parsed in full.
    pub fn keep_frame(&mut self, sequence: u64, frame: &[u8]) {
        let entry = self.entry(sequence);
        entry.frame.clear();
        entry.frame.extend_from_slice(frame);
    }

    /// Notes that one more subscriber has message `sequence`. True when it was the last one.
    pub fn receive(&mut self, sequence: u64) -> bool {
        let subscribers = self.subscribers;
        let entry = self.entry(sequence);
        entry.seen += 1;
        entry.seen == subscribers
    }

    /// Takes the oldest message that all subscribers have, with the time it was due.
    pub fn take_completed(&mut self) -> Option<Instant> {
        if self.first_open == self.next {
            return None;
        }
        let subscribers = self.subscribers;
        let entry = self.entry(self.first_open);
        if entry.seen < subscribers {
            return None;
        }
        let due = entry.due;
        self.first_open += 1;
        Some(due)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the index is below RING, the length of the list"
    )]
    fn entry(&mut self, sequence: u64) -> &mut Entry {
        &mut self.entries[index(sequence)]
    }
}

#[expect(clippy::as_conversions, reason = "the low bits are what is wanted")]
fn index(sequence: u64) -> usize {
    (sequence & (RING - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_complete_when_the_last_subscriber_has_it() {
        let now = Instant::now();
        let mut ledger = Ledger::new(2, now);
        let sequence = ledger.publish(now);

        let first = ledger.receive(sequence);
        let early = ledger.take_completed();
        let second = ledger.receive(sequence);

        assert_eq!((first, early, second), (false, None, true));
        assert_eq!(ledger.take_completed(), Some(now));
        assert_eq!(ledger.in_flight(), 0);
    }

    #[test]
    fn only_an_exact_copy_counts() {
        let now = Instant::now();
        let mut ledger = Ledger::new(2, now);
        let sequence = ledger.publish(now);
        ledger.keep_frame(sequence, b"\x81\x03abc");

        assert_eq!(ledger.copy_len(sequence, b"\x81\x03abc\x81"), Some(5));
        assert_eq!(ledger.copy_len(sequence, b"\x81\x03abd"), None);
        assert_eq!(ledger.copy_len(sequence + 1, b"\x81\x03abc"), None);
    }
}
