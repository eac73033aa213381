//! The parser of expressions: recursive descent, from left to right.
//!
//! There are no parentheses: `and` binds weakest, then comparisons, then `+ -`, then `* /`.

use steadfast_toml::suggestion;

use crate::metrics::{Metric, MetricFilter, MetricScope, MetricShape};
use crate::quantity::Unit;
use crate::samples::Aggregate;
use crate::scenario::expr::{
    Comparison, Computed, Expression, MetricQuery, Operator, Relation, Term,
};
use crate::scenario::units;
use crate::topology::ClientKind;

/// The longest expression, so that its tree stays small.
const LEN_MAX: usize = 1000;

/// Longer operators first, since `<` is a prefix of `<=`.
const RELATIONS: [(&str, Relation); 6] = [
    ("==", Relation::Equal),
    ("!=", Relation::Unequal),
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("<", Relation::Below),
    (">", Relation::Above),
];

const FILTER_KEYS: [&str; 3] = ["load", "kind", "step"];

/// Why an expression is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// The problem, in one line.
    pub message: String,
    /// How to fix it, if that is known.
    pub help: Option<String>,
}

/// The text that is not parsed yet.
struct ExpressionReader<'a> {
    rest: &'a str,
}

pub(super) fn expression(text: &str) -> Result<Expression, ExpressionError> {
    if text.len() > LEN_MAX {
        return Err(without_help(format!(
            "expression has {} bytes; the maximum is {LEN_MAX}",
            text.len()
        )));
    }
    let mut reader = ExpressionReader { rest: text };
    let mut comparisons = vec![reader.comparison()?];
    while reader.word("and") {
        comparisons.push(reader.comparison()?);
    }
    if !reader.rest.trim_start().is_empty() {
        return Err(reader.expected("`and` or the end"));
    }
    let text = text.trim().to_owned();
    Ok(Expression { text, comparisons })
}

impl<'a> ExpressionReader<'a> {
    fn comparison(&mut self) -> Result<Comparison, ExpressionError> {
        let left = self.sum()?;
        let found = RELATIONS.iter().find(|(sign, _)| self.sign(sign));
        let Some((sign, relation)) = found else {
            return Err(self.expected("one of ==, !=, <, <=, >, >="));
        };
        let right = self.sum()?;
        if left.unit() != right.unit() {
            return Err(without_help(format!(
                "`{sign}` compares {} with {}",
                unit_name(left.unit()),
                unit_name(right.unit())
            )));
        }
        Ok(Comparison {
            left,
            relation: *relation,
            right,
        })
    }

    fn sum(&mut self) -> Result<Term, ExpressionError> {
        let mut term = self.product()?;
        loop {
            let operator = if self.sign("+") {
                Operator::Add
            } else if self.sign("-") {
                Operator::Subtract
            } else {
                return Ok(term);
            };
            term = computed(term, operator, self.product()?)?;
        }
    }

    fn product(&mut self) -> Result<Term, ExpressionError> {
        let mut term = self.atom()?;
        loop {
            let operator = if self.sign("*") {
                Operator::Multiply
            } else if self.sign("/") {
                Operator::Divide
            } else {
                return Ok(term);
            };
            term = computed(term, operator, self.atom()?)?;
        }
    }

    fn atom(&mut self) -> Result<Term, ExpressionError> {
        let number = self.consume(|it| it.is_ascii_digit() || it == '.');
        if !number.is_empty() {
            let unit = self.consume_directly(|it| it.is_ascii_alphabetic() || it == '%');
            return units::number(number, unit)
                .map(Term::Literal)
                .ok_or_else(|| without_help(format!("invalid number or unit `{number}{unit}`")));
        }
        let name = self.consume(|it| it.is_ascii_lowercase() || "._".contains(it));
        if name.is_empty() {
            return Err(self.expected("a metric, a number or a time"));
        }
        let Some(metric) = Metric::from_name(name) else {
            let known: Vec<&str> = Metric::ALL.iter().map(|it| it.name()).collect();
            return Err(ExpressionError {
                message: format!("unknown metric `{name}`"),
                help: suggestion::help_if_similar(name, &known),
            });
        };
        let filter = self.filter(metric)?;
        let aggregate = self.aggregate(metric)?;
        Ok(Term::Metric(MetricQuery {
            metric,
            filter,
            aggregate,
        }))
    }

    fn filter(&mut self, metric: Metric) -> Result<MetricFilter, ExpressionError> {
        let mut filter = MetricFilter::default();
        if !self.sign("{") {
            return Ok(filter);
        }
        loop {
            let key = self.consume(|it| it.is_ascii_lowercase());
            let allowed = match metric.scope() {
                MetricScope::Run => false,
                MetricScope::Clients => key != "step",
                MetricScope::Incidents | MetricScope::Requests => true,
            };
            if !FILTER_KEYS.contains(&key) || !allowed {
                let message = format!("`{}` cannot be filtered by `{key}`", metric.name());
                return Err(without_help(message));
            }
            if !self.sign("=") {
                return Err(self.expected("`=`"));
            }
            let value = self.consume(|it| it.is_ascii_alphanumeric() || "-_".contains(it));
            match key {
                "load" => filter.load = Some(value.to_owned()),
                "kind" => filter.kind = Some(kind(value)?),
                _ => filter.step = Some(value.to_owned()),
            }
            if self.sign("}") {
                return Ok(filter);
            }
            if !self.sign(",") {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn aggregate(&mut self, metric: Metric) -> Result<Option<Aggregate>, ExpressionError> {
        let found = Aggregate::ALL.into_iter().find(|it| self.word(it.name()));
        match (metric.shape(), found) {
            (MetricShape::Number, None) => Ok(None),
            (MetricShape::Number, Some(it)) => Err(without_help(format!(
                "`{}` is a single number: `{}` does not apply",
                metric.name(),
                it.name()
            ))),
            (MetricShape::Samples(_), Some(it)) => Ok(Some(it)),
            (MetricShape::Samples(_), None) => {
                let all: Vec<&str> = Aggregate::ALL.iter().map(|it| it.name()).collect();
                Err(ExpressionError {
                    message: format!(
                        "`{}` has many values: an aggregate is required",
                        metric.name()
                    ),
                    help: Some(format!("one of: {}", all.join(", "))),
                })
            }
        }
    }

    /// Consumes the sign if it is next.
    fn sign(&mut self, sign: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Consumes the word if it is next and complete.
    fn word(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(word);
        let rest =
            rest.filter(|rest| !rest.starts_with(|it: char| it.is_alphanumeric() || it == '_'));
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn consume(&mut self, accepts: impl Fn(char) -> bool) -> &'a str {
        self.rest = self.rest.trim_start();
        self.consume_directly(accepts)
    }

    fn consume_directly(&mut self, accepts: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|it| !accepts(it)).unwrap_or(self.rest.len());
        let Some((consumed, rest)) = self.rest.split_at_checked(end) else {
            return "";
        };
        self.rest = rest;
        consumed
    }

    fn expected(&self, what: &str) -> ExpressionError {
        let rest = self.rest.trim();
        let found = if rest.is_empty() {
            "the end".to_owned()
        } else {
            format!("`{rest}`")
        };
        without_help(format!("expected {what}, found {found}"))
    }
}

fn computed(left: Term, operator: Operator, right: Term) -> Result<Term, ExpressionError> {
    let (left_unit, right_unit) = (left.unit(), right.unit());
    let term = Term::Computed(Box::new(Computed {
        left,
        operator,
        right,
    }));
    if term.unit().is_none() {
        let sign = match operator {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
        };
        let (left, right) = (unit_name(left_unit), unit_name(right_unit));
        return Err(without_help(format!(
            "invalid operation: {left} `{sign}` {right}"
        )));
    }
    Ok(term)
}

fn kind(name: &str) -> Result<ClientKind, ExpressionError> {
    ClientKind::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = ClientKind::ALL.iter().map(|it| it.name()).collect();
        ExpressionError {
            message: format!("unknown client kind `{name}`"),
            help: Some(format!("one of: {}", known.join(", "))),
        }
    })
}

const fn unit_name(unit: Option<Unit>) -> &'static str {
    match unit {
        Some(Unit::Dimensionless) => "a number",
        Some(Unit::Time) => "a time",
        None => "a value without a unit",
    }
}

fn without_help(message: String) -> ExpressionError {
    ExpressionError {
        message,
        help: None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn expressions_are_parsed_with_their_units() {
        for text in [
            "clients.reconnected / clients.affected == 1.0",
            "recovery.total max < 10s",
            "delivery.lost == 0 and delivery.duplicate == 0 and delivery.reordered == 0",
            "delivery.ratio_at_stop >= 95%",
            "attempts.per_recovery{kind=centrifuge-client,load=chat} p99 <= 3 * clients.affected + 1",
            "recovery.dial{step=kill} p50*2<recovery.total p99",
        ] {
            let parsed = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn invalid_expressions_are_rejected_with_the_reason() {
        for (text, message) in [
            ("", "expected a metric, a number or a time, found the end"),
            (
                "delivery.lost",
                "expected one of ==, !=, <, <=, >, >=, found the end",
            ),
            (
                "delivery.lost = 0",
                "expected one of ==, !=, <, <=, >, >=, found `= 0`",
            ),
            (
                "delivery.lost == 0 or 1 == 1",
                "expected `and` or the end, found `or 1 == 1`",
            ),
            ("delivery.losst == 0", "unknown metric `delivery.losst`"),
            (
                "recovery.total < 2s",
                "`recovery.total` has many values: an aggregate is required",
            ),
            (
                "delivery.lost max < 2",
                "`delivery.lost` is a single number: `max` does not apply",
            ),
            (
                "recovery.total max < 2",
                "`<` compares a time with a number",
            ),
            (
                "delivery.lost + 2s == 1s",
                "invalid operation: a number `+` a time",
            ),
            (
                "recovery.total max < 2parsecs",
                "invalid number or unit `2parsecs`",
            ),
            (
                "faults.planned{kind=centrifuge} == 1",
                "`faults.planned` cannot be filtered by `kind`",
            ),
            (
                "delivery.lost{step=kill} == 0",
                "`delivery.lost` cannot be filtered by `step`",
            ),
            (
                "delivery.lost{kind=browser} == 0",
                "unknown client kind `browser`",
            ),
        ] {
            let error = Expression::parse(text).unwrap_err();
            assert_eq!(error.message, message, "{text}");
        }
    }

    #[test]
    fn the_nearest_name_is_suggested_for_an_unknown_metric() {
        let error = Expression::parse("delivery.losst == 0").unwrap_err();

        assert_eq!(error.help.unwrap(), "did you mean `delivery.lost`?");
    }

    #[test]
    fn an_upper_bound_of_the_recovery_is_found() {
        let bound = |text| Expression::parse(text).unwrap().recovery_max();

        assert_eq!(
            bound("recovery.total max < 10s"),
            Some(Duration::from_secs(10))
        );
        assert_eq!(bound("recovery.total max > 10s"), None);
        assert_eq!(bound("recovery.detect max < 10s"), None);
    }
}
