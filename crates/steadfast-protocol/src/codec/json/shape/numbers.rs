//! Numbers in payloads: which of them common JSON parsers can read.

/// The most digits of an exponent: a number with a larger one is 0 or infinite in every common type, and some parsers
/// need as much memory for it as its value.
const EXPONENT_DIGITS_MAX: usize = 3;

/// Whether this valid JSON contains a number of more than `bytes_max` characters, or with a longer exponent. Without a
/// limit, no number is too long.
pub(super) fn has_oversized_number(json: &[u8], bytes_max: usize) -> bool {
    // Nearly every payload is short and has no digit before an `e`, which costs far less to find than a number.
    bytes_max < usize::MAX
        && (has_long_run(json, bytes_max) || has_exponent(json))
        && scan(json, bytes_max)
}

/// Whether more than `bytes_max` characters of numbers follow each other anywhere, perhaps in a string.
fn has_long_run(json: &[u8], bytes_max: usize) -> bool {
    // Such a run contains one of these places.
    let mut places = (0..json.len()).step_by(bytes_max.max(1));
    json.len() > bytes_max
        && places.any(|at| {
            let (before, after) = json.split_at(at);
            let before = before.iter().rev().take_while(|byte| is_in_number(**byte));
            let after = after.iter().take_while(|byte| is_in_number(**byte));
            before.chain(after).take(bytes_max + 1).count() > bytes_max
        })
}

/// Whether an `e` follows a digit anywhere, perhaps in a string.
fn has_exponent(json: &[u8]) -> bool {
    // Without an early end the compiler vectorises the count.
    let pairs = json.iter().zip(json.iter().skip(1));
    let exponents: usize = pairs
        .map(|(digit, e)| usize::from(digit.is_ascii_digit() && e | 0x20 == b'e'))
        .sum();
    exponents > 0
}

fn scan(json: &[u8], bytes_max: usize) -> bool {
    let mut rest = json;
    while let Some((byte, after)) = rest.split_first() {
        rest = if *byte == b'"' {
            after_string(after)
        } else if is_in_number(*byte) && *byte != b'e' {
            let len = rest.iter().position(|byte| !is_in_number(*byte));
            let (number, after) = rest.split_at(len.unwrap_or(rest.len()));
            if number.len() > bytes_max || exponent_digits(number) > EXPONENT_DIGITS_MAX {
                return true;
            }
            after
        } else {
            after
        };
    }
    false
}

/// What follows the end of a string.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        match rest.split_at(at).1 {
            [b'"', after @ ..] => return after,
            [_, _, after @ ..] => rest = after,
            [] | [_] => return &[],
        }
    }
    &[]
}

const fn is_in_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}

fn exponent_digits(number: &[u8]) -> usize {
    let exponent = number
        .split(|byte| matches!(byte, b'e' | b'E'))
        .nth(1)
        .unwrap_or_default();
    exponent.iter().filter(|byte| byte.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 10;

    #[test]
    fn a_number_is_too_long_above_the_limit_wherever_it_is() {
        for padding in 0..25 {
            let padding = ".".repeat(padding);
            for (number, is_too_long) in [("1234567890", false), ("-1234567890", true)] {
                let json = format!("{{\"{padding}\":[{number},2]}}");
                assert_eq!(
                    has_oversized_number(json.as_bytes(), BYTES_MAX),
                    is_too_long,
                    "{json}"
                );
            }
        }
    }

    #[test]
    fn an_exponent_has_at_most_three_digits() {
        for (json, is_too_long) in [
            ("1e400", false),
            ("[1E-999]", false),
            ("1e+1000", true),
            ("[0.5e0001]", true),
        ] {
            assert_eq!(
                has_oversized_number(json.as_bytes(), 1000),
                is_too_long,
                "{json}"
            );
        }
    }

    #[test]
    fn digits_in_a_text_are_no_number() {
        for json in [
            r#""12345678901234567890""#,
            r#"{"12345678901234567890":true}"#,
            r#""\"12345678901234567890""#,
            r#"["\\",false,"1e12345"]"#,
        ] {
            assert!(!has_oversized_number(json.as_bytes(), BYTES_MAX), "{json}");
        }
    }
}
