//! The bounded queue of lines that one sink has not accepted yet. Pure: decides which lines are kept, and where the
//! number of dropped lines is reported.
//!
//! A line that does not fit is dropped, and so are later ones until there is space again: the newest lines are lost, and
//! what is written has gaps only where a count says so.

use std::collections::VecDeque;

/// The memory that an entry needs in addition to its bytes.
const ENTRY_BYTES: usize = 32;

/// Something to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// One or more complete lines.
    Line(Vec<u8>),
    /// This many lines were dropped here.
    Dropped(u64),
}

impl Entry {
    const fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Line(line) => line.len(),
                Self::Dropped(_) => 0,
            }
    }
}

/// Whether a line will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    Dropped,
}

/// Lines in the order in which they are written.
#[derive(Debug)]
pub(super) struct LineQueue {
    entries: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
    /// Dropped lines for which the queue has no entry yet.
    unreported: u64,
}

impl LineQueue {
    /// Creates a queue that needs at most this many bytes.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            bytes_max,
            unreported: 0,
        }
    }

    /// Adds a line, or drops it if it does not fit. The number of lines that were dropped before it precedes it.
    pub(super) fn push(&mut self, line: &[u8]) -> Pushed {
        let report = if self.unreported > 0 { ENTRY_BYTES } else { 0 };
        if self.bytes + report + ENTRY_BYTES + line.len() > self.bytes_max {
            self.unreported += 1;
            return Pushed::Dropped;
        }
        if let Some(report) = self.take_report() {
            self.add(report);
        }
        self.add(Entry::Line(line.to_vec()));
        Pushed::Queued
    }

    /// Removes the oldest entry. After the last line follows the number of lines that were dropped after it.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let Some(entry) = self.entries.pop_front() else {
            return self.take_report();
        };
        self.bytes -= entry.bytes();
        Some(entry)
    }

    /// Whether [`Self::pop`] would return nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.unreported == 0
    }

    fn add(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
    }

    const fn take_report(&mut self) -> Option<Entry> {
        if self.unreported == 0 {
            return None;
        }
        Some(Entry::Dropped(std::mem::replace(&mut self.unreported, 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three lines of 8 bytes, or two and a report.
    const BYTES_MAX: usize = 3 * (8 + ENTRY_BYTES);

    #[test]
    fn the_newest_lines_are_dropped_and_counted_where_they_are_missing() {
        let mut queue = LineQueue::new(BYTES_MAX);
        for number in 0..3 {
            assert_eq!(queue.push(&line(number)), Pushed::Queued, "{number}");
        }
        for number in 3..5 {
            assert_eq!(queue.push(&line(number)), Pushed::Dropped, "{number}");
        }

        assert_eq!(queue.pop(), Some(Entry::Line(line(0))));
        // The report needs space too, so it does not fit together with the line.
        assert_eq!(queue.push(&line(5)), Pushed::Dropped);
        assert_eq!(queue.pop(), Some(Entry::Line(line(1))));
        assert_eq!(queue.push(&line(6)), Pushed::Queued);

        assert_eq!(queue.pop(), Some(Entry::Line(line(2))));
        assert_eq!(queue.pop(), Some(Entry::Dropped(3)));
        assert_eq!(queue.pop(), Some(Entry::Line(line(6))));
        assert_eq!(queue.pop(), None);
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn lines_that_were_dropped_last_are_reported_once_the_queue_is_empty() {
        let mut queue = LineQueue::new(BYTES_MAX);
        queue.push(&line(0));
        queue.push(&[b'x'; BYTES_MAX]);

        assert_eq!(queue.pop(), Some(Entry::Line(line(0))));
        assert!(!queue.is_empty());
        assert_eq!(queue.pop(), Some(Entry::Dropped(1)));
        assert!(queue.is_empty());
    }

    fn line(number: u8) -> Vec<u8> {
        format!("line  {number}\n").into_bytes()
    }
}
