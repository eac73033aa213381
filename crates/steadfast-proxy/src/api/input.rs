//! JSON that clients and operators write: objects whose keys match without regard to case, and errors with a place.
//!
//! Values stay slices of the text until they are read, so that an error can name the line of a file, and a body costs
//! little more memory than its bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Why a JSON text cannot be used, and the part of it that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InputError {
    pub(super) message: String,
    /// What to do, if that is known.
    pub(super) help: Option<String>,
    pub(super) at: Place,
}

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A value, by the address of its bytes.
    Value { address: usize, length: usize },
    /// A position of the JSON parser, in lines and columns from 1.
    Position { line: usize, column: usize },
}

impl InputError {
    pub(super) fn new(value: &RawValue, message: impl Into<String>) -> Self {
        let text = value.get();
        Self {
            message: message.into(),
            help: None,
            at: Place::Value {
                address: text.as_ptr().addr(),
                length: text.len(),
            },
        }
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn syntax(error: &serde_json::Error) -> Self {
        let at = Place::Position {
            line: error.line(),
            column: error.column(),
        };
        let text = error.to_string();
        // The place is part of the error already.
        let message = text.split(" at line ").next().unwrap_or_default();
        Self {
            message: message.to_owned(),
            help: None,
            at,
        }
    }

    /// The bytes of `text` that are wrong, in their first line; `text` is what was parsed.
    pub(super) fn span(&self, text: &str) -> Range<usize> {
        match self.at {
            Place::Value { address, length } => {
                let start = address.saturating_sub(text.as_ptr().addr());
                let start = start.min(text.len());
                let end = start.saturating_add(length).min(text.len());
                let value = text.get(start..end).unwrap_or_default();
                let first_line = value.lines().next().unwrap_or_default();
                start..start + first_line.len()
            }
            Place::Position { line, column } => {
                let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
                let start = lines.map(str::len).sum::<usize>() + column.saturating_sub(1);
                let start = start.min(text.len());
                start..(start + 1).min(text.len())
            }
        }
    }
}

/// Reads the first value of a text; what follows it is ignored.
pub(super) fn first_value(text: &str) -> Result<&RawValue, InputError> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    match values.next() {
        Some(value) => value.map_err(|error| InputError::syntax(&error)),
        None => Err(InputError {
            message: "EOF".to_owned(),
            help: None,
            at: Place::Position { line: 1, column: 1 },
        }),
    }
}

/// Reads the only value of a file.
pub(super) fn only_value(text: &str) -> Result<&RawValue, InputError> {
    serde_json::from_str(text).map_err(|error| InputError::syntax(&error))
}

/// The elements of an array; `null` is an empty one.
pub(super) fn array(value: &RawValue) -> Result<Vec<&RawValue>, InputError> {
    let elements: Option<Vec<&RawValue>> = typed(value, "an array")?;
    Ok(elements.unwrap_or_default())
}

/// An object whose keys match without regard to case. A value that is `null` counts as absent.
#[derive(Debug)]
pub(super) struct Object<'a> {
    value: &'a RawValue,
    fields: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

impl<'a> Object<'a> {
    pub(super) fn read(value: &'a RawValue) -> Result<Self, InputError> {
        let fields: Option<_> = typed(value, "an object")?;
        Ok(Self {
            value,
            fields: fields.unwrap_or_default(),
        })
    }

    /// The object itself, for errors.
    pub(super) const fn value(&self) -> &'a RawValue {
        self.value
    }

    /// The names of all fields, as written.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(AsRef::as_ref)
    }

    /// The value of a field; one with exactly this name has precedence.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let similar = || {
            let mut fields = self.fields.iter();
            fields.find(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        let exact = self.fields.get_key_value(name);
        let (_, value) = exact.or_else(similar)?;
        (value.get() != "null").then_some(*value)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, InputError> {
        self.field(name, "a text")
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, InputError> {
        self.field(name, "true or false")
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, InputError> {
        self.field(name, "a number")
    }

    /// An integer that is not negative; `1000.0` is one too.
    pub(super) fn integer(&self, name: &str) -> Result<Option<u64>, InputError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match integer(value) {
            Some(integer) => Ok(Some(integer)),
            None => Err(mismatch(name, "an integer that is not negative", value)),
        }
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, InputError> {
        self.get(name).map(Self::read).transpose()
    }

    fn field<T: Deserialize<'a>>(&self, name: &str, kind: &str) -> Result<Option<T>, InputError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let parsed = serde_json::from_str(value.get());
        parsed
            .map(Some)
            .map_err(|_error| mismatch(name, kind, value))
    }
}

/// A number that is an integer and not negative, however it is written.
pub(super) fn integer(value: &RawValue) -> Option<u64> {
    /// Above it, not every integer is a 64-bit floating-point number.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if let Ok(integer) = serde_json::from_str(value.get()) {
        return Some(integer);
    }
    let number: f64 = serde_json::from_str(value.get()).ok()?;
    let is_integer = number.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&number);
    // A float without a fraction has the digits of the integer.
    is_integer.then(|| format!("{number:.0}").parse().ok())?
}

fn mismatch(name: &str, kind: &str, value: &RawValue) -> InputError {
    InputError::new(
        value,
        format!("`{name}` must be {kind}, not {}", shown(value)),
    )
}

fn typed<'a, T: Deserialize<'a>>(value: &'a RawValue, kind: &str) -> Result<T, InputError> {
    serde_json::from_str(value.get())
        .map_err(|_error| InputError::new(value, format!("expected {kind}, not {}", shown(value))))
}

/// The beginning of a value, for a message.
fn shown(value: &RawValue) -> String {
    const CHARACTERS_MAX: usize = 32;
    let text = value.get();
    match text.char_indices().nth(CHARACTERS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.split_at(end).0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object<'_> {
        Object::read(first_value(text).unwrap()).unwrap()
    }

    #[test]
    fn keys_match_without_case_and_what_follows_the_value_is_ignored() {
        let object = object(r#"{"NAME": "a", "Enabled": null, "other": [1]} trailing"#);

        assert_eq!(object.text("name"), Ok(Some("a".to_owned())));
        assert_eq!(object.boolean("enabled"), Ok(None));
        assert_eq!(object.text("upstream"), Ok(None));
    }

    #[test]
    fn an_integer_may_be_written_as_a_float_without_a_fraction() {
        for (text, expected) in [
            ("1000", Some(1000)),
            ("1000.0", Some(1000)),
            ("1e3", Some(1000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("1.5", None),
            ("-1", None),
            ("1e300", None),
            ("\"1\"", None),
        ] {
            assert_eq!(integer(first_value(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn an_error_names_the_field_and_has_the_place_of_its_value() {
        let text = "{\"a\": 1,\n \"name\": 17}";
        let body = object(text);

        let error = body.text("name").unwrap_err();

        assert_eq!(error.message, "`name` must be a text, not 17");
        assert_eq!(text.get(error.span(text)), Some("17"));
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        let text = "[\n {\"a\" 1}\n]";

        let error = only_value(text).unwrap_err();

        assert_eq!(error.message, "expected `:`");
        assert_eq!(text.get(error.span(text)), Some("1"));
        assert_eq!(first_value("").unwrap_err().message, "EOF");
        assert!(only_value("[] []").is_err() && first_value("[] []").is_ok());
    }
}
