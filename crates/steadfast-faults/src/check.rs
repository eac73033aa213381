//! Evaluates the checks of a scenario: computes metrics from the ledger and evaluates expressions.
//!
//! A check holds, fails, is not applicable, or its outcome is unknown. Neither of the last two is a silent pass.

mod measure;
mod words;

use std::cmp::Ordering;

use crate::ledger::Ledger;
use crate::samples::Measurement;
use crate::scenario::expr::{Comparison, Computed, Operator, Relation, Term};
use crate::scenario::model::{Check, CheckLevel, NoData};

pub(crate) use measure::{PEAK_WINDOW, attempts_peak, clients, entries, is_selected};
pub use measure::{number, samples};

/// A check and its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckResult {
    /// The check's id in the scenario.
    pub id: String,
    /// The condition, as written in the scenario.
    pub that: String,
    /// The consequence of a failure.
    pub level: CheckLevel,
    /// Whether the condition holds.
    pub outcome: CheckOutcome,
    /// Each comparison of the condition, with what was measured.
    pub comparisons: Vec<ComparisonResult>,
}

impl CheckResult {
    /// What was measured, next to its limit.
    pub fn measured(&self) -> String {
        let texts: Vec<&str> = self.comparisons.iter().map(|it| it.text.as_str()).collect();
        texts.join("; ")
    }
}

/// A comparison with the values of both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparisonResult {
    /// The left value, usually measured; `None` without samples.
    pub left: Option<Measurement>,
    /// The required relation.
    pub relation: Relation,
    /// The right value, usually the limit; `None` without samples.
    pub right: Option<Measurement>,
    /// Whether the relation holds.
    pub outcome: CheckOutcome,
    /// What was measured next to its limit, for example `750 ms < 6 s (max of 8 samples)`.
    pub text: String,
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    /// The condition holds.
    Holds,
    /// The condition does not hold.
    Fails,
    /// There are no samples, or the value is censored and its lower bound does not decide the comparison.
    Unknown,
    /// There are no samples, and the scenario permits that: the condition was not tested.
    NotApplicable,
}

impl CheckOutcome {
    const fn from_holds(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }

    /// The combined outcome: a condition of which one part was not tested does not hold.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fails, _) | (_, Self::Fails) => Self::Fails,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::NotApplicable, _) | (_, Self::NotApplicable) => Self::NotApplicable,
            (Self::Holds, Self::Holds) => Self::Holds,
        }
    }

    /// The name in JSON reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::Unknown => "unknown",
            Self::NotApplicable => "not_applicable",
        }
    }
}

/// Evaluates one check of a scenario.
pub fn evaluate(check: &Check, ledger: &Ledger) -> CheckResult {
    let comparisons: Vec<ComparisonResult> = check
        .that
        .comparisons()
        .iter()
        .map(|it| evaluate_comparison(it, check, ledger))
        .collect();
    CheckResult {
        id: check.id.clone(),
        that: check.that.to_string(),
        level: check.level,
        outcome: comparisons
            .iter()
            .fold(CheckOutcome::Holds, |all, it| all.and(it.outcome)),
        comparisons,
    }
}

fn evaluate_comparison(
    comparison: &Comparison,
    check: &Check,
    ledger: &Ledger,
) -> ComparisonResult {
    let left = value(&comparison.left, ledger);
    let right = value(&comparison.right, ledger);
    let outcome = match left.zip(right) {
        Some((left, right)) => compare(left, comparison.relation, right),
        None => match check.no_data {
            NoData::Unknown => CheckOutcome::Unknown,
            NoData::Fail => CheckOutcome::Fails,
            NoData::NotApplicable => CheckOutcome::NotApplicable,
        },
    };
    ComparisonResult {
        left,
        relation: comparison.relation,
        right,
        outcome,
        text: words::comparison(comparison, outcome, check.level, ledger),
    }
}

fn compare(left: Measurement, relation: Relation, right: Measurement) -> CheckOutcome {
    let Some(order) = left.quantity.compare(right.quantity) else {
        return CheckOutcome::Unknown;
    };
    match (left.is_censored, right.is_censored) {
        (false, false) => CheckOutcome::from_holds(holds(relation, order)),
        (true, false) => compare_censored(relation, order),
        (false, true) => compare_censored(mirrored(relation), order.reverse()),
        (true, true) => CheckOutcome::Unknown,
    }
}

const fn holds(relation: Relation, order: Ordering) -> bool {
    match relation {
        Relation::Equal => order.is_eq(),
        Relation::Unequal => order.is_ne(),
        Relation::AtMost => order.is_le(),
        Relation::Below => order.is_lt(),
        Relation::AtLeast => order.is_ge(),
        Relation::Above => order.is_gt(),
    }
}

/// The outcome when the left value is censored: only its lower bound is known. A required upper bound fails,
/// since the run does not show it.
const fn compare_censored(relation: Relation, order: Ordering) -> CheckOutcome {
    match relation {
        Relation::Equal | Relation::AtMost | Relation::Below => CheckOutcome::Fails,
        Relation::Unequal | Relation::AtLeast | Relation::Above => {
            if order.is_ge() {
                CheckOutcome::Holds
            } else {
                CheckOutcome::Unknown
            }
        }
    }
}

const fn mirrored(relation: Relation) -> Relation {
    match relation {
        Relation::Equal => Relation::Equal,
        Relation::Unequal => Relation::Unequal,
        Relation::AtMost => Relation::AtLeast,
        Relation::Below => Relation::Above,
        Relation::AtLeast => Relation::AtMost,
        Relation::Above => Relation::Below,
    }
}

fn value(term: &Term, ledger: &Ledger) -> Option<Measurement> {
    match term {
        Term::Literal(quantity) => Some(Measurement::known(*quantity)),
        Term::Metric(query) => measure::evaluate(query, ledger),
        Term::Computed(computed) => compute(computed, ledger),
    }
}

fn compute(computed: &Computed, ledger: &Ledger) -> Option<Measurement> {
    let left = value(&computed.left, ledger)?;
    let right = value(&computed.right, ledger)?;
    // Neither subtracting a censored value nor dividing by it gives a lower bound of the result.
    let (a, b) = (left.quantity, right.quantity);
    let (quantity, grows) = match computed.operator {
        Operator::Add => (a.plus(b)?, true),
        Operator::Multiply => (a.times(b)?, true),
        Operator::Subtract => (a.minus(b)?, false),
        Operator::Divide => (a.divided_by(b)?, false),
    };
    (grows || !right.is_censored).then_some(Measurement {
        quantity,
        is_censored: left.is_censored || right.is_censored,
    })
}
