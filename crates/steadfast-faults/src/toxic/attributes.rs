//! The names of kinds and attributes in configurations, with their units: milliseconds unless a name says otherwise.

use std::borrow::Cow;
use std::time::Duration;

use steadfast_machine::convert;

use super::{BlackHoleMode, CloseMode, ToxicKind};

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// A number in the unit of the attribute.
    Integer(u64),
    /// One of a few words, such as `rst`.
    Word(Cow<'static, str>),
}

/// An attribute of a toxic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, such as `latency`.
    pub name: &'static str,
    /// A number in its unit, or a word.
    pub value: AttributeValue,
}

/// Why an attribute was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// The kind has no attribute of this name.
    #[error("{kind} has no attribute {name:?}; its attributes are: {known}")]
    Unknown {
        /// The name of the kind.
        kind: &'static str,
        /// The name as it was given.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// The value has the wrong type or is none of the words.
    #[error("attribute {name:?} must be {expected}")]
    Invalid {
        /// The name of the attribute.
        name: &'static str,
        /// What is accepted.
        expected: &'static str,
    },
}

/// All names of kinds, those of Toxiproxy first.
pub const KIND_NAMES: [&str; 16] = [
    "noop",
    "latency",
    "bandwidth",
    "slow_close",
    "timeout",
    "reset_peer",
    "slicer",
    "limit_data",
    "reset",
    "half_close",
    "half_open",
    "blackhole",
    "slow_connect",
    "stall",
    "slow_read",
    "corrupt",
];

/// A mutable attribute, for reading and for writing.
enum Slot<'a> {
    Millis(&'a mut Duration),
    Micros(&'a mut Duration),
    Number(&'a mut u64),
    Close(&'a mut CloseMode),
    BlackHole(&'a mut BlackHoleMode),
}

impl ToxicKind {
    /// The name in configurations, such as `latency`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Latency { .. } => "latency",
            Self::Bandwidth { .. } => "bandwidth",
            Self::SlowClose { .. } => "slow_close",
            Self::Timeout { .. } => "timeout",
            Self::ResetPeer { .. } => "reset_peer",
            Self::Slicer { .. } => "slicer",
            Self::LimitData { .. } => "limit_data",
            Self::Reset { .. } => "reset",
            Self::HalfClose { .. } => "half_close",
            Self::HalfOpen { .. } => "half_open",
            Self::BlackHole { .. } => "blackhole",
            Self::SlowConnect { .. } => "slow_connect",
            Self::Stall { .. } => "stall",
            Self::SlowRead { .. } => "slow_read",
            Self::Corrupt { .. } => "corrupt",
        }
    }

    /// Returns the kind of this name with its defaults, which may not be valid yet; `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        const ZERO: Duration = Duration::ZERO;
        Some(match name {
            "noop" => Self::Noop,
            "latency" => Self::Latency {
                latency: ZERO,
                jitter: ZERO,
            },
            "bandwidth" => Self::Bandwidth { rate: 0 },
            "slow_close" => Self::SlowClose { delay: ZERO },
            "timeout" => Self::Timeout { timeout: ZERO },
            "reset_peer" => Self::ResetPeer { timeout: ZERO },
            "slicer" => Self::Slicer {
                average_size: 0,
                size_variation: 0,
                delay: ZERO,
            },
            "limit_data" => Self::LimitData {
                bytes: 0,
                close: CloseMode::Fin,
            },
            "reset" => Self::Reset { after: ZERO },
            "half_close" => Self::HalfClose { after: ZERO },
            "half_open" => Self::HalfOpen { after: ZERO },
            "blackhole" => Self::BlackHole {
                mode: BlackHoleMode::Drop,
                close_after: ZERO,
            },
            "slow_connect" => Self::SlowConnect {
                dial_delay: ZERO,
                first_byte_delay: ZERO,
            },
            "stall" => Self::Stall {
                after_bytes: 0,
                time: ZERO,
            },
            "slow_read" => Self::SlowRead { rate: 0 },
            "corrupt" => Self::Corrupt {
                at_byte: 0,
                every: 0,
            },
            _ => return None,
        })
    }

    /// Returns every attribute with its value, in the order of the reference.
    pub fn attributes(&self) -> Vec<Attribute> {
        let mut copy = *self;
        let slots = copy.slots().into_iter().flatten();
        slots
            .map(|(name, slot)| Attribute {
                name,
                value: slot.value(),
            })
            .collect()
    }

    /// Sets one attribute; the others stay. The result may be invalid until further ones are set, which
    /// [`Toxic::validate`](super::Toxic::validate) checks.
    ///
    /// # Errors
    ///
    /// When the kind has no such attribute, or the value has the wrong type.
    pub fn set_attribute(
        &mut self,
        name: &str,
        value: &AttributeValue,
    ) -> Result<(), AttributeError> {
        let kind = self.name();
        let slots = self.slots();
        let names: Vec<&str> = slots.iter().flatten().map(|(name, _)| *name).collect();
        let known = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        let unknown = AttributeError::Unknown {
            kind,
            name: name.to_owned(),
            known,
        };
        let mut slots = slots.into_iter().flatten();
        let (name, slot) = slots.find(|slot| slot.0 == name).ok_or(unknown)?;
        slot.set(name, value)
    }

    fn slots(&mut self) -> [Option<(&'static str, Slot<'_>)>; 3] {
        use Slot::{BlackHole, Close, Micros, Millis, Number};
        let one = |name, slot| [Some((name, slot)), None, None];
        let two = |first, second| [Some(first), Some(second), None];
        match self {
            Self::Noop => [None, None, None],
            Self::Latency { latency, jitter } => {
                two(("latency", Millis(latency)), ("jitter", Millis(jitter)))
            }
            Self::Bandwidth { rate } | Self::SlowRead { rate } => one("rate", Number(rate)),
            Self::SlowClose { delay } => one("delay", Millis(delay)),
            Self::Timeout { timeout } | Self::ResetPeer { timeout } => {
                one("timeout", Millis(timeout))
            }
            Self::Slicer {
                average_size,
                size_variation,
                delay,
            } => [
                Some(("average_size", Number(average_size))),
                Some(("size_variation", Number(size_variation))),
                Some(("delay", Micros(delay))),
            ],
            Self::LimitData { bytes, close } => {
                two(("bytes", Number(bytes)), ("close", Close(close)))
            }
            Self::Reset { after } | Self::HalfClose { after } | Self::HalfOpen { after } => {
                one("after", Millis(after))
            }
            Self::BlackHole { mode, close_after } => two(
                ("mode", BlackHole(mode)),
                ("close_after", Millis(close_after)),
            ),
            Self::SlowConnect {
                dial_delay,
                first_byte_delay,
            } => two(
                ("dial_delay", Millis(dial_delay)),
                ("first_byte_delay", Millis(first_byte_delay)),
            ),
            Self::Stall { after_bytes, time } => {
                two(("after_bytes", Number(after_bytes)), ("time", Millis(time)))
            }
            Self::Corrupt { at_byte, every } => {
                two(("at_byte", Number(at_byte)), ("every", Number(every)))
            }
        }
    }
}

impl Slot<'_> {
    fn value(self) -> AttributeValue {
        match self {
            Self::Millis(time) => AttributeValue::Integer(convert::saturating(time.as_millis())),
            Self::Micros(time) => AttributeValue::Integer(convert::saturating(time.as_micros())),
            Self::Number(number) => AttributeValue::Integer(*number),
            Self::Close(mode) => AttributeValue::Word(Cow::Borrowed(mode.name())),
            Self::BlackHole(mode) => AttributeValue::Word(Cow::Borrowed(mode.name())),
        }
    }

    fn set(self, name: &'static str, value: &AttributeValue) -> Result<(), AttributeError> {
        let expected = match (self, value) {
            (Self::Millis(time), AttributeValue::Integer(millis)) => {
                *time = Duration::from_millis(*millis);
                return Ok(());
            }
            (Self::Micros(time), AttributeValue::Integer(micros)) => {
                *time = Duration::from_micros(*micros);
                return Ok(());
            }
            (Self::Number(number), AttributeValue::Integer(integer)) => {
                *number = *integer;
                return Ok(());
            }
            (Self::Close(mode), AttributeValue::Word(word)) if CloseMode::parse(word).is_some() => {
                *mode = CloseMode::parse(word).unwrap_or_default();
                return Ok(());
            }
            (Self::BlackHole(mode), AttributeValue::Word(word))
                if BlackHoleMode::parse(word).is_some() =>
            {
                *mode = BlackHoleMode::parse(word).unwrap_or_default();
                return Ok(());
            }
            (Self::Close(_), _) => "\"fin\", \"rst\" or \"silent\"",
            (Self::BlackHole(_), _) => "\"drop\" or \"hold\"",
            (Self::Millis(_), _) => "an integer, in milliseconds",
            (Self::Micros(_), _) => "an integer, in microseconds",
            (Self::Number(_), _) => "an integer from 0",
        };
        Err(AttributeError::Invalid { name, expected })
    }
}

impl CloseMode {
    /// The name in configurations: `fin`, `rst` or `silent`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Silent => "silent",
        }
    }

    /// Returns the mode of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Fin, Self::Rst, Self::Silent]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

impl BlackHoleMode {
    /// The name in configurations: `drop` or `hold`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Hold => "hold",
        }
    }

    /// Returns the mode of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Drop, Self::Hold]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_name_and_keeps_each_attribute_that_is_set() {
        for name in KIND_NAMES {
            let mut kind = ToxicKind::from_name(name).unwrap();
            assert_eq!(kind.name(), name);
            for attribute in kind.attributes() {
                let value = match attribute.value {
                    AttributeValue::Integer(default) => {
                        assert_eq!(default, 0, "{name}.{}", attribute.name);
                        AttributeValue::Integer(7)
                    }
                    AttributeValue::Word(word) if word == "fin" => {
                        AttributeValue::Word("silent".into())
                    }
                    AttributeValue::Word(_) => AttributeValue::Word("hold".into()),
                };
                kind.set_attribute(attribute.name, &value).unwrap();
                let stored = kind.attributes();
                let found = stored.iter().find(|it| it.name == attribute.name).unwrap();
                assert_eq!(found.value, value, "{name}.{}", attribute.name);
            }
        }
        assert_eq!(ToxicKind::from_name("lag"), None);
    }

    #[test]
    fn a_wrong_attribute_is_reported_with_what_is_accepted() {
        let mut kind = ToxicKind::from_name("limit_data").unwrap();

        let unknown = kind.set_attribute("byte", &AttributeValue::Integer(1));
        let invalid = kind.set_attribute("close", &AttributeValue::Word("maybe".into()));

        assert_eq!(
            unknown.unwrap_err().to_string(),
            "limit_data has no attribute \"byte\"; its attributes are: bytes, close"
        );
        assert_eq!(
            invalid.unwrap_err().to_string(),
            "attribute \"close\" must be \"fin\", \"rst\" or \"silent\""
        );
    }

    #[test]
    fn the_pause_of_the_slicer_is_in_microseconds() {
        let mut kind = ToxicKind::from_name("slicer").unwrap();

        kind.set_attribute("delay", &AttributeValue::Integer(1500))
            .unwrap();

        assert!(
            matches!(kind, ToxicKind::Slicer { delay, .. } if delay == Duration::from_micros(1500))
        );
    }
}
