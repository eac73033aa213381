//! Exact numbers with a unit, for metrics, checks and reports.
//!
//! They are fractions of integers, so that `reconnected / affected == 1` is exact, and 99.995 % is never printed as
//! 100 %.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use steadfast_machine::convert;

/// An exact number with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    numerator: i128,
    /// Always above 0.
    denominator: i128,
    unit: Unit,
}

/// The unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Dimensionless: a count or a ratio.
    Dimensionless,
    /// Time, in nanoseconds.
    Time,
}

impl Unit {
    /// The unit of a product; `None` if it is not supported.
    pub const fn times(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Dimensionless, unit) => Some(unit),
            (Self::Time, Self::Dimensionless) => Some(Self::Time),
            (Self::Time, Self::Time) => None,
        }
    }

    /// The unit of a quotient; `None` if it is not supported.
    pub const fn divided_by(self, other: Self) -> Option<Self> {
        match (self, other) {
            (unit, Self::Dimensionless) => Some(unit),
            (Self::Time, Self::Time) => Some(Self::Dimensionless),
            (Self::Dimensionless, Self::Time) => None,
        }
    }
}

impl Quantity {
    /// A dimensionless count.
    pub fn count(count: u64) -> Self {
        Self::new(i128::from(count), 1, Unit::Dimensionless)
    }

    /// A duration, exact to the nanosecond.
    pub fn time(time: Duration) -> Self {
        const NANOS_PER_SECOND: i128 = 1_000_000_000;
        let seconds = i128::from(time.as_secs());
        let nanos = seconds * NANOS_PER_SECOND + i128::from(time.subsec_nanos());
        Self::new(nanos, 1, Unit::Time)
    }

    /// The ratio of `part` to `whole`; `None` when `whole` is 0.
    pub fn share(part: u64, whole: u64) -> Option<Self> {
        (whole > 0).then(|| Self::new(i128::from(part), i128::from(whole), Unit::Dimensionless))
    }

    /// `sum / n`; `None` for n = 0.
    pub(crate) fn mean(self, n: u64) -> Option<Self> {
        self.divided_by(Self::count(n))
    }

    /// Parses a decimal number such as `0.95`; `None` when it is invalid or has too many digits.
    pub fn parse(text: &str, unit: Unit) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let plain = |digits: &str| digits.chars().all(|it| it.is_ascii_digit());
        if whole.is_empty() || text.ends_with('.') || !plain(whole) || !plain(part) {
            return None;
        }
        let numerator = format!("{whole}{part}").parse().ok()?;
        let denominator = 10_i128.checked_pow(u32::try_from(part.len()).ok()?)?;
        Some(Self::new(numerator, denominator, unit))
    }

    const fn new(numerator: i128, denominator: i128, unit: Unit) -> Self {
        Self {
            numerator,
            denominator,
            unit,
        }
    }

    /// The unit of the number.
    pub const fn unit(self) -> Unit {
        self.unit
    }

    /// As a duration, if the unit is time; truncated to nanoseconds.
    pub fn as_time(self) -> Option<Duration> {
        let nanos = self.numerator.checked_div(self.denominator)?;
        let nanos = u64::try_from(nanos).ok()?;
        (self.unit == Unit::Time).then(|| Duration::from_nanos(nanos))
    }

    /// As an integer, if it is dimensionless; truncated.
    pub fn as_count(self) -> Option<u64> {
        let whole = self.numerator.checked_div(self.denominator)?;
        let whole = u64::try_from(whole).ok()?;
        (self.unit == Unit::Dimensionless).then_some(whole)
    }

    /// The sum; `None` when the units differ or the result is out of range.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.combined(other, i128::checked_add)
    }

    /// The difference; `None` under the same conditions as for the sum.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.combined(other, i128::checked_sub)
    }

    /// The product; `None` when its unit is not supported or the result is out of range.
    pub fn times(self, other: Self) -> Option<Self> {
        let numerator = self.numerator.checked_mul(other.numerator)?;
        let denominator = self.denominator.checked_mul(other.denominator)?;
        Some(reduced(
            numerator,
            denominator,
            self.unit.times(other.unit)?,
        ))
    }

    /// The quotient; `None` when the divisor is not above 0, or under the same conditions as for the product.
    pub fn divided_by(self, other: Self) -> Option<Self> {
        if other.numerator <= 0 {
            return None;
        }
        let numerator = self.numerator.checked_mul(other.denominator)?;
        let denominator = self.denominator.checked_mul(other.numerator)?;
        Some(reduced(
            numerator,
            denominator,
            self.unit.divided_by(other.unit)?,
        ))
    }

    /// The ordering; `None` when the units differ or the numbers are out of range.
    pub fn compare(self, other: Self) -> Option<Ordering> {
        if self.unit != other.unit {
            return None;
        }
        let left = self.numerator.checked_mul(other.denominator)?;
        let right = other.numerator.checked_mul(self.denominator)?;
        Some(left.cmp(&right))
    }

    fn combined(self, other: Self, how: fn(i128, i128) -> Option<i128>) -> Option<Self> {
        if self.unit != other.unit {
            return None;
        }
        let left = self.numerator.checked_mul(other.denominator)?;
        let right = other.numerator.checked_mul(self.denominator)?;
        let denominator = self.denominator.checked_mul(other.denominator)?;
        Some(reduced(how(left, right)?, denominator, self.unit))
    }
}

/// A ratio as a percentage with at most two decimals. Truncated, never rounded up: `100 %` means all.
#[derive(Clone, Copy, Debug)]
pub struct Percent(pub Quantity);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0.numerator.saturating_mul(100);
        write_truncated(f, percent, self.0.denominator, 2, " %")
    }
}

/// Reduces the fraction, so that long sums stay in range.
fn reduced(numerator: i128, denominator: i128, unit: Unit) -> Quantity {
    let (mut a, mut b) = (numerator.unsigned_abs(), denominator.unsigned_abs());
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    let divisor = i128::try_from(a)
        .expect("it divides the denominator")
        .max(1);
    let by = |number: i128| number.checked_div(divisor).unwrap_or(number);
    Quantity::new(by(numerator), by(denominator), unit)
}

impl fmt::Display for Quantity {
    /// Times in ms below 1 s, else in s, with at most two decimals; other numbers with at most four. Truncated, never
    /// rounded up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MILLI: i128 = 1_000_000;
        match self.unit {
            Unit::Dimensionless => write_truncated(f, self.numerator, self.denominator, 4, ""),
            Unit::Time => {
                let millis = self.denominator.saturating_mul(MILLI);
                let seconds = millis.saturating_mul(1000);
                if self.numerator.saturating_abs() < seconds {
                    write_truncated(f, self.numerator, millis, 2, " ms")
                } else {
                    write_truncated(f, self.numerator, seconds, 2, " s")
                }
            }
        }
    }
}

fn write_truncated(
    f: &mut fmt::Formatter<'_>,
    numerator: i128,
    denominator: i128,
    decimals: u32,
    unit: &str,
) -> fmt::Result {
    let sign = if numerator < 0 { "-" } else { "" };
    let numerator = numerator.saturating_abs();
    let whole = numerator.checked_div(denominator).unwrap_or_default();
    let rest = numerator.checked_rem(denominator).unwrap_or_default();
    let scaled = rest.saturating_mul(10_i128.saturating_pow(decimals));
    let part = scaled.checked_div(denominator).unwrap_or_default();
    let width = convert::to_usize(decimals);
    let part = format!("{part:0width$}");
    let part = part.trim_end_matches('0');
    let point = if part.is_empty() { "" } else { "." };
    write!(f, "{sign}{whole}{point}{part}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_compared_exactly_and_never_rounded_up() {
        let almost = Quantity::share(19_999, 20_000).unwrap();

        assert_eq!(almost.compare(Quantity::count(1)), Some(Ordering::Less));
        assert_eq!(almost.to_string(), "0.9999");
        assert_eq!(Percent(almost).to_string(), "99.99 %");
        assert_eq!(Percent(Quantity::count(1)).to_string(), "100 %");
        assert_eq!(Quantity::share(3, 3).unwrap().to_string(), "1");
        assert_eq!(Quantity::share(0, 0), None);
    }

    #[test]
    fn times_are_printed_in_milliseconds_or_seconds() {
        for (nanos, printed) in [
            (0, "0 ms"),
            (420_000, "0.42 ms"),
            (37_000_000, "37 ms"),
            (999_999_999, "999.99 ms"),
            (1_940_000_000, "1.94 s"),
        ] {
            let time = Quantity::time(Duration::from_nanos(nanos));

            assert_eq!(time.to_string(), printed);
        }
    }

    #[test]
    fn units_are_kept_and_never_mixed() {
        let time = Quantity::time(Duration::from_secs(3));
        let two = Quantity::count(2);

        assert_eq!(time.plus(two), None);
        assert_eq!(time.compare(two), None);
        assert_eq!(time.times(time), None);
        assert_eq!(two.divided_by(time), None);
        assert_eq!(time.divided_by(two).unwrap().to_string(), "1.5 s");
        assert_eq!(time.divided_by(time), Some(Quantity::count(1)));
        assert_eq!(two.divided_by(Quantity::count(0)), None);
    }

    #[test]
    fn decimals_are_parsed_exactly() {
        let half = Quantity::parse("0.50", Unit::Dimensionless).unwrap();

        assert_eq!(
            half.compare(Quantity::share(1, 2).unwrap()),
            Some(Ordering::Equal)
        );
        for text in ["", ".", "1.", ".5", "1e3", "-1", "1.2.3"] {
            assert_eq!(Quantity::parse(text, Unit::Dimensionless), None, "{text}");
        }
    }
}
