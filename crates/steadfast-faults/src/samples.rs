//! Samples and their aggregates: percentiles, the maximum, the mean.
//!
//! A recovery that had not ended at the end of the run stays in the samples, as a censored value: "longer than".
//! Without such values, averages would be good even with half of the clients disconnected. A percentile needs
//! [`PERCENTILE_SAMPLES_MIN`] samples: with fewer, a check uses the maximum, and a report has no percentile.

use std::fmt;
use std::time::Duration;

use steadfast_machine::{Instant, convert};

use crate::quantity::{Quantity, Unit};

/// The smallest number of samples of which a percentile is computed: with fewer, the 99th would be the maximum, and a
/// few slow clients would move the others at random.
pub const PERCENTILE_SAMPLES_MIN: usize = 100;

/// A single measured value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// The value was still growing when the run ended, so only a lower bound is known. This field is compared first,
    /// since a censored value counts as larger than every known value when it is compared with a bound.
    pub is_censored: bool,
    /// Nanoseconds, or a count.
    pub value: u64,
}

impl Sample {
    /// The duration between two instants; censored if the second had not come by the end of the observation.
    pub fn between(from: Instant, to: Option<Instant>, observed_until: Instant) -> Self {
        Self {
            is_censored: to.is_none(),
            ..Self::time(to.unwrap_or(observed_until) - from)
        }
    }

    /// A duration that is known exactly.
    pub fn time(time: Duration) -> Self {
        Self {
            is_censored: false,
            value: convert::saturating(time.as_nanos()),
        }
    }
}

/// Values of one unit, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    sorted: Vec<Sample>,
    unit: Unit,
}

/// One number computed from many samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// The median: half of the values are not above it.
    P50,
    /// The 90th percentile.
    P90,
    /// The 95th percentile.
    P95,
    /// The 99th percentile.
    P99,
    /// The largest value.
    Max,
    /// The smallest value.
    Min,
    /// The arithmetic mean.
    Mean,
    /// The number of samples.
    Count,
}

impl Aggregate {
    /// All aggregates, in the order of help texts.
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

    /// The aggregate that is used with only `n` samples: the maximum if they are too few for a percentile.
    #[must_use]
    pub const fn for_samples(self, n: usize) -> Self {
        match self {
            Self::P50 | Self::P90 | Self::P95 | Self::P99 if n < PERCENTILE_SAMPLES_MIN => {
                Self::Max
            }
            Self::P50 | Self::P90 | Self::P95 | Self::P99 => self,
            Self::Max | Self::Min | Self::Mean | Self::Count => self,
        }
    }
}

/// A measured number, or one computed from measured numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// The value with its unit.
    pub quantity: Quantity,
    /// Only a lower bound is known.
    pub is_censored: bool,
}

impl Measurement {
    /// A number that is known exactly.
    pub const fn known(quantity: Quantity) -> Self {
        Self {
            quantity,
            is_censored: false,
        }
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let larger = if self.is_censored { "> " } else { "" };
        write!(f, "{larger}{}", self.quantity)
    }
}

impl Samples {
    /// Creates samples of one unit from values in any order.
    pub fn new(mut values: Vec<Sample>, unit: Unit) -> Self {
        values.sort_unstable();
        Self {
            sorted: values,
            unit,
        }
    }

    /// The unit of the values.
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// The number of samples, censored ones included.
    pub const fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there are no samples.
    pub const fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The number of censored samples.
    pub fn censored(&self) -> usize {
        self.sorted.iter().filter(|it| it.is_censored).count()
    }

    /// Computes an aggregate; `None` without samples. Too few samples for a percentile give the maximum.
    pub fn aggregate(&self, aggregate: Aggregate) -> Option<Measurement> {
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
                let count = Quantity::count(convert::to_u64(len));
                Some(Measurement::known(count))
            }
        }
    }

    /// The nearest-rank percentile: the smallest value that at least `percent` percent of all values do not exceed.
    fn ranked(&self, percent: usize) -> Option<Measurement> {
        let rank = self.sorted.len().saturating_mul(percent).div_ceil(100);
        let sample = self.sorted.get(rank.checked_sub(1)?)?;
        Some(self.of(*sample))
    }

    fn mean(&self) -> Option<Measurement> {
        let zero = self.quantity(0);
        let sum = self
            .sorted
            .iter()
            .try_fold(zero, |sum, it| sum.plus(self.quantity(it.value)))?;
        let n = convert::to_u64(self.sorted.len());
        Some(Measurement {
            quantity: sum.mean(n)?,
            is_censored: self.censored() > 0,
        })
    }

    fn of(&self, sample: Sample) -> Measurement {
        Measurement {
            quantity: self.quantity(sample.value),
            is_censored: sample.is_censored,
        }
    }

    fn quantity(&self, value: u64) -> Quantity {
        match self.unit {
            Unit::Dimensionless => Quantity::count(value),
            Unit::Time => Quantity::time(Duration::from_nanos(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let samples = counts(1..=200);

        assert_eq!(printed(&samples, Aggregate::P50), "100");
        assert_eq!(printed(&samples, Aggregate::P99), "198");
        assert_eq!(printed(&samples, Aggregate::Max), "200");
        assert_eq!(printed(&samples, Aggregate::Mean), "100.5");
    }

    #[test]
    fn below_100_samples_the_maximum_replaces_every_percentile() {
        let samples = counts(1..=99);

        for percentile in [
            Aggregate::P50,
            Aggregate::P90,
            Aggregate::P95,
            Aggregate::P99,
        ] {
            assert_eq!(printed(&samples, percentile), "99");
            assert_eq!(percentile.for_samples(99), Aggregate::Max);
            assert_eq!(percentile.for_samples(100), percentile);
        }
    }

    #[test]
    fn censored_values_stay_in_the_samples_as_lower_bounds() {
        let ended = (1..=3).map(|value| sample(value, false));
        let samples = Samples::new(
            ended.chain([sample(2, true)]).collect(),
            Unit::Dimensionless,
        );

        assert_eq!(printed(&samples, Aggregate::Min), "1");
        assert_eq!(printed(&samples, Aggregate::Max), "> 2");
        assert_eq!(printed(&samples, Aggregate::Mean), "> 2");
        assert_eq!(printed(&samples, Aggregate::Count), "4");
    }

    #[test]
    fn aggregates_of_no_samples_are_none_but_the_count() {
        let samples = counts(1..1);

        assert_eq!(samples.aggregate(Aggregate::Max), None);
        assert_eq!(samples.aggregate(Aggregate::Mean), None);
        assert_eq!(printed(&samples, Aggregate::Count), "0");
    }

    fn printed(samples: &Samples, aggregate: Aggregate) -> String {
        samples.aggregate(aggregate).unwrap().to_string()
    }

    fn counts(values: impl IntoIterator<Item = u64>) -> Samples {
        let values = values.into_iter().map(|value| sample(value, false));
        Samples::new(values.collect(), Unit::Dimensionless)
    }

    fn sample(value: u64, is_censored: bool) -> Sample {
        Sample { is_censored, value }
    }
}
