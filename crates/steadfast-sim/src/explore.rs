//! Many seeds: counts of everything that happened, and each seed in which a promise was broken.

use std::fmt;
use std::ops::Range;

use crate::mutation::Mutation;
use crate::reference::Violation;
use crate::totals::Totals;
use crate::world::run;

/// The least that must go wrong in every seed.
pub const LINK_LOSSES_MIN: u64 = 3;

/// The least number of crashes in every seed, each of which lost something unsynced.
pub const CRASHES_MIN: u64 = 2;

/// What one seed showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Reproduces it.
    pub seed: u64,
    /// What happened.
    pub totals: Totals,
    /// What was broken; empty when every promise was kept.
    pub violations: Vec<Violation>,
}

impl Finding {
    /// Whether the seed proves anything: enough went wrong, unless a violation ended it before.
    pub const fn is_harmless(&self) -> bool {
        self.violations.is_empty()
            && (self.totals.link_losses() < LINK_LOSSES_MIN || self.totals.crashes < CRASHES_MIN)
    }
}

/// What many seeds showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What happened in all of them.
    pub totals: Totals,
    /// The seeds in which a promise was broken, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many there were.
    pub failed: u64,
    /// Seeds in which too little went wrong to prove anything.
    pub harmless: Vec<u64>,
}

/// More failing seeds than this are only counted.
pub const FINDINGS_MAX: usize = 20;

impl Report {
    /// Whether every promise was kept, and enough went wrong to say so.
    pub fn is_convincing(&self) -> bool {
        self.failed == 0 && self.harmless.is_empty() && self.missing().is_empty()
    }

    /// Adds what another seed showed; in the order of the seeds, so that a report depends on nothing else.
    pub fn add(&mut self, finding: Finding) {
        self.totals += finding.totals;
        if finding.is_harmless() {
            self.harmless.push(finding.seed);
        }
        if !finding.violations.is_empty() {
            self.failed += 1;
            if self.findings.len() < FINDINGS_MAX {
                self.findings.push(finding);
            }
        }
    }

    /// The kinds of trouble that never happened.
    pub fn missing(&self) -> Vec<&'static str> {
        self.totals
            .rows()
            .into_iter()
            .filter(|(_, count)| *count == 0)
            .map(|(name, _)| name)
            .collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.totals)?;
        for finding in &self.findings {
            for violation in finding.violations.iter().take(3) {
                writeln!(f, "seed {}: {violation}", finding.seed)?;
            }
        }
        if let Some(first) = self.harmless.first() {
            writeln!(
                f,
                "{} seeds had too few faults, the first is {first}",
                self.harmless.len()
            )?;
        }
        for name in self.missing() {
            writeln!(
                f,
                "no {name} in the whole run: it proves nothing about them"
            )?;
        }
        Ok(())
    }
}

/// Runs the seeds in order; `progress` is told after each.
pub fn explore(
    seeds: Range<u64>,
    mutation: Option<Mutation>,
    mut progress: impl FnMut(&Report),
) -> Report {
    let mut report = Report::default();
    for seed in seeds {
        report.add(run(seed, mutation));
        progress(&report);
    }
    report
}
