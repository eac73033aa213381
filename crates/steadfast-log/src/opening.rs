//! Opening a log: every byte is read once, and the state is built from it; the result is a report or a corruption.
//!
//! ```text
//! for each segment: SegmentReader --records--> Replay     then: tail, links between segments, epochs
//! ```
//!
//! Four rules decide. A named segment has its header, the copy of it, and its full size. A segment is followed by another only after it was sealed and synced, so valid content in a
//! later segment proves that the earlier segment was intact. The head of a record proves that everything below its `synced`
//! was durable, and so does the end of a clean shutdown. Whatever nothing proves is a torn write, which is truncated. The
//! reads are executed by the caller, the log.

use std::collections::VecDeque;

use steadfast_engine::ChannelEpoch;
use steadfast_engine::time::WallJump;
use steadfast_machine::{Instant, convert};
use steadfast_protocol::message::ChannelName;

use crate::clock::{Clocks, LogClock};
use crate::identity::{DirectoryId, SegmentSecret, StartValues};
use crate::io::{Place, SegmentFound, SegmentNumber};
use crate::open::{Corruption, CorruptionKind, OpenReport, TornWrite};
use crate::policy::LogPolicy;
use crate::record::{Durability, Opened};
use crate::replay::{LogState, Replay};
use crate::reserve::Origin;
use crate::scan::ScanOutcome;
use crate::segment::header::{HeaderError, RECORDS_AT, SegmentHeader, copy_at};
use crate::segment::{Cursor, NextSegment, Segment};
use crate::segment_reader::{SegmentContent, SegmentReader};
use crate::verify::ReadRequest;

use self::corruptions::bad;
use self::identities::Identities;

mod corruptions;
mod identities;

/// The state with which an opened log continues.
#[derive(Debug)]
pub(crate) struct Resumption {
    pub(crate) state: LogState,
    pub(crate) clock: LogClock,
    /// The jump of the wall clock since the last process.
    pub(crate) jump: Option<WallJump>,
    /// Where the log writes next.
    pub(crate) cursor: Cursor,
    /// True when the current segment accepts no more records, or there is none.
    pub(crate) is_sealed: bool,
    pub(crate) next: NextSegment,
    pub(crate) origin: Origin,
    pub(crate) next_secret: SegmentSecret,
    /// Segments that no longer belong to the log.
    pub(crate) remove: Vec<SegmentNumber>,
    /// The record of the opening.
    pub(crate) opened: Opened,
    /// What to report once the record of the opening is durable.
    pub(crate) report: OpenReport,
}

/// Reads the segments in order.
#[derive(Debug)]
pub(crate) struct Opening {
    policy: LogPolicy,
    place: Place,
    values: StartValues,
    /// When the segments were listed and the clocks were read.
    found_at: Instant,
    clocks: Clocks,
    pending: VecDeque<SegmentFound>,
    reading: Option<Reading>,
    replay: Replay,
    tail: Option<Tail>,
    /// Segments without a valid record.
    unused_segments: Vec<Segment>,
    identities: Identities,
    /// All segments that were listed.
    found: Vec<SegmentNumber>,
    write_generation: u32,
    corruptions: Vec<Corruption>,
    report: OpenReport,
}

#[derive(Debug)]
struct Reading {
    found: SegmentFound,
    /// The byte position of the next read.
    at: u64,
    /// Set once the header is read, if the segment can be read.
    reader: Option<SegmentReader>,
    is_inconsistent: bool,
}

/// The last segment with a valid record so far.
#[derive(Clone, Copy, Debug)]
struct Tail {
    segment: Segment,
    outcome: ScanOutcome,
    /// True when its checkpoint is complete.
    has_checkpoint: bool,
    is_clean: bool,
}

impl Opening {
    /// Begins with the segments that were listed.
    pub(crate) fn new(
        policy: LogPolicy,
        now: Instant,
        mut segments: Vec<SegmentFound>,
        place: Place,
        values: StartValues,
        clocks: Clocks,
    ) -> Self {
        segments.sort_by_key(|segment| segment.number);
        let found = segments.iter().map(|segment| segment.number).collect();
        let new_channel_epoch = ChannelEpoch::new(values.incarnation, 0);
        let mut opening = Self {
            policy,
            place,
            values,
            found_at: now,
            clocks,
            pending: segments.into(),
            reading: None,
            replay: Replay::new(policy, new_channel_epoch),
            tail: None,
            unused_segments: Vec::new(),
            identities: Identities::default(),
            found,
            write_generation: 0,
            corruptions: Vec::new(),
            report: OpenReport::default(),
        };
        opening.begin_next();
        opening
    }

    /// What to read next; `None` when everything was read.
    pub(crate) fn next_read(&self) -> Option<ReadRequest> {
        let reading = self.reading.as_ref()?;
        let left = reading.found.bytes.saturating_sub(reading.at);
        let len = self
            .policy
            .read_bytes()
            .as_len()
            .min(convert::saturating(left));
        Some(ReadRequest {
            segment: reading.found.number,
            at: reading.at,
            len,
        })
    }

    /// Accepts the bytes of the next read; fewer bytes than requested mean that the segment ends there.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let Some(request) = self.next_read() else {
            return;
        };
        let Some(reading) = &mut self.reading else {
            return;
        };
        let (found, is_first) = (reading.found, reading.at == 0);
        reading.at += convert::to_u64(bytes.len());
        self.report.bytes += convert::to_u64(bytes.len());
        let ends = bytes.len() < request.len || reading.at >= found.bytes;
        if is_first {
            self.begin_records(found, bytes);
        }
        self.replay_records(bytes, ends);
        if ends
            || self
                .reading
                .as_ref()
                .is_some_and(|reading| reading.reader.is_none())
        {
            self.end_segment();
            self.begin_next();
        }
    }

    /// The identity of the data directory; `None` when no segment has a valid header.
    pub(crate) fn directory(&self) -> Option<DirectoryId> {
        self.identities.directory()
    }

    /// Whether the log has a channel of this name.
    pub(crate) fn has_channel(&self, name: &ChannelName) -> bool {
        self.replay.state.channels.find(name).is_some()
    }

    /// What was found so far; complete once everything was read.
    pub(crate) fn report(&self) -> OpenReport {
        let state = &self.replay.state;
        let is_clean = self.tail.is_none_or(|tail| tail.is_clean);
        let torn_write = self.tail.and_then(|tail| tail.torn_write());
        let is_copy = self.place == Place::New && !self.found.is_empty();
        let is_incomplete = !is_clean && self.replay.durability == Durability::Written;
        OpenReport {
            segments: convert::to_u64(state.segments.len()),
            channels: convert::to_u64(state.channels.len()),
            idempotency_keys: convert::to_u64(state.dedup_window.len()),
            torn_write: torn_write.filter(|_| !is_clean),
            is_clean,
            is_copy,
            has_new_epochs: is_copy || is_incomplete,
            ..self.report
        }
    }

    /// Ends the opening, once everything was read.
    ///
    /// # Errors
    ///
    /// Returns the first corruption, if there is any.
    pub(crate) fn finish(mut self) -> Result<Resumption, Corruption> {
        if let Some(corruption) = self.corruptions().first() {
            return Err(*corruption);
        }
        let (clock, jump) = LogClock::open(self.found_at, self.clocks, self.replay.time);
        let (time, ages) = (clock.at(self.found_at), clock.ages(self.found_at));
        self.replay.state.dedup_window.expire(time);
        // More keys than the log holds are known only if the window is longer than before, or the log smaller.
        let key_bytes_max = self.policy.key_bytes_max();
        self.replay.state.dedup_window.shrink_to(key_bytes_max);
        for channel in self.replay.state.channels.iter_mut() {
            channel.prune(&self.policy, &ages);
        }
        let report = self.report();
        if report.has_new_epochs {
            self.replay
                .change_epochs(ChannelEpoch::new(self.values.incarnation, 0));
        }
        let opened = Opened {
            new_channel_epoch: self.replay.state.new_channel_epoch,
            durability: self.policy.fsync().into(),
            has_new_epochs: report.has_new_epochs,
            at: time,
        };
        let mut cursor = Cursor::at_start(self.write_generation.saturating_add(1));
        let mut is_sealed = true;
        if let Some(tail) = self.tail
            && tail.has_checkpoint
            && tail.outcome.next_segment.is_none()
        {
            is_sealed = false;
            cursor.end = tail.outcome.end;
            cursor.synced = tail
                .outcome
                .synced
                .map_or(RECORDS_AT, |(synced, _)| u64::from(synced));
        }
        let next = self.pick_next();
        let remove = self.obsolete_segments(next);
        Ok(Resumption {
            state: self.replay.state,
            clock,
            jump,
            cursor,
            is_sealed,
            next,
            origin: Origin {
                directory: self.identities.directory().unwrap_or(self.values.directory),
                incarnation: self.values.incarnation,
            },
            next_secret: self.values.secret,
            remove,
            opened,
            report,
        })
    }

    fn begin_next(&mut self) {
        while self.reading.is_none()
            && let Some(found) = self.pending.pop_front()
        {
            if found.bytes == 0 {
                self.corruptions
                    .push(bad(found.number, 0, CorruptionKind::InvalidHeader));
                continue;
            }
            self.reading = Some(Reading {
                found,
                at: 0,
                reader: None,
                is_inconsistent: false,
            });
        }
    }

    /// Reads the header of a segment, and begins with its records if they can be read.
    fn begin_records(&mut self, found: SegmentFound, bytes: &[u8]) {
        let header = match self.read_header(found, bytes) {
            Ok(Some(header)) => header,
            Ok(None) => return,
            Err(corruption) => return self.corruptions.push(corruption),
        };
        // A segment that was not sealed proves nothing about the checkpoint of another segment.
        if self
            .tail
            .is_some_and(|tail| tail.outcome.next_segment != Some(found.number))
        {
            self.replay.skip_check();
        }
        self.replay.begin_segment(header.segment());
        if let Some(reading) = &mut self.reading {
            reading.reader = Some(SegmentReader::new(header, self.write_generation));
        }
    }

    /// The header of a segment; `None` when the segment belongs to another directory than the first one.
    fn read_header(
        &mut self,
        found: SegmentFound,
        bytes: &[u8],
    ) -> Result<Option<SegmentHeader>, Corruption> {
        let header = SegmentHeader::decode(found.number, bytes).map_err(|error| {
            let kind = match error {
                HeaderError::Invalid => CorruptionKind::InvalidHeader,
                HeaderError::UnsupportedVersion(version) => {
                    CorruptionKind::UnsupportedVersion { version }
                }
            };
            bad(found.number, 0, kind)
        })?;
        let belongs = self.identities.add(found.number, header.directory);
        if header.size != found.bytes {
            let expected = header.size;
            let kind = CorruptionKind::WrongSize { expected };
            return Err(bad(found.number, expected.min(found.bytes), kind));
        }
        Ok(belongs.then_some(header))
    }

    fn replay_records(&mut self, bytes: &[u8], is_last: bool) {
        let Some(reading) = &mut self.reading else {
            return;
        };
        let Some(reader) = &mut reading.reader else {
            return;
        };
        let segment = reading.found.number;
        reader.feed(bytes, is_last, |found| {
            self.report.records += 1;
            if !reading.is_inconsistent
                && let Err(kind) = self.replay.apply(found)
            {
                reading.is_inconsistent = true;
                self.corruptions.push(bad(segment, found.at, kind));
                self.replay.skip_check();
            }
        });
    }

    fn end_segment(&mut self) {
        let Some(reading) = self.reading.take() else {
            return;
        };
        let Some(reader) = &reading.reader else {
            return;
        };
        let SegmentContent {
            segment,
            mut outcome,
            has_copy,
        } = reader.content();
        let number = segment.number;
        if !has_copy {
            let kind = CorruptionKind::InvalidHeader;
            self.corruptions
                .push(bad(number, copy_at(segment.size), kind));
        }
        if let Some(at) = outcome.unsupported {
            self.corruptions
                .push(bad(number, at, CorruptionKind::UnsupportedRecord));
        }
        let has_checkpoint = self.replay.is_running();
        if !has_checkpoint {
            outcome.end = RECORDS_AT;
            outcome.next_segment = None;
        }
        let Some(first) = outcome.first else {
            self.unused_segments.push(segment);
            return;
        };
        self.check_link((number, first));
        if !reading.is_inconsistent
            && let Some(evidence) = outcome.evidence(outcome.end)
        {
            self.corruptions.push(Corruption {
                evidence: Some((number, evidence)),
                ..bad(number, outcome.end, CorruptionKind::InvalidRecord)
            });
            self.replay.skip_check();
        }
        self.write_generation = self.write_generation.max(outcome.write_generation);
        let is_clean = has_checkpoint && self.replay.is_clean;
        self.tail = Some(Tail {
            segment,
            outcome,
            has_checkpoint,
            is_clean,
        });
    }

    /// The segment that follows the current segment: an unused segment that is large enough, or a segment to reserve.
    fn pick_next(&self) -> NextSegment {
        let size = segment_size(&self.policy, &self.replay.state);
        let expected = match self.tail {
            // Nothing was ever acknowledged: the log begins with its first segment.
            None => self.unused_segments.first().copied(),
            Some(tail) => match tail.outcome.next_segment {
                Some(next) => self.unused_segment(next),
                None => (!tail.has_checkpoint).then_some(tail.segment),
            },
        };
        let current = self
            .replay
            .state
            .segments
            .current()
            .map_or(0, |segment| segment.number.0);
        let fitting = |unused: &&Segment| unused.number.0 > current && unused.size >= size;
        match expected {
            Some(segment) if segment.size >= size => NextSegment::Ready(segment),
            // A segment that is too small is reserved again under its number: nothing in it was ever acknowledged.
            Some(segment) => NextSegment::Absent(segment.number),
            None => match self.unused_segments.iter().find(fitting) {
                Some(unused) => NextSegment::Ready(*unused),
                None => NextSegment::Absent(SegmentNumber(self.highest().saturating_add(1))),
            },
        }
    }

    fn unused_segment(&self, number: SegmentNumber) -> Option<Segment> {
        let mut unused = self.unused_segments.iter();
        unused.find(|unused| unused.number == number).copied()
    }

    fn highest(&self) -> u64 {
        self.found.last().map_or(0, |number| number.0)
    }

    /// Existing segments that do not belong to the log, or no longer belong to it.
    fn obsolete_segments(&self, next: NextSegment) -> Vec<SegmentNumber> {
        let segments = &self.replay.state.segments;
        let belongs = |number: SegmentNumber| {
            next.number() == number || segments.iter().any(|(_, segment)| segment.number == number)
        };
        self.found
            .iter()
            .copied()
            .filter(|number| !belongs(*number))
            .collect()
    }
}

/// The size of a new segment: as configured, unless a checkpoint that was written under a larger setting needs more.
pub(crate) fn segment_size(policy: &LogPolicy, state: &LogState) -> u64 {
    let channels = state.channels.checkpoint_bytes();
    let key = state.dedup_window.longest_bytes();
    let needed = policy.shares().needed(channels, key);
    policy.segment_bytes().as_bytes().max(needed)
}

impl Tail {
    fn torn_write(&self) -> Option<TornWrite> {
        let unfinished = self.outcome.has_trailing_bytes && self.outcome.next_segment.is_none();
        (unfinished || !self.has_checkpoint).then_some(TornWrite {
            segment: self.segment.number,
            at: self.outcome.end,
        })
    }
}
