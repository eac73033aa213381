//! The identity of a channel's history.

use std::fmt;
use std::str::FromStr;

/// Identifies the history that a channel's offsets count in; it vouches for every position given out under it.
///
/// The incarnation comes from the operating system's randomness when a log is created (or when its epochs must
/// change), the counter tells later histories of that incarnation apart. On the wire it is text of at most 27 bytes,
/// for example `9f86d081884c7d65.0`, opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelEpoch {
    /// Random.
    pub incarnation: u64,
    /// Counts from 0.
    pub counter: u32,
}

impl fmt::Display for ChannelEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.incarnation, self.counter)
    }
}

/// The text is no epoch that this server ever gave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a channel epoch")]
pub struct ForeignEpoch;

impl FromStr for ChannelEpoch {
    type Err = ForeignEpoch;

    fn from_str(text: &str) -> Result<Self, ForeignEpoch> {
        let (incarnation, counter) = text.split_once('.').ok_or(ForeignEpoch)?;
        let epoch = Self {
            incarnation: u64::from_str_radix(incarnation, 16).or(Err(ForeignEpoch))?,
            counter: counter.parse().or(Err(ForeignEpoch))?,
        };
        // Only the canonical text counts, so that one epoch has one spelling.
        if epoch.to_string() == text {
            Ok(epoch)
        } else {
            Err(ForeignEpoch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_epoch_are_one_to_one() {
        let epoch = ChannelEpoch {
            incarnation: 0x9f,
            counter: 3,
        };

        assert_eq!(epoch.to_string(), "000000000000009f.3");
        assert_eq!(epoch.to_string().parse(), Ok(epoch));
        for foreign in [
            "",
            "abc",
            "9f.3",
            "000000000000009F.3",
            "000000000000009f.03",
            "000000000000009f.-1",
        ] {
            assert_eq!(
                foreign.parse::<ChannelEpoch>(),
                Err(ForeignEpoch),
                "{foreign}"
            );
        }
    }
}
