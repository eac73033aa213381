//! Runs many seeds: sums their counts and collects the seeds that violated an invariant.

use std::fmt::{self, Write as _};
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

/// The largest number of violations of one seed that are printed: later ones usually follow from the first.
const VIOLATIONS_SHOWN: usize = 3;

/// What the results of the seeds show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every invariant held, and enough faults occurred for a meaningful result.
    Pass,
    /// An invariant was violated.
    Fail,
    /// Every invariant held, but too few faults occurred to prove anything.
    Inconclusive,
}

impl Verdict {
    /// Returns the verdict in capital letters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }
}

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

    /// Returns the verdict. A single seed cannot have every kind of fault, so it is checked for invariants only.
    pub fn verdict(&self) -> Verdict {
        if self.failed_count > 0 {
            Verdict::Fail
        } else if self.totals.seeds == 1
            || self.inconclusive.is_empty() && self.not_exercised().is_empty()
        {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        }
    }

    /// Returns the verdict in one line, with its reason.
    pub fn verdict_text(&self) -> String {
        verdict_text(self.verdict(), self.totals.seeds, self.failed_count)
    }

    /// Returns all counts in their groups.
    pub fn counts_text(&self) -> String {
        let mut text = String::new();
        for group in self.totals.groups(self.engine) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", group.name);
            for (name, count) in group.rows {
                let _ = writeln!(text, "{count:>12}  {name}");
            }
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
            if let Some(first) = self.inconclusive.first() {
                let count = self.inconclusive.len();
                let _ = writeln!(
                    text,
                    "{count} seeds had too few faults, the first is {first}"
                );
            }
            for name in self.not_exercised() {
                let _ = writeln!(text, "did not occur: {name}");
            }
        }
        text
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

/// Returns a verdict in one line, with its reason.
pub(crate) fn verdict_text(verdict: Verdict, seeds: u64, failed: u64) -> String {
    let seeds = match seeds {
        1 => "1 seed".to_owned(),
        count => format!("{count} seeds"),
    };
    let reason = match verdict {
        Verdict::Pass => format!("{seeds}, all invariants hold"),
        Verdict::Fail => format!("{failed} of {seeds} violated an invariant"),
        Verdict::Inconclusive => {
            format!("{seeds}, all invariants hold, but too few kinds of faults occurred")
        }
    };
    format!("{}: {reason}", verdict.name())
}

/// Prints everything, as the message of a test that fails.
impl fmt::Display for SimulationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (counts, findings) = (self.counts_text(), self.findings_text());
        write!(f, "{counts}{findings}{}", self.verdict_text())
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
