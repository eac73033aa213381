//! Events of the log for operators: the shell logs and counts them.
//!
//! Events decide nothing. Readiness is read from [`Health`](steadfast_engine::Health), which the log returns at any time.

use std::time::Duration;

use steadfast_engine::StorageOperation;
use steadfast_engine::time::WallJump;

use crate::io::{SegmentNumber, StorageError};
use crate::policy::LogSetting;

/// Something that an operator should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Event {
    /// A segment was created; its checkpoint is durable.
    SegmentCreated {
        segment: SegmentNumber,
        /// Number of channels in its checkpoint.
        channels: u64,
        /// Number of idempotency keys that were copied into its checkpoint.
        idempotency_keys: u64,
    },
    /// A segment was removed, because all segments together were too large.
    SegmentRemoved { segment: SegmentNumber },
    /// The storage has no space for a write or a new segment. The operation is retried automatically; publications are
    /// rejected after a failed write, or once the current segment is full; reads continue.
    DiskFull {
        /// The segment that has no space.
        segment: SegmentNumber,
        /// The bytes that the operation needs.
        bytes: u64,
    },
    /// A new segment could not be created, but not for lack of space. It is retried automatically; publications are
    /// rejected once the current segment is full; reads continue.
    SegmentNotCreated { segment: SegmentNumber },
    /// What failed succeeds again: publications are accepted.
    DiskRecovered,
    /// A write or a sync failed: no new publication is acknowledged until a restart opens the log again.
    WriteFailed {
        segment: SegmentNumber,
        error: StorageError,
    },
    /// A durable record could not be read, or is corrupt; the reader received [`Page::Unrecoverable`].
    ///
    /// [`Page::Unrecoverable`]: steadfast_engine::Page::Unrecoverable
    RecordUnreadable {
        segment: SegmentNumber,
        /// The byte position of the record.
        at: u64,
    },
    /// A segment could not be removed; the removal is retried automatically.
    RemoveFailed { segment: SegmentNumber },
    /// Appends or reads were rejected because a limit was reached; each limit is reported at most once between two
    /// checks of ages.
    LimitReached { limit: LogLimit },
    /// Channels were removed, because their last publication is too old, or because new ones took their place.
    ChannelsExpired { channels: u64 },
    /// New channels take the place of the oldest channels without visible publications, because a limit was reached; each
    /// limit is reported at most once between two checks of ages.
    ChannelReplaced { limit: LogLimit },
    /// An operation of the storage is in flight for a second or more; reported again each time its duration has doubled.
    OperationSlow {
        operation: StorageOperation,
        /// How long it has taken so far.
        duration: Duration,
    },
    /// An operation that was reported as slow has completed or failed.
    SlowOperationEnded {
        operation: StorageOperation,
        /// How long it has taken.
        duration: Duration,
    },
    /// The wall clock was set. Ages are not affected: nothing is hidden or removed.
    WallClockJumped(WallJump),
    /// The machine was down, by the wall clock for this long. Publications that are too old by the estimate are hidden;
    /// nothing is removed until the wall clock has not jumped for [`SETTLED_AFTER`](crate::clock::SETTLED_AFTER).
    DowntimeEstimated { downtime: Duration },
    /// The clean shutdown could not be recorded, or not completely: the next start may run crash recovery.
    UncleanShutdown,
}

/// A limit at which the log rejects appends or reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLimit {
    /// Bytes of appends that wait for a batch.
    PendingBytes,
    /// Channels that exist at the same time.
    Channels,
    /// Bytes of a checkpoint with all channels, of which a segment holds only so many.
    CheckpointBytes,
    /// Idempotency keys in the window.
    IdempotencyKeys,
    /// Bytes of the idempotency keys in the window, of which checkpoints can copy only so many.
    IdempotencyKeyBytes,
    /// Bytes of one channel whose publications would remove young ones of other channels.
    ChannelBytes,
    /// Reads that wait for the storage.
    PendingReads,
}

impl LogLimit {
    /// The setting that determines the limit.
    pub const fn setting(self) -> LogSetting {
        match self {
            Self::PendingBytes => LogSetting::PendingBytesMax,
            Self::Channels => LogSetting::ChannelsMax,
            Self::CheckpointBytes => LogSetting::SegmentBytes,
            Self::IdempotencyKeys => LogSetting::IdempotencyKeysMax,
            Self::IdempotencyKeyBytes => LogSetting::LogBytes,
            Self::ChannelBytes => LogSetting::ChannelBytesMax,
            Self::PendingReads => LogSetting::PendingReadsMax,
        }
    }
}
