//! The order in which sources write is an accident; the books must not depend on it.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use steadfast_faults::ledger::record::{Fact, Record};
use steadfast_machine::Seed;

use crate::run::healthy;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn facts_of_different_sources_in_any_order_give_the_same_books(seed: u64) {
        let run = healthy();
        let mut permuted = run.clone();
        permuted.records = interleaved(&run.records, seed);

        prop_assert_ne!(&permuted.records, &run.records);
        prop_assert_eq!(permuted.ledger(), run.ledger());
    }

    #[test]
    fn facts_that_are_written_late_give_the_same_books(seed: u64) {
        let run = healthy();
        let mut permuted = run.clone();
        permuted.records = shuffled(&run.records, seed);

        prop_assert_ne!(&permuted.records, &run.records);
        prop_assert_eq!(permuted.ledger(), run.ledger());
    }
}

/// The same facts, each source in its own order, the sources mixed by the seed.
fn interleaved(records: &[Record], seed: u64) -> Vec<Record> {
    let mut sources: BTreeMap<(u8, u32), VecDeque<Record>> = BTreeMap::new();
    for record in records {
        let source = match &record.fact {
            Fact::Began(_) => (0, 0),
            Fact::Client { client, .. } => (1, client.0),
            Fact::Fault { fault, .. } => (2, fault.0),
            Fact::Process { instance, .. } => (3, instance.0),
            Fact::Harness(_) => (4, 0),
        };
        sources.entry(source).or_default().push_back(record.clone());
    }
    let mut sources: Vec<VecDeque<Record>> = sources.into_values().collect();
    let mut generator = Seed::new(seed).generator();
    let mut mixed = Vec::new();
    while !sources.is_empty() {
        let bound = u64::try_from(sources.len()).unwrap();
        let place = usize::try_from(generator.below(bound)).unwrap();
        let mut source = sources.swap_remove(place);
        mixed.extend(source.pop_front());
        if !source.is_empty() {
            sources.push(source);
        }
    }
    mixed
}

/// The same facts, those of one instant together, in any order.
fn shuffled(records: &[Record], seed: u64) -> Vec<Record> {
    let mut instants: Vec<&[Record]> = records.chunk_by(|a, b| a.at == b.at).collect();
    let mut generator = Seed::new(seed).generator();
    let mut mixed = Vec::new();
    while !instants.is_empty() {
        let bound = u64::try_from(instants.len()).unwrap();
        let place = usize::try_from(generator.below(bound)).unwrap();
        mixed.extend_from_slice(instants.swap_remove(place));
    }
    mixed
}
