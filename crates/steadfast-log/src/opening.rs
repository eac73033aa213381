//! Opening a log: every byte is read once, and the state is built from it; the result is a report or a corruption.
//!
//! ```text
//! for each segment: Scan --records--> Replay     then: tail, links between segments, epochs
//! ```
//!
//! Three rules decide. A segment is followed by another only after it was sealed and synced, so valid content in a
//! later segment proves that the earlier segment was intact. A record proves that everything below its `synced` was
//! durable. Whatever no record proves is a torn write, which is truncated. The reads are executed by the caller, the
//! log.

use std::collections::VecDeque;

use steadfast_engine::ChannelEpoch;
use steadfast_machine::{Instant, Timestamp};

use crate::io::{SegmentFound, SegmentNumber};
use crate::open::{Corruption, CorruptionKind, OpenReport, TornWrite};
use crate::policy::LogPolicy;
use crate::record::{Durability, Opened};
use crate::replay::{LogState, Replay};
use crate::scan::{ChunkPosition, Scan, ScanOutcome};
use crate::segment::{Cursor, NextSegment, Segment};
use crate::verify::ReadRequest;

/// The largest segment, whatever the size of its file: byte positions in a segment fit in 32 bits.
const SEGMENT_BYTES_MAX: u64 = 1 << 31;

/// The state with which an opened log continues.
#[derive(Debug)]
pub(crate) struct Resumption {
    pub(crate) state: LogState,
    /// Where the log writes next.
    pub(crate) cursor: Cursor,
    /// True when the current segment accepts no more records, or there is none.
    pub(crate) is_sealed: bool,
    pub(crate) next: NextSegment,
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
    incarnation: u64,
    wall: Timestamp,
    pending: VecDeque<SegmentFound>,
    reading: Option<Reading>,
    replay: Replay,
    tail: Option<Tail>,
    /// Segments without a valid record.
    unused_segments: Vec<SegmentFound>,
    /// All segments that were listed.
    found: Vec<SegmentNumber>,
    write_generation: u32,
    corruptions: Vec<Corruption>,
    report: OpenReport,
}

#[derive(Debug)]
struct Reading {
    segment: SegmentFound,
    scan: Scan,
    at: u64,
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
        incarnation: u64,
        wall: Timestamp,
    ) -> Self {
        segments.sort_by_key(|segment| segment.number);
        for segment in &mut segments {
            segment.bytes = segment.bytes.min(SEGMENT_BYTES_MAX);
        }
        let found = segments.iter().map(|segment| segment.number).collect();
        let new_channel_epoch = ChannelEpoch::new(incarnation, 0);
        let mut opening = Self {
            policy,
            incarnation,
            wall,
            pending: segments.into(),
            reading: None,
            replay: Replay::new(policy, now, wall, new_channel_epoch),
            tail: None,
            unused_segments: Vec::new(),
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
        let left = reading.segment.bytes.saturating_sub(reading.at);
        let len = self
            .policy
            .read_bytes()
            .as_len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        Some(ReadRequest {
            segment: reading.segment.number,
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
        reading.at += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.report.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let ends = bytes.len() < request.len || reading.at >= reading.segment.bytes;
        self.replay_records(
            bytes,
            if ends {
                ChunkPosition::Last
            } else {
                ChunkPosition::Inner
            },
        );
        if ends {
            self.end_segment();
            self.begin_next();
        }
    }

    /// Every corruption, in order of segments; segments that no longer belong to the log do not count.
    pub(crate) fn corruptions(&self) -> Vec<Corruption> {
        let oldest = self.replay.oldest;
        let mut corruptions: Vec<Corruption> = self
            .corruptions
            .iter()
            .copied()
            .filter(|corruption| corruption.segment >= oldest)
            .collect();
        corruptions.sort_by_key(|corruption| (corruption.segment, corruption.at));
        corruptions.dedup_by_key(|corruption| (corruption.segment, corruption.at));
        if let Some(first) = self.replay.state.segments.oldest()
            && first.number != oldest
            && corruptions.is_empty()
        {
            corruptions.push(missing(oldest, Some((first.number, 0))));
        }
        if let Some(next) = self.tail.and_then(|tail| tail.outcome.next_segment)
            && !self
                .unused_segments
                .iter()
                .any(|unused| unused.number == next)
            && corruptions.is_empty()
        {
            corruptions.push(missing(next, None));
        }
        corruptions
    }

    /// What was found so far; complete once everything was read.
    pub(crate) fn report(&self) -> OpenReport {
        let state = &self.replay.state;
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let is_clean = self.tail.is_none_or(|tail| tail.is_clean);
        let torn_write = self.tail.and_then(|tail| tail.torn_write());
        OpenReport {
            segments: wide(state.segments.len()),
            channels: wide(state.channels.len()),
            idempotency_keys: wide(state.dedup_window.len()),
            torn_write: torn_write.filter(|_| !is_clean),
            is_clean,
            has_new_epochs: !is_clean && self.replay.durability == Durability::Written,
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
        let report = self.report();
        if report.has_new_epochs {
            self.replay
                .change_epochs(ChannelEpoch::new(self.incarnation, 0));
        }
        let opened = Opened {
            new_channel_epoch: self.replay.state.new_channel_epoch,
            durability: self.policy.fsync().into(),
            has_new_epochs: report.has_new_epochs,
            at: self.wall,
        };
        let mut cursor = Cursor {
            end: 0,
            synced: 0,
            write_generation: self.write_generation.saturating_add(1),
        };
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
                .map_or(0, |(synced, _)| u64::from(synced));
        }
        let next = self.pick_next();
        let remove = self.obsolete_segments(next);
        for channel in self.replay.state.channels.iter_mut() {
            channel.prune(&self.policy, self.wall);
        }
        Ok(Resumption {
            state: self.replay.state,
            cursor,
            is_sealed,
            next,
            remove,
            opened,
            report,
        })
    }

    fn begin_next(&mut self) {
        while self.reading.is_none()
            && let Some(segment) = self.pending.pop_front()
        {
            if segment.bytes == 0 {
                self.unused_segments.push(segment);
                continue;
            }
            // A segment that was not sealed proves nothing about the checkpoint of another segment.
            if self
                .tail
                .is_some_and(|tail| tail.outcome.next_segment != Some(segment.number))
            {
                self.replay.skip_check();
            }
            let scan = Scan::new(segment.number, segment.bytes, self.write_generation);
            self.replay.begin_segment(Segment {
                number: segment.number,
                size: segment.bytes,
            });
            self.reading = Some(Reading {
                segment,
                scan,
                at: 0,
                is_inconsistent: false,
            });
        }
    }

    fn replay_records(&mut self, bytes: &[u8], position: ChunkPosition) {
        let Some(reading) = &mut self.reading else {
            return;
        };
        let segment = reading.segment.number;
        reading.scan.feed(bytes, position, |found| {
            self.report.records += 1;
            if !reading.is_inconsistent
                && let Err(kind) = self.replay.apply(found)
            {
                reading.is_inconsistent = true;
                self.corruptions.push(Corruption {
                    segment,
                    at: found.at,
                    kind,
                    evidence: None,
                });
                self.replay.skip_check();
            }
        });
    }

    fn end_segment(&mut self) {
        let Some(reading) = self.reading.take() else {
            return;
        };
        let segment = Segment {
            number: reading.segment.number,
            size: reading.segment.bytes,
        };
        let mut outcome = *reading.scan.outcome();
        let has_checkpoint = self.replay.is_running();
        if !has_checkpoint {
            outcome.end = 0;
            outcome.next_segment = None;
        }
        let bad = |kind, evidence| Corruption {
            segment: segment.number,
            at: outcome.end,
            kind,
            evidence,
        };
        if outcome.is_inconclusive {
            self.corruptions
                .push(bad(CorruptionKind::InvalidRecord, None));
        }
        let Some(first) = outcome.first else {
            self.unused_segments.push(reading.segment);
            return;
        };
        self.check_link((segment.number, first));
        if !reading.is_inconsistent
            && let Some(evidence) = outcome.evidence(outcome.end)
        {
            self.corruptions.push(bad(
                CorruptionKind::InvalidRecord,
                Some((segment.number, evidence)),
            ));
            self.replay.skip_check();
        }
        self.write_generation = self.write_generation.max(outcome.write_generation);
        let is_clean = has_checkpoint && !outcome.is_inconclusive && self.replay.is_clean;
        self.tail = Some(Tail {
            segment,
            outcome,
            has_checkpoint,
            is_clean,
        });
    }

    /// A segment with valid content proves that the segment before it was sealed, and that no segment is missing
    /// between the two.
    fn check_link(&mut self, later: (SegmentNumber, u64)) {
        let Some(tail) = self.tail else { return };
        let corruption = match tail.outcome.next_segment {
            Some(next) if next == later.0 => return,
            Some(next) => missing(next, Some(later)),
            None => Corruption {
                segment: tail.segment.number,
                at: tail.outcome.end,
                kind: CorruptionKind::InvalidRecord,
                evidence: Some(later),
            },
        };
        self.corruptions.push(corruption);
        self.replay.skip_check();
    }

    /// The segment that follows the current segment: an unused segment that is large enough, or a segment to reserve.
    fn pick_next(&self) -> NextSegment {
        let size = segment_size(&self.policy, &self.replay.state);
        let expected = self.tail.and_then(|tail| match tail.outcome.next_segment {
            Some(next) => self.unused_segment(next).or(Some(Segment {
                number: next,
                size: 0,
            })),
            None => (!tail.has_checkpoint).then_some(tail.segment),
        });
        let current = self
            .replay
            .state
            .segments
            .current()
            .map_or(0, |segment| segment.number.0);
        let fitting = |unused: &&SegmentFound| unused.number.0 > current && unused.bytes >= size;
        match expected {
            Some(segment) if segment.size >= size => NextSegment::Ready(segment),
            // A segment that is too small is reserved again under its number: nothing in it was ever acknowledged.
            Some(segment) => NextSegment::Absent(segment.number),
            None => match self.unused_segments.iter().find(fitting) {
                Some(unused) => NextSegment::Ready(Segment {
                    number: unused.number,
                    size: unused.bytes,
                }),
                None => NextSegment::Absent(SegmentNumber(self.highest().saturating_add(1))),
            },
        }
    }

    fn unused_segment(&self, number: SegmentNumber) -> Option<Segment> {
        let unused = self
            .unused_segments
            .iter()
            .find(|unused| unused.number == number)?;
        Some(Segment {
            number,
            size: unused.bytes,
        })
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
    let needed = state.channels.checkpoint_bytes().saturating_mul(4);
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

const fn missing(segment: SegmentNumber, evidence: Option<(SegmentNumber, u64)>) -> Corruption {
    Corruption {
        segment,
        at: 0,
        kind: CorruptionKind::MissingSegment,
        evidence,
    }
}
