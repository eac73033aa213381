//! Reads the records of one segment from its bytes, which arrive in pieces, and judges where they end.
//!
//! ```text
//! Records --bad record--> Search --end of bytes--> done
//!    `------End record--> Sealed
//! ```
//!
//! Records are handed out up to the first bad one. Behind it, each byte is tried as the beginning of a record, because
//! a record that says "durable up to here" proves that a bad place below was durable once: that is damage. Without
//! such a proof the rest is an unfinished write. The scan changes no state; the replay does.
//!
//! A payload cannot imitate a record: payloads are JSON, which has no NUL byte, and each record's head has some.

use crate::log::io::SegmentNumber;
use crate::log::record::{self, HEAD_BYTES, Head, Stamp, Stored};

/// Checksums of candidates may cover so many times the segment before the search gives up.
const SEARCH_EFFORT: usize = 8;

/// A valid record and where it stands.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    /// Where it begins.
    pub(crate) at: u64,
    /// The length of the whole record.
    pub(crate) len: usize,
    /// Its content.
    pub(crate) stored: Stored<'a>,
}

/// What is known about a segment once its bytes are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The records end here.
    pub(crate) end: u64,
    /// The next segment, when this one is sealed.
    pub(crate) sealed: Option<SegmentNumber>,
    /// Valid records up to the end.
    pub(crate) records: u64,
    /// The first valid record at all, also behind the end.
    pub(crate) first: Option<u64>,
    /// The valid record that claims the most bytes as durable: how many, and where it stands.
    pub(crate) synced: Option<(u32, u64)>,
    /// The highest life of a valid record.
    pub(crate) life: u32,
    /// True when bytes behind the end are not zero.
    pub(crate) remains: bool,
    /// True when the search gave up: too much looked like a record.
    pub(crate) unclear: bool,
}

impl Outcome {
    /// The record that proves that the bytes from `end` on had been durable.
    pub(crate) fn proof(&self, end: u64) -> Option<u64> {
        self.synced
            .and_then(|(synced, at)| (u64::from(synced) > end).then_some(at))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Records,
    Search,
    Sealed,
}

/// Reads one segment.
#[derive(Debug)]
pub(crate) struct Scan {
    segment: SegmentNumber,
    size: u64,
    phase: Phase,
    buffer: Vec<u8>,
    /// The first byte of the buffer that is not dealt with.
    next: usize,
    /// Where in the segment that byte stands.
    at: u64,
    complete: bool,
    life: u32,
    effort: usize,
    outcome: Outcome,
}

impl Scan {
    /// A scan of a segment of this size, whose records have at least this life.
    pub(crate) fn new(segment: SegmentNumber, size: u64, life: u32) -> Self {
        Self {
            segment,
            size,
            phase: Phase::Records,
            buffer: Vec::new(),
            next: 0,
            at: 0,
            complete: false,
            life,
            effort: usize::try_from(size)
                .unwrap_or(usize::MAX)
                .saturating_mul(SEARCH_EFFORT),
            outcome: Outcome {
                life,
                ..Outcome::default()
            },
        }
    }

    /// Takes the next bytes. After each call [`Self::next_record`] hands out what is complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.next);
        self.next = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Says that no more bytes come.
    pub(crate) fn finish(&mut self) {
        self.complete = true;
    }

    /// The next valid record, until the records end or more bytes are needed.
    pub(crate) fn next_record(&mut self) -> Option<Found<'_>> {
        self.advance_to_record()
            .and_then(|head| self.hand_out(head))
    }

    /// What was found; complete once all bytes were fed, [`Self::finish`] was said and no record is left.
    pub(crate) const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    fn advance_to_record(&mut self) -> Option<Head> {
        if self.phase == Phase::Records {
            match self.judge(self.next) {
                Judged::Valid(head) if head.stamp.life >= self.life => return Some(head),
                Judged::Valid(_) => self.begin_search(),
                Judged::Bad => self.begin_search(),
                Judged::Incomplete => return None,
            }
        }
        match self.phase {
            Phase::Records => {}
            Phase::Search => self.search(),
            Phase::Sealed => self.skip(self.buffer.len()),
        }
        None
    }

    fn hand_out(&mut self, head: Head) -> Option<Found<'_>> {
        let (from, at) = (self.next, self.at);
        self.note(head.stamp, at);
        self.life = head.stamp.life;
        self.outcome.records += 1;
        self.skip(head.len);
        self.outcome.end = self.at;
        let stored = record::decode_checked(&head, self.buffer.get(from..)?)?;
        if let Stored::End { next } = stored {
            self.phase = Phase::Sealed;
            self.outcome.sealed = Some(next);
        }
        Some(Found {
            at,
            len: head.len,
            stored,
        })
    }

    fn begin_search(&mut self) {
        self.phase = Phase::Search;
        self.outcome.end = self.at;
    }

    /// Tries each byte as the beginning of a record.
    fn search(&mut self) {
        self.outcome.remains |= self
            .buffer
            .get(self.next..)
            .is_some_and(|rest| rest.iter().any(|byte| *byte != 0));
        while let Some(candidate) = self.next_candidate() {
            self.skip(candidate - self.next);
            let Some(head) = self.buffer.get(self.next..).and_then(Head::read) else {
                break;
            };
            let effort = if self.is_plausible(&head) {
                head.len
            } else {
                0
            };
            if self.effort < effort {
                self.outcome.unclear = true;
                self.skip(self.buffer.len() - self.next);
                return;
            }
            match self.judge(self.next) {
                // What a valid record holds is searched too: it may come to light once its head is written over.
                Judged::Valid(head) => {
                    self.note(head.stamp, self.at);
                    self.effort -= effort;
                    self.skip(1);
                }
                Judged::Bad => {
                    self.effort -= effort;
                    self.skip(1);
                }
                Judged::Incomplete => return,
            }
        }
        if self.complete {
            self.skip(self.buffer.len() - self.next);
        } else {
            let kept = HEAD_BYTES - 1;
            self.skip((self.buffer.len() - self.next).saturating_sub(kept));
        }
    }

    /// The next byte that may begin a record of this segment: its number stands in the right place.
    fn next_candidate(&self) -> Option<usize> {
        const NUMBER_AT: usize = 8;
        let number = self.segment.0.to_le_bytes();
        // Numbers begin at 1, so some byte of them is not zero: looking for that byte runs through zeros quickly.
        let mark = number.iter().position(|byte| *byte != 0)?;
        let wanted = number.get(mark).copied()?;
        let mut from = self.next + NUMBER_AT + mark;
        loop {
            let found = from
                + self
                    .buffer
                    .get(from..)?
                    .iter()
                    .position(|byte| *byte == wanted)?;
            let candidate = found - NUMBER_AT - mark;
            if candidate + HEAD_BYTES > self.buffer.len() {
                return None;
            }
            let stands = self
                .buffer
                .get(candidate + NUMBER_AT..)?
                .starts_with(&number);
            if stands {
                return Some(candidate);
            }
            from = found + 1;
        }
    }

    fn judge(&self, from: usize) -> Judged {
        let rest = self.buffer.get(from..).unwrap_or_default();
        let Some(head) = Head::read(rest) else {
            return if self.complete {
                Judged::Bad
            } else {
                Judged::Incomplete
            };
        };
        if !self.is_plausible(&head) {
            Judged::Bad
        } else if rest.len() < head.len {
            if self.complete {
                Judged::Bad
            } else {
                Judged::Incomplete
            }
        } else if record::decode(&head, rest).is_some() {
            Judged::Valid(head)
        } else {
            Judged::Bad
        }
    }

    /// Whether a record at this place can have such a head; only then its checksum is worth computing.
    fn is_plausible(&self, head: &Head) -> bool {
        let left = self.size.saturating_sub(self.at);
        let fits = u64::try_from(head.len).is_ok_and(|len| len <= left);
        fits && head.stamp.segment == self.segment && u64::from(head.stamp.synced) <= self.at
    }

    fn note(&mut self, stamp: Stamp, at: u64) {
        self.outcome.first.get_or_insert(at);
        self.outcome.life = self.outcome.life.max(stamp.life);
        if self
            .outcome
            .synced
            .is_none_or(|(synced, _)| stamp.synced > synced)
        {
            self.outcome.synced = Some((stamp.synced, at));
        }
    }

    fn skip(&mut self, len: usize) {
        let len = len.min(self.buffer.len() - self.next);
        self.next += len;
        self.at += u64::try_from(len).unwrap_or(u64::MAX);
    }
}

enum Judged {
    Valid(Head),
    Bad,
    Incomplete,
}
