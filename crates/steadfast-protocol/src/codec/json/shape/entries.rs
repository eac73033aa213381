//! Reads JSON of variable length: objects whose keys are data, such as channel names, and lists of objects.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::filling::parse;
use super::{Context, Text};
use crate::error::DecodeError;

/// Converts one value of the object or list.
type Convert<'a, V, T> = fn(Context<'a>, V) -> Result<T, DecodeError>;

/// Reads the object in `raw`; absent is the same as empty. A repeated key, or a key longer than `key_bytes_max`, is
/// an error.
///
/// Entries are counted first: an object with more entries than `Limits::entries_max` is rejected before memory is
/// allocated.
pub(crate) fn entries<'a, V, T>(
    context: Context<'a>,
    field: &'static str,
    raw: Option<&'a RawValue>,
    key_bytes_max: usize,
    convert: Convert<'a, V, T>,
) -> Result<BTreeMap<String, T>, DecodeError>
where
    V: Deserialize<'a>,
{
    let Some(raw) = raw else {
        return Ok(BTreeMap::new());
    };
    check_count(context, field, raw)?;
    let Entries::<V>(pairs) = parse_part(context, raw)?;
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        let key = context.text(field, &key, key_bytes_max)?;
        map.insert(key, convert(context, value)?);
    }
    Ok(map)
}

/// Reads the list in `raw`; absent is the same as empty.
///
/// Items are counted first: a list with more items than `Limits::entries_max` is rejected before memory is allocated.
pub(crate) fn list<'a, V, T>(
    context: Context<'a>,
    field: &'static str,
    raw: Option<&'a RawValue>,
    convert: Convert<'a, V, T>,
) -> Result<Vec<T>, DecodeError>
where
    V: Deserialize<'a>,
{
    let Some(raw) = raw else {
        return Ok(Vec::new());
    };
    check_count(context, field, raw)?;
    let items: Vec<V> = parse_part(context, raw)?;
    items
        .into_iter()
        .map(|item| convert(context, item))
        .collect()
}

fn check_count(
    context: Context<'_>,
    field: &'static str,
    raw: &RawValue,
) -> Result<(), DecodeError> {
    let Count(size) = parse_part(context, raw)?;
    if size > context.limits.entries_max {
        return Err(DecodeError::FieldTooLong {
            id: context.id,
            field,
            size,
            size_max: context.limits.entries_max,
        });
    }
    Ok(())
}

fn parse_part<'a, T: Deserialize<'a>>(
    context: Context<'_>,
    raw: &'a RawValue,
) -> Result<T, DecodeError> {
    parse(raw.get(), context.line).map_err(DecodeError::without_column)
}

/// The number of entries of an object or a list.
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;

        impl<'de> Visitor<'de> for CountVisitor {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }

        deserializer.deserialize_any(CountVisitor)
    }
}

/// The entries of an object.
struct Entries<'a, V>(BTreeMap<Text<'a>, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<'de, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for EntriesVisitor<V> {
            type Value = Entries<'de, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de, V>, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<Text<'de>, V>()? {
                    if entries.insert(key, value).is_some() {
                        return Err(A::Error::custom("repeated key"));
                    }
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}
