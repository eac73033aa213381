//! Every fact the log is told and every order it gives.
//!
//! Requests come from the cores; storage facts come from whoever carries out the orders (segment files, memory, the
//! simulated disk). Answers and commits leave in one order, which each core is shown unchanged: an answer to a read
//! ends exactly where the commits after it begin.

use bytes::Bytes;
use steadfast_machine::Timestamp;
use steadfast_protocol::message::ChannelName;

use crate::epoch::ChannelEpoch;

/// The number of a segment; grows by one with each new segment and is never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(pub u64);

/// Whom to answer, and about what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// The core that asked.
    pub core: u16,
    /// Chosen by that core; comes back with the answer.
    pub number: u64,
}

/// What a core asks of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Store a publication.
    Append(Append),
    /// Read publications of the past.
    Read(Read),
}

/// Store a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Whom to answer.
    pub ticket: Ticket,
    /// Where to publish.
    pub channel: ChannelName,
    /// The payload, raw JSON.
    pub data: Bytes,
    /// Who publishes.
    pub author: Author,
    /// Makes a repeat recognisable; scoped to user and channel.
    pub key: Option<Bytes>,
}

/// Who published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// The user, UTF-8; empty for an anonymous one.
    pub user: Bytes,
    /// The id of the connection's client, UTF-8; empty when it did not come from a client.
    pub client: Bytes,
}

/// Read publications of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Whom to answer.
    pub ticket: Ticket,
    /// The channel.
    pub channel: ChannelName,
    /// Where to begin.
    pub from: ReadFrom,
    /// At most this many publications; 0 asks for the position only.
    pub limit: usize,
    /// Stop before the payloads exceed this many bytes; the first publication always fits.
    pub bytes_max: usize,
}

/// Where a read begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// At the oldest visible publication.
    Start,
    /// Behind this position. It must be whole: same epoch, not above the top, nothing removed behind it.
    After {
        /// The epoch in which the offset counts.
        epoch: ChannelEpoch,
        /// The last publication seen.
        offset: u64,
    },
    /// Newest first, from the top.
    Top,
    /// Newest first, below this position.
    Before {
        /// The epoch in which the offset counts.
        epoch: ChannelEpoch,
        /// The first publication not wanted.
        offset: u64,
    },
}

/// A publication that is durable under the configured policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the channel; dense, beginning at 1.
    pub offset: u64,
    /// The payload, raw JSON.
    pub data: Bytes,
    /// Who published.
    pub author: Author,
    /// When the log accepted it.
    pub at: Timestamp,
}

/// A durable publication together with its channel: every core is shown each one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The channel.
    pub channel: ChannelName,
    /// The epoch in which its offset counts.
    pub epoch: ChannelEpoch,
    /// The publication.
    pub record: Record,
}

/// What the log answers to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The publication is durable, and was already shown to every core.
    Appended {
        /// The epoch in which the offset counts.
        epoch: ChannelEpoch,
        /// Its place.
        offset: u64,
        /// True when the key was seen before and nothing was published now.
        duplicate: bool,
    },
    /// What was read.
    Read(ReadAnswer),
    /// Nothing was done; see the reason.
    Refused(Refusal),
}

/// What was read, as of this place in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAnswer {
    /// The channel's epoch now.
    pub epoch: ChannelEpoch,
    /// The channel's newest committed offset; 0 before the first.
    pub top: u64,
    /// The publications, or why there are none.
    pub page: Page,
}

/// The publications of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// In the order asked for. `more` tells that the read ended before its natural end (the top, or the start).
    Records {
        /// The publications.
        records: Vec<Record>,
        /// True when a limit ended the page.
        more: bool,
    },
    /// The position cannot be continued without a hole.
    Unrecoverable,
}

/// Why the log did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// No room for another record now; it heals by itself once there is room.
    NoSpace,
    /// A write or a sync failed: the log is poisoned for this process, and the record may or may not have survived.
    Poisoned,
    /// A limit of the policy is reached (channels, keys in the window); temporary.
    Limit,
    /// The record is larger than a segment can hold.
    TooLarge,
    /// The log is closing.
    Closing,
}

/// A segment that was found when the log was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFound {
    /// Its number, from its name.
    pub number: SegmentNumber,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A fact for the log.
#[derive(Clone, Debug)]
pub enum Input {
    /// The storage was listed, in order of numbers. `incarnation` comes from the operating system's randomness.
    Found {
        /// What is there.
        segments: Vec<SegmentFound>,
        /// Makes this start's new epochs unlike all others.
        incarnation: u64,
        /// The wall clock.
        at: Timestamp,
    },
    /// Cores asked; all that waited when the driver looked, in order. They form one group.
    Requested {
        /// What they asked.
        batch: Vec<Request>,
        /// The wall clock.
        at: Timestamp,
    },
    /// A `Write` was carried out.
    Written,
    /// A `Sync` was carried out.
    Synced,
    /// A `Reserve` was carried out.
    Reserved {
        /// Which segment exists now.
        segment: SegmentNumber,
    },
    /// A `Read` was carried out. Shorter than asked for only at the end of the segment.
    ReadDone {
        /// The `Read`'s number.
        read: u64,
        /// What stood there.
        bytes: Bytes,
    },
    /// An order failed.
    Failed {
        /// Which.
        order: FailedOrder,
        /// Why.
        fault: StorageFault,
    },
    /// The process wants to end: finish what is under way, mark the end as clean.
    CloseRequested {
        /// The wall clock.
        at: Timestamp,
    },
    /// A deadline may have passed.
    Tick {
        /// The wall clock, for ages.
        at: Timestamp,
    },
}

/// An order that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedOrder {
    /// The `Write` under way.
    Write,
    /// The `Sync` under way.
    Sync,
    /// The `Reserve` of this segment.
    Reserve(SegmentNumber),
    /// The `Read` with this number.
    Read(u64),
    /// The `Remove` of this segment.
    Remove(SegmentNumber),
}

/// Why an order failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFault {
    /// No room (ENOSPC, EDQUOT).
    NoSpace,
    /// Anything else (EIO and its kin).
    Broken,
}

/// An order of the log. At most one `Write` or `Sync` is under way at a time.
#[derive(Clone, Debug)]
pub enum Output {
    /// Create the segment with its full size, zeros, durable by name; answer `Reserved`. May take its time.
    Reserve {
        /// Its number.
        segment: SegmentNumber,
        /// Its full size.
        bytes: u64,
    },
    /// Write the bytes at this place of the segment; answer `Written`.
    Write {
        /// Where.
        segment: SegmentNumber,
        /// From this byte on.
        at: u64,
        /// What.
        bytes: Bytes,
    },
    /// Make everything written to the segment durable; answer `Synced`.
    Sync {
        /// Which.
        segment: SegmentNumber,
    },
    /// Read; answer `ReadDone` with the same number.
    Read {
        /// Identifies this read.
        read: u64,
        /// Where.
        segment: SegmentNumber,
        /// From this byte on.
        at: u64,
        /// How much.
        len: usize,
    },
    /// Delete the segment. No answer when it succeeds.
    Remove {
        /// Which.
        segment: SegmentNumber,
    },
    /// The log is open; requests are taken from now on.
    Opened(crate::log::open::OpenReport),
    /// The log cannot be opened without losing what was acknowledged. The machine takes nothing more.
    Damaged(crate::log::open::Damage),
    /// Show this to every core.
    Commit(Committed),
    /// Show this to the core in the ticket.
    Answer {
        /// Whom, and about what.
        ticket: Ticket,
        /// The answer.
        answer: Answer,
    },
    /// Something that people should know.
    Notify(crate::log::event::Event),
    /// The clean end is durable; the storage may be closed.
    Closed,
}

/// Why the log wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The `interval` policy's next sync.
    Sync,
    /// The storage was full; try again.
    Retry,
    /// Ages: visible publications, keys of the window, forgotten channels.
    Age,
}
