//! The report of a run: for operators as [`text`] and as a page ([`html`]), for programs as [`json`] and [`junit`].
//!
//! All are rendered from the same ledger. A number always has its unit or its noun. A percentile of too few samples is
//! not shown. A value that was still growing at the end of the run is shown as a lower bound.

pub mod html;
pub mod json;
pub mod junit;
mod markup;
mod table;
pub mod text;

use crate::ledger::Ledger;
use crate::metrics::Metric;
use crate::scenario::model::Scenario;
use crate::scenario::plan::Plan;
use crate::verdict::Evaluation;

/// The data of a report.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct Report<'a> {
    pub scenario: &'a Scenario,
    /// The selected profiles, in order.
    pub profiles: &'a [String],
    /// Whether faults were only reported.
    pub is_placebo: bool,
    pub plan: &'a Plan,
    pub ledger: &'a Ledger,
    pub evaluation: &'a Evaluation,
    /// The programs of the services with their versions.
    pub programs: &'a [ProgramVersion],
}

/// The program of a service, and which version the run had.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct ProgramVersion {
    pub service: String,
    /// The path of the program.
    pub program: String,
    /// As the program prints it.
    pub version: String,
}

/// The phases of a recovery and their total, in order.
const RECOVERY: [(&str, Metric); 5] = [
    ("detect", Metric::RecoveryDetect),
    ("dial", Metric::RecoveryDial),
    ("log in", Metric::RecoveryLogin),
    ("resume", Metric::RecoveryResume),
    ("total", Metric::RecoveryTotal),
];
