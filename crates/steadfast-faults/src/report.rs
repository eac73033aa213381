//! What people and programs read about a run: [`text`] and [`json`].
//!
//! Both say the same from the same books. A number always has its unit; a percentile that has too few samples is not
//! shown, the maximum is; what was not over when the run ended is shown as larger than what is known.

pub mod json;
pub mod text;

use crate::ledger::Ledger;
use crate::metrics::Metric;
use crate::scenario::model::Scenario;
use crate::scenario::plan::Plan;
use crate::verdict::Judgement;

/// A run and all that is known about it.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What was asked for.
    pub scenario: &'a Scenario,
    /// Which profiles were chosen, in order.
    pub profiles: &'a [String],
    /// What was planned.
    pub plan: &'a Plan,
    /// What happened.
    pub ledger: &'a Ledger,
    /// What came of it.
    pub judgement: &'a Judgement,
}

/// The parts of a recovery, in order.
const RECOVERY: [(&str, Metric); 4] = [
    ("detect", Metric::RecoveryDetect),
    ("dial", Metric::RecoveryDial),
    ("resume", Metric::RecoveryResume),
    ("total", Metric::RecoveryTotal),
];
