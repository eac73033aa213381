//! Writes the tokens of JSON.

/// An object that is being written; it must be finished with [`Object::end`].
#[derive(Debug)]
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    /// The byte before the next key: the opening brace, later a comma.
    separator: u8,
}

impl<'a> Object<'a> {
    /// Begins an object at the end of `out`.
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            separator: b'{',
        }
    }

    /// Writes the closing brace.
    pub(crate) fn end(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }

    /// Writes a key that needs no escapes, and returns the buffer for its value.
    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        self.out.push(self.separator);
        self.separator = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// Writes a text, unless it is empty.
    pub(crate) fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.text_always(key, text);
        }
    }

    /// Writes a text, even an empty one.
    pub(crate) fn text_always(&mut self, key: &str, text: &str) {
        append_text(self.key(key), text);
    }

    /// Writes a number, unless it is 0.
    pub(crate) fn number<N: itoa::Integer + Default + PartialEq>(&mut self, key: &str, number: N) {
        if number != N::default() {
            self.number_always(key, number);
        }
    }

    /// Writes a number, even 0.
    pub(crate) fn number_always<N: itoa::Integer>(&mut self, key: &str, number: N) {
        self.key(key)
            .extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Writes `true`, or nothing.
    pub(crate) fn flag(&mut self, key: &str, flag: bool) {
        if flag {
            self.key(key).extend_from_slice(b"true");
        }
    }

    /// Writes a boolean, even `false`.
    pub(crate) fn flag_always(&mut self, key: &str, flag: bool) {
        self.key(key)
            .extend_from_slice(if flag { b"true" } else { b"false" });
    }

    /// Writes raw JSON, unless it is empty.
    pub(crate) fn raw(&mut self, key: &str, json: &[u8]) {
        if !json.is_empty() {
            append_raw(self.key(key), json);
        }
    }

    /// Writes raw JSON, unless it is absent or empty.
    pub(crate) fn raw_option(&mut self, key: &str, json: Option<&[u8]>) {
        self.raw(key, json.unwrap_or_default());
    }

    /// Writes a nested object; `fill` writes its fields.
    pub(crate) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        let mut inner = Object::new(self.key(key));
        fill(&mut inner);
        inner.end();
    }

    /// Writes an array of objects; `fill` writes the fields of each.
    pub(crate) fn objects<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Object<'_>, T),
    ) {
        let out = self.key(key);
        out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let mut object = Object::new(out);
            fill(&mut object, item);
            object.end();
        }
        out.push(b']');
    }

    /// Writes a nested object under a key that is data.
    pub(crate) fn entry_object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        let mut inner = Object::new(self.data_key(key));
        fill(&mut inner);
        inner.end();
    }

    /// Writes a text under a key that is data.
    pub(crate) fn entry_text(&mut self, key: &str, text: &str) {
        append_text(self.data_key(key), text);
    }

    fn data_key(&mut self, key: &str) -> &mut Vec<u8> {
        self.out.push(self.separator);
        self.separator = b',';
        append_text(self.out, key);
        self.out.push(b':');
        self.out
    }
}

/// Writes a string with the escapes that JSON requires.
fn append_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(index) = rest.iter().position(|byte| needs_escape(*byte)) {
        let Some((plain, [byte, after @ ..])) = rest.split_at_checked(index) else {
            break;
        };
        out.extend_from_slice(plain);
        append_escape(out, *byte);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Returns `true` for quotes, backslashes and control characters (RFC 8259, section 7).
fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn append_escape(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0xf)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Writes raw JSON without the line breaks between its tokens: a line feed would end the message's line, and a
/// carriage return would end the line of an event stream. JSON strings contain neither.
fn append_raw(out: &mut Vec<u8>, json: &[u8]) {
    let mut rest = json;
    while let Some(index) = memchr::memchr2(b'\n', b'\r', rest) {
        let Some((plain, [_, after @ ..])) = rest.split_at_checked(index) else {
            break;
        };
        out.extend_from_slice(plain);
        rest = after;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fill: impl FnOnce(&mut Object<'_>)) -> String {
        let mut out = Vec::new();
        let mut object = Object::new(&mut out);
        fill(&mut object);
        object.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_object_without_fields_is_a_pair_of_braces() {
        assert_eq!(written(|_| {}), "{}");
    }

    #[test]
    fn strings_are_escaped_as_json_requires() {
        let text = "a\"b\\c\n\r\t\u{0}\u{1f}\u{7f}\u{2028}é😀/";

        let json = written(|object| object.text("text", text));

        assert_eq!(
            json,
            "{\"text\":\"a\\\"b\\\\c\\n\\r\\t\\u0000\\u001f\u{7f}\u{2028}é😀/\"}"
        );
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["text"], text);
    }

    #[test]
    fn zero_values_are_omitted_unless_they_are_required() {
        let json = written(|object| {
            object.text("a", "");
            object.number("b", 0_u64);
            object.flag("c", false);
            object.raw("d", b"");
            object.text_always("e", "");
            object.number_always("f", 0_u64);
        });

        assert_eq!(json, r#"{"e":"","f":0}"#);
    }

    #[test]
    fn extreme_numbers_are_written_exactly() {
        let json = written(|object| {
            object.number("a", u64::MAX);
            object.number("b", i64::MIN);
        });

        assert_eq!(
            json,
            r#"{"a":18446744073709551615,"b":-9223372036854775808}"#
        );
    }

    /// A line break would end the message.
    #[test]
    fn line_breaks_in_raw_json_are_removed() {
        let json = written(|object| object.raw("data", b"\n{\r\n  \"a\": \"x\\ny\"\n}\n"));

        assert_eq!(json, r#"{"data":{  "a": "x\ny"}}"#);
    }
}
