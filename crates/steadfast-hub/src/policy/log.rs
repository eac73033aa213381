//! Settings of the log that are valid by construction.
//!
//! Owns the bounds of every setting and says what each is for. It holds no defaults: a shell names its own and builds
//! a [`LogPolicy`] from [`LogSettings`]; the machine takes nothing else.

use std::time::Duration;

use steadfast_machine::ByteSize;

/// When a record counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// A sync that covers it has succeeded; one sync serves all records of a group.
    Always,
    /// The operating system has it; synced whenever this much time has passed. From 1 ms to 1 h.
    /// After an unclean start every channel epoch changes.
    Interval(Duration),
    /// The operating system has it, which syncs when it likes. After an unclean start every channel epoch changes.
    Never,
}

/// What people choose about the log; [`LogPolicy::new`] checks it.
///
/// ```
/// use steadfast_hub::policy::log::{Fsync, LogPolicy, LogSettings};
/// use steadfast_machine::ByteSize;
///
/// let small = LogSettings { segment_bytes: ByteSize::from_mib(1), ..LogSettings::typical() };
/// let policy = LogPolicy::new(small).unwrap();
///
/// assert_eq!(policy.fsync(), Fsync::Always);
/// assert!(LogPolicy::new(LogSettings { channels_max: 0, ..small }).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// When a record counts as durable.
    pub fsync: Fsync,
    /// The size of one segment, 4 KiB to 256 MiB. A checkpoint may take half of it, a record a quarter.
    pub segment_bytes: ByteSize,
    /// The size of all segments together, at least four of them. Beyond it the oldest segments are removed.
    pub log_bytes: ByteSize,
    /// Visible publications per channel, 1 to 10 million. Beyond it the oldest are no longer shown.
    pub visible_count_max: usize,
    /// The age up to which a publication is visible, 1 s to 10 years.
    pub visible_age_max: Duration,
    /// How long epoch and top of a channel are kept after its last publication; at least `visible_age_max` and
    /// `window`, at most 10 years.
    pub channel_kept: Duration,
    /// Channels at one time, 1 to 1,048,576. Beyond it the first publication of a channel is refused.
    pub channels_max: usize,
    /// How long a repeated key is recognised, 1 s to 1 h.
    pub window: Duration,
    /// Keys in the window, 1 to 16 million. Beyond it keyed publications are refused.
    pub keys_max: usize,
    /// Bytes of one group, that is of one write and one sync, 4 KiB to 64 MiB; one record always fits.
    pub group_bytes_max: ByteSize,
    /// Bytes of the appends that wait for their group, 4 KiB to 1 GiB. Beyond it appends are refused.
    pub pending_bytes_max: ByteSize,
    /// Bytes of the newest groups that are kept in memory for fresh reads; 0 to 1 GiB.
    pub cache_bytes: ByteSize,
    /// The length of one read while opening, and the most that one read of records spans; 4 KiB to 16 MiB.
    pub read_bytes: ByteSize,
    /// Reads of cores that wait for the storage, 1 to 1 million. Beyond it reads are refused.
    pub reads_max: usize,
    /// The pause before a failed reservation is tried again, 10 ms to 1 h.
    pub retry_pause: Duration,
}

impl LogSettings {
    /// The values that the architecture names, for tests and as an example: `always`, segments of 64 MiB, 1 GiB in
    /// all, 10,000 publications or 24 h visible, channels kept for 30 days, a window of 2 min.
    pub const fn typical() -> Self {
        Self {
            fsync: Fsync::Always,
            segment_bytes: ByteSize::from_mib(64),
            log_bytes: ByteSize::from_mib(1024),
            visible_count_max: 10_000,
            visible_age_max: Duration::from_hours(24),
            channel_kept: Duration::from_hours(30 * 24),
            channels_max: 100_000,
            window: Duration::from_mins(2),
            keys_max: 1_000_000,
            group_bytes_max: ByteSize::from_mib(4),
            pending_bytes_max: ByteSize::from_mib(64),
            cache_bytes: ByteSize::from_mib(8),
            read_bytes: ByteSize::from_mib(1),
            reads_max: 20_000,
            retry_pause: Duration::from_secs(1),
        }
    }
}

/// Why settings are no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{setting} must be {expected}")]
pub struct LogPolicyError {
    /// The field of [`LogSettings`].
    pub setting: &'static str,
    /// Its range, in words.
    pub expected: &'static str,
}

/// Valid settings of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPolicy {
    settings: LogSettings,
}

impl LogPolicy {
    /// Checks every range.
    ///
    /// # Errors
    ///
    /// Names the first setting that is out of its range.
    pub fn new(settings: LogSettings) -> Result<Self, LogPolicyError> {
        check_sizes(&settings)?;
        check_counts(&settings)?;
        check_durations(&settings)?;
        Ok(Self { settings })
    }

    /// When a record counts as durable.
    pub const fn fsync(&self) -> Fsync {
        self.settings.fsync
    }

    /// The size of one segment.
    pub const fn segment_bytes(&self) -> ByteSize {
        self.settings.segment_bytes
    }

    /// The size of all segments together.
    pub const fn log_bytes(&self) -> ByteSize {
        self.settings.log_bytes
    }

    /// Visible publications per channel.
    pub const fn visible_count_max(&self) -> usize {
        self.settings.visible_count_max
    }

    /// The age up to which a publication is visible.
    pub const fn visible_age_max(&self) -> Duration {
        self.settings.visible_age_max
    }

    /// How long epoch and top of a channel are kept after its last publication.
    pub const fn channel_kept(&self) -> Duration {
        self.settings.channel_kept
    }

    /// Channels at one time.
    pub const fn channels_max(&self) -> usize {
        self.settings.channels_max
    }

    /// How long a repeated key is recognised.
    pub const fn window(&self) -> Duration {
        self.settings.window
    }

    /// Keys in the window.
    pub const fn keys_max(&self) -> usize {
        self.settings.keys_max
    }

    /// Bytes of one group.
    pub const fn group_bytes_max(&self) -> ByteSize {
        self.settings.group_bytes_max
    }

    /// Bytes of the appends that wait for their group.
    pub const fn pending_bytes_max(&self) -> ByteSize {
        self.settings.pending_bytes_max
    }

    /// Bytes of the newest groups that are kept in memory.
    pub const fn cache_bytes(&self) -> ByteSize {
        self.settings.cache_bytes
    }

    /// The length of one read while opening, and the most that one read of records spans.
    pub const fn read_bytes(&self) -> ByteSize {
        self.settings.read_bytes
    }

    /// Reads of cores that wait for the storage.
    pub const fn reads_max(&self) -> usize {
        self.settings.reads_max
    }

    /// The pause before a failed reservation is tried again.
    pub const fn retry_pause(&self) -> Duration {
        self.settings.retry_pause
    }
}

fn check_sizes(settings: &LogSettings) -> Result<(), LogPolicyError> {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    let segment = settings.segment_bytes.as_bytes();
    within(
        "segment_bytes",
        segment,
        4 * KIB,
        256 * MIB,
        "4 KiB to 256 MiB",
    )?;
    within(
        "log_bytes",
        settings.log_bytes.as_bytes(),
        4 * segment,
        u64::MAX,
        "at least four segments",
    )?;
    within(
        "group_bytes_max",
        settings.group_bytes_max.as_bytes(),
        4 * KIB,
        64 * MIB,
        "4 KiB to 64 MiB",
    )?;
    within(
        "pending_bytes_max",
        settings.pending_bytes_max.as_bytes(),
        4 * KIB,
        1024 * MIB,
        "4 KiB to 1 GiB",
    )?;
    within(
        "cache_bytes",
        settings.cache_bytes.as_bytes(),
        0,
        1024 * MIB,
        "at most 1 GiB",
    )?;
    within(
        "read_bytes",
        settings.read_bytes.as_bytes(),
        4 * KIB,
        16 * MIB,
        "4 KiB to 16 MiB",
    )
}

fn check_counts(settings: &LogSettings) -> Result<(), LogPolicyError> {
    const COUNT: u64 = 10_000_000;
    const CHANNELS: u64 = 1 << 20;
    const KEYS: u64 = 16_000_000;
    const READS: u64 = 1_000_000;
    let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    within(
        "visible_count_max",
        wide(settings.visible_count_max),
        1,
        COUNT,
        "1 to 10,000,000",
    )?;
    within(
        "channels_max",
        wide(settings.channels_max),
        1,
        CHANNELS,
        "1 to 1,048,576",
    )?;
    within(
        "keys_max",
        wide(settings.keys_max),
        1,
        KEYS,
        "1 to 16,000,000",
    )?;
    within(
        "reads_max",
        wide(settings.reads_max),
        1,
        READS,
        "1 to 1,000,000",
    )
}

fn check_durations(settings: &LogSettings) -> Result<(), LogPolicyError> {
    const SECOND: u128 = 1_000;
    const HOUR: u128 = 3_600 * SECOND;
    const DECADE: u128 = 10 * 366 * 24 * HOUR;
    let age = settings.visible_age_max.as_millis();
    let window = settings.window.as_millis();
    within("visible_age_max", age, SECOND, DECADE, "1 s to 10 years")?;
    within("window", window, SECOND, HOUR, "1 s to 1 h")?;
    within(
        "channel_kept",
        settings.channel_kept.as_millis(),
        age.max(window),
        DECADE,
        "at least visible_age_max and window, at most 10 years",
    )?;
    within(
        "retry_pause",
        settings.retry_pause.as_millis(),
        10,
        HOUR,
        "10 ms to 1 h",
    )?;
    match settings.fsync {
        Fsync::Always | Fsync::Never => Ok(()),
        Fsync::Interval(interval) => within(
            "fsync",
            interval.as_millis(),
            1,
            HOUR,
            "an interval from 1 ms to 1 h",
        ),
    }
}

fn within<N: PartialOrd + Copy>(
    setting: &'static str,
    value: N,
    least: N,
    most: N,
    expected: &'static str,
) -> Result<(), LogPolicyError> {
    if value < least || value > most {
        Err(LogPolicyError { setting, expected })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_its_range_is_named() {
        let typical = LogSettings::typical();
        let cases = [
            (
                LogSettings {
                    segment_bytes: ByteSize::from_bytes(1),
                    ..typical
                },
                "segment_bytes",
            ),
            (
                LogSettings {
                    log_bytes: ByteSize::from_mib(255),
                    ..typical
                },
                "log_bytes",
            ),
            (
                LogSettings {
                    visible_count_max: 0,
                    ..typical
                },
                "visible_count_max",
            ),
            (
                LogSettings {
                    channel_kept: Duration::from_hours(1),
                    ..typical
                },
                "channel_kept",
            ),
            (
                LogSettings {
                    window: Duration::ZERO,
                    ..typical
                },
                "window",
            ),
            (
                LogSettings {
                    fsync: Fsync::Interval(Duration::ZERO),
                    ..typical
                },
                "fsync",
            ),
        ];

        for (settings, name) in cases {
            let error = LogPolicy::new(settings).expect_err(name);
            assert_eq!(error.setting, name);
        }
        assert_eq!(
            LogPolicy::new(cases[0].0).map_err(|error| error.to_string()),
            Err("segment_bytes must be 4 KiB to 256 MiB".into())
        );
    }

    #[test]
    fn the_typical_settings_are_a_policy() {
        let policy = LogPolicy::new(LogSettings::typical()).expect("typical settings are valid");

        assert_eq!(policy.segment_bytes(), ByteSize::from_mib(64));
        assert_eq!(policy.window(), Duration::from_mins(2));
    }
}
