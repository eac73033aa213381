//! Records which messages were published and how many subscribers have received each.
//!
//! The first copy of a message is parsed in full. Each further copy is compared with the first byte for byte, frame
//! header included. This check is as strict and as fast as possible. Each subscriber must receive consecutive numbers.

use std::time::Instant;

/// Maximum number of messages in flight; a power of two.
pub const RING: u64 = 4096;

#[derive(Debug)]
struct Entry {
    /// The frame that contains only this message; empty until such a frame was parsed in full.
    frame: Vec<u8>,
    /// Number of subscribers that have received the message.
    received_by: u32,
    /// The time at which the message was due to be published.
    due: Instant,
}

/// The messages in flight.
#[derive(Debug)]
pub struct Ledger {
    entries: Vec<Entry>,
    subscribers: u32,
    /// The number of the next message.
    next: u64,
    /// The lowest number that at least one subscriber has not received.
    first_incomplete: u64,
}

impl Ledger {
    /// Creates an empty ledger for this number of subscribers.
    #[must_use]
    pub fn new(subscribers: u32, now: Instant) -> Self {
        let entries = (0..RING)
            .map(|_| Entry {
                frame: Vec::new(),
                received_by: 0,
                due: now,
            })
            .collect();
        Self {
            entries,
            subscribers,
            next: 0,
            first_incomplete: 0,
        }
    }

    /// Returns the number of messages published and not yet received by all subscribers.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.next - self.first_incomplete
    }

    /// Returns the number of messages published so far.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.next
    }

    /// Returns the number of messages that all subscribers have received.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.first_incomplete
    }

    /// Returns `true` if no further message may be published now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.in_flight() >= RING
    }

    /// Records that a message due at `due` is published now, and returns its number.
    pub fn publish(&mut self, due: Instant) -> u64 {
        let sequence = self.next;
        let entry = self.entry(sequence);
        entry.frame.clear();
        entry.received_by = 0;
        entry.due = due;
        self.next += 1;
        sequence
    }

    /// Returns the length of the frame of message `sequence` if `bytes` begins with an exact copy of it.
    #[must_use]
    pub fn copy_len(&self, sequence: u64, bytes: &[u8]) -> Option<usize> {
        if sequence >= self.next {
            return None;
        }
        let frame = &self.entries.get(index(sequence))?.frame;
        (!frame.is_empty() && bytes.starts_with(frame)).then_some(frame.len())
    }

    /// Stores the frame of a message whose first copy was parsed in full.
    pub fn store_frame(&mut self, sequence: u64, frame: &[u8]) {
        let entry = self.entry(sequence);
        entry.frame.clear();
        entry.frame.extend_from_slice(frame);
    }

    /// Records that one more subscriber has received message `sequence`. Returns `true` for the last subscriber.
    pub fn receive(&mut self, sequence: u64) -> bool {
        let subscribers = self.subscribers;
        let entry = self.entry(sequence);
        entry.received_by += 1;
        entry.received_by == subscribers
    }

    /// Removes the oldest message if all subscribers have received it, and returns the time at which it was due.
    pub fn take_completed(&mut self) -> Option<Instant> {
        if self.first_incomplete == self.next {
            return None;
        }
        let subscribers = self.subscribers;
        let entry = self.entry(self.first_incomplete);
        if entry.received_by < subscribers {
            return None;
        }
        let due = entry.due;
        self.first_incomplete += 1;
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

#[expect(clippy::as_conversions, reason = "only the low bits are used")]
fn index(sequence: u64) -> usize {
    (sequence & (RING - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_complete_when_the_last_subscriber_has_received_it() {
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
    fn only_an_exact_copy_is_counted() {
        let now = Instant::now();
        let mut ledger = Ledger::new(2, now);
        let sequence = ledger.publish(now);
        ledger.store_frame(sequence, b"\x81\x03abc");

        assert_eq!(ledger.copy_len(sequence, b"\x81\x03abc\x81"), Some(5));
        assert_eq!(ledger.copy_len(sequence, b"\x81\x03abd"), None);
        assert_eq!(ledger.copy_len(sequence + 1, b"\x81\x03abc"), None);
    }
}
