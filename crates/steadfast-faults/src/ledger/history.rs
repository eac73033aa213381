//! The facts of a run in the order in which they were written, bounded.
//!
//! A fact over the bound is counted and dropped; a history that is not whole proves nothing, so a guard looks at the
//! count.

use crate::ledger::record::Record;

/// Facts, at most as many as its bound.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    records: Vec<Record>,
    len_max: usize,
    dropped: u64,
}

impl History {
    /// An empty history that holds at most `len_max` facts.
    pub const fn new(len_max: usize) -> Self {
        Self {
            records: Vec::new(),
            len_max,
            dropped: 0,
        }
    }

    /// Writes a fact down.
    pub fn push(&mut self, record: Record) {
        if self.records.len() < self.len_max {
            self.records.push(record);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// In the order in which they were written.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Facts that found no room.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use steadfast_machine::Instant;

    use super::*;
    use crate::ledger::record::{Fact, Phase};

    #[test]
    fn facts_over_the_bound_are_counted_and_dropped() {
        let mut history = History::new(2);
        for _ in 0..5 {
            history.push(Record {
                at: Instant::START,
                fact: Fact::Began(Phase::Connect),
            });
        }

        assert_eq!((history.records().len(), history.dropped()), (2, 3));
    }
}
