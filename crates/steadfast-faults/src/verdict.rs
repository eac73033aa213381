//! The verdict of a run: whether the guarantees were kept, violated, or not tested.
//!
//! [`guards`] always apply. A run whose harness failed, was too slow, or injected no fault proves nothing and must not
//! be reported as a failure of the system. A failed check outranks a violated system guard. The order of precedence is
//! therefore: violated guards of the harness, failed checks, violated guards of the system, missing data. A check that
//! is not applicable changes nothing, unless that is true of every required check.

pub mod guards;

use crate::check::{self, CheckOutcome, CheckResult};
use crate::ledger::Ledger;
use crate::scenario::model::{CheckLevel, Scenario};
use crate::verdict::guards::{Concern, Guard};

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every required check holds.
    Pass,
    /// A required check fails.
    Fail,
    /// The run proves nothing either way.
    Inconclusive,
}

impl Verdict {
    /// The verdict as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }
}

/// A verdict with its reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The verdict of the run.
    pub verdict: Verdict,
    /// Why the verdict is not PASS, most important first.
    pub reasons: Vec<String>,
    /// Every guard, met or not.
    pub guards: Vec<Guard>,
    /// Every check, in the order of the scenario.
    pub checks: Vec<CheckResult>,
}

/// Evaluates a run. `control` is the ledger of the same load without faults, if that was run.
pub fn evaluate(scenario: &Scenario, ledger: &Ledger, control: Option<&Ledger>) -> Evaluation {
    let guards = guards::all(scenario, ledger, control);
    let checks: Vec<CheckResult> = scenario
        .checks()
        .iter()
        .map(|it| check::evaluate(it, ledger))
        .collect();
    let violations = |concern| {
        let of_concern = guards.iter().filter(move |it| it.concern == concern);
        let violated =
            of_concern.filter_map(|it| Some(format!("{}: {}", it.name, it.violation.as_ref()?)));
        violated.collect::<Vec<_>>()
    };
    let required = |outcome| {
        let required = checks.iter().filter(|it| it.level == CheckLevel::Must);
        let reasons = required
            .filter(move |it| it.outcome == outcome)
            .map(|it| format!("{}: {}", it.id, it.measured()));
        reasons.collect::<Vec<_>>()
    };
    let untested = if nothing_was_tested(&checks) {
        vec!["no required check was applicable".to_owned()]
    } else {
        Vec::new()
    };
    let by_precedence = [
        (Verdict::Inconclusive, violations(Concern::Harness)),
        (Verdict::Fail, required(CheckOutcome::Fails)),
        (Verdict::Inconclusive, violations(Concern::System)),
        (Verdict::Inconclusive, required(CheckOutcome::Unknown)),
        (Verdict::Inconclusive, untested),
    ];
    let decisive = by_precedence
        .iter()
        .find(|(_, reasons)| !reasons.is_empty());
    Evaluation {
        verdict: decisive.map_or(Verdict::Pass, |(verdict, _)| *verdict),
        reasons: by_precedence
            .iter()
            .flat_map(|(_, it)| it.clone())
            .collect(),
        guards,
        checks,
    }
}

/// Whether none of the required checks was applicable, or none is required.
fn nothing_was_tested(checks: &[CheckResult]) -> bool {
    let mut required = checks.iter().filter(|it| it.level == CheckLevel::Must);
    required.all(|it| it.outcome == CheckOutcome::NotApplicable)
}
