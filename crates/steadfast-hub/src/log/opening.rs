//! Opening a log: every byte is read once, the state is built from it, and the answer is a report or a damage.
//!
//! ```text
//! for each segment: Scan --records--> Replay     then: tail, links between segments, epochs
//! ```
//!
//! Three rules decide. A segment is followed by another only after it was sealed and synced, so valid content in a
//! later one proves that the earlier one was whole. A record proves that everything below its `synced` was durable.
//! Whatever nothing proves is an unfinished write, which is cut. It orders the reads through its caller, the log.

use std::collections::VecDeque;

use steadfast_machine::{Instant, Timestamp};

use crate::epoch::ChannelEpoch;
use crate::log::io::{SegmentFound, SegmentNumber};
use crate::log::open::{Damage, DamageKind, OpenReport, Torn};
use crate::log::record::{Durability, Opened};
use crate::log::replay::{Replay, State};
use crate::log::scan::{Outcome, Part, Scan};
use crate::log::segment::{Cursor, Next, Segment};
use crate::log::verify::Wanted;
use crate::policy::log::LogPolicy;

/// No segment of ours is larger, whatever the size of its file: places in it fit 32 bits.
const SEGMENT_BYTES_MAX: u64 = 1 << 31;

/// What a log goes on with once everything was read.
#[derive(Debug)]
pub(crate) struct Resumption {
    /// What it knows.
    pub(crate) state: State,
    /// Where it writes next.
    pub(crate) cursor: Cursor,
    /// True when the current segment takes no more records, or there is none.
    pub(crate) sealed: bool,
    /// The next segment.
    pub(crate) next: Next,
    /// Segments that no longer belong to it.
    pub(crate) remove: Vec<SegmentNumber>,
    /// The record that says that it was opened.
    pub(crate) opened: Opened,
    /// What to report once that record is durable.
    pub(crate) report: OpenReport,
}

/// Reads the segments one after the other.
#[derive(Debug)]
pub(crate) struct Opening {
    policy: LogPolicy,
    incarnation: u64,
    wall: Timestamp,
    todo: VecDeque<SegmentFound>,
    reading: Option<Reading>,
    replay: Replay,
    tail: Option<Tail>,
    /// Segments without a valid record.
    spares: Vec<SegmentFound>,
    /// All that was listed.
    found: Vec<SegmentNumber>,
    life: u32,
    damages: Vec<Damage>,
    report: OpenReport,
}

#[derive(Debug)]
struct Reading {
    segment: SegmentFound,
    scan: Scan,
    at: u64,
    contradicted: bool,
}

/// The last segment with a valid record so far.
#[derive(Clone, Copy, Debug)]
struct Tail {
    segment: Segment,
    outcome: Outcome,
    /// True when its checkpoint is whole.
    begun: bool,
    clean: bool,
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
        let generation = ChannelEpoch {
            incarnation,
            counter: 0,
        };
        let mut opening = Self {
            policy,
            incarnation,
            wall,
            todo: segments.into(),
            reading: None,
            replay: Replay::new(policy, now, wall, generation),
            tail: None,
            spares: Vec::new(),
            found,
            life: 0,
            damages: Vec::new(),
            report: OpenReport::default(),
        };
        opening.begin_next();
        opening
    }

    /// What to read next; `None` when everything was read.
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        let reading = self.reading.as_ref()?;
        let left = reading.segment.bytes.saturating_sub(reading.at);
        let len = self
            .policy
            .read_bytes()
            .as_len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        Some(Wanted {
            segment: reading.segment.number,
            at: reading.at,
            len,
        })
    }

    /// Takes what was wanted; fewer bytes mean that the segment ends there.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let Some(wanted) = self.wanted() else { return };
        let Some(reading) = &mut self.reading else {
            return;
        };
        reading.at += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.report.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let ends = bytes.len() < wanted.len || reading.at >= reading.segment.bytes;
        self.replay_records(bytes, if ends { Part::Last } else { Part::Inner });
        if ends {
            self.end_segment();
            self.begin_next();
        }
    }

    /// Every damage that was found, in order of segments; segments that no longer belong to the log do not count.
    pub(crate) fn damages(&self) -> Vec<Damage> {
        let oldest = self.replay.oldest;
        let mut damages: Vec<Damage> = self
            .damages
            .iter()
            .copied()
            .filter(|damage| damage.segment >= oldest)
            .collect();
        damages.sort_by_key(|damage| (damage.segment, damage.at));
        damages.dedup_by_key(|damage| (damage.segment, damage.at));
        if let Some(first) = self.replay.state.segments.oldest()
            && first.number != oldest
            && damages.is_empty()
        {
            damages.push(missing(oldest, Some((first.number, 0))));
        }
        if let Some(next) = self.tail.and_then(|tail| tail.outcome.sealed)
            && !self.spares.iter().any(|spare| spare.number == next)
            && damages.is_empty()
        {
            damages.push(missing(next, None));
        }
        damages
    }

    /// What was found so far; complete once everything was read.
    pub(crate) fn report(&self) -> OpenReport {
        let state = &self.replay.state;
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let clean = self.tail.is_none_or(|tail| tail.clean);
        let torn = self.tail.and_then(|tail| tail.torn());
        OpenReport {
            segments: wide(state.segments.len()),
            channels: wide(state.channels.len()),
            keys: wide(state.window.len()),
            torn: torn.filter(|_| !clean),
            clean,
            epochs_changed: !clean && self.replay.durability == Durability::Handed,
            ..self.report
        }
    }

    /// Ends the opening, once everything was read.
    ///
    /// # Errors
    ///
    /// The first damage, if there is any.
    pub(crate) fn finish(mut self) -> Result<Resumption, Damage> {
        if let Some(damage) = self.damages().first() {
            return Err(*damage);
        }
        let report = self.report();
        if report.epochs_changed {
            self.replay.move_channels(ChannelEpoch {
                incarnation: self.incarnation,
                counter: 0,
            });
        }
        let opened = Opened {
            generation: self.replay.state.generation,
            durability: self.policy.fsync().into(),
            moved: report.epochs_changed,
            at: self.wall,
        };
        let mut cursor = Cursor {
            end: 0,
            synced: 0,
            life: self.life.saturating_add(1),
        };
        let mut sealed = true;
        if let Some(tail) = self.tail
            && tail.begun
            && tail.outcome.sealed.is_none()
        {
            sealed = false;
            cursor.end = tail.outcome.end;
            cursor.synced = tail
                .outcome
                .synced
                .map_or(0, |(synced, _)| u64::from(synced));
        }
        let next = self.pick_next();
        let remove = self.leftovers(next);
        for channel in self.replay.state.channels.iter_mut() {
            channel.prune(&self.policy, self.wall);
        }
        Ok(Resumption {
            state: self.replay.state,
            cursor,
            sealed,
            next,
            remove,
            opened,
            report,
        })
    }

    fn begin_next(&mut self) {
        while self.reading.is_none()
            && let Some(segment) = self.todo.pop_front()
        {
            if segment.bytes == 0 {
                self.spares.push(segment);
                continue;
            }
            // What does not end in a sealed segment cannot vouch for the checkpoint of another one.
            if self
                .tail
                .is_some_and(|tail| tail.outcome.sealed != Some(segment.number))
            {
                self.replay.distrust();
            }
            let scan = Scan::new(segment.number, segment.bytes, self.life);
            self.replay.begin_segment(Segment {
                number: segment.number,
                size: segment.bytes,
            });
            self.reading = Some(Reading {
                segment,
                scan,
                at: 0,
                contradicted: false,
            });
        }
    }

    fn replay_records(&mut self, bytes: &[u8], part: Part) {
        let Some(reading) = &mut self.reading else {
            return;
        };
        let segment = reading.segment.number;
        reading.scan.feed(bytes, part, |found| {
            self.report.records += 1;
            if !reading.contradicted
                && let Err(why) = self.replay.apply(found)
            {
                reading.contradicted = true;
                self.damages.push(Damage {
                    segment,
                    at: found.at,
                    why,
                    proof: None,
                });
                self.replay.distrust();
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
        let begun = self.replay.is_running();
        if !begun {
            outcome.end = 0;
            outcome.sealed = None;
        }
        let bad = |why, proof| Damage {
            segment: segment.number,
            at: outcome.end,
            why,
            proof,
        };
        if outcome.unclear {
            self.damages.push(bad(DamageKind::BadRecord, None));
        }
        let Some(first) = outcome.first else {
            self.spares.push(reading.segment);
            return;
        };
        self.check_link((segment.number, first));
        if !reading.contradicted
            && let Some(proof) = outcome.proof(outcome.end)
        {
            self.damages
                .push(bad(DamageKind::BadRecord, Some((segment.number, proof))));
            self.replay.distrust();
        }
        self.life = self.life.max(outcome.life);
        let clean = begun && !outcome.unclear && self.replay.clean;
        self.tail = Some(Tail {
            segment,
            outcome,
            begun,
            clean,
        });
    }

    /// A segment with valid content proves that the one before it was sealed and that nothing is missing between.
    fn check_link(&mut self, later: (SegmentNumber, u64)) {
        let Some(tail) = self.tail else { return };
        let damage = match tail.outcome.sealed {
            Some(next) if next == later.0 => return,
            Some(next) => missing(next, Some(later)),
            None => Damage {
                segment: tail.segment.number,
                at: tail.outcome.end,
                why: DamageKind::BadRecord,
                proof: Some(later),
            },
        };
        self.damages.push(damage);
        self.replay.distrust();
    }

    /// The segment that follows the current one: an empty one that is here and large enough, or one to order.
    fn pick_next(&self) -> Next {
        let size = segment_size(&self.policy, &self.replay.state);
        let promised = self.tail.and_then(|tail| match tail.outcome.sealed {
            Some(next) => self.spare(next).or(Some(Segment {
                number: next,
                size: 0,
            })),
            None => (!tail.begun).then_some(tail.segment),
        });
        let current = self
            .replay
            .state
            .segments
            .current()
            .map_or(0, |segment| segment.number.0);
        let fitting = |spare: &&SegmentFound| spare.number.0 > current && spare.bytes >= size;
        match promised {
            Some(segment) if segment.size >= size => Next::Ready(segment),
            // One that is too small is ordered again under its number: nothing in it was ever acknowledged.
            Some(segment) => Next::Absent(segment.number),
            None => match self.spares.iter().find(fitting) {
                Some(spare) => Next::Ready(Segment {
                    number: spare.number,
                    size: spare.bytes,
                }),
                None => Next::Absent(SegmentNumber(self.highest().saturating_add(1))),
            },
        }
    }

    fn spare(&self, number: SegmentNumber) -> Option<Segment> {
        let spare = self.spares.iter().find(|spare| spare.number == number)?;
        Some(Segment {
            number,
            size: spare.bytes,
        })
    }

    fn highest(&self) -> u64 {
        self.found.last().map_or(0, |number| number.0)
    }

    /// Segments that are here but belong to the log no longer, or never did.
    fn leftovers(&self, next: Next) -> Vec<SegmentNumber> {
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

/// The size of a new segment: as configured, unless a checkpoint written under a larger setting needs more.
pub(crate) fn segment_size(policy: &LogPolicy, state: &State) -> u64 {
    let needed = state.channels.checkpoint_bytes().saturating_mul(4);
    policy.segment_bytes().as_bytes().max(needed)
}

impl Tail {
    fn torn(&self) -> Option<Torn> {
        let unfinished = self.outcome.remains && self.outcome.sealed.is_none();
        (unfinished || !self.begun).then_some(Torn {
            segment: self.segment.number,
            at: self.outcome.end,
        })
    }
}

const fn missing(segment: SegmentNumber, proof: Option<(SegmentNumber, u64)>) -> Damage {
    Damage {
        segment,
        at: 0,
        why: DamageKind::MissingSegment,
        proof,
    }
}
