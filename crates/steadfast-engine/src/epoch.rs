//! The identity of a channel's history.

use std::fmt;
use std::str::FromStr;

/// Identifies the history in which a channel's offsets count; every position that the server issues contains a channel
/// epoch.
///
/// The incarnation comes from the operating system's randomness when an engine's storage is created (or when its epochs
/// must change); the counter distinguishes later histories of that incarnation. Only engines create epochs and read
/// their parts: for a hub an epoch is a value to compare, and for a client opaque text. On the wire, that text has at
/// most 27 bytes, for example `9f86d081884c7d65.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelEpoch {
    /// Random, from the operating system.
    incarnation: u64,
    /// Number of the history, from 0.
    counter: u32,
}

impl ChannelEpoch {
    /// The epoch of one history, for the engine that owns it.
    pub const fn new(incarnation: u64, counter: u32) -> Self {
        Self {
            incarnation,
            counter,
        }
    }

    /// The random part, which all histories of one incarnation share.
    pub const fn incarnation(self) -> u64 {
        self.incarnation
    }

    /// The number of the history in its incarnation, from 0.
    pub const fn counter(self) -> u32 {
        self.counter
    }
}

impl fmt::Display for ChannelEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.incarnation, self.counter)
    }
}

/// The text is not an epoch that this server could have issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid channel epoch")]
pub struct InvalidChannelEpoch;

impl FromStr for ChannelEpoch {
    type Err = InvalidChannelEpoch;

    fn from_str(text: &str) -> Result<Self, InvalidChannelEpoch> {
        let (incarnation, counter) = text.split_once('.').ok_or(InvalidChannelEpoch)?;
        let epoch = Self {
            incarnation: u64::from_str_radix(incarnation, 16).or(Err(InvalidChannelEpoch))?,
            counter: counter.parse().or(Err(InvalidChannelEpoch))?,
        };
        // Only the canonical text is valid, so that each epoch has exactly one representation.
        if epoch.to_string() == text {
            Ok(epoch)
        } else {
            Err(InvalidChannelEpoch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_epoch_are_one_to_one() {
        let epoch = ChannelEpoch::new(0x9f, 3);

        assert_eq!(epoch.to_string(), "000000000000009f.3");
        assert_eq!(epoch.to_string().parse(), Ok(epoch));
        for invalid in [
            "",
            "abc",
            "9f.3",
            "000000000000009F.3",
            "000000000000009f.03",
            "000000000000009f.-1",
        ] {
            assert_eq!(
                invalid.parse::<ChannelEpoch>(),
                Err(InvalidChannelEpoch),
                "{invalid}"
            );
        }
    }
}
