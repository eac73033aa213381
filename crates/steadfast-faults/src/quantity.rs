//! Exact numbers with their unit: what metrics measure, what checks compare, and how people read both.
//!
//! Fractions of whole numbers, so that `reconnected / affected == 1` means exactly that, and 99.995 % never reads as
//! 100 %.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

/// A number with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    numerator: i128,
    /// Above 0.
    denominator: i128,
    unit: Unit,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things, or a share of them.
    One,
    /// Time; the number is in nanoseconds.
    Time,
}

impl Unit {
    /// The unit of a product, if there is one.
    pub const fn times(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::One, unit) => Some(unit),
            (Self::Time, Self::One) => Some(Self::Time),
            (Self::Time, Self::Time) => None,
        }
    }

    /// The unit of a quotient, if there is one.
    pub const fn over(self, other: Self) -> Option<Self> {
        match (self, other) {
            (unit, Self::One) => Some(unit),
            (Self::Time, Self::Time) => Some(Self::One),
            (Self::One, Self::Time) => None,
        }
    }
}

impl Quantity {
    /// So many things.
    pub fn count(count: u64) -> Self {
        Self::new(i128::from(count), 1, Unit::One)
    }

    /// A time.
    pub fn time(time: Duration) -> Self {
        let nanos = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
        Self::new(nanos, 1, Unit::Time)
    }

    /// `part` in `whole`; `None` when the whole is nothing, since a share of nothing says nothing.
    pub fn share(part: u64, whole: u64) -> Option<Self> {
        (whole > 0).then(|| Self::new(i128::from(part), i128::from(whole), Unit::One))
    }

    /// `sum / n`; `None` for n = 0.
    pub(crate) fn mean(self, n: u64) -> Option<Self> {
        self.over(Self::count(n))
    }

    /// A decimal number such as `0.95`; `None` when it is none, or has too many digits.
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

    /// What it counts.
    pub const fn unit(self) -> Unit {
        self.unit
    }

    /// As a time, when it is one; parts of a nanosecond are cut.
    pub fn as_time(self) -> Option<Duration> {
        let nanos = self.numerator.checked_div(self.denominator)?;
        let nanos = u64::try_from(nanos).ok()?;
        (self.unit == Unit::Time).then(|| Duration::from_nanos(nanos))
    }

    /// As a whole number of things, when it is one; parts are cut.
    pub fn as_count(self) -> Option<u64> {
        let whole = self.numerator.checked_div(self.denominator)?;
        let whole = u64::try_from(whole).ok()?;
        (self.unit == Unit::One).then_some(whole)
    }

    /// The sum; `None` when units differ or the number is out of range.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.combined(other, i128::checked_add)
    }

    /// The difference; `None` as for the sum.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.combined(other, i128::checked_sub)
    }

    /// The product; `None` when it has no unit that is known or is out of range.
    pub fn times(self, other: Self) -> Option<Self> {
        let numerator = self.numerator.checked_mul(other.numerator)?;
        let denominator = self.denominator.checked_mul(other.denominator)?;
        Some(reduced(
            numerator,
            denominator,
            self.unit.times(other.unit)?,
        ))
    }

    /// The quotient; `None` when the divisor is not above 0, or as for the product.
    pub fn over(self, other: Self) -> Option<Self> {
        if other.numerator <= 0 {
            return None;
        }
        let numerator = self.numerator.checked_mul(other.denominator)?;
        let denominator = self.denominator.checked_mul(other.numerator)?;
        Some(reduced(numerator, denominator, self.unit.over(other.unit)?))
    }

    /// Which is larger; `None` when units differ or the numbers are out of range.
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

/// Keeps the numbers small, so that longer sums stay in range.
fn reduced(numerator: i128, denominator: i128, unit: Unit) -> Quantity {
    let (mut a, mut b) = (numerator.unsigned_abs(), denominator.unsigned_abs());
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    let divisor = i128::try_from(a).unwrap_or(1).max(1);
    let by = |number: i128| number.checked_div(divisor).unwrap_or(number);
    Quantity::new(by(numerator), by(denominator), unit)
}

impl fmt::Display for Quantity {
    /// Times in the unit that reads best, shares with at most four decimals, cut and never rounded up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MILLI: i128 = 1_000_000;
        match self.unit {
            Unit::One => write_cut(f, self.numerator, self.denominator, 4, ""),
            Unit::Time => {
                let millis = self.denominator.saturating_mul(MILLI);
                let seconds = millis.saturating_mul(1000);
                if self.numerator.saturating_abs() < seconds {
                    write_cut(f, self.numerator, millis, 2, " ms")
                } else {
                    write_cut(f, self.numerator, seconds, 2, " s")
                }
            }
        }
    }
}

fn write_cut(
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
    let width = usize::try_from(decimals).unwrap_or_default();
    let part = format!("{part:0width$}");
    let part = part.trim_end_matches('0');
    let point = if part.is_empty() { "" } else { "." };
    write!(f, "{sign}{whole}{point}{part}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_compared_exactly_and_never_rounded_up() {
        let almost = Quantity::share(19_999, 20_000).unwrap();

        assert_eq!(almost.compare(Quantity::count(1)), Some(Ordering::Less));
        assert_eq!(almost.to_string(), "0.9999");
        assert_eq!(Quantity::share(3, 3).unwrap().to_string(), "1");
        assert_eq!(Quantity::share(0, 0), None);
    }

    #[test]
    fn times_print_with_the_unit_that_reads_best() {
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
        assert_eq!(two.over(time), None);
        assert_eq!(time.over(two).unwrap().to_string(), "1.5 s");
        assert_eq!(time.over(time), Some(Quantity::count(1)));
        assert_eq!(two.over(Quantity::count(0)), None);
    }

    #[test]
    fn decimals_are_read_exactly() {
        let half = Quantity::parse("0.50", Unit::One).unwrap();

        assert_eq!(
            half.compare(Quantity::share(1, 2).unwrap()),
            Some(Ordering::Equal)
        );
        for text in ["", ".", "1.", ".5", "1e3", "-1", "1.2.3"] {
            assert_eq!(Quantity::parse(text, Unit::One), None, "{text}");
        }
    }
}
