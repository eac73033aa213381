//! Counts in words: digits in groups of three, and a noun in the singular or the plural.

use steadfast_machine::convert;

/// A count of 1,000 or more has a comma after each group of three digits.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 delivery`, `8,431 deliveries`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    let noun = if count == 1 { one } else { many };
    format!("{} {noun}", grouped(count))
}

/// As [`counted`], for the length of a list.
pub fn counted_len(len: usize, one: &str, many: &str) -> String {
    counted(convert::to_u64(len), one, many)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_and_only_one_is_singular() {
        for (count, expected) in [
            (0, "0 faults"),
            (1, "1 fault"),
            (2, "2 faults"),
            (999, "999 faults"),
            (1_000, "1,000 faults"),
            (1_234_567, "1,234,567 faults"),
        ] {
            assert_eq!(counted(count, "fault", "faults"), expected);
        }
    }
}
