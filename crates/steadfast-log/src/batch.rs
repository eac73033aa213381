//! One batch: the bytes of one write, and the changes to commit once they are durable.
//!
//! A batch only collects bytes and changes: `append` fills a batch, `commit` applies it, `failure` rolls it back.

use std::collections::BTreeSet;

use bytes::Bytes;
use steadfast_engine::{Append, ChannelEpoch, RequestId};
use steadfast_machine::convert;

use crate::channels::IndexEntry;
use crate::dedup::KeyScope;
use crate::identity::SegmentSecret;
use crate::io::SegmentNumber;
use crate::open::OpenReport;
use crate::record::{self, Opened, Stamp, Stored};
use crate::segment::Segment;
use crate::segment::header::records_end;

/// A batch that is being built or is in flight.
#[derive(Debug)]
pub(crate) struct Batch {
    stamp: Stamp,
    secret: SegmentSecret,
    pub(crate) segment: SegmentNumber,
    /// The ordinal of `segment`.
    pub(crate) ordinal: u32,
    /// The byte position in the segment at which the batch begins.
    pub(crate) at: u64,
    /// The byte position at which the records of the segment end at the latest.
    records_end: u64,
    pub(crate) bytes: Vec<u8>,
    /// The byte position at which the batch ends, once its bytes are taken out.
    pub(crate) written_end: u64,
    /// Publications and duplicates, in order.
    pub(crate) items: Vec<BatchItem>,
    /// Channels that this batch creates.
    pub(crate) created_channels: Vec<u32>,
    /// Channels that this batch removes, and the epoch of channels that are created later.
    pub(crate) expired_channels: Option<(BTreeSet<u32>, ChannelEpoch)>,
    /// The size of these channels in a checkpoint.
    pub(crate) expired_bytes: u64,
    /// Set when the batch begins its segment.
    pub(crate) checkpoint: Option<SegmentCheckpoint>,
    /// Set when the batch holds the record of the opening.
    pub(crate) opened: Option<(Opened, OpenReport)>,
    /// True when the batch holds the state of the clock.
    pub(crate) has_clock: bool,
    pub(crate) effect: BatchEffect,
}

/// The checkpoint at the beginning of a segment.
#[derive(Debug)]
pub(crate) struct SegmentCheckpoint {
    /// Segments before this ordinal are removed.
    pub(crate) first_kept: u32,
    /// Number of channels in the checkpoint.
    pub(crate) channels: u64,
    /// The idempotency keys that were copied into the checkpoint.
    pub(crate) keys: Vec<KeyScope>,
}

/// What a batch does to the log in addition to its items; a batch has at most one such effect, in its last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchEffect {
    Plain,
    /// The batch tests whether the disk has space again.
    Probe,
    Seal,
    /// The batch holds the record of the clean shutdown.
    CleanShutdown,
}

/// A request that the log responds to when the batch is durable.
#[derive(Debug)]
pub(crate) enum BatchItem {
    Publication {
        channel: u32,
        offset: u64,
        entry: IndexEntry,
        append: Append,
    },
    /// A repeat of an idempotency key of this batch.
    Duplicate {
        request_id: RequestId,
        channel: u32,
        /// The offset of the first append with this key.
        offset: u64,
    },
}

impl Batch {
    /// An empty batch at this byte position of a segment.
    pub(crate) const fn new(segment: &Segment, stamp: Stamp, ordinal: u32, at: u64) -> Self {
        Self {
            stamp,
            secret: segment.secret,
            segment: segment.number,
            ordinal,
            at,
            records_end: records_end(segment.size),
            bytes: Vec::new(),
            written_end: at,
            items: Vec::new(),
            created_channels: Vec::new(),
            expired_channels: None,
            expired_bytes: 0,
            checkpoint: None,
            opened: None,
            has_clock: false,
            effect: BatchEffect::Plain,
        }
    }

    /// The byte position of the next record of the batch.
    pub(crate) fn end(&self) -> u64 {
        self.at + convert::to_u64(self.bytes.len())
    }

    /// Whether a record of this length fits and leaves `free` bytes after it.
    pub(crate) fn fits(&self, len: u64, free: u64) -> bool {
        self.end().saturating_add(len).saturating_add(free) <= self.records_end
    }

    /// Adds a record and returns its length.
    pub(crate) fn encode(&mut self, stored: &Stored<'_>) -> usize {
        let at = self.end();
        record::encode(&mut self.bytes, &self.secret, at, self.stamp, stored)
    }

    /// The number of channels that the batch removes, and their size in a checkpoint.
    pub(crate) fn removed_channels(&self) -> (usize, u64) {
        let channels = self.expired_channels.as_ref();
        (channels.map_or(0, |(ids, _)| ids.len()), self.expired_bytes)
    }

    /// Takes the bytes out for the write.
    pub(crate) fn take_bytes(&mut self) -> Bytes {
        self.written_end = self.end();
        Bytes::from(std::mem::take(&mut self.bytes))
    }
}
