//! Settings of the log that are valid by construction.
//!
//! This module owns the range of every setting and documents its purpose. It holds no defaults: a shell defines them
//! and builds a [`LogPolicy`] from [`LogSettings`]; the log accepts nothing else.

use std::fmt;
use std::time::Duration;

use steadfast_machine::{ByteSize, convert};

use crate::record;
use crate::segment::shares::Shares;

/// When a record counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// A sync that covers the record has succeeded; one sync serves all records of a batch.
    Always,
    /// The record was written to the operating system, and is synced once this much time has passed: 1 ms to 1 h. After
    /// an unclean shutdown every channel epoch changes.
    Interval(Duration),
    /// The record was written to the operating system, which decides when to sync. After an unclean shutdown every
    /// channel epoch changes.
    Never,
}

/// Unchecked settings of the log; [`LogPolicy::new`] checks them.
///
/// ```
/// use steadfast_log::policy::{Fsync, LogPolicy, LogSettings};
/// use steadfast_machine::ByteSize;
///
/// let small = LogSettings { segment_bytes: ByteSize::from_mib(1), ..LogSettings::for_tests() };
/// let policy = LogPolicy::new(small).unwrap();
///
/// assert_eq!(policy.fsync(), Fsync::Always);
/// assert!(LogPolicy::new(LogSettings { channels_max: 0, ..small }).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// When a record counts as durable.
    pub fsync: Fsync,
    /// The size of one segment, 4 KiB to 256 MiB. A checkpoint may take half of it, a record a quarter, or somewhat less
    /// below 8 KiB.
    pub segment_bytes: ByteSize,
    /// The size of all segments together, at least four segments. Above it the oldest segments are removed.
    pub log_bytes: ByteSize,
    /// The size of the stored publications of one channel, from 1 KiB, hidden ones included. A channel above it is
    /// rejected while its publications would remove those of other channels that are younger than 10 min. One batch more
    /// may be in flight.
    pub channel_bytes_max: ByteSize,
    /// Visible publications per channel, 1 to 10 million. Above it the oldest are hidden.
    pub history_size: usize,
    /// The age up to which a publication is visible, 1 s to 10 years.
    pub history_ttl: Duration,
    /// How long epoch and high watermark of a channel are kept after its last publication; at least `history_ttl` and
    /// `dedup_window`, at most 10 years.
    pub channel_ttl: Duration,
    /// Channels that exist at the same time, 1 to 1,048,576. Above it a new channel takes the place of the oldest channel
    /// without visible publications, or is rejected if there is none.
    pub channels_max: usize,
    /// How long the log remembers an idempotency key, 1 s to 1 h.
    pub dedup_window: Duration,
    /// Idempotency keys in the window, 1 to 16 million. Above it, and above [`LogPolicy::key_bytes_max`], publications with
    /// a new key are rejected.
    pub idempotency_keys_max: usize,
    /// Bytes of one batch, that is of one write and one sync, 4 KiB to 64 MiB; one record always fits.
    pub batch_bytes_max: ByteSize,
    /// Bytes of the appends that wait for a batch, 4 KiB to 1 GiB. Above it appends are rejected.
    pub pending_bytes_max: ByteSize,
    /// Bytes of the newest batches that are kept in memory for reads of recent publications; 0 to 1 GiB.
    pub cache_bytes: ByteSize,
    /// The length of one read while the log is opened, and the maximum that one read of records spans; 4 KiB to 16 MiB.
    pub read_bytes: ByteSize,
    /// Reads of shards that wait for the storage, 1 to 1 million. Above it reads are rejected.
    pub pending_reads_max: usize,
    /// The delay before a failed operation is retried, 10 ms to 1 h.
    pub retry_delay: Duration,
}

impl LogSettings {
    /// Settings for tests and examples: `always`, segments of 64 MiB, 1 GiB in total and for one channel, 10,000
    /// publications or 24 h visible, channels kept for 30 days, a deduplication window of 2 min.
    pub const fn for_tests() -> Self {
        Self {
            fsync: Fsync::Always,
            segment_bytes: ByteSize::from_mib(64),
            log_bytes: ByteSize::from_mib(1024),
            channel_bytes_max: ByteSize::from_mib(1024),
            history_size: 10_000,
            history_ttl: Duration::from_hours(24),
            channel_ttl: Duration::from_hours(30 * 24),
            channels_max: 100_000,
            dedup_window: Duration::from_mins(2),
            idempotency_keys_max: 1_000_000,
            batch_bytes_max: ByteSize::from_mib(4),
            pending_bytes_max: ByteSize::from_mib(64),
            cache_bytes: ByteSize::from_mib(8),
            read_bytes: ByteSize::from_mib(1),
            pending_reads_max: 20_000,
            retry_delay: Duration::from_secs(1),
        }
    }
}

/// A field of [`LogSettings`], each of which has a valid range.
///
/// A shell maps each of them to its own key by an exhaustive match, so that an error or an event never names a key that
/// has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "LogSettings documents the fields")]
pub enum LogSetting {
    Fsync,
    SegmentBytes,
    LogBytes,
    ChannelBytesMax,
    HistorySize,
    HistoryTtl,
    ChannelTtl,
    ChannelsMax,
    DedupWindow,
    IdempotencyKeysMax,
    BatchBytesMax,
    PendingBytesMax,
    CacheBytes,
    ReadBytes,
    PendingReadsMax,
    RetryDelay,
}

impl LogSetting {
    /// The name of the field.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::SegmentBytes => "segment_bytes",
            Self::LogBytes => "log_bytes",
            Self::ChannelBytesMax => "channel_bytes_max",
            Self::HistorySize => "history_size",
            Self::HistoryTtl => "history_ttl",
            Self::ChannelTtl => "channel_ttl",
            Self::ChannelsMax => "channels_max",
            Self::DedupWindow => "dedup_window",
            Self::IdempotencyKeysMax => "idempotency_keys_max",
            Self::BatchBytesMax => "batch_bytes_max",
            Self::PendingBytesMax => "pending_bytes_max",
            Self::CacheBytes => "cache_bytes",
            Self::ReadBytes => "read_bytes",
            Self::PendingReadsMax => "pending_reads_max",
            Self::RetryDelay => "retry_delay",
        }
    }
}

impl fmt::Display for LogSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A setting is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{setting} must be {expected}")]
pub struct LogPolicyError {
    /// The field of [`LogSettings`].
    pub setting: LogSetting,
    /// The range in words.
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
    /// Returns the first setting that is out of its range.
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

    /// The size of the stored publications of one channel, above which it may be rejected.
    pub const fn channel_bytes_max(&self) -> ByteSize {
        self.settings.channel_bytes_max
    }

    /// How the space of a segment is divided.
    pub(crate) fn shares(&self) -> Shares {
        Shares::of(self.settings.segment_bytes.as_bytes())
    }

    /// The size of all idempotency keys in the window, in bytes as stored in checkpoints: nearly an eighth of `log_bytes`.
    /// Above it publications with a new key are rejected, because the keys of a removed segment must be copied to others.
    pub fn key_bytes_max(&self) -> u64 {
        let segments = self.settings.log_bytes.as_bytes() / self.settings.segment_bytes.as_bytes();
        self.shares().keys(segments)
    }

    /// The size of an idempotency key in a checkpoint, in bytes, from the lengths of its user and its text.
    pub const fn key_bytes(user: usize, key: usize) -> u64 {
        convert::to_u64(record::key_len(user, key))
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

    /// How long the log remembers an idempotency key.
    pub const fn dedup_window(&self) -> Duration {
        self.settings.dedup_window
    }

    /// Idempotency keys in the deduplication window.
    pub const fn idempotency_keys_max(&self) -> usize {
        self.settings.idempotency_keys_max
    }

    /// Bytes of one batch.
    pub const fn batch_bytes_max(&self) -> ByteSize {
        self.settings.batch_bytes_max
    }

    /// Bytes of the appends that wait for a batch.
    pub const fn pending_bytes_max(&self) -> ByteSize {
        self.settings.pending_bytes_max
    }

    /// Bytes of the newest batches that are kept in memory.
    pub const fn cache_bytes(&self) -> ByteSize {
        self.settings.cache_bytes
    }

    /// The length of one read while the log is opened, and the maximum that one read of records spans.
    pub const fn read_bytes(&self) -> ByteSize {
        self.settings.read_bytes
    }

    /// Reads of shards that wait for the storage.
    pub const fn pending_reads_max(&self) -> usize {
        self.settings.pending_reads_max
    }

    /// The delay before a failed operation is retried.
    pub const fn retry_delay(&self) -> Duration {
        self.settings.retry_delay
    }
}

fn check_sizes(settings: &LogSettings) -> Result<(), LogPolicyError> {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    let segment = settings.segment_bytes.as_bytes();
    within(
        LogSetting::SegmentBytes,
        segment,
        4 * KIB,
        256 * MIB,
        "4 KiB to 256 MiB",
    )?;
    within(
        LogSetting::LogBytes,
        settings.log_bytes.as_bytes(),
        4 * segment,
        u64::MAX,
        "at least four segments",
    )?;
    within(
        LogSetting::ChannelBytesMax,
        settings.channel_bytes_max.as_bytes(),
        KIB,
        u64::MAX,
        "at least 1 KiB",
    )?;
    within(
        LogSetting::BatchBytesMax,
        settings.batch_bytes_max.as_bytes(),
        4 * KIB,
        64 * MIB,
        "4 KiB to 64 MiB",
    )?;
    within(
        LogSetting::PendingBytesMax,
        settings.pending_bytes_max.as_bytes(),
        4 * KIB,
        1024 * MIB,
        "4 KiB to 1 GiB",
    )?;
    within(
        LogSetting::CacheBytes,
        settings.cache_bytes.as_bytes(),
        0,
        1024 * MIB,
        "at most 1 GiB",
    )?;
    within(
        LogSetting::ReadBytes,
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
    within(
        LogSetting::HistorySize,
        convert::to_u64(settings.history_size),
        1,
        COUNT,
        "1 to 10,000,000",
    )?;
    within(
        LogSetting::ChannelsMax,
        convert::to_u64(settings.channels_max),
        1,
        CHANNELS,
        "1 to 1,048,576",
    )?;
    within(
        LogSetting::IdempotencyKeysMax,
        convert::to_u64(settings.idempotency_keys_max),
        1,
        KEYS,
        "1 to 16,000,000",
    )?;
    within(
        LogSetting::PendingReadsMax,
        convert::to_u64(settings.pending_reads_max),
        1,
        READS,
        "1 to 1,000,000",
    )
}

fn check_durations(settings: &LogSettings) -> Result<(), LogPolicyError> {
    const SECOND: u128 = 1_000;
    const HOUR: u128 = 3_600 * SECOND;
    const DECADE: u128 = 10 * 366 * 24 * HOUR;
    let age = settings.history_ttl.as_millis();
    let dedup_window = settings.dedup_window.as_millis();
    within(
        LogSetting::HistoryTtl,
        age,
        SECOND,
        DECADE,
        "1 s to 10 years",
    )?;
    within(
        LogSetting::DedupWindow,
        dedup_window,
        SECOND,
        HOUR,
        "1 s to 1 h",
    )?;
    within(
        LogSetting::ChannelTtl,
        settings.channel_ttl.as_millis(),
        age.max(dedup_window),
        DECADE,
        "at least history_ttl and dedup_window, at most 10 years",
    )?;
    within(
        LogSetting::RetryDelay,
        settings.retry_delay.as_millis(),
        10,
        HOUR,
        "10 ms to 1 h",
    )?;
    match settings.fsync {
        Fsync::Always | Fsync::Never => Ok(()),
        Fsync::Interval(interval) => within(
            LogSetting::Fsync,
            interval.as_millis(),
            1,
            HOUR,
            "an interval from 1 ms to 1 h",
        ),
    }
}

fn within<N: PartialOrd + Copy>(
    setting: LogSetting,
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
mod tests;
