//! Text from the network, made safe for a terminal.
//!
//! Control characters could move the cursor or start a sequence that the terminal executes, and characters that change
//! the direction of text could make a line look like another one. Both are shown as escapes. JSON keeps its meaning:
//! these characters can occur only inside its strings, where their escapes are equivalent.

use std::fmt::Write as _;

/// Text with the escapes of Rust, for example `\u{1b}` and `\n`.
pub(crate) fn text(foreign: &str) -> String {
    escape(foreign, |escaped, unit| {
        let _ = match unit {
            '\n' => escaped.write_str("\\n"),
            '\r' => escaped.write_str("\\r"),
            '\t' => escaped.write_str("\\t"),
            unit => write!(escaped, "\\u{{{:x}}}", u32::from(unit)),
        };
    })
}

/// Valid JSON with the escapes of JSON, on one line.
pub(crate) fn json(valid: &str) -> String {
    escape(valid, |escaped, unit| {
        // Outside of strings, JSON permits these as white space, and no other control character.
        if matches!(unit, '\n' | '\r' | '\t') {
            escaped.push(' ');
        } else {
            let _ = write!(escaped, "\\u{:04x}", u32::from(unit));
        }
    })
}

fn escape(text: &str, write_escape: impl Fn(&mut String, char)) -> String {
    let mut escaped = String::with_capacity(text.len());
    for unit in text.chars() {
        if is_unsafe(unit) {
            write_escape(&mut escaped, unit);
        } else {
            escaped.push(unit);
        }
    }
    escaped
}

/// Control characters (C0, DEL, C1), separators of lines and paragraphs, and the controls of the bidirectional algorithm
/// (Unicode Standard Annex 9, section 2).
fn is_unsafe(unit: char) -> bool {
    unit.is_control()
        || matches!(
            unit,
            '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
        )
        || matches!(unit, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_changes_of_direction_are_shown_as_escapes_and_all_other_text_as_it_is() {
        for (foreign, shown) in [
            ("\x1b[2J\x07", r"\u{1b}[2J\u{7}"),
            ("\u{9b}31m\u{7f}", r"\u{9b}31m\u{7f}"),
            ("a\nb\r\tc\u{2028}d", r"a\nb\r\tc\u{2028}d"),
            ("\u{202e}txt.exe\u{2066}", r"\u{202e}txt.exe\u{2066}"),
            (
                "Grüße, 世界 👩‍👧 \"q\" \\ नमस्ते",
                "Grüße, 世界 👩‍👧 \"q\" \\ नमस्ते",
            ),
        ] {
            assert_eq!(text(foreign), shown);
        }
    }

    #[test]
    fn escaped_json_has_the_same_value_on_one_line() {
        let received = "{\n\"a\":\t\"\u{9b}\u{202e}\u{7f}ü\", \"b\":\r[1e400]}";

        let shown = json(received);

        assert_eq!(shown, r#"{ "a": "\u009b\u202e\u007fü", "b": [1e400]}"#);
    }
}
