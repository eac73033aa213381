//! What is known of a command that cannot be decoded: its id, to which an error can be replied.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;

/// Whether the text is one JSON value, if strings may contain any escape and numbers may have any size.
pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The id of a command with an error after or in any of its fields; 0 if it has none before the error, has two, or is
/// incomplete. Such a command is rejected; the line feed after it ends it whatever it contains.
pub(super) fn command_id(text: &str) -> u32 {
    let mut id = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let end = IdSeed(&mut id).deserialize(&mut deserializer);
    match end {
        Err(error) if error.classify() != Category::Syntax => 0,
        Ok(()) | Err(_) => id.unwrap_or(0),
    }
}

/// Looks for the id among the fields of an object.
struct IdSeed<'a>(&'a mut Option<u32>);

impl<'de> DeserializeSeed<'de> for IdSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for IdSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(IsId(is_id)) = map.next_key()? {
            if !is_id {
                map.next_value::<IgnoredAny>()?;
            } else if self.0.replace(map.next_value()?).is_some() {
                return Err(A::Error::duplicate_field("id"));
            }
        }
        Ok(())
    }
}

/// Whether a key is that of the id. A key is read as bytes: half of a surrogate pair is no text.
struct IsId(bool);

impl<'de> Deserialize<'de> for IsId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = IsId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: Error>(self, key: &[u8]) -> Result<IsId, E> {
                Ok(IsId(key == b"id"))
            }
        }

        deserializer.deserialize_bytes(KeyVisitor)
    }
}
