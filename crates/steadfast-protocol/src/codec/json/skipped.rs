//! Finds the id of a command that is too long to be kept, in constant memory.
//!
//! Only the fields of the command itself count: what is in the objects, arrays and strings of its fields is skipped. The
//! rest of the command need not be valid: it is rejected in any case, and the line feed after it ends it.

use crate::error::{DecodeError, JsonErrorKind};
use crate::limits::Limits;

/// A command whose bytes are read once, as they arrive, and not kept.
#[derive(Clone, Debug)]
pub(in crate::codec) struct SkippedCommand {
    bytes: u64,
    place: Place,
    /// The number of objects and arrays that are open.
    depth: u64,
    /// Whether the next byte of a string is escaped.
    is_escaped: bool,
    id: Option<u32>,
    error: Option<JsonErrorKind>,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The space before the command.
    Before,
    /// What precedes a key of the command.
    BeforeKey,
    /// A key of the command, of which this many bytes are those of the id's key; `None` if it is another key.
    Key(Option<usize>),
    /// What follows a key of the command, up to its colon.
    AfterKey(Field),
    /// The value of the id, of which this was read.
    Id(IdValue),
    /// The value of another field of the command, outside of strings.
    Value,
    /// A string in the value of a field.
    String,
    /// The space after the command.
    After,
}

/// Which field of the command a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Id,
    Other,
}

/// The value of the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdValue {
    /// No digit has arrived.
    Empty,
    /// A number that may continue.
    Digits(u32),
    /// This many bytes of null, which is the same as no id.
    Null(usize),
    /// A complete number; 0 for null.
    Complete(u32),
}

const KEY: &[u8] = b"id";
const NULL: &[u8] = b"null";

impl SkippedCommand {
    /// A command of which nothing was read.
    pub(in crate::codec) const fn new() -> Self {
        Self {
            bytes: 0,
            place: Place::Before,
            depth: 0,
            is_escaped: false,
            id: None,
            error: None,
        }
    }

    /// The number of bytes that were read.
    pub(in crate::codec) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the error for a command that is longer than what is skipped of one.
    pub(in crate::codec) fn endless(&self, bytes_max: usize) -> Option<DecodeError> {
        let accepted = u64::try_from(bytes_max).expect("a length has at most 64 bits");
        let bytes_max = accepted.saturating_add(Limits::SKIPPED_BYTES);
        (self.bytes > bytes_max).then_some(DecodeError::CommandEndless { bytes_max })
    }

    /// Reads the next bytes of the command.
    pub(in crate::codec) fn push(&mut self, bytes: &[u8]) {
        let len = u64::try_from(bytes.len()).expect("a length has at most 64 bits");
        self.bytes = self.bytes.saturating_add(len);
        let mut rest = bytes;
        while self.error.is_none() {
            if self.place == Place::String && !self.is_escaped {
                // Nearly all bytes of a long command are in strings.
                let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                (_, rest) = rest.split_at(end);
            }
            let Some((byte, after)) = rest.split_first() else {
                return;
            };
            self.step(*byte);
            rest = after;
        }
    }

    /// Returns the error for the command, which has ended: its id, or what is wrong with its text. The number of its line
    /// is reported with the latter.
    pub(in crate::codec) fn finish(&self, line: usize, bytes_max: usize) -> DecodeError {
        if let Some(error) = self.endless(bytes_max) {
            return error;
        }
        let is_complete = self.place == Place::After;
        match self
            .error
            .or_else(|| (!is_complete).then_some(JsonErrorKind::Truncated))
        {
            Some(kind) => DecodeError::Malformed {
                line,
                column: 0,
                kind,
            },
            None => DecodeError::CommandTooLong {
                id: self.id.unwrap_or_default(),
                bytes: self.bytes,
                bytes_max,
            },
        }
    }

    fn step(&mut self, byte: u8) {
        let outcome = match self.place {
            Place::Before if byte.is_ascii_whitespace() => Ok(Place::Before),
            Place::Before if byte == b'{' => Ok(self.open(Place::BeforeKey)),
            Place::BeforeKey if byte.is_ascii_whitespace() || byte == b',' => Ok(Place::BeforeKey),
            Place::BeforeKey if byte == b'"' => Ok(Place::Key(Some(0))),
            Place::BeforeKey if byte == b'}' => Ok(self.close()),
            Place::Key(matched) => Ok(self.key(matched, byte)),
            Place::AfterKey(field) if byte.is_ascii_whitespace() => Ok(Place::AfterKey(field)),
            Place::AfterKey(Field::Id) if byte == b':' => Ok(Place::Id(IdValue::Empty)),
            Place::AfterKey(Field::Other) if byte == b':' => Ok(Place::Value),
            Place::Id(value) => self.id_value(value, byte),
            Place::Value => Ok(self.value(byte)),
            Place::String => Ok(self.string(byte)),
            Place::After if byte.is_ascii_whitespace() => Ok(Place::After),
            Place::Before | Place::BeforeKey | Place::AfterKey(_) | Place::After => {
                Err(JsonErrorKind::Syntax)
            }
        };
        match outcome {
            Ok(place) => self.place = place,
            Err(error) => self.error = Some(error),
        }
    }

    const fn open(&mut self, place: Place) -> Place {
        self.depth = self.depth.saturating_add(1);
        place
    }

    /// Closes an object or array of a value, or the command.
    const fn close(&mut self) -> Place {
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 0 {
            Place::After
        } else {
            Place::Value
        }
    }

    fn key(&mut self, matched: Option<usize>, byte: u8) -> Place {
        if self.is_escaped {
            self.is_escaped = false;
            return Place::Key(None);
        }
        match byte {
            b'\\' => {
                self.is_escaped = true;
                Place::Key(None)
            }
            b'"' if matched == Some(KEY.len()) => Place::AfterKey(Field::Id),
            b'"' => Place::AfterKey(Field::Other),
            _ => Place::Key(
                matched
                    .filter(|matched| KEY.get(*matched) == Some(&byte))
                    .map(|matched| matched + 1),
            ),
        }
    }

    fn id_value(&mut self, value: IdValue, byte: u8) -> Result<Place, JsonErrorKind> {
        let next = match (value, byte) {
            (IdValue::Empty, b'0'..=b'9') => IdValue::Digits(u32::from(byte - b'0')),
            // No number but zero begins with a zero.
            (IdValue::Digits(number @ 1..), b'0'..=b'9') => {
                let number = number.checked_mul(10);
                let number = number.and_then(|number| number.checked_add(u32::from(byte - b'0')));
                IdValue::Digits(number.ok_or(JsonErrorKind::Field)?)
            }
            (IdValue::Empty, b'n') => IdValue::Null(1),
            (IdValue::Null(matched), _) if NULL.get(matched) == Some(&byte) => {
                if matched + 1 == NULL.len() {
                    IdValue::Complete(0)
                } else {
                    IdValue::Null(matched + 1)
                }
            }
            (IdValue::Digits(number) | IdValue::Complete(number), b',' | b'}') => {
                if self.id.replace(number).is_some() {
                    return Err(JsonErrorKind::Field);
                }
                return Ok(if byte == b',' {
                    Place::BeforeKey
                } else {
                    self.close()
                });
            }
            (IdValue::Digits(number), _) if byte.is_ascii_whitespace() => IdValue::Complete(number),
            (IdValue::Empty | IdValue::Complete(_), _) if byte.is_ascii_whitespace() => value,
            (_, _) => return Err(JsonErrorKind::Field),
        };
        Ok(Place::Id(next))
    }

    const fn value(&mut self, byte: u8) -> Place {
        match byte {
            b'"' => Place::String,
            b'{' | b'[' => self.open(Place::Value),
            b'}' | b']' => self.close(),
            b',' if self.depth == 1 => Place::BeforeKey,
            _ => Place::Value,
        }
    }

    const fn string(&mut self, byte: u8) -> Place {
        if self.is_escaped {
            self.is_escaped = false;
            return Place::String;
        }
        match byte {
            b'\\' => {
                self.is_escaped = true;
                Place::String
            }
            b'"' => Place::Value,
            _ => Place::String,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_any_order_of_the_fields_and_only_in_the_command_itself() {
        for (command, id) in [
            (r#"{"id":7,"publish":{"channel":"a","data":{"id":8}}}"#, 7),
            (r#"{"publish":{"data":{"id":8},"channel":"a"},"id":7}"#, 7),
            (r#"{"publish":{"data":[{"id":8},{"id":9}]} , "id" : 7 }"#, 7),
            (
                r#" {"rpc":{"method":"\"id\":8,"}, "id":4294967295}"#,
                u32::MAX,
            ),
            (r#"{"send":{"data":{"id":8}}}"#, 0),
            (r#"{"data":"},\"id\":8","id":7}"#, 7),
            (r#"{"data":"\\","id":7,"x":"\\\""}"#, 7),
            (r#"{"identity":8,"i":9,"d":10,"id":7}"#, 7),
            (r#"{"a":"id","id":7,"b":["id",8]}"#, 7),
            (r#"{"id":0,"send":{}}"#, 0),
            (r#"{"id":null,"send":{}}"#, 0),
            (r#"{"send":{}, "id" : null }"#, 0),
            ("{}", 0),
        ] {
            let bytes = u64::try_from(command.len()).unwrap();
            let expected = DecodeError::CommandTooLong {
                id,
                bytes,
                bytes_max: 1,
            };
            assert_eq!(error(&[command.as_bytes()]), expected, "{command}");
        }
    }

    #[test]
    fn a_command_without_a_single_valid_id_is_malformed() {
        for (command, kind) in [
            (r#"{"id":7,"publish":{}"#, JsonErrorKind::Truncated),
            (r#"{"id":7,"data":"}"#, JsonErrorKind::Truncated),
            ("   ", JsonErrorKind::Truncated),
            (r#"{"id":7,"id":7}"#, JsonErrorKind::Field),
            (r#"{"id":"7"}"#, JsonErrorKind::Field),
            (r#"{"id":-7}"#, JsonErrorKind::Field),
            (r#"{"id":nul}"#, JsonErrorKind::Field),
            (r#"{"id":nu ll}"#, JsonErrorKind::Field),
            (r#"{"id":null0}"#, JsonErrorKind::Field),
            (r#"{"id":null,"id":7}"#, JsonErrorKind::Field),
            (r#"{"id":7.5}"#, JsonErrorKind::Field),
            (r#"{"id":07}"#, JsonErrorKind::Field),
            (r#"{"id":7 7}"#, JsonErrorKind::Field),
            (r#"{"id":4294967296}"#, JsonErrorKind::Field),
            (r#"{"id":{"id":7}}"#, JsonErrorKind::Field),
            (r#"["id",7]"#, JsonErrorKind::Syntax),
            (r#"{"id":7}{"id":8}"#, JsonErrorKind::Syntax),
            ("{id:7}", JsonErrorKind::Syntax),
            (r#"{"id"7}"#, JsonErrorKind::Syntax),
        ] {
            let expected = DecodeError::Malformed {
                line: 3,
                column: 0,
                kind,
            };
            assert_eq!(error(&[command.as_bytes()]), expected, "{command}");
        }
    }

    #[test]
    fn the_result_does_not_depend_on_how_the_command_is_split() {
        let command = br#"{"rpc":{"data":"\\\"id\":1","id":2},"i":[{}], "id" : 37 ,"x":"id"}"#;
        let whole = error(&[command]);
        for first in 0..command.len() {
            for second in first..command.len() {
                let (before, after) = command.split_at(second);
                let (before, between) = before.split_at(first);
                assert_eq!(error(&[before, between, after]), whole);
            }
        }
    }

    fn error(parts: &[&[u8]]) -> DecodeError {
        let mut skipped = SkippedCommand::new();
        for part in parts {
            skipped.push(part);
        }
        skipped.finish(3, 1)
    }
}
