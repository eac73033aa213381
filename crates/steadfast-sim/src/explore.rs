//! Runs many seeds: sums their counts and collects the seeds that violated an invariant.

use std::fmt;
use std::ops::Range;

use crate::engine_kind::EngineKind;
use crate::seed_result::SeedResult;
use crate::totals::Totals;
use crate::variant::Variant;
use crate::world::run;

/// The results of many seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimulationReport {
    /// The engine of all runs.
    pub engine: EngineKind,
    /// The sums of the counts of all seeds.
    pub totals: Totals,
    /// The first seeds that violated an invariant, at most [`FAILED_SEEDS_MAX`].
    pub failed_seeds: Vec<SeedResult>,
    /// The number of all seeds that violated an invariant.
    pub failed_count: u64,
    /// Seeds with too few faults to prove anything.
    pub inconclusive: Vec<u64>,
}

/// The largest number of failed seeds that are kept; further ones are only counted.
pub const FAILED_SEEDS_MAX: usize = 20;

impl SimulationReport {
    /// A report without results, for runs with this engine.
    pub fn new(engine: EngineKind) -> Self {
        Self {
            engine,
            ..Self::default()
        }
    }

    /// Returns the counts of all seeds that the engine can have, with their labels.
    pub fn rows(&self) -> Vec<(&'static str, u64)> {
        self.totals.rows(self.engine)
    }

    /// Whether every invariant held and enough faults occurred for a meaningful result.
    pub fn has_passed(&self) -> bool {
        self.failed_count == 0 && self.inconclusive.is_empty() && self.not_exercised().is_empty()
    }

    /// Adds the result of a seed. The report is deterministic only if results are added in the order of the seeds.
    pub fn add(&mut self, result: SeedResult) {
        self.totals += result.totals;
        if result.is_inconclusive() {
            self.inconclusive.push(result.seed);
        }
        if !result.violations.is_empty() {
            self.failed_count += 1;
            if self.failed_seeds.len() < FAILED_SEEDS_MAX {
                self.failed_seeds.push(result);
            }
        }
    }

    /// Returns the names of all counts that are 0.
    pub fn not_exercised(&self) -> Vec<&'static str> {
        self.rows()
            .into_iter()
            .filter(|(_, count)| *count == 0)
            .map(|(name, _)| name)
            .collect()
    }
}

impl fmt::Display for SimulationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.rows() {
            writeln!(f, "{count:>12}  {name}")?;
        }
        for result in &self.failed_seeds {
            for violation in result.violations.iter().take(3) {
                writeln!(f, "seed {}: violated: {violation}", result.seed)?;
            }
        }
        if let Some(first) = self.inconclusive.first() {
            writeln!(
                f,
                "{} seeds had too few faults, the first is {first}",
                self.inconclusive.len()
            )?;
        }
        for name in self.not_exercised() {
            writeln!(f, "not exercised in this run: {name}")?;
        }
        Ok(())
    }
}

/// Runs the seeds in order and calls `progress` after each.
pub fn explore(
    seeds: Range<u64>,
    variant: Variant,
    mut progress: impl FnMut(&SimulationReport),
) -> SimulationReport {
    let mut report = SimulationReport::new(variant.engine);
    for seed in seeds {
        report.add(run(seed, variant));
        progress(&report);
    }
    report
}
