//! Puts numbers into what a scenario demands: measures metrics on the books and evaluates expressions.
//!
//! There are three answers: it holds, it does not, nothing is known. Nothing known is never a silent pass.

mod measure;

use std::cmp::Ordering;

use crate::ledger::Ledger;
use crate::samples::Figure;
use crate::scenario::expr::{Comparison, Computed, Expression, Operator, Reading, Relation, Term};
use crate::scenario::model::{Check, Level, NoData};

pub use measure::samples;

/// What came of a check.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Its name.
    pub id: String,
    /// What it demands.
    pub that: String,
    /// What it means when it does not hold.
    pub level: Level,
    /// The answer.
    pub answer: Answer,
    /// Every metric in it with its value, for people.
    pub evidence: Vec<String>,
}

/// The answer to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// There was nothing to measure, or the value is only known to be larger than what would decide.
    Unknown,
}

impl Answer {
    const fn of(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }

    /// Both: one that fails decides, then one that is unknown.
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
pub fn evaluate(check: &Check, ledger: &Ledger) -> Checked {
    let answer = match (answer(&check.that, ledger), check.no_data) {
        (Answer::Unknown, NoData::Fail) => Answer::Fails,
        (Answer::Unknown, NoData::Pass) => Answer::Holds,
        (answer, NoData::Unknown | NoData::Fail | NoData::Pass) => answer,
    };
    Checked {
        id: check.id.clone(),
        that: check.that.to_string(),
        level: check.level,
        answer,
        evidence: evidence(&check.that, ledger),
    }
}

fn answer(expression: &Expression, ledger: &Ledger) -> Answer {
    let answers = expression
        .comparisons()
        .iter()
        .map(|comparison| compare(comparison, ledger));
    answers.fold(Answer::Holds, Answer::and)
}

fn evidence(expression: &Expression, ledger: &Ledger) -> Vec<String> {
    let told = expression.readings().into_iter().map(|reading| {
        let value = measure::figure(reading, ledger);
        let value = value.map_or_else(|| "no data".to_owned(), |value| value.to_string());
        let instead = stands_for(reading, ledger);
        format!("{reading}{instead} is {value}")
    });
    told.collect()
}

/// Says so when there were too few samples for a percentile.
fn stands_for(reading: &Reading, ledger: &Ledger) -> String {
    let samples = samples(reading.metric, &reading.filter, ledger);
    match (reading.aggregate, samples) {
        (Some(asked), Some(samples)) if asked.for_samples(samples.len()) != asked => {
            let n = samples.len();
            let used = asked.for_samples(n).name();
            format!(" (too few samples, {n}: {used} instead)")
        }
        (Some(_) | None, Some(_) | None) => String::new(),
    }
}

fn compare(comparison: &Comparison, ledger: &Ledger) -> Answer {
    let values = value(&comparison.left, ledger).zip(value(&comparison.right, ledger));
    let Some((left, right)) = values else {
        return Answer::Unknown;
    };
    let Some(order) = left.quantity.compare(right.quantity) else {
        return Answer::Unknown;
    };
    match (left.censored, right.censored) {
        (false, false) => Answer::of(holds(comparison.relation, order)),
        (true, false) => larger_than_known(comparison.relation, order),
        (false, true) => larger_than_known(turned(comparison.relation), order.reverse()),
        (true, true) => Answer::Unknown,
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

/// The left value is only known to be larger than what was compared. It fails an upper bound, since that was promised
/// and not shown.
const fn larger_than_known(relation: Relation, order: Ordering) -> Answer {
    match relation {
        Relation::Equal | Relation::AtMost | Relation::Below => Answer::Fails,
        Relation::Unequal | Relation::AtLeast | Relation::Above => {
            if order.is_ge() {
                Answer::Holds
            } else {
                Answer::Unknown
            }
        }
    }
}

const fn turned(relation: Relation) -> Relation {
    match relation {
        Relation::Equal => Relation::Equal,
        Relation::Unequal => Relation::Unequal,
        Relation::AtMost => Relation::AtLeast,
        Relation::Below => Relation::Above,
        Relation::AtLeast => Relation::AtMost,
        Relation::Above => Relation::Below,
    }
}

fn value(term: &Term, ledger: &Ledger) -> Option<Figure> {
    match term {
        Term::Literal(quantity) => Some(Figure::known(*quantity)),
        Term::Reading(reading) => measure::figure(reading, ledger),
        Term::Computed(computed) => compute(computed, ledger),
    }
}

fn compute(computed: &Computed, ledger: &Ledger) -> Option<Figure> {
    let left = value(&computed.left, ledger)?;
    let right = value(&computed.right, ledger)?;
    // Less of, or a part of, something that is only known to be larger says nothing about either side.
    let (a, b) = (left.quantity, right.quantity);
    let (quantity, grows) = match computed.operator {
        Operator::Plus => (a.plus(b)?, true),
        Operator::Times => (a.times(b)?, true),
        Operator::Minus => (a.minus(b)?, false),
        Operator::Over => (a.over(b)?, false),
    };
    (grows || !right.censored).then_some(Figure {
        quantity,
        censored: left.censored || right.censored,
    })
}
