//! The results of seeds of this world.

use std::fmt::{self, Write as _};

use super::counts::{Count, Counts};
use super::invariant::Violation;
use crate::explore::{FAILED_SEEDS_MAX, Verdict, verdict_text};

/// The most violations of one seed that are printed.
const VIOLATIONS_SHOWN: usize = 3;

/// The result of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedResult {
    /// The seed, which reproduces the run.
    pub seed: u64,
    /// How often each thing has happened.
    pub counts: Counts,
    /// The violations; empty when every invariant held.
    pub violations: Vec<Violation>,
}

/// The results of many seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The sums of the counts of all seeds.
    pub counts: Counts,
    /// The first seeds that violated an invariant, at most [`FAILED_SEEDS_MAX`].
    pub failed_seeds: Vec<SeedResult>,
    /// The number of all seeds that violated an invariant.
    pub failed_count: u64,
}

impl Report {
    /// Adds the result of a seed. The report is deterministic only if results are added in the order of the seeds.
    pub fn add(&mut self, result: SeedResult) {
        self.counts.add_all(&result.counts);
        if !result.violations.is_empty() {
            self.failed_count += 1;
            if self.failed_seeds.len() < FAILED_SEEDS_MAX {
                self.failed_seeds.push(result);
            }
        }
    }

    /// Returns the verdict. A single seed cannot have every kind of fault, so it is checked for invariants only.
    pub fn verdict(&self) -> Verdict {
        if self.failed_count > 0 {
            Verdict::Fail
        } else if self.counts.of(Count::Seeds) == 1 || self.not_exercised().is_empty() {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        }
    }

    /// Returns the names of all counts that are 0.
    pub fn not_exercised(&self) -> Vec<&'static str> {
        let rows = self.counts.rows().into_iter();
        rows.filter(|(_, count)| *count == 0)
            .map(|(name, _)| name)
            .collect()
    }

    /// Returns the verdict in one line, with its reason.
    pub fn verdict_text(&self) -> String {
        verdict_text(
            self.verdict(),
            self.counts.of(Count::Seeds),
            self.failed_count,
        )
    }

    /// Returns all counts.
    pub fn counts_text(&self) -> String {
        let mut text = String::new();
        for (name, count) in self.counts.rows() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{count:>12}  {name}");
        }
        text
    }

    /// Returns the violations, and why the report is inconclusive if it is; empty for a report that passes.
    pub fn findings_text(&self) -> String {
        let mut text = String::new();
        for result in &self.failed_seeds {
            for violation in result.violations.iter().take(VIOLATIONS_SHOWN) {
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "seed {} violated \"{}\": {}",
                    result.seed, violation.invariant, violation.details
                );
            }
        }
        if self.verdict() == Verdict::Inconclusive {
            for name in self.not_exercised() {
                let _ = writeln!(text, "did not occur: {name}");
            }
        }
        text
    }
}

/// Prints everything, as the message of a test that fails.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (counts, findings) = (self.counts_text(), self.findings_text());
        write!(f, "{counts}{findings}{}", self.verdict_text())
    }
}
