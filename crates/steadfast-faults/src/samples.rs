//! Samples and what is said about many of them: percentiles, the maximum, the mean.
//!
//! A recovery that had not ended when the run did stays in the sample as "longer than": leaving it out is how averages
//! become good with half of the clients dead. Percentiles need enough samples; below that the maximum takes their
//! place, here and so in every check and every report.

use std::fmt;
use std::time::Duration;

use crate::quantity::{Quantity, Unit};

/// One measured value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// The value was still growing when the run ended, so all that is known is that it is larger. Compared first, since
    /// such a value is larger than every known one as far as bounds are concerned.
    pub censored: bool,
    /// Nanoseconds, or a count.
    pub value: u64,
}

impl Sample {
    /// A time that is known.
    pub fn time(time: Duration) -> Self {
        Self {
            censored: false,
            value: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// Many values of one unit, in rising order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    sorted: Vec<Sample>,
    unit: Unit,
}

/// What is said about many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// Half of the values are not above it.
    P50,
    /// Nine in ten are not above it; needs 10 samples.
    P90,
    /// Needs 20 samples.
    P95,
    /// Needs 100 samples.
    P99,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The arithmetic mean.
    Mean,
    /// How many there are.
    Count,
}

impl Aggregate {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::P50,
        Self::P90,
        Self::P95,
        Self::P99,
        Self::Max,
        Self::Min,
        Self::Mean,
        Self::Count,
    ];

    /// The name in checks and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Max => "max",
            Self::Min => "min",
            Self::Mean => "mean",
            Self::Count => "count",
        }
    }

    /// The aggregate with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// The one that takes its place when there are only `n` samples.
    #[must_use]
    pub const fn for_samples(self, n: usize) -> Self {
        let needs = match self {
            Self::P90 => 10,
            Self::P95 => 20,
            Self::P99 => 100,
            Self::P50 | Self::Max | Self::Min | Self::Mean | Self::Count => 0,
        };
        if n < needs { Self::Max } else { self }
    }
}

/// A number about samples, or anything computed from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The number.
    pub quantity: Quantity,
    /// It is only known that the true one is larger.
    pub censored: bool,
}

impl Figure {
    /// A number that is known.
    pub const fn known(quantity: Quantity) -> Self {
        Self {
            quantity,
            censored: false,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let larger = if self.censored { "> " } else { "" };
        write!(f, "{larger}{}", self.quantity)
    }
}

impl Samples {
    /// Values of this unit, in any order.
    pub fn new(mut values: Vec<Sample>, unit: Unit) -> Self {
        values.sort_unstable();
        Self {
            sorted: values,
            unit,
        }
    }

    /// What they count.
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// How many there are, those still growing at the end included.
    pub const fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// How many were still growing at the end.
    pub fn censored(&self) -> usize {
        self.sorted.iter().filter(|it| it.censored).count()
    }

    /// The figure; `None` when there is no sample to say it of. Too few samples for a percentile give the maximum.
    pub fn figure(&self, aggregate: Aggregate) -> Option<Figure> {
        let len = self.sorted.len();
        match aggregate.for_samples(len) {
            Aggregate::P50 => self.ranked(50),
            Aggregate::P90 => self.ranked(90),
            Aggregate::P95 => self.ranked(95),
            Aggregate::P99 => self.ranked(99),
            Aggregate::Max => self.sorted.last().map(|it| self.of(*it)),
            Aggregate::Min => self.sorted.first().map(|it| self.of(*it)),
            Aggregate::Mean => self.mean(),
            Aggregate::Count => {
                let count = u64::try_from(len).unwrap_or(u64::MAX);
                Some(Figure::known(Quantity::count(count)))
            }
        }
    }

    /// The nearest rank: the smallest value that so many percent of all are not above.
    fn ranked(&self, percent: usize) -> Option<Figure> {
        let rank = self.sorted.len().saturating_mul(percent).div_ceil(100);
        let sample = self.sorted.get(rank.checked_sub(1)?)?;
        Some(self.of(*sample))
    }

    fn mean(&self) -> Option<Figure> {
        let zero = self.quantity(0);
        let sum = self
            .sorted
            .iter()
            .try_fold(zero, |sum, it| sum.plus(self.quantity(it.value)))?;
        let n = u64::try_from(self.sorted.len()).unwrap_or(u64::MAX);
        Some(Figure {
            quantity: sum.mean(n)?,
            censored: self.censored() > 0,
        })
    }

    fn of(&self, sample: Sample) -> Figure {
        Figure {
            quantity: self.quantity(sample.value),
            censored: sample.censored,
        }
    }

    fn quantity(&self, value: u64) -> Quantity {
        match self.unit {
            Unit::One => Quantity::count(value),
            Unit::Time => Quantity::time(Duration::from_nanos(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let samples = counts(1..=200);

        assert_eq!(told(&samples, Aggregate::P50), "100");
        assert_eq!(told(&samples, Aggregate::P99), "198");
        assert_eq!(told(&samples, Aggregate::Max), "200");
        assert_eq!(told(&samples, Aggregate::Mean), "100.5");
    }

    #[test]
    fn below_a_hundred_samples_the_maximum_stands_for_the_99th_percentile() {
        let samples = counts(1..=99);

        assert_eq!(told(&samples, Aggregate::P99), "99");
        assert_eq!(Aggregate::P99.for_samples(99), Aggregate::Max);
        assert_eq!(Aggregate::P99.for_samples(100), Aggregate::P99);
    }

    #[test]
    fn what_had_not_ended_stays_in_the_sample_as_larger() {
        let ended = (1..=3).map(|value| sample(value, false));
        let samples = Samples::new(ended.chain([sample(2, true)]).collect(), Unit::One);

        assert_eq!(told(&samples, Aggregate::P50), "2");
        assert_eq!(told(&samples, Aggregate::Max), "> 2");
        assert_eq!(told(&samples, Aggregate::Mean), "> 2");
        assert_eq!(told(&samples, Aggregate::Count), "4");
    }

    #[test]
    fn nothing_is_said_about_no_samples() {
        let samples = counts(1..1);

        assert_eq!(samples.figure(Aggregate::Max), None);
        assert_eq!(samples.figure(Aggregate::Mean), None);
        assert_eq!(told(&samples, Aggregate::Count), "0");
    }

    fn told(samples: &Samples, aggregate: Aggregate) -> String {
        samples.figure(aggregate).unwrap().to_string()
    }

    fn counts(values: impl IntoIterator<Item = u64>) -> Samples {
        let values = values.into_iter().map(|value| sample(value, false));
        Samples::new(values.collect(), Unit::One)
    }

    fn sample(value: u64, censored: bool) -> Sample {
        Sample { censored, value }
    }
}
