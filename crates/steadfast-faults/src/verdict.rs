//! Whether the promises were kept, broken, or not put to the test.
//!
//! [`guards`] are always on. A run whose harness failed, was too slow, or broke nothing proves nothing, and may not
//! accuse the system; a check that fails is not hidden by a smaller trouble. So a guard of the harness comes before a
//! failed check, and that before a guard of the system and before missing data.

pub mod guards;

use crate::check::{self, Answer, Checked};
use crate::ledger::Ledger;
use crate::scenario::model::{Level, Scenario};
use crate::verdict::guards::{Concern, Guard};

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that must hold does.
    Pass,
    /// Something that must hold does not.
    Fail,
    /// The run proves nothing either way.
    Inconclusive,
}

impl Verdict {
    /// The word for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }
}

/// A verdict and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The result.
    pub verdict: Verdict,
    /// Why it is not a pass, most important first.
    pub reasons: Vec<String>,
    /// Every guard.
    pub guards: Vec<Guard>,
    /// Every check, in the order of the scenario.
    pub checks: Vec<Checked>,
}

/// Judges a run. `control` is the same load without faults, if it ran.
pub fn judge(scenario: &Scenario, ledger: &Ledger, control: Option<&Ledger>) -> Judgement {
    let guards = guards::all(scenario, ledger, control);
    let checks: Vec<Checked> = scenario
        .checks()
        .iter()
        .map(|it| check::evaluate(it, ledger))
        .collect();
    let broken = |concern| {
        let of_concern = guards.iter().filter(move |it| it.concern == concern);
        let told =
            of_concern.filter_map(|it| Some(format!("{}: {}", it.name, it.broken.as_ref()?)));
        told.collect::<Vec<_>>()
    };
    let musts = |answer| {
        let musts = checks.iter().filter(|it| it.level == Level::Must);
        let told = musts
            .filter(move |it| it.answer == answer)
            .map(|it| format!("{}: {} ({})", it.id, it.that, it.evidence.join(", ")));
        told.collect::<Vec<_>>()
    };
    let in_order = [
        (Verdict::Inconclusive, broken(Concern::Harness)),
        (Verdict::Fail, musts(Answer::Fails)),
        (Verdict::Inconclusive, broken(Concern::System)),
        (Verdict::Inconclusive, musts(Answer::Unknown)),
    ];
    let decisive = in_order.iter().find(|(_, reasons)| !reasons.is_empty());
    Judgement {
        verdict: decisive.map_or(Verdict::Pass, |(verdict, _)| *verdict),
        reasons: in_order.iter().flat_map(|(_, it)| it.clone()).collect(),
        guards,
        checks,
    }
}
