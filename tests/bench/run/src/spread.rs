//! A summary of many values: the median, the lowest and the highest.

use std::fmt;

/// A median with its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// Summarises the values; `None` without values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let median = if values.len() % 2 == 1 {
            upper
        } else {
            f64::midpoint(*values.get(middle - 1)?, upper)
        };
        Some(Self {
            median,
            low: *values.first()?,
            high: *values.last()?,
        })
    }

    /// Returns the ratio of two medians, with the range of the ratios within each repeat. Each value has its repeat.
    pub(crate) fn of_ratios(ours: &[(u32, f64)], against: &[(u32, f64)]) -> Option<Self> {
        let median = |values: &[(u32, f64)]| {
            let spread = Self::of(values.iter().map(|(_, value)| *value))?;
            Some(spread.median)
        };
        let ratios = ours.iter().filter_map(|(repeat, value)| {
            let (_, other) = against.iter().find(|(other, _)| other == repeat)?;
            Some(value / other)
        });
        let range = Self::of(ratios)?;
        Some(Self {
            median: median(ours)? / median(against)?,
            ..range
        })
    }

    /// Formats the three values, each with `one`.
    pub(crate) fn format_with(self, one: impl Fn(f64) -> String) -> String {
        format!(
            "{} ({}–{})",
            one(self.median),
            one(self.low),
            one(self.high)
        )
    }

    /// Formats the three values with one divisor, unit and number of decimals. The unit is printed once.
    pub(crate) fn quantity(self, (scale, unit, digits): (f64, &str, usize)) -> String {
        let at = |value: f64| format!("{:.digits$}", value / scale);
        let (median, low, high) = (at(self.median), at(self.low), at(self.high));
        format!("{median}{unit} ({low}–{high})")
    }
}

/// Formats a ratio: two decimals without a unit.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.quantity((1.0, "", 2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_median_and_range() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(
            Spread::of([3.0, 1.0, 2.0]),
            Some(Spread {
                median: 2.0,
                low: 1.0,
                high: 3.0
            })
        );
        assert_eq!(
            Spread::of([4.0, 1.0]),
            Some(Spread {
                median: 2.5,
                low: 1.0,
                high: 4.0
            })
        );
    }
}
