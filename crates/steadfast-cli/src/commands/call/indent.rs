//! JSON with one value per line, for a terminal. Numbers, strings and repeated keys stay as the server has sent them.

/// Deeper values are not indented further, so that the output cannot be far larger than the input.
const DEPTH_MAX: usize = 32;

/// Indents valid JSON by two spaces for each level.
pub(super) fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut depth: usize = 0;
    let mut units = json.chars().filter(Blanks::default().keep()).peekable();
    let mut string = InString::default();
    while let Some(unit) = units.next() {
        if string.contains(unit) {
            out.push(unit);
            continue;
        }
        match unit {
            '{' | '[' => {
                out.push(unit);
                if let Some(end) = units.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    break_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut out, depth);
                out.push(unit);
            }
            ',' => {
                out.push(unit);
                break_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => out.push(unit),
        }
    }
    out
}

fn break_line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth.min(DEPTH_MAX) {
        out.push_str("  ");
    }
}

/// Whether a character belongs to a string, with its quotes.
#[derive(Debug, Default)]
struct InString {
    is_open: bool,
    is_escaped: bool,
}

impl InString {
    fn contains(&mut self, unit: char) -> bool {
        let was_open = self.is_open;
        let is_escaped = std::mem::take(&mut self.is_escaped);
        match unit {
            '"' if !is_escaped => self.is_open = !was_open,
            '\\' if was_open => self.is_escaped = !is_escaped,
            _ => {}
        }
        was_open || self.is_open
    }
}

/// Removes white space outside of strings.
#[derive(Debug, Default)]
struct Blanks(InString);

impl Blanks {
    fn keep(mut self) -> impl FnMut(&char) -> bool {
        move |unit| self.0.contains(*unit) || !unit.is_ascii_whitespace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_a_line_and_is_written_as_it_was_received() {
        let json = r#"{"a":[1e400, 1.50,{}],"a":"x: [\"\\",  "b":[ ],"c":null}"#;

        let lines = indented(json);

        let expected = r#"{
  "a": [
    1e400,
    1.50,
    {}
  ],
  "a": "x: [\"\\",
  "b": [],
  "c": null
}"#;
        assert_eq!(lines, expected);
        assert_eq!(indented(" 5 "), "5");
    }

    #[test]
    fn the_output_for_deep_json_is_bounded() {
        let levels = 10_000;
        let json = format!("{}{}", "[".repeat(levels), "]".repeat(levels));

        let bytes = indented(&json).len();

        assert!(bytes < levels * 2 * (DEPTH_MAX * 2 + 2), "{bytes}");
    }
}
