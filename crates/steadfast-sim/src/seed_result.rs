//! The result of one seed.

use crate::engine_kind::EngineKind;
use crate::reference_model::Violation;
use crate::totals::Totals;

/// The least number of connections that the network must close or reset in every seed.
pub(crate) const CONNECTION_LOSSES_MIN: u64 = 3;

/// The least number of crashes in every seed, each of which lost unsynced sectors or the history of a memory engine.
pub(crate) const CRASHES_MIN: u64 = 2;

/// The result of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedResult {
    /// The seed, which reproduces the run.
    pub seed: u64,
    /// The engine of the run.
    pub engine: EngineKind,
    /// The counts of the run.
    pub totals: Totals,
    /// The violations; empty when every invariant held.
    pub violations: Vec<Violation>,
}

impl SeedResult {
    /// Whether the run proves nothing: it has no violation and too few faults.
    pub(crate) const fn is_inconclusive(&self) -> bool {
        let crashes = match self.engine {
            EngineKind::Log => self.totals.crashes,
            EngineKind::Memory => self.totals.histories_lost,
        };
        self.violations.is_empty()
            && (self.totals.connection_losses() < CONNECTION_LOSSES_MIN || crashes < CRASHES_MIN)
    }
}
