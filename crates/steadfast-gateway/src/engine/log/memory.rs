//! Segments in memory: the same operations as files, but nothing survives the process.
//!
//! Stores the bytes as the state machine wrote them, without a copy. Nothing is preallocated: bytes that were never
//! written read as zeros, as they do in a file. The state machine's retention bounds the memory.

use std::collections::BTreeMap;
use std::io;

use bytes::{Bytes, BytesMut};
use steadfast_log::io::{SegmentFound, SegmentNumber};
use steadfast_machine::convert;

use super::storage::{Completion, Reservation, Storage};

/// All segments of one log.
#[derive(Debug, Default)]
pub(super) struct Memory {
    segments: BTreeMap<SegmentNumber, Segment>,
}

#[derive(Debug)]
struct Segment {
    /// The size of the segment.
    bytes: u64,
    /// The bytes that were written, by offset; no two chunks overlap.
    chunks: BTreeMap<u64, Bytes>,
}

impl Storage for Memory {
    fn list(&mut self) -> io::Result<Vec<SegmentFound>> {
        let found = self.segments.iter().map(|(number, segment)| SegmentFound {
            number: *number,
            bytes: segment.bytes,
        });
        Ok(found.collect())
    }

    fn reserve(&mut self, reservation: Reservation) -> Option<Completion> {
        let Reservation {
            segment,
            bytes,
            first,
            last,
        } = reservation;
        let last_at = bytes.saturating_sub(convert::to_u64(last.len()));
        let chunks = BTreeMap::from([(0, first), (last_at, last)]);
        self.segments.insert(segment, Segment { bytes, chunks });
        Some(Completion::Reserved(segment))
    }

    fn write(&mut self, segment: SegmentNumber, at: u64, bytes: Bytes) -> io::Result<()> {
        self.segment(segment)?.write(at, bytes)
    }

    fn sync(&mut self, segment: SegmentNumber) -> io::Result<()> {
        self.segment(segment).map(|_| ())
    }

    fn read(&mut self, segment: SegmentNumber, at: u64, len: usize) -> io::Result<Bytes> {
        Ok(self.segment(segment)?.read(at, len))
    }

    fn remove(&mut self, segment: SegmentNumber) -> Option<Completion> {
        match self.segments.remove(&segment) {
            Some(_) => None,
            None => Some(Completion::NotRemoved(segment, no_segment(segment))),
        }
    }

    fn poll_completion(&mut self) -> Option<Completion> {
        None
    }
}

impl Memory {
    fn segment(&mut self, number: SegmentNumber) -> io::Result<&mut Segment> {
        self.segments
            .get_mut(&number)
            .ok_or_else(|| no_segment(number))
    }
}

impl Segment {
    fn write(&mut self, at: u64, bytes: Bytes) -> io::Result<()> {
        let end = at
            .checked_add(convert::to_u64(bytes.len()))
            .filter(|end| *end <= self.bytes);
        let end =
            end.ok_or_else(|| io::Error::other("the write exceeds the end of the segment"))?;
        if bytes.is_empty() {
            return Ok(());
        }
        // A batch follows the previous one; only a rewrite, for example of a torn write, overlaps older bytes.
        if let Some(before) = self.chunks.range(..end).next_back()
            && at < chunk_end(before)
        {
            self.clear(at, end);
        }
        self.chunks.insert(at, bytes);
        Ok(())
    }

    /// Removes what was written in this range, and keeps the parts of chunks outside of it.
    fn clear(&mut self, from: u64, to: u64) {
        let first = self
            .chunks
            .range(..from)
            .next_back()
            .map_or(from, |(at, _)| *at);
        let touched: Vec<u64> = self.chunks.range(first..to).map(|(at, _)| *at).collect();
        for at in touched {
            let Some(chunk) = self.chunks.remove(&at) else {
                continue;
            };
            let end = at + convert::to_u64(chunk.len());
            if at < from {
                self.chunks
                    .insert(at, chunk.slice(..chunk.len().min(as_len(from - at))));
            }
            if end > to {
                self.chunks.insert(to, chunk.slice(as_len(to - at)..));
            }
        }
    }

    fn read(&self, at: u64, len: usize) -> Bytes {
        let end = at.saturating_add(convert::to_u64(len)).min(self.bytes);
        let first = self.chunks.range(..=at).next_back();
        if let Some((start, chunk)) = first
            && end <= start + convert::to_u64(chunk.len())
            && at < end
        {
            // The usual case: one batch contains all requested bytes, and nothing is copied.
            return chunk.slice(as_len(at - start)..as_len(end - start));
        }
        let mut bytes = BytesMut::zeroed(as_len(end.saturating_sub(at)));
        let from = first.map_or(at, |(start, _)| *start);
        for (start, chunk) in self.chunks.range(from..end.max(from)) {
            let source = chunk
                .get(as_len(at.saturating_sub(*start))..)
                .unwrap_or_default();
            let target = bytes
                .get_mut(as_len(start.saturating_sub(at))..)
                .unwrap_or_default();
            for (target, source) in target.iter_mut().zip(source) {
                *target = *source;
            }
        }
        bytes.freeze()
    }
}

fn chunk_end((at, chunk): (&u64, &Bytes)) -> u64 {
    at + convert::to_u64(chunk.len())
}

fn no_segment(segment: SegmentNumber) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("segment {} not found", segment.0),
    )
}

fn as_len(bytes: u64) -> usize {
    usize::try_from(bytes).expect("the bytes of a segment are in memory")
}

#[cfg(test)]
mod tests {
    use steadfast_machine::Seed;

    use super::*;

    const SEGMENT: SegmentNumber = SegmentNumber(1);

    #[test]
    fn any_writes_read_back_as_from_a_plain_array() {
        for seed in 0..200 {
            let mut generator = Seed::new(seed).generator();
            let mut memory = Memory::default();
            let mut plain = [0_u8; 64];
            reserve(&mut memory, 64);
            plain[..5].copy_from_slice(b"first");
            plain[60..].copy_from_slice(b"last");

            for _ in 0..30 {
                let at = generator.below_len(64);
                let len = generator.below_len(65 - at);
                let fill = u8::try_from(generator.below(256)).unwrap();
                memory
                    .write(SEGMENT, convert::to_u64(at), Bytes::from(vec![fill; len]))
                    .unwrap();
                plain[at..at + len].fill(fill);

                let from = generator.below_len(64);
                let read = memory.read(SEGMENT, convert::to_u64(from), 20).unwrap();
                assert_eq!(read, plain[from..(from + 20).min(64)], "seed {seed}");
            }
        }
    }

    fn reserve(memory: &mut Memory, bytes: u64) {
        let reserved = memory.reserve(Reservation {
            segment: SEGMENT,
            bytes,
            first: Bytes::from_static(b"first"),
            last: Bytes::from_static(b"last"),
        });
        assert!(matches!(reserved, Some(Completion::Reserved(SEGMENT))));
    }

    #[test]
    fn a_read_inside_one_batch_copies_nothing() {
        let mut memory = Memory::default();
        reserve(&mut memory, 1024);
        let batch = Bytes::from(vec![7; 100]);
        memory.write(SEGMENT, 10, batch.clone()).unwrap();

        let read = memory.read(SEGMENT, 20, 30).unwrap();

        assert_eq!(read.as_ptr(), batch[10..].as_ptr());
    }

    #[test]
    fn a_write_beyond_the_end_or_to_no_segment_fails() {
        let mut memory = Memory::default();
        reserve(&mut memory, 10);

        assert!(
            memory
                .write(SEGMENT, 8, Bytes::from_static(b"abc"))
                .is_err()
        );
        assert!(
            memory
                .write(SegmentNumber(2), 0, Bytes::from_static(b"a"))
                .is_err()
        );
        assert!(memory.remove(SegmentNumber(2)).is_some());
    }
}
