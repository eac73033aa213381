//! Numbers with units in scenarios: `200ms`, `25%`.
//!
//! A time without a unit is rejected, because its meaning would not be visible.

use std::time::Duration;

use steadfast_toml::unit;

use crate::quantity::{Quantity, Unit};

/// Time units, each in nanoseconds.
const TIMES: [(&str, u64); 5] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Parses a number with a unit: none, `%`, or a unit of time.
pub(super) fn number(number: &str, unit: &str) -> Option<Quantity> {
    match unit {
        "" => Quantity::parse(number, Unit::Dimensionless),
        "%" => Quantity::parse(number, Unit::Dimensionless)?.divided_by(Quantity::count(100)),
        _ => {
            let (_, nanos) = TIMES.iter().find(|(name, _)| *name == unit)?;
            Quantity::parse(number, Unit::Time)?.times(Quantity::count(*nanos))
        }
    }
}

/// Parses an integer with a unit of time.
pub(super) fn duration(text: &str) -> Option<Duration> {
    unit::parse(text, &TIMES).map(Duration::from_nanos)
}

/// Parses an integer from 0 to 100 followed by `%`.
pub(super) fn percent(text: &str) -> Option<u32> {
    let percent = unit::parse(text, &[("%", 1)])?;
    u32::try_from(percent)
        .ok()
        .filter(|percent| *percent <= 100)
}

/// Rates, each in bits per second.
const RATES: [(&str, u64); 8] = [
    ("bit/s", 1),
    ("kbit/s", 1_000),
    ("Mbit/s", 1_000_000),
    ("B/s", 8),
    ("KB/s", 8_000),
    ("KiB/s", 8 * 1_024),
    ("MB/s", 8_000_000),
    ("MiB/s", 8 * 1_048_576),
];

/// Parses an integer with a unit of bits or bytes per second; returns bytes per second.
pub(super) fn rate(text: &str) -> Option<u64> {
    unit::parse(text, &RATES).map(|bits| bits / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_percentages_need_their_unit() {
        assert_eq!(duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(duration("2m"), Some(Duration::from_mins(2)));
        assert_eq!(duration("5 s"), Some(Duration::from_secs(5)));
        assert_eq!(percent("25%"), Some(25));
        for text in [
            "",
            "5",
            "s",
            "5 s ",
            "-5s",
            "1.5s",
            "5sec",
            "99999999999999h",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["25", "101%", "%", "2.5%"] {
            assert_eq!(percent(text), None, "{text}");
        }
    }
    #[test]
    fn a_rate_is_in_bits_or_bytes_per_second() {
        assert_eq!(rate("256kbit/s"), Some(32_000));
        assert_eq!(rate("64KiB/s"), Some(65_536));
        for text in ["256", "256kbit", "1.5MB/s", "fast"] {
            assert_eq!(rate(text), None, "{text}");
        }
    }
}
