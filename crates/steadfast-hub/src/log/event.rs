//! What people should know about the log: the shell writes it to its own log and counts it.
//!
//! Events decide nothing. Readiness is read from [`Health`], which a getter of the machine tells at any time.

use crate::log::io::{SegmentNumber, StorageFault};

/// Something that people should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A segment was begun; its checkpoint is durable.
    SegmentBegun {
        /// Which.
        segment: SegmentNumber,
        /// Channels in its checkpoint.
        channels: u64,
        /// Keys that were carried into it.
        keys: u64,
    },
    /// A segment left the log, because all segments together were too large.
    SegmentRemoved {
        /// Which.
        segment: SegmentNumber,
    },
    /// There is no room: publications are refused, readers go on, and it is tried again by itself.
    DiskFull {
        /// For which segment there is no room.
        segment: SegmentNumber,
        /// What the storage said.
        fault: StorageFault,
    },
    /// There is room again: publications are taken again.
    DiskHealed,
    /// A write or a sync failed: nothing is acknowledged any more until a restart opens the log anew.
    Poisoned {
        /// In which segment.
        segment: SegmentNumber,
        /// What the storage said.
        fault: StorageFault,
    },
    /// A record that was durable could not be read, or its bytes are wrong; whoever asked was told so.
    RecordUnreadable {
        /// In which segment.
        segment: SegmentNumber,
        /// From this byte on.
        at: u64,
    },
    /// A segment could not be removed; it is tried again by itself.
    RemoveFailed {
        /// Which.
        segment: SegmentNumber,
    },
    /// A bound of the policy was reached and appends or reads were refused; told once until it is over.
    LimitReached {
        /// Which bound.
        limit: Limit,
    },
    /// Channels were forgotten, because their last publication is too old.
    ChannelsForgotten {
        /// How many.
        channels: u64,
    },
    /// The log could not write its clean end: the next start will count as unclean.
    EndedUnclean,
}

/// A bound of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Bytes that wait for their group.
    Pending,
    /// Channels, by count or by what a checkpoint can hold.
    Channels,
    /// Keys in the window, by count or by what a checkpoint can hold.
    Keys,
    /// Reads that wait for the storage.
    Reads,
}

/// What the log can do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not open yet.
    Opening,
    /// Takes publications and reads.
    Serving,
    /// No room: reads only, until it heals by itself.
    Full,
    /// A write or a sync failed: reads only, until a restart.
    Poisoned,
    /// Ends: finishes what is under way.
    Closing,
    /// Ended, or never opened because of damage.
    Ended,
}

/// What the log did since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Publications that became durable.
    pub committed: u64,
    /// Appends that were answered as duplicates.
    pub duplicates: u64,
    /// Appends and reads that were refused.
    pub refused: u64,
    /// Groups that became durable.
    pub groups: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Reads that were answered from memory alone.
    pub reads_from_memory: u64,
    /// Records that could not be read, or whose bytes were wrong.
    pub unreadable: u64,
}
