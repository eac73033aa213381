//! The event records of a run in the order in which they were written, bounded.
//!
//! A record above the bound is counted and dropped. A log with dropped records proves nothing, so a guard checks the
//! count.

use crate::ledger::event::EventRecord;

/// A list of event records with a maximum length.
#[derive(Clone, Debug, PartialEq)]
pub struct EventLog {
    records: Vec<EventRecord>,
    len_max: usize,
    dropped: u64,
}

impl EventLog {
    /// An empty log that holds at most `len_max` records.
    pub const fn new(len_max: usize) -> Self {
        Self {
            records: Vec::new(),
            len_max,
            dropped: 0,
        }
    }

    /// Appends a record, or drops and counts it when the log is full.
    pub fn push(&mut self, record: EventRecord) {
        if self.records.len() < self.len_max {
            self.records.push(record);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Counts records that were dropped before: those of a stored log that is read again.
    pub const fn note_dropped(&mut self, count: u64) {
        self.dropped = self.dropped.saturating_add(count);
    }

    /// The records in the order in which they were written.
    pub fn records(&self) -> &[EventRecord] {
        &self.records
    }

    /// The number of records that were dropped because the log was full.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use steadfast_machine::Instant;

    use super::*;
    use crate::ledger::event::{RunEvent, RunPhase};

    #[test]
    fn records_above_the_bound_are_counted_and_dropped() {
        let mut log = EventLog::new(2);
        for _ in 0..5 {
            log.push(EventRecord {
                at: Instant::START,
                event: RunEvent::PhaseBegan(RunPhase::Connect),
            });
        }

        assert_eq!((log.records().len(), log.dropped()), (2, 3));
    }
}
