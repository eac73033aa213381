//! Settings of the memory engine that are valid by construction.
//!
//! This module owns the range of every setting. It holds no defaults: a shell defines them.

use std::fmt;
use std::time::Duration;

use steadfast_machine::ByteSize;

use super::dedup::KEY_BYTES;

/// How offsets are assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offsets {
    /// Each channel counts its publications: 1, 2, 3.
    Dense,
    /// All channels share one sequence, as the subjects of a stream do, so that offsets increase with gaps.
    Increasing {
        /// How far the sequence advances with each publication, 1 to 1,000; above 1, as if other programs published to
        /// the same sequence.
        step: u64,
    },
}

/// Unchecked settings of the memory engine; [`MemoryPolicy::new`] checks them.
///
/// ```
/// use steadfast_engine::memory::{MemoryPolicy, MemorySettings};
///
/// let settings = MemorySettings::for_tests();
///
/// assert!(MemoryPolicy::new(settings).is_ok());
/// assert!(MemoryPolicy::new(MemorySettings { channels_max: 0, ..settings }).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySettings {
    /// How offsets are assigned.
    pub offsets: Offsets,
    /// The approximate memory of everything that is stored, 4 KiB to 1 TiB: visible publications, channels and idempotency
    /// keys. Above it the oldest publications are removed. Channels may use five sixteenths of it, and so may keys.
    pub history_bytes: ByteSize,
    /// The size of the visible publications of one channel, from 1 KiB. Of a channel above it publications are removed
    /// before those of other channels that are younger than 10 min.
    pub channel_bytes_max: ByteSize,
    /// The size of one publication with its texts, from 1 KiB to a quarter of `history_bytes`. Larger ones are rejected.
    pub publication_bytes_max: ByteSize,
    /// Visible publications per channel, 1 to 10 million. Above it the oldest are removed.
    pub history_size: usize,
    /// The age up to which a publication is visible, 1 s to 10 years.
    pub history_ttl: Duration,
    /// How long epoch and high watermark of a channel are kept after its last publication; at least `history_ttl` and
    /// `dedup_window`, at most 10 years.
    pub channel_ttl: Duration,
    /// Channels that exist at the same time, 1 to 1,048,576. Above it a new channel takes the place of the oldest channel
    /// without visible publications, or is rejected if there is none.
    pub channels_max: usize,
    /// How long an idempotency key is remembered, 1 s to 1 h.
    pub dedup_window: Duration,
    /// Idempotency keys in the window, 1 to 16 million. Above it publications with a new key are rejected.
    pub idempotency_keys_max: usize,
}

impl MemorySettings {
    /// Settings for tests and examples: dense offsets, 1 GiB in total and for one channel, 10,000 publications or 24 h
    /// visible, channels kept for 30 days, a deduplication window of 2 min.
    pub const fn for_tests() -> Self {
        Self {
            offsets: Offsets::Dense,
            history_bytes: ByteSize::from_mib(1024),
            channel_bytes_max: ByteSize::from_mib(1024),
            publication_bytes_max: ByteSize::from_mib(16),
            history_size: 10_000,
            history_ttl: Duration::from_hours(24),
            channel_ttl: Duration::from_hours(30 * 24),
            channels_max: 100_000,
            dedup_window: Duration::from_mins(2),
            idempotency_keys_max: 1_000_000,
        }
    }
}

/// One field of [`MemorySettings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "MemorySettings documents the fields")]
pub enum MemorySetting {
    Offsets,
    HistoryBytes,
    ChannelBytesMax,
    PublicationBytesMax,
    HistorySize,
    HistoryTtl,
    ChannelTtl,
    ChannelsMax,
    DedupWindow,
    IdempotencyKeysMax,
}

impl MemorySetting {
    /// The name of the field.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offsets => "offsets",
            Self::HistoryBytes => "history_bytes",
            Self::ChannelBytesMax => "channel_bytes_max",
            Self::PublicationBytesMax => "publication_bytes_max",
            Self::HistorySize => "history_size",
            Self::HistoryTtl => "history_ttl",
            Self::ChannelTtl => "channel_ttl",
            Self::ChannelsMax => "channels_max",
            Self::DedupWindow => "dedup_window",
            Self::IdempotencyKeysMax => "idempotency_keys_max",
        }
    }
}

impl fmt::Display for MemorySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A setting is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{setting} must be {expected}")]
pub struct MemoryPolicyError {
    /// The field of [`MemorySettings`].
    pub setting: MemorySetting,
    /// The range in words.
    pub expected: &'static str,
}

/// Valid settings of a memory engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPolicy {
    settings: MemorySettings,
}

impl MemoryPolicy {
    /// Checks every range.
    ///
    /// # Errors
    ///
    /// Returns the first setting that is out of its range.
    pub fn new(settings: MemorySettings) -> Result<Self, MemoryPolicyError> {
        let violated = size_rules(&settings)
            .into_iter()
            .chain(time_rules(&settings))
            .find(|(is_valid, ..)| !is_valid);
        match violated {
            Some((_, setting, expected)) => Err(MemoryPolicyError { setting, expected }),
            None => Ok(Self { settings }),
        }
    }

    /// How offsets are assigned.
    pub const fn offsets(&self) -> Offsets {
        self.settings.offsets
    }

    /// The approximate memory of everything that is stored.
    pub const fn history_bytes(&self) -> ByteSize {
        self.settings.history_bytes
    }

    /// The approximate memory of all channels without their publications, and that of all idempotency keys, each. A
    /// publication of the largest size fits in addition to both.
    pub fn share_bytes_max(&self) -> usize {
        self.settings.history_bytes.as_len() / 16 * 5
    }

    /// The approximate memory of an idempotency key in bytes, from the lengths of its user and its text.
    pub const fn key_bytes(user: usize, key: usize) -> usize {
        KEY_BYTES + user + key
    }

    /// The size of the visible publications of one channel, above which they are removed before young ones of others.
    pub const fn channel_bytes_max(&self) -> ByteSize {
        self.settings.channel_bytes_max
    }

    /// The size of one publication with its texts.
    pub const fn publication_bytes_max(&self) -> ByteSize {
        self.settings.publication_bytes_max
    }

    /// Visible publications per channel.
    pub const fn history_size(&self) -> usize {
        self.settings.history_size
    }

    /// The age up to which a publication is visible.
    pub const fn history_ttl(&self) -> Duration {
        self.settings.history_ttl
    }

    /// How long epoch and high watermark of a channel are kept after its last publication.
    pub const fn channel_ttl(&self) -> Duration {
        self.settings.channel_ttl
    }

    /// Channels that exist at the same time.
    pub const fn channels_max(&self) -> usize {
        self.settings.channels_max
    }

    /// How long an idempotency key is remembered.
    pub const fn dedup_window(&self) -> Duration {
        self.settings.dedup_window
    }

    /// Idempotency keys in the deduplication window.
    pub const fn idempotency_keys_max(&self) -> usize {
        self.settings.idempotency_keys_max
    }
}

/// Whether a rule is satisfied, which setting it is about, and what it requires.
type Rule = (bool, MemorySetting, &'static str);

fn size_rules(settings: &MemorySettings) -> [Rule; 7] {
    const KIB: u64 = 1 << 10;
    const TIB: u64 = 1 << 40;
    let bytes = settings.history_bytes.as_bytes();
    let publication = settings.publication_bytes_max.as_bytes();
    let are_offsets_valid = match settings.offsets {
        Offsets::Dense => true,
        Offsets::Increasing { step } => (1..=1_000).contains(&step),
    };
    [
        (
            are_offsets_valid,
            MemorySetting::Offsets,
            "a step from 1 to 1,000",
        ),
        (
            (4 * KIB..=TIB).contains(&bytes),
            MemorySetting::HistoryBytes,
            "4 KiB to 1 TiB",
        ),
        (
            settings.channel_bytes_max.as_bytes() >= KIB,
            MemorySetting::ChannelBytesMax,
            "at least 1 KiB",
        ),
        (
            (KIB..=bytes / 4).contains(&publication),
            MemorySetting::PublicationBytesMax,
            "from 1 KiB to a quarter of history_bytes",
        ),
        (
            (1..=10_000_000).contains(&settings.history_size),
            MemorySetting::HistorySize,
            "1 to 10,000,000",
        ),
        (
            (1..=1 << 20).contains(&settings.channels_max),
            MemorySetting::ChannelsMax,
            "1 to 1,048,576",
        ),
        (
            (1..=16_000_000).contains(&settings.idempotency_keys_max),
            MemorySetting::IdempotencyKeysMax,
            "1 to 16,000,000",
        ),
    ]
}

fn time_rules(settings: &MemorySettings) -> [Rule; 3] {
    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_hours(1);
    const DECADE: Duration = Duration::from_hours(10 * 366 * 24);
    let (history, window) = (settings.history_ttl, settings.dedup_window);
    [
        (
            (SECOND..=DECADE).contains(&history),
            MemorySetting::HistoryTtl,
            "1 s to 10 years",
        ),
        (
            (SECOND..=HOUR).contains(&window),
            MemorySetting::DedupWindow,
            "1 s to 1 h",
        ),
        (
            (history.max(window)..=DECADE).contains(&settings.channel_ttl),
            MemorySetting::ChannelTtl,
            "at least history_ttl and dedup_window, at most 10 years",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NANO: Duration = Duration::from_nanos(1);
    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_hours(1);
    const DECADE: Duration = Duration::from_hours(10 * 366 * 24);

    #[test]
    fn a_number_is_valid_from_one_end_of_its_range_to_the_other() {
        check(
            MemorySetting::Offsets,
            |settings, step| settings.offsets = Offsets::Increasing { step },
            [1, 1_000],
            &[0, 1_001],
        );
        check(
            MemorySetting::HistorySize,
            |settings, size| settings.history_size = size,
            [1, 10_000_000],
            &[0, 10_000_001],
        );
        check(
            MemorySetting::ChannelsMax,
            |settings, channels| settings.channels_max = channels,
            [1, 1_048_576],
            &[0, 1_048_577],
        );
        check(
            MemorySetting::IdempotencyKeysMax,
            |settings, keys| settings.idempotency_keys_max = keys,
            [1, 16_000_000],
            &[0, 16_000_001],
        );
    }

    #[test]
    fn a_size_is_valid_from_one_end_of_its_range_to_the_other() {
        check(
            MemorySetting::HistoryBytes,
            |settings, bytes| settings.history_bytes = ByteSize::from_bytes(bytes),
            [4_096, 1_099_511_627_776],
            &[4_095, 1_099_511_627_777],
        );
        check(
            MemorySetting::ChannelBytesMax,
            |settings, bytes| settings.channel_bytes_max = ByteSize::from_bytes(bytes),
            [1_024, u64::MAX],
            &[1_023],
        );
        check(
            MemorySetting::PublicationBytesMax,
            |settings, bytes| {
                settings.history_bytes = ByteSize::from_bytes(1_000_000);
                settings.publication_bytes_max = ByteSize::from_bytes(bytes);
            },
            [1_024, 250_000],
            &[1_023, 250_001],
        );
    }

    #[test]
    fn a_time_is_valid_from_one_end_of_its_range_to_the_other() {
        check(
            MemorySetting::HistoryTtl,
            |settings, age| settings.history_ttl = age,
            [SECOND, DECADE],
            &[SECOND.saturating_sub(NANO), DECADE + NANO],
        );
        check(
            MemorySetting::DedupWindow,
            |settings, window| settings.dedup_window = window,
            [SECOND, HOUR],
            &[SECOND.saturating_sub(NANO), HOUR + NANO],
        );
        check(
            MemorySetting::ChannelTtl,
            |settings, age| {
                settings.history_ttl = 2 * HOUR;
                settings.dedup_window = HOUR;
                settings.channel_ttl = age;
            },
            [2 * HOUR, DECADE],
            &[(2 * HOUR).saturating_sub(NANO), DECADE + NANO],
        );
        check(
            MemorySetting::ChannelTtl,
            |settings, age| {
                settings.history_ttl = SECOND;
                settings.dedup_window = HOUR;
                settings.channel_ttl = age;
            },
            [HOUR, DECADE],
            &[HOUR.saturating_sub(NANO), DECADE + NANO],
        );
    }

    #[test]
    fn an_error_names_the_setting_and_its_range() {
        let settings = MemorySettings {
            history_size: 0,
            ..MemorySettings::for_tests()
        };

        assert_eq!(
            MemoryPolicy::new(settings).map_err(|error| error.to_string()),
            Err("history_size must be 1 to 10,000,000".to_owned())
        );
    }

    /// Accepts both ends of a range, and rejects the values next to it. Nothing else is wrong with any of these settings.
    fn check<V: Copy + fmt::Debug>(
        setting: MemorySetting,
        set: impl Fn(&mut MemorySettings, V),
        ends: [V; 2],
        outside: &[V],
    ) {
        let result = |value| {
            let mut settings = MemorySettings {
                publication_bytes_max: ByteSize::from_kib(1),
                channel_ttl: DECADE,
                ..MemorySettings::for_tests()
            };
            set(&mut settings, value);
            MemoryPolicy::new(settings).map_err(|error| error.setting)
        };

        for value in ends {
            assert!(result(value).is_ok(), "{setting} {value:?}");
        }
        for value in outside {
            assert_eq!(result(*value), Err(setting), "{value:?}");
        }
    }
}
