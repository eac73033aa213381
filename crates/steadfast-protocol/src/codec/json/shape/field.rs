//! The kinds of values in the fields of a shape.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::filling::{FillOption, Shape};

/// A value of a shape's field.
pub(crate) trait Field<'de>: Sized {
    /// Reads the current value of the map, if it is not null.
    fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error>;
}

/// Implements [`Field`] for values for which null is the same as absent.
macro_rules! null_is_absent {
    ($($kind:ty),+) => {
        $(
            impl<'de> Field<'de> for $kind {
                fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
                    if let Some(value) = map.next_value()? {
                        *self = value;
                    }
                    Ok(())
                }
            }
        )+
    };
}

null_is_absent!(bool, u32, u64, i32, i64, Text<'de>);

/// A string; borrowed from the message when it has no escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(String::from(text))))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// A payload: raw JSON, where null is an ordinary value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Payload<'a>(pub(crate) Option<&'a RawValue>);

impl<'de> Field<'de> for Payload<'de> {
    fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        self.0 = Some(map.next_value()?);
        Ok(())
    }
}

/// Raw JSON that may be absent; null is the same as absent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OptionalPayload<'a>(pub(crate) Option<&'a RawValue>);

impl<'de> Field<'de> for OptionalPayload<'de> {
    fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        self.0 = map.next_value()?;
        Ok(())
    }
}

impl<'de, S: Shape<'de>> Field<'de> for Option<S> {
    fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        map.next_value_seed(FillOption(self))
    }
}
