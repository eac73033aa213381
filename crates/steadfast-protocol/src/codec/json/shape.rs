//! Reads JSON objects into private shapes that borrow from the message, and checks sizes before anything is copied.
//!
//! A shape describes an object on the wire: all fields are optional, null is the same as absent, unknown fields are
//! ignored, and a repeated field is an error. Only objects are accepted; an array is an error.

mod alternative;
mod entries;
mod field;
mod filling;
mod numbers;

use bytes::Bytes;
use serde_json::value::RawValue;

pub(crate) use alternative::{Alternative, keep_first};
pub(crate) use entries::{entries, list};
pub(crate) use field::{Field, OptionalPayload, Payload, Text};
pub(crate) use filling::{Shape, fill, read_shape};

use self::numbers::has_oversized_number;
use crate::error::DecodeError;
use crate::limits::Limits;
use crate::message::ChannelName;

/// Declares shapes: structs with their deserialization.
///
/// The fields of `one_of` are alternatives, of which a shape keeps only the first in the order of their declaration: an
/// object has one of them, so that its shape is small. All that are present are read, so that each must be valid.
macro_rules! shape {
    (
        $(#[$about:meta])* $name:ident<$lifetime:lifetime> {
            $( $wire:literal => $field:ident: $kind:ty, )*
            $( one_of $choice:ident: $choices:ident { $( $choice_wire:literal => $choice_field:ident: $variant:ident($choice_kind:ty), )* } )?
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub(crate) struct $name<$lifetime> {
            $( pub(crate) $field: $kind, )*
            $( pub(crate) $choice: Option<$choices<$lifetime>>, )?
        }

        $(
            #[doc = concat!("The alternatives of [`", stringify!($name), "`], the first one first.")]
            #[derive(Debug)]
            pub(crate) enum $choices<$lifetime> { $( $variant($choice_kind), )* }

            impl crate::codec::json::Alternative for $choices<'_> {
                const FIELDS: &'static [&'static str] = &[ $( $choice_wire, )* ];

                fn field(&self) -> &'static str {
                    match self { $( Self::$variant(_) => $choice_wire, )* }
                }
            }
        )?

        crate::codec::json::shape!(
            @read $name, $name<$lifetime>, $lifetime, $( $wire => $field, )*
            $( one_of $choice: $choices { $( $choice_wire => $choice_field: $variant($choice_kind), )* } )?
        );
    };
    ($(#[$about:meta])* $name:ident { $( $wire:literal => $field:ident: $kind:ty, )* }) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub(crate) struct $name { $( pub(crate) $field: $kind, )* }

        crate::codec::json::shape!(@read $name, $name, 'de, $( $wire => $field, )*);
    };
    (
        @read $name:ident, $full:ty, $lifetime:lifetime, $( $wire:literal => $field:ident, )*
        $( one_of $choice:ident: $choices:ident { $( $choice_wire:literal => $choice_field:ident: $variant:ident($choice_kind:ty), )* } )?
    ) => {
        impl<$lifetime> crate::codec::json::Shape<$lifetime> for $full {
            fn fill<A: serde::de::MapAccess<$lifetime>>(&mut self, mut map: A) -> Result<(), A::Error> {
                // Whether each field was read.
                $( let mut $field = false; )*
                $( $( let mut $choice_field = false; )* )?
                while let Some(crate::codec::json::Text(key)) = map.next_key()? {
                    match &*key {
                        $( $wire => {
                            if std::mem::replace(&mut $field, true) {
                                return Err(serde::de::Error::duplicate_field($wire));
                            }
                            crate::codec::json::Field::read(&mut self.$field, &mut map)?;
                        } )*
                        $( $( $choice_wire => {
                            if std::mem::replace(&mut $choice_field, true) {
                                return Err(serde::de::Error::duplicate_field($choice_wire));
                            }
                            let mut choice: Option<$choice_kind> = None;
                            crate::codec::json::Field::read(&mut choice, &mut map)?;
                            if let Some(choice) = choice {
                                crate::codec::json::keep_first(&mut self.$choice, $choices::$variant(choice));
                            }
                        } )* )?
                        _ => {
                            map.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(())
            }
        }

        impl<$lifetime> serde::Deserialize<$lifetime> for $full {
            fn deserialize<D: serde::Deserializer<$lifetime>>(deserializer: D) -> Result<Self, D::Error> {
                crate::codec::json::read_shape(deserializer)
            }
        }
    };
}

pub(crate) use shape;

/// The origin of a shape, for the checks when the shape is converted to a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// Message from which payloads are sliced.
    pub(crate) message: &'a Bytes,
    /// Limits of the decoder.
    pub(crate) limits: &'a Limits,
    /// Id of the command or reply; 0 when it has none.
    pub(crate) id: u32,
    /// Line in the message, counted from 1.
    pub(crate) line: usize,
}

impl<'a> Context<'a> {
    /// Checks and copies a channel name.
    pub(crate) fn channel(self, text: &Text<'_>) -> Result<String, DecodeError> {
        self.text("channel", text, self.limits.channel_bytes)
    }

    /// Checks and copies a channel name that is shared afterwards.
    pub(crate) fn channel_name(self, text: &Text<'_>) -> Result<ChannelName, DecodeError> {
        self.check("channel", text, self.limits.channel_bytes)
            .map(ChannelName::from)
    }

    /// Checks and copies a token.
    pub(crate) fn token(self, text: &Text<'_>) -> Result<String, DecodeError> {
        self.long_text("token", text)
    }

    /// Checks and copies a long text.
    pub(crate) fn long_text(
        self,
        field: &'static str,
        text: &Text<'_>,
    ) -> Result<String, DecodeError> {
        self.text(field, text, self.limits.text_bytes)
    }

    /// Checks and copies a short text.
    pub(crate) fn name(self, field: &'static str, text: &Text<'_>) -> Result<String, DecodeError> {
        self.text(field, text, self.limits.name_bytes)
    }

    /// Checks and copies a text of at most `size_max` bytes.
    pub(crate) fn text(
        self,
        field: &'static str,
        text: &Text<'_>,
        size_max: usize,
    ) -> Result<String, DecodeError> {
        self.check(field, text, size_max).map(String::from)
    }

    /// Returns the text if it has at most `size_max` bytes.
    fn check<'t>(
        self,
        field: &'static str,
        text: &'t Text<'_>,
        size_max: usize,
    ) -> Result<&'t str, DecodeError> {
        let size = text.0.len();
        if size > size_max {
            return Err(DecodeError::FieldTooLong {
                id: self.id,
                field,
                size,
                size_max,
            });
        }
        Ok(&text.0)
    }

    /// Returns a payload that may be absent as a slice of the message.
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
        if has_oversized_number(bytes, self.limits.number_bytes) {
            return Err(DecodeError::NumberTooLong {
                id: self.id,
                bytes_max: self.limits.number_bytes,
            });
        }
        Ok(Some(self.message.slice_ref(bytes)))
    }

    /// Returns a payload as a slice of the message; empty when absent.
    pub(crate) fn payload(self, raw: Payload<'a>) -> Result<Bytes, DecodeError> {
        Ok(self.optional_payload(raw.0)?.unwrap_or_default())
    }
}

/// Returns `true` when arrays and objects nest deeper than `levels_max` in this valid JSON.
fn nests_deeper(json: &[u8], levels_max: usize) -> bool {
    // Counting brackets is far cheaper than scanning strings, and is sufficient for nearly every payload. `[` and `{`
    // differ in one bit. A one-byte counter holds 255 bytes, which lets the compiler vectorise the count.
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
