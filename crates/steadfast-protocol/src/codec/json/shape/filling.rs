//! Reads an object into a shape in place: a shape with many fields is large, and moving it costs more than reading it.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::codec::json::invalid::is_json;
use crate::error::{DecodeError, JsonErrorKind};

/// An object on the wire, whose fields are filled as they are read: a shape may be large, and is not moved.
pub(crate) trait Shape<'de>: Default {
    /// Reads the fields of an object; those that are absent are not changed.
    fn fill<A: MapAccess<'de>>(&mut self, map: A) -> Result<(), A::Error>;
}

/// Fills this shape with an object.
struct Fill<'s, S>(&'s mut S);

impl<'de, S: Shape<'de>> DeserializeSeed<'de> for Fill<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: Shape<'de>> Visitor<'de> for Fill<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.fill(map)
    }
}

/// Fills a shape with an object, unless it is null.
pub(super) struct FillOption<'s, S>(pub(super) &'s mut Option<S>);

impl<'de, S: Shape<'de>> DeserializeSeed<'de> for FillOption<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: Shape<'de>> Visitor<'de> for FillOption<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        Fill(self.0.insert(S::default())).deserialize(deserializer)
    }
}

/// Reads an object.
pub(crate) fn read_shape<'de, S: Shape<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<S, D::Error> {
    let mut shape = S::default();
    Fill(&mut shape).deserialize(deserializer)?;
    Ok(shape)
}

/// Reads one object from the complete text into a shape. `line` is reported in errors.
pub(crate) fn fill<'de, S: Shape<'de>>(
    shape: &mut S,
    text: &'de str,
    line: usize,
) -> Result<(), DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let filled = Fill(shape).deserialize(&mut deserializer);
    let filled = filled.and_then(|()| deserializer.end());
    filled.map_err(|error| malformed(&error, text, line))
}

/// Reads one value from the complete text. `line` is reported in errors.
pub(super) fn parse<'de, T: Deserialize<'de>>(
    text: &'de str,
    line: usize,
) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| malformed(&error, text, line))
}

#[cold]
fn malformed(error: &serde_json::Error, text: &str, line: usize) -> DecodeError {
    DecodeError::Malformed {
        line,
        column: error.column(),
        kind: match error.classify() {
            serde_json::error::Category::Eof => JsonErrorKind::Truncated,
            serde_json::error::Category::Data => JsonErrorKind::Field,
            // Only the value of a field is wrong if the text is JSON.
            serde_json::error::Category::Syntax if is_json(text) => JsonErrorKind::Value,
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                JsonErrorKind::Syntax
            }
        },
    }
}
