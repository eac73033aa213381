//! The expressions of checks: comparisons of metrics, numbers and times, joined by `and`.
//!
//! This module defines the expression tree and its units; [`crate::check`] evaluates the tree. A tree exists only if
//! its units match, so a check cannot compare milliseconds with clients.

mod read;

use std::fmt;
use std::time::Duration;

use crate::metrics::{Metric, MetricFilter};
use crate::quantity::{Quantity, Unit};
use crate::samples::Aggregate;

pub use read::ExpressionError;

/// One or more comparisons that must all hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    text: String,
    comparisons: Vec<Comparison>,
}

/// Two values and the relation that must hold between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The value on the left side.
    pub left: Term,
    /// The relation between both sides.
    pub relation: Relation,
    /// The value on the right side, of the same unit.
    pub right: Term,
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Written as `==`.
    Equal,
    /// Written as `!=`.
    Unequal,
    /// Written as `<=`.
    AtMost,
    /// Written as `<`.
    Below,
    /// Written as `>=`.
    AtLeast,
    /// Written as `>`.
    Above,
}

impl Comparison {
    /// Every metric of both sides, in the order of the text.
    pub fn metric_queries(&self) -> Vec<&MetricQuery> {
        let mut found = Vec::new();
        collect(&self.left, &mut found);
        collect(&self.right, &mut found);
        found
    }
}

impl Relation {
    /// The operator as written in a scenario.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::AtMost => "<=",
            Self::Below => "<",
            Self::AtLeast => ">=",
            Self::Above => ">",
        }
    }
}

/// One side of a comparison, or an operand.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// A number or a time.
    Literal(Quantity),
    /// The value of a metric.
    Metric(MetricQuery),
    /// A value computed from two operands.
    Computed(Box<Computed>),
}

/// A value that is computed from two operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Computed {
    /// The left operand.
    pub left: Term,
    /// The arithmetic operator.
    pub operator: Operator,
    /// The right operand.
    pub right: Term,
}

/// An arithmetic operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Written as `+`.
    Add,
    /// Written as `-`.
    Subtract,
    /// Written as `*`.
    Multiply,
    /// Written as `/`.
    Divide,
}

impl Operator {
    /// The operator as written in a scenario.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }
}

/// A metric as one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricQuery {
    /// The metric to measure.
    pub metric: Metric,
    /// The clients and incidents that count.
    pub filter: MetricFilter,
    /// The aggregate of the samples; present exactly for metrics that have samples.
    pub aggregate: Option<Aggregate>,
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    ///
    /// When the syntax is invalid, a metric does not exist, or the units of both sides differ.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        read::expression(text)
    }

    /// The comparisons, in the order of the text.
    pub fn comparisons(&self) -> &[Comparison] {
        &self.comparisons
    }

    /// Every metric in the expression, in the order of the text.
    pub fn metric_queries(&self) -> Vec<&MetricQuery> {
        self.comparisons
            .iter()
            .flat_map(Comparison::metric_queries)
            .collect()
    }

    /// Every literal time that is a side of a comparison: the thresholds of the check.
    pub fn times(&self) -> impl Iterator<Item = Duration> {
        self.comparisons
            .iter()
            .flat_map(|it| [&it.left, &it.right])
            .filter_map(Term::literal_time)
    }

    /// The largest upper bound of `recovery.total` that is a literal time; `None` without such a bound.
    pub fn recovery_max(&self) -> Option<Duration> {
        let bounds = self.comparisons.iter().filter_map(|it| {
            let is_upper_bound = matches!(it.relation, Relation::Below | Relation::AtMost);
            let is_recovery = matches!(&it.left, Term::Metric(query)
                if query.metric == Metric::RecoveryTotal);
            (is_upper_bound && is_recovery).then_some(&it.right)
        });
        bounds.filter_map(Term::literal_time).max()
    }
}

impl Term {
    /// The unit; `None` when the units of the operands do not match.
    pub fn unit(&self) -> Option<Unit> {
        match self {
            Self::Literal(quantity) => Some(quantity.unit()),
            Self::Metric(query) => Some(query.unit()),
            Self::Computed(computed) => {
                let (left, right) = (computed.left.unit()?, computed.right.unit()?);
                match computed.operator {
                    Operator::Add | Operator::Subtract => (left == right).then_some(left),
                    Operator::Multiply => left.times(right),
                    Operator::Divide => left.divided_by(right),
                }
            }
        }
    }

    fn literal_time(&self) -> Option<Duration> {
        match self {
            Self::Literal(quantity) => quantity.as_time(),
            Self::Metric(_) => None,
            Self::Computed(_) => None,
        }
    }
}

impl MetricQuery {
    fn unit(&self) -> Unit {
        use crate::metrics::MetricShape;
        match (self.metric.shape(), self.aggregate) {
            (_, Some(Aggregate::Count)) => Unit::Dimensionless,
            (MetricShape::Number, _) => Unit::Dimensionless,
            (MetricShape::Samples(unit), _) => unit,
        }
    }
}

fn collect<'a>(term: &'a Term, found: &mut Vec<&'a MetricQuery>) {
    match term {
        Term::Literal(_) => {}
        Term::Metric(query) => found.push(query),
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

impl fmt::Display for MetricQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric.name())?;
        let filters = self.filter.to_string();
        if !filters.is_empty() {
            write!(f, "{{{filters}}}")?;
        }
        self.aggregate
            .iter()
            .try_for_each(|it| write!(f, " {}", it.name()))
    }
}
