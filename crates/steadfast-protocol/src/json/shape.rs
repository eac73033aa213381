//! Reads JSON objects into private shapes that borrow from the message, and checks sizes before anything is copied.
//!
//! A shape is what may stand on the wire: every field optional, null the same as absent, unknown fields skipped, a
//! field that stands there twice refused. Only objects are taken, never arrays in their place.

mod entries;
mod field;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

pub(crate) use entries::{entries, list};
pub(crate) use field::{Field, OptionalPayload, Payload, Text};

use crate::error::{DecodeError, Fault};
use crate::limits::Limits;

/// Declares shapes: a struct and how it is read.
macro_rules! shape {
    ($(#[$about:meta])* $name:ident<$life:lifetime> { $( $wire:literal => $field:ident: $kind:ty, )* }) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub(crate) struct $name<$life> { $( pub(crate) $field: $kind, )* }

        crate::json::shape!(@read $name, $name<$life>, $life, $( $wire => $field: $kind, )*);
    };
    ($(#[$about:meta])* $name:ident { $( $wire:literal => $field:ident: $kind:ty, )* }) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub(crate) struct $name { $( pub(crate) $field: $kind, )* }

        crate::json::shape!(@read $name, $name, 'de, $( $wire => $field: $kind, )*);
    };
    (@read $name:ident, $full:ty, $life:lifetime, $( $wire:literal => $field:ident: $kind:ty, )*) => {
        impl<$life> serde::Deserialize<$life> for $full {
            fn deserialize<D: serde::Deserializer<$life>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;

                impl<$life> serde::de::Visitor<$life> for Reader {
                    type Value = $full;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<$life>>(self, mut map: A) -> Result<$full, A::Error> {
                        $( let mut $field: Option<$kind> = None; )*
                        while let Some(crate::json::Text(key)) = map.next_key()? {
                            match &*key {
                                $( $wire => {
                                    if $field.is_some() {
                                        return Err(serde::de::Error::duplicate_field($wire));
                                    }
                                    $field = Some(crate::json::Field::read(&mut map)?);
                                } )*
                                _ => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok($name { $( $field: $field.unwrap_or_default(), )* })
                    }
                }

                deserializer.deserialize_map(Reader)
            }
        }

        impl<$life> crate::json::Field<$life> for Option<$full> {
            fn read<A: serde::de::MapAccess<$life>>(map: &mut A) -> Result<Self, A::Error> {
                map.next_value()
            }
        }
    };
}

pub(crate) use shape;

/// Reads one object that fills the whole text. `line` is told in errors.
pub(crate) fn parse<'de, T: Deserialize<'de>>(
    text: &'de str,
    line: usize,
) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| DecodeError::Malformed {
        line,
        column: error.column(),
        fault: match error.classify() {
            serde_json::error::Category::Eof => Fault::Truncated,
            serde_json::error::Category::Data => Fault::Field,
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => Fault::Syntax,
        },
    })
}

/// Where a shape was read, for the checks when it becomes a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The message that payloads are slices of.
    pub(crate) message: &'a Bytes,
    /// The limits that apply.
    pub(crate) limits: &'a Limits,
    /// The id of the command or answer; 0 when it has none.
    pub(crate) id: u32,
    /// The line in the message, counted from 1.
    pub(crate) line: usize,
}

impl<'a> Context<'a> {
    /// A channel name.
    pub(crate) fn channel(self, text: &Text<'_>) -> Result<String, DecodeError> {
        self.text("channel", text, self.limits.channel_bytes)
    }

    /// A token.
    pub(crate) fn token(self, text: &Text<'_>) -> Result<String, DecodeError> {
        self.long("token", text)
    }

    /// A long text.
    pub(crate) fn long(self, field: &'static str, text: &Text<'_>) -> Result<String, DecodeError> {
        self.text(field, text, self.limits.text_bytes)
    }

    /// A short text.
    pub(crate) fn name(self, field: &'static str, text: &Text<'_>) -> Result<String, DecodeError> {
        self.text(field, text, self.limits.name_bytes)
    }

    /// A text of at most `size_max` bytes.
    pub(crate) fn text(
        self,
        field: &'static str,
        text: &Text<'_>,
        size_max: usize,
    ) -> Result<String, DecodeError> {
        let size = text.0.len();
        if size > size_max {
            return Err(DecodeError::FieldTooLong {
                id: self.id,
                field,
                size,
                size_max,
            });
        }
        Ok(String::from(&*text.0))
    }

    /// A payload that is absent or raw JSON, as a slice of the message.
    pub(crate) fn optional_payload(
        self,
        raw: Option<&'a RawValue>,
    ) -> Result<Option<Bytes>, DecodeError> {
        let Some(raw) = raw else { return Ok(None) };
        let bytes = raw.get().as_bytes();
        if nests_deeper(bytes, self.limits.nesting_max) {
            return Err(DecodeError::TooDeep {
                id: self.id,
                levels_max: self.limits.nesting_max,
            });
        }
        Ok(Some(self.message.slice_ref(bytes)))
    }

    /// A payload as a slice of the message; empty when absent.
    pub(crate) fn payload(self, raw: Payload<'a>) -> Result<Bytes, DecodeError> {
        Ok(self.optional_payload(raw.0)?.unwrap_or_default())
    }
}

/// True when arrays and objects nest deeper than `levels_max` in this valid JSON.
fn nests_deeper(json: &[u8], levels_max: usize) -> bool {
    // Counting is far cheaper than following strings, and settles nearly every payload. One bit tells `[` from `{`;
    // 255 bytes at a time fit a counter of one byte, which lets the compiler count many at once.
    let openers: usize = json
        .chunks(255)
        .map(|chunk| {
            chunk
                .iter()
                .map(|byte| u8::from(byte | 0x20 == b'{'))
                .sum::<u8>()
        })
        .map(usize::from)
        .sum();
    if openers <= levels_max {
        return false;
    }
    let mut level = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in json {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => level += 1,
            b']' | b'}' => level = level.saturating_sub(1),
            _ => {}
        }
        if level > levels_max {
            return true;
        }
    }
    false
}
