//! What a check says: comparisons of metrics, numbers and times, joined by `and`.
//!
//! Owns the tree and its units; [`crate::check`] puts numbers in. A tree exists only if its units fit, so a check cannot
//! compare milliseconds with clients.

mod read;

use std::fmt;
use std::time::Duration;

use crate::metrics::{Filter, Metric};
use crate::quantity::{Quantity, Unit};
use crate::samples::Aggregate;

pub use read::ExpressionError;

/// One or more comparisons that must all hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    text: String,
    comparisons: Vec<Comparison>,
}

/// Two values and how they must stand to each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The left side.
    pub left: Term,
    /// How.
    pub relation: Relation,
    /// The right side, of the same unit.
    pub right: Term,
}

/// How two values stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<=`
    AtMost,
    /// `<`
    Below,
    /// `>=`
    AtLeast,
    /// `>`
    Above,
}

/// A value of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// A number or a time.
    Literal(Quantity),
    /// Something measured.
    Reading(Reading),
    /// Computed of two values.
    Computed(Box<Computed>),
}

/// A value that is computed of two others.
#[derive(Clone, Debug, PartialEq)]
pub struct Computed {
    /// The left operand.
    pub left: Term,
    /// What is done.
    pub operator: Operator,
    /// The right operand.
    pub right: Term,
}

/// What is done with two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Times,
    /// `/`
    Over,
}

/// A metric as one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What is measured.
    pub metric: Metric,
    /// Of whom.
    pub filter: Filter,
    /// Which number of many samples; present exactly for metrics that have samples.
    pub aggregate: Option<Aggregate>,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// When it is none, names a metric that does not exist, or compares what has no common unit.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        read::expression(text)
    }

    /// The comparisons, in their order.
    pub fn comparisons(&self) -> &[Comparison] {
        &self.comparisons
    }

    /// Everything measured in it, in order.
    pub fn readings(&self) -> Vec<&Reading> {
        let mut found = Vec::new();
        for comparison in &self.comparisons {
            collect(&comparison.left, &mut found);
            collect(&comparison.right, &mut found);
        }
        found
    }

    /// Every time that it names: thresholds that are measured against.
    pub fn times(&self) -> impl Iterator<Item = Duration> {
        self.comparisons
            .iter()
            .flat_map(|it| [&it.left, &it.right])
            .filter_map(Term::literal_time)
    }

    /// The largest time that it allows to `recovery.total`, if it bounds it from above with a plain time.
    pub fn recovery_max(&self) -> Option<Duration> {
        let bounds = self.comparisons.iter().filter_map(|it| {
            let upper = matches!(it.relation, Relation::Below | Relation::AtMost);
            let recovery = matches!(&it.left, Term::Reading(reading)
                if reading.metric == Metric::RecoveryTotal);
            (upper && recovery).then_some(&it.right)
        });
        bounds.filter_map(Term::literal_time).max()
    }
}

impl Term {
    /// What it counts; `None` when its parts do not fit together.
    pub fn unit(&self) -> Option<Unit> {
        match self {
            Self::Literal(quantity) => Some(quantity.unit()),
            Self::Reading(reading) => Some(reading.unit()),
            Self::Computed(computed) => {
                let (left, right) = (computed.left.unit()?, computed.right.unit()?);
                match computed.operator {
                    Operator::Plus | Operator::Minus => (left == right).then_some(left),
                    Operator::Times => left.times(right),
                    Operator::Over => left.over(right),
                }
            }
        }
    }

    fn literal_time(&self) -> Option<Duration> {
        match self {
            Self::Literal(quantity) => quantity.as_time(),
            Self::Reading(_) => None,
            Self::Computed(_) => None,
        }
    }
}

impl Reading {
    fn unit(&self) -> Unit {
        use crate::metrics::Shape;
        match (self.metric.shape(), self.aggregate) {
            (_, Some(Aggregate::Count)) => Unit::One,
            (Shape::Number, _) => Unit::One,
            (Shape::Samples(unit), _) => unit,
        }
    }
}

fn collect<'a>(term: &'a Term, found: &mut Vec<&'a Reading>) {
    match term {
        Term::Literal(_) => {}
        Term::Reading(reading) => found.push(reading),
        Term::Computed(computed) => {
            collect(&computed.left, found);
            collect(&computed.right, found);
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric.name())?;
        let Filter { load, kind, step } = &self.filter;
        let kind = kind.map(|kind| kind.name().to_owned());
        let parts = [("load", load), ("kind", &kind), ("step", step)];
        let parts: Vec<String> = parts
            .iter()
            .filter_map(|(key, value)| value.as_ref().map(|value| format!("{key}={value}")))
            .collect();
        if !parts.is_empty() {
            write!(f, "{{{}}}", parts.join(","))?;
        }
        self.aggregate
            .iter()
            .try_for_each(|it| write!(f, " {}", it.name()))
    }
}
