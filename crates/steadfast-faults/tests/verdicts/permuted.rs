//! The order in which sources write is arbitrary; the ledger must not depend on it.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use steadfast_faults::ledger::event::{EventRecord, RunEvent};
use steadfast_machine::Seed;

use crate::run::healthy;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn interleaving_the_sources_differently_gives_the_same_ledger(seed: u64) {
        let run = healthy();
        let mut permuted = run.clone();
        permuted.records = interleaved(&run.records, seed);

        prop_assert_ne!(&permuted.records, &run.records);
        prop_assert_eq!(permuted.ledger(), run.ledger());
    }

    #[test]
    fn records_that_are_written_late_give_the_same_ledger(seed: u64) {
        let run = healthy();
        let mut permuted = run.clone();
        permuted.records = shuffled(&run.records, seed);

        prop_assert_ne!(&permuted.records, &run.records);
        prop_assert_eq!(permuted.ledger(), run.ledger());
    }
}

/// The same records, each source in its own order, the sources interleaved by the seed.
fn interleaved(records: &[EventRecord], seed: u64) -> Vec<EventRecord> {
    let mut sources: BTreeMap<(u8, u32), VecDeque<EventRecord>> = BTreeMap::new();
    for record in records {
        let source = match &record.event {
            RunEvent::PhaseBegan(_) => (0, 0),
            RunEvent::Client { client, .. } => (1, client.0),
            RunEvent::Fault { fault, .. } => (2, fault.0),
            RunEvent::Process { instance, .. } => (3, instance.0),
            RunEvent::Harness(_) => (4, 0),
            RunEvent::Effects(_) => (5, 0),
        };
        sources.entry(source).or_default().push_back(record.clone());
    }
    let mut sources: Vec<VecDeque<EventRecord>> = sources.into_values().collect();
    let mut generator = Seed::new(seed).generator();
    let mut mixed = Vec::new();
    while !sources.is_empty() {
        let bound = u64::try_from(sources.len()).unwrap();
        let index = usize::try_from(generator.below(bound)).unwrap();
        let mut source = sources.swap_remove(index);
        mixed.extend(source.pop_front());
        if !source.is_empty() {
            sources.push(source);
        }
    }
    mixed
}

/// The same records in any order, but those of one instant together.
fn shuffled(records: &[EventRecord], seed: u64) -> Vec<EventRecord> {
    let mut instants: Vec<&[EventRecord]> = records.chunk_by(|a, b| a.at == b.at).collect();
    let mut generator = Seed::new(seed).generator();
    let mut mixed = Vec::new();
    while !instants.is_empty() {
        let bound = u64::try_from(instants.len()).unwrap();
        let index = usize::try_from(generator.below(bound)).unwrap();
        mixed.extend_from_slice(instants.swap_remove(index));
    }
    mixed
}
