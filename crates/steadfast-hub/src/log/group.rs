//! One group: the bytes of one write, and what becomes true when they are durable.
//!
//! It only gathers. The append side fills it, the commit side carries it out or takes it back.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::epoch::ChannelEpoch;
use crate::log::channels::Entry;
use crate::log::dedupe::Scope;
use crate::log::io::{Append, SegmentNumber, Ticket};
use crate::log::open::OpenReport;
use crate::log::record::{self, Opened, Stamp, Stored};

/// A group under way.
#[derive(Debug)]
pub(crate) struct Group {
    stamp: Stamp,
    /// The segment it goes to.
    pub(crate) segment: SegmentNumber,
    /// The same by its ordinal.
    pub(crate) ordinal: u32,
    /// Where it begins.
    pub(crate) at: u64,
    /// How far the segment's room goes for it.
    pub(crate) size: u64,
    /// What is written.
    pub(crate) bytes: Vec<u8>,
    /// Where it ends, once its bytes are taken out.
    pub(crate) written_end: u64,
    /// Publications and repeats, in order.
    pub(crate) items: Vec<Item>,
    /// Channels that did not exist before.
    pub(crate) created: Vec<u32>,
    /// Channels that exist no longer, and the generation after them.
    pub(crate) forgotten: Option<(BTreeSet<u32>, ChannelEpoch)>,
    /// Set when the group begins its segment.
    pub(crate) head: Option<SegmentHead>,
    /// Set when it says that the log was opened.
    pub(crate) opened: Option<(Opened, OpenReport)>,
    /// What else it does to the log.
    pub(crate) effect: Effect,
}

/// The checkpoint at the beginning of a segment.
#[derive(Debug)]
pub(crate) struct SegmentHead {
    /// Segments before this ordinal leave the log.
    pub(crate) first_kept: u32,
    /// How many channels are in it.
    pub(crate) channels: u64,
    /// The keys that were carried into it.
    pub(crate) keys: Vec<Scope>,
}

/// What a group does to the log beside its items; at most one of these stands at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    Plain,
    /// It finds out whether there is room again.
    Probe,
    /// It seals the segment.
    Seal,
    /// It is the clean end.
    Clean,
}

/// What is answered when the group is durable.
#[derive(Debug)]
pub(crate) enum Item {
    /// A publication.
    Publication {
        /// The id of its channel.
        channel: u32,
        /// Its offset.
        offset: u64,
        /// Where it stands.
        entry: Entry,
        /// What was asked.
        append: Append,
    },
    /// A repeat of a key in this very group.
    Repeat {
        /// Whom to answer.
        ticket: Ticket,
        /// The id of the channel.
        channel: u32,
        /// The offset of the first.
        offset: u64,
    },
}

impl Group {
    /// An empty group at this place.
    pub(crate) const fn new(stamp: Stamp, ordinal: u32, at: u64, size: u64) -> Self {
        Self {
            stamp,
            segment: stamp.segment,
            ordinal,
            at,
            size,
            bytes: Vec::new(),
            written_end: at,
            items: Vec::new(),
            created: Vec::new(),
            forgotten: None,
            head: None,
            opened: None,
            effect: Effect::Plain,
        }
    }

    /// Where the next record of the group would stand.
    pub(crate) fn end(&self) -> u64 {
        self.at + u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    /// Whether a record of this length fits, leaving so much free behind it.
    pub(crate) fn fits(&self, len: u64, free: u64) -> bool {
        self.end().saturating_add(len).saturating_add(free) <= self.size
    }

    /// Adds a record and returns its length.
    pub(crate) fn encode(&mut self, stored: &Stored<'_>) -> usize {
        record::encode(&mut self.bytes, self.stamp, stored)
    }

    /// Takes the bytes out for the write.
    pub(crate) fn take_bytes(&mut self) -> Bytes {
        self.written_end = self.end();
        Bytes::from(std::mem::take(&mut self.bytes))
    }
}
