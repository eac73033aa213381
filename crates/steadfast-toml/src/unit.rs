//! Numbers with units: `200ms`, `64KiB`, `25%`.
//!
//! A number without a unit is rejected, because it does not show whether it means seconds or milliseconds. Which units
//! exist is the caller's table.

/// Parses a whole number that one of `units` follows; returns it times the unit's factor.
///
/// A space before the unit is permitted. `None` when the text has another form, or when the result exceeds 64 bits.
pub fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|it: char| !it.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: [(&str, u64); 2] = [("s", 1000), ("ms", 1)];

    #[test]
    fn a_number_needs_a_known_unit_and_its_product_must_fit() {
        for (text, expected) in [
            ("25s", Some(25_000)),
            ("25 s", Some(25_000)),
            ("250ms", Some(250)),
            ("0s", Some(0)),
            ("18446744073709551615ms", Some(u64::MAX)),
            ("18446744073709551615s", None),
            ("18446744073709551616ms", None),
            ("", None),
            ("25", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("25sec", None),
            ("25s ", None),
            (" 25s", None),
        ] {
            assert_eq!(parse(text, &UNITS), expected, "{text:?}");
        }
    }
}
