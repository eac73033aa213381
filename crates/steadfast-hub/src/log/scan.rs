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

/// What a piece left is joined with so many bytes of the next one at first, which completes most records.
const SEAM_BYTES: usize = 16 << 10;

/// Whether more bytes follow a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// More may follow.
    Inner,
    /// The segment ends with it.
    Last,
}

/// A valid record and where it stands.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    /// Where it begins.
    pub(crate) at: u64,
    /// The length of the whole record.
    pub(crate) len: usize,
    /// Its content.
    pub(crate) stored: &'a Stored<'a>,
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
    /// What the pieces before left: the beginning of something that is not whole yet.
    rest: Vec<u8>,
    /// Where in the segment the first byte stands that is not dealt with.
    at: u64,
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
            rest: Vec::new(),
            at: 0,
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

    /// Takes the next bytes, and hands out every record that is complete with them.
    ///
    /// Records are read where they stand in the piece; only what straddles two pieces is copied.
    pub(crate) fn feed(&mut self, mut piece: &[u8], part: Part, mut take: impl FnMut(&Found<'_>)) {
        let mut rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            let before = rest.len();
            let (seam, behind) = piece.split_at(piece.len().min(SEAM_BYTES));
            rest.extend_from_slice(seam);
            let seam_part = if behind.is_empty() { part } else { Part::Inner };
            let mut used = self.walk(&rest, seam_part, &mut take);
            if used < before && !behind.is_empty() {
                rest.extend_from_slice(behind);
                let joined = rest.get(used..).unwrap_or_default();
                used += self.walk(joined, part, &mut take);
            }
            if used < before {
                rest.drain(..used);
                self.rest = rest;
                return;
            }
            piece = piece.get(used - before..).unwrap_or_default();
        }
        let used = self.walk(piece, part, &mut take);
        rest.clear();
        rest.extend_from_slice(piece.get(used..).unwrap_or_default());
        self.rest = rest;
    }

    /// What was found; complete once the last piece was fed.
    pub(crate) const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Deals with as much of the view as can be judged, and tells how many bytes that is.
    fn walk(&mut self, view: &[u8], part: Part, take: &mut impl FnMut(&Found<'_>)) -> usize {
        let mut rest = view;
        while self.phase == Phase::Records {
            match self.judge(rest, part) {
                Judged::Whole(head) => match &record::decode(&head, rest) {
                    Some(stored) if head.stamp.life >= self.life => {
                        take(&self.accept(&head, stored));
                        rest = rest.get(head.len..).unwrap_or_default();
                    }
                    Some(_) => self.begin_search(),
                    None => self.begin_search(),
                },
                Judged::Bad => self.begin_search(),
                Judged::Incomplete => return view.len() - rest.len(),
            }
        }
        let left = match self.phase {
            Phase::Records => rest.len(),
            Phase::Search => self.search(rest, part),
            Phase::Sealed => self.pass(rest, rest.len()).len(),
        };
        view.len() - left
    }

    fn accept<'a>(&mut self, head: &Head, stored: &'a Stored<'a>) -> Found<'a> {
        let at = self.at;
        self.note(head.stamp, at);
        self.life = head.stamp.life;
        self.outcome.records += 1;
        self.at += u64::try_from(head.len).unwrap_or(u64::MAX);
        self.outcome.end = self.at;
        if let Stored::End { next } = stored {
            self.phase = Phase::Sealed;
            self.outcome.sealed = Some(*next);
        }
        Found {
            at,
            len: head.len,
            stored,
        }
    }

    fn begin_search(&mut self) {
        self.phase = Phase::Search;
        self.outcome.end = self.at;
    }

    /// Tries each byte as the beginning of a record, and tells how many bytes are left for the next piece.
    fn search(&mut self, mut rest: &[u8], part: Part) -> usize {
        self.outcome.remains |= !is_zero(rest);
        while let Some(candidate) = self.next_candidate(rest) {
            rest = self.pass(rest, candidate);
            let Some(head) = Head::read(rest) else {
                break;
            };
            let effort = if self.is_plausible(&head) {
                head.len
            } else {
                0
            };
            if self.effort < effort {
                self.outcome.unclear = true;
                return self.pass(rest, rest.len()).len();
            }
            match self.judge(rest, part) {
                Judged::Whole(head) => {
                    // What a valid record holds is searched too: it may come to light once its head is written over.
                    if record::decode(&head, rest).is_some() {
                        self.note(head.stamp, self.at);
                    }
                    self.effort -= effort;
                    rest = self.pass(rest, 1);
                }
                Judged::Bad => {
                    self.effort -= effort;
                    rest = self.pass(rest, 1);
                }
                Judged::Incomplete => return rest.len(),
            }
        }
        let kept = match part {
            Part::Inner => HEAD_BYTES - 1,
            Part::Last => 0,
        };
        self.pass(rest, rest.len().saturating_sub(kept)).len()
    }

    /// The next byte that may begin a record of this segment: its number stands in the right place.
    fn next_candidate(&self, rest: &[u8]) -> Option<usize> {
        const NUMBER_AT: usize = 8;
        let number = self.segment.0.to_le_bytes();
        // Numbers begin at 1, so some byte of them is not zero: looking for that byte runs through zeros quickly.
        let mark = number.iter().position(|byte| *byte != 0)?;
        let wanted = number.get(mark).copied()?;
        let mut from = NUMBER_AT + mark;
        loop {
            let found = from + memchr::memchr(wanted, rest.get(from..)?)?;
            let candidate = found - NUMBER_AT - mark;
            if candidate + HEAD_BYTES > rest.len() {
                return None;
            }
            let stands = rest.get(candidate + NUMBER_AT..)?.starts_with(&number);
            if stands {
                return Some(candidate);
            }
            from = found + 1;
        }
    }

    /// Judges by the head alone what stands at the beginning of the rest.
    fn judge(&self, rest: &[u8], part: Part) -> Judged {
        let unfinished = match part {
            Part::Inner => Judged::Incomplete,
            Part::Last => Judged::Bad,
        };
        let Some(head) = Head::read(rest) else {
            return unfinished;
        };
        if !self.is_plausible(&head) {
            Judged::Bad
        } else if rest.len() < head.len {
            unfinished
        } else {
            Judged::Whole(head)
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

    /// Leaves bytes behind; returns what follows them.
    fn pass<'a>(&mut self, rest: &'a [u8], len: usize) -> &'a [u8] {
        let (behind, rest) = rest.split_at(len.min(rest.len()));
        self.at += u64::try_from(behind.len()).unwrap_or(u64::MAX);
        rest
    }
}

enum Judged {
    /// All bytes of a record are here; whether they are what was written, the checksum tells.
    Whole(Head),
    Bad,
    Incomplete,
}

/// Many bytes at a time, since most of a new segment is zeros.
fn is_zero(bytes: &[u8]) -> bool {
    bytes
        .chunks(64)
        .all(|chunk| chunk.iter().fold(0, |seen, byte| seen | byte) == 0)
}

#[cfg(test)]
mod tests {
    use steadfast_machine::Timestamp;

    use super::*;

    const SEGMENT: SegmentNumber = SegmentNumber(3);

    #[test]
    fn records_are_found_whatever_the_pieces_in_which_the_segment_arrives() {
        for damaged in [None, Some(80_000)] {
            let mut bytes = segment();
            if let Some(at) = damaged {
                bytes[at] ^= 1;
            }
            let whole = scan(&bytes, bytes.len());
            let outcome = &whole.1;
            assert_eq!(outcome.sealed.is_none(), damaged.is_some());
            assert_eq!(outcome.proof(outcome.end).is_some(), damaged.is_some());
            for piece in [1_000, 4096, SEAM_BYTES, SEAM_BYTES + 1, 20_011, 70_001] {
                let (places, outcome) = scan(&bytes, piece);
                assert_eq!(places, whole.0, "pieces of {piece}");
                assert_eq!(outcome, whole.1, "pieces of {piece}");
            }
        }
    }

    /// Small records and ones that are longer than several pieces; each one claims all before it as durable.
    fn segment() -> Vec<u8> {
        let mut bytes = Vec::new();
        for len in [1, 300, 40_000, 7, 16_384, 3, 3, 90_000, 20] {
            let data = vec![b'7'; len];
            push(&mut bytes, &publication(&data));
        }
        push(
            &mut bytes,
            &Stored::End {
                next: SegmentNumber(4),
            },
        );
        bytes.resize(bytes.len() + 50_000, 0);
        bytes
    }

    fn push(bytes: &mut Vec<u8>, stored: &Stored<'_>) {
        let stamp = Stamp {
            segment: SEGMENT,
            life: 1,
            synced: u32::try_from(bytes.len()).unwrap(),
        };
        let mut encoded = Vec::new();
        record::encode(&mut encoded, stamp, stored);
        bytes.extend(encoded);
    }

    fn publication(data: &[u8]) -> Stored<'_> {
        Stored::Publication(record::Publication {
            channel: 0,
            offset: 1,
            at: Timestamp::default(),
            user: b"",
            client: b"",
            key: None,
            data,
        })
    }

    fn scan(bytes: &[u8], piece: usize) -> (Vec<(u64, usize)>, Outcome) {
        let mut scan = Scan::new(SEGMENT, u64::try_from(bytes.len()).unwrap(), 0);
        let mut places = Vec::new();
        let mut pieces = bytes.chunks(piece).peekable();
        while let Some(piece) = pieces.next() {
            let part = if pieces.peek().is_some() {
                Part::Inner
            } else {
                Part::Last
            };
            scan.feed(piece, part, |found| places.push((found.at, found.len)));
        }
        (places, *scan.outcome())
    }
}
