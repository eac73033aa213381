//! Evaluates the checks of a scenario: computes metrics from the ledger and evaluates expressions.
//!
//! A check has one of three outcomes: it holds, it fails, or its outcome is unknown. Unknown is never a silent pass.

mod measure;

use std::cmp::Ordering;

use crate::ledger::Ledger;
use crate::samples::Measurement;
use crate::scenario::expr::{
    Comparison, Computed, Expression, MetricQuery, Operator, Relation, Term,
};
use crate::scenario::model::{Check, CheckLevel, NoData};

pub use measure::samples;

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
    /// Each metric of the condition with its value, as text.
    pub evidence: Vec<String>,
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
}

impl CheckOutcome {
    const fn from_holds(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }

    /// The combined outcome: a failure takes precedence over an unknown outcome.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fails, _) | (_, Self::Fails) => Self::Fails,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Holds, Self::Holds) => Self::Holds,
        }
    }
}

/// Evaluates one check of a scenario.
pub fn evaluate(check: &Check, ledger: &Ledger) -> CheckResult {
    let outcome = match (outcome(&check.that, ledger), check.no_data) {
        (CheckOutcome::Unknown, NoData::Fail) => CheckOutcome::Fails,
        (CheckOutcome::Unknown, NoData::Pass) => CheckOutcome::Holds,
        (outcome, NoData::Unknown | NoData::Fail | NoData::Pass) => outcome,
    };
    CheckResult {
        id: check.id.clone(),
        that: check.that.to_string(),
        level: check.level,
        outcome,
        evidence: evidence(&check.that, ledger),
    }
}

fn outcome(expression: &Expression, ledger: &Ledger) -> CheckOutcome {
    let outcomes = expression
        .comparisons()
        .iter()
        .map(|comparison| compare(comparison, ledger));
    outcomes.fold(CheckOutcome::Holds, CheckOutcome::and)
}

fn evidence(expression: &Expression, ledger: &Ledger) -> Vec<String> {
    let evidence = expression.metric_queries().into_iter().map(|query| {
        let value = measure::evaluate(query, ledger);
        let value = value.map_or_else(|| "no data".to_owned(), |value| value.to_string());
        let note = substitution_note(query, ledger);
        format!("{query}{note}: {value}")
    });
    evidence.collect()
}

/// A note when there were too few samples for the requested percentile.
fn substitution_note(query: &MetricQuery, ledger: &Ledger) -> String {
    let samples = samples(query.metric, &query.filter, ledger);
    match (query.aggregate, samples) {
        (Some(requested), Some(samples)) if requested.for_samples(samples.len()) != requested => {
            let n = samples.len();
            let used = requested.for_samples(n).name();
            format!(" (too few samples, {n}: {used} instead)")
        }
        (Some(_) | None, Some(_) | None) => String::new(),
    }
}

fn compare(comparison: &Comparison, ledger: &Ledger) -> CheckOutcome {
    let values = value(&comparison.left, ledger).zip(value(&comparison.right, ledger));
    let Some((left, right)) = values else {
        return CheckOutcome::Unknown;
    };
    let Some(order) = left.quantity.compare(right.quantity) else {
        return CheckOutcome::Unknown;
    };
    match (left.is_censored, right.is_censored) {
        (false, false) => CheckOutcome::from_holds(holds(comparison.relation, order)),
        (true, false) => compare_censored(comparison.relation, order),
        (false, true) => compare_censored(mirrored(comparison.relation), order.reverse()),
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
