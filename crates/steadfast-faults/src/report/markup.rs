//! A writer of HTML and XML that escapes all text and all attributes.
//!
//! Names of elements and attributes are constants of the program, so nothing from a run can become markup.

use std::fmt::{self, Display, Write as _};

/// Attributes with their values.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a dyn Display)];

/// A document in progress.
#[derive(Debug, Default)]
pub(super) struct Markup {
    text: String,
    open: Vec<&'static str>,
}

impl Markup {
    /// A document that begins with this line.
    pub(super) fn new(first: &'static str) -> Self {
        Self {
            text: first.to_owned(),
            open: Vec::new(),
        }
    }

    /// Opens an element.
    pub(super) fn open(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.start(name, attributes, ">");
        self.open.push(name);
    }

    /// Closes the element that was opened last.
    pub(super) fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.text.extend(["</", name, ">"]);
        }
    }

    /// Writes an element with a text.
    pub(super) fn leaf(
        &mut self,
        name: &'static str,
        attributes: Attributes<'_>,
        text: impl Display,
    ) {
        self.start(name, attributes, ">");
        self.say(text);
        self.text.extend(["</", name, ">"]);
    }

    /// Writes an element without content.
    pub(super) fn empty(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.start(name, attributes, "/>");
    }

    /// Writes a text.
    pub(super) fn say(&mut self, text: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(Escaped(&mut self.text), "{text}");
    }

    /// Writes a constant of the program as it is, for example a stylesheet.
    pub(super) fn constant(&mut self, text: &'static str) {
        self.text.push_str(text);
    }

    /// Closes all open elements and returns the document.
    pub(super) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text.push('\n');
        self.text
    }

    fn start(&mut self, name: &'static str, attributes: Attributes<'_>, end: &'static str) {
        // Each element begins a line, except those inside of text.
        if !matches!(name, "a" | "code" | "strong" | "span" | "b") {
            self.text.push('\n');
        }
        self.text.extend(["<", name]);
        for (attribute, value) in attributes {
            self.text.extend([" ", attribute, "=\""]);
            self.say(value);
            self.text.push('"');
        }
        self.text.push_str(end);
    }
}

/// Replaces what has a meaning in markup, and the characters that XML excludes.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\t' | '\n' => self.0.push(letter),
                '\u{fffe}' | '\u{ffff}' => self.0.push(char::REPLACEMENT_CHARACTER),
                _ if letter.is_control() => self.0.push(char::REPLACEMENT_CHARACTER),
                _ => self.0.push(letter),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_are_escaped() {
        let mut page = Markup::new("");
        page.open("p", &[("title", &"\"><script>")]);
        page.say("a < b & c > 'd' \u{0}\u{1b}[2K\u{fffe}");

        assert_eq!(
            page.finish(),
            "\n<p title=\"&quot;&gt;&lt;script&gt;\">a &lt; b &amp; c &gt; &#39;d&#39; \
             \u{fffd}\u{fffd}[2K\u{fffd}</p>\n"
        );
    }

    #[test]
    fn open_elements_are_closed_in_order() {
        let mut page = Markup::new("");
        page.open("ul", &[]);
        page.leaf("li", &[("value", &1)], 2);
        page.open("li", &[]);
        page.empty("br", &[]);

        assert_eq!(
            page.finish(),
            "\n<ul>\n<li value=\"1\">2</li>\n<li>\n<br/></li></ul>\n"
        );
    }
}
