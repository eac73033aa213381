//! Durations and sizes in human-readable units: `"25s"`, `"64KiB"`.
//!
//! A number without a unit is rejected, because it does not show whether it means seconds or milliseconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use steadfast_machine::{ByteSize, convert};
use steadfast_toml::unit;

/// A duration, written as a whole number and one of `ms`, `s`, `m`, `h`, `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigDuration(pub Duration);

/// A number of bytes, written as a whole number and one of `B`, `KiB`, `MiB`, `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigSize(pub ByteSize);

/// The text is not a duration or a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found \"{found}\"")]
pub struct UnitError {
    expected: &'static str,
    found: String,
}

const DURATION_EXPECTED: &str = "a duration such as \"250ms\", \"25s\", \"2m\", \"24h\" or \"30d\"";
const SIZE_EXPECTED: &str = "a size such as \"500B\", \"64KiB\", \"1MiB\" or \"1GiB\"";

/// The units of durations, largest first, in milliseconds.
const DURATION_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];
/// The units of sizes, largest first, in bytes.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl FromStr for ConfigDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        unit::parse(text, &DURATION_UNITS)
            .map(|millis| Self(Duration::from_millis(millis)))
            .ok_or_else(|| UnitError {
                expected: DURATION_EXPECTED,
                found: text.to_owned(),
            })
    }
}

impl FromStr for ConfigSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        unit::parse(text, &SIZE_UNITS)
            .map(|bytes| Self(ByteSize::from_bytes(bytes)))
            .ok_or_else(|| UnitError {
                expected: SIZE_EXPECTED,
                found: text.to_owned(),
            })
    }
}

impl fmt::Display for ConfigDuration {
    /// Writes the largest unit that fits exactly; fractions of a millisecond are truncated.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = convert::saturating(self.0.as_millis());
        write_exact(f, millis, &DURATION_UNITS, "ms")
    }
}

impl fmt::Display for ConfigSize {
    /// Writes the largest unit that fits exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_exact(f, self.0.as_bytes(), &SIZE_UNITS, "B")
    }
}

impl Serialize for ConfigDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ConfigSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(Text(DURATION_EXPECTED))?
            .parse()
            .map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for ConfigSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(Text(SIZE_EXPECTED))?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// Accepts a string only, so that a number without a unit is rejected with an example of a valid value.
struct Text(&'static str);

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

fn write_exact(
    f: &mut fmt::Formatter<'_>,
    value: u64,
    units: &[(&str, u64)],
    smallest: &str,
) -> fmt::Result {
    match units
        .iter()
        .find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor))
    {
        Some((name, factor)) => write!(f, "{}{name}", value / factor),
        None => write!(f, "{value}{smallest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_and_printed_in_their_largest_exact_unit() {
        for (text, millis, printed) in [
            ("25s", 25_000, "25s"),
            ("90s", 90_000, "90s"),
            ("120 s", 120_000, "2m"),
            ("250ms", 250, "250ms"),
            ("0s", 0, "0ms"),
            ("30d", 2_592_000_000, "30d"),
        ] {
            let span: ConfigDuration = text.parse().unwrap();

            assert_eq!(span.0, Duration::from_millis(millis), "{text}");
            assert_eq!(span.to_string(), printed);
        }
        assert_eq!(
            "64KiB".parse::<ConfigSize>().unwrap().0,
            ByteSize::from_kib(64)
        );
        assert_eq!(ConfigSize(ByteSize::from_mib(2)).to_string(), "2MiB");
    }

    #[test]
    fn a_number_without_a_unit_or_with_an_unknown_one_is_rejected() {
        for text in [
            "25",
            "s",
            "",
            "1.5s",
            "-1s",
            "25sec",
            "18446744073709551615d",
        ] {
            assert!(text.parse::<ConfigDuration>().is_err(), "{text}");
        }
        for text in ["64", "64KB", "64kib", "KiB", "99999999999GiB"] {
            assert!(text.parse::<ConfigSize>().is_err(), "{text}");
        }
    }
}
