//! The write batch of one loop iteration: all frames of the iteration, and for each socket a list of byte ranges.
//!
//! Frames are written straight into the arenas, and nothing is allocated per receiver. A frame for many receivers is
//! stored once in the shared arena; a receiver of consecutive frames holds one range that only grows, so a busy channel
//! costs one comparison per receiver and message. Frames for one receiver are stored in a separate arena, because in the
//! shared arena they would split those ranges. Has no access to sockets and makes no decisions; the shard enqueues,
//! writes each socket's buffers once, and clears the batch. What a socket does not accept moves to its send buffer, a
//! frame for many receivers as one copy for all of them.

use std::collections::HashMap;

use steadfast_machine::convert;
use steadfast_protocol::websocket::Frame;
use steadfast_protocol::websocket::encoder::server_frame_len;

use crate::send_buffer::{SendBuffer, SharedFrame, UnsentMemory};

/// Memory that is retained after a large batch.
const RETAINED_BYTES: usize = 1 << 20;
/// Entries of the range table that are retained after a large batch; 16 bytes each.
const RETAINED_RANGES: usize = 1 << 16;
/// Entries of the table of unsent frames that are retained after a large batch.
const RETAINED_UNSENT: usize = 1 << 10;
/// Marks the end of a socket's list, and an empty list.
const NONE: u32 = u32::MAX;

/// The arena that stores the bytes of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arena {
    /// Frames for many receivers.
    Shared,
    /// Frames for one receiver.
    Own,
    /// Bytes for one receiver that precede its first frame; stored with the frames for one receiver.
    Preamble,
}

/// A range of bytes in an arena; offsets count from the start of the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BufferRange {
    arena: Arena,
    start: u32,
    end: u32,
    next: u32,
}

/// The ranges that are queued for one socket, in order. Eight bytes, so that an idle connection costs nearly nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuedBuffers {
    first: u32,
    last: u32,
}

impl QueuedBuffers {
    /// Nothing is queued.
    pub(crate) const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
    };

    /// Whether nothing is queued.
    pub(crate) const fn is_empty(self) -> bool {
        self.first == NONE
    }
}

/// The frames and ranges of one loop iteration.
#[derive(Debug, Default)]
pub(crate) struct WriteBatch {
    shared: Vec<u8>,
    own: Vec<u8>,
    ranges: Vec<BufferRange>,
    /// Several ranges of one socket are copied together here, so that they need one write.
    contiguous: Vec<u8>,
    /// The frames of the shared arena that a send buffer contains, by their position in the arena.
    unsent: HashMap<usize, SharedFrame>,
}

impl WriteBatch {
    /// Stores a frame for many receivers.
    pub(crate) fn add_shared(&mut self, frame: Frame<'_>) -> BufferRange {
        append(&mut self.shared, Arena::Shared, |shared| {
            frame.append_server(shared);
        })
    }

    /// Stores a frame for one receiver.
    pub(crate) fn add_own(&mut self, frame: Frame<'_>) -> BufferRange {
        append(&mut self.own, Arena::Own, |own| frame.append_server(own))
    }

    /// Stores bytes for one receiver that precede its first frame.
    pub(crate) fn add_preamble(&mut self, bytes: &[u8]) -> BufferRange {
        append(&mut self.own, Arena::Preamble, |own| {
            own.extend_from_slice(bytes);
        })
    }

    /// Queues a range for a socket, after everything that is queued already.
    pub(crate) fn enqueue(&mut self, queued: &mut QueuedBuffers, range: BufferRange) {
        let number = offset(self.ranges.len());
        match self.ranges.get_mut(convert::to_usize(queued.last)) {
            Some(last) if last.arena == range.arena && last.end == range.start => {
                last.end = range.end;
                return;
            }
            Some(last) => last.next = number,
            None => queued.first = number,
        }
        queued.last = number;
        self.ranges.push(range);
    }

    /// Returns everything that is queued for one socket as contiguous bytes.
    pub(crate) fn gather(&mut self, queued: QueuedBuffers) -> &[u8] {
        let Some(first) = range_at(&self.ranges, queued.first) else {
            return &[];
        };
        if first.next == NONE {
            return bytes_in(&self.shared, &self.own, first);
        }
        self.contiguous.clear();
        let mut next = Some(first);
        while let Some(range) = next {
            self.contiguous
                .extend_from_slice(bytes_in(&self.shared, &self.own, range));
            next = range_at(&self.ranges, range.next);
        }
        &self.contiguous
    }

    /// Moves everything that is queued for one socket to its send buffer, except for the first `written` bytes.
    ///
    /// If the socket has accepted any, its send buffer must be empty.
    pub(crate) fn move_to_send_buffer(
        &mut self,
        queued: QueuedBuffers,
        written: usize,
        send_buffer: &mut SendBuffer,
        memory: &UnsentMemory,
    ) {
        let mut to_skip = written;
        let mut next = range_at(&self.ranges, queued.first);
        while let Some(range) = next {
            let bytes = bytes_in(&self.shared, &self.own, range);
            let mut position = 0;
            while let Some(rest) = bytes.get(position..).filter(|rest| !rest.is_empty()) {
                let len = match range.arena {
                    Arena::Preamble => None,
                    Arena::Shared | Arena::Own => server_frame_len(rest),
                };
                let unit = len.and_then(|len| rest.get(..len)).unwrap_or(rest);
                let start = convert::to_usize(range.start) + position;
                position += unit.len();
                if to_skip >= unit.len() {
                    to_skip -= unit.len();
                    continue;
                }
                match range.arena {
                    Arena::Shared if SharedFrame::is_worthwhile(unit) => {
                        let shared = self.unsent.entry(start);
                        let shared = shared.or_insert_with(|| SharedFrame::new(unit, memory));
                        send_buffer.push_shared(shared.clone());
                    }
                    Arena::Shared | Arena::Own => send_buffer.push_frame(unit),
                    Arena::Preamble => send_buffer.push_whole(unit),
                }
                if to_skip > 0 {
                    send_buffer.advance(std::mem::take(&mut to_skip));
                }
            }
            next = range_at(&self.ranges, range.next);
        }
    }

    /// Returns the total size of the frames in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.shared.len() + self.own.len()
    }

    /// Returns the number of ranges that are queued for all sockets.
    pub(crate) fn ranges(&self) -> usize {
        self.ranges.len()
    }

    /// Removes all frames and ranges. No socket may have queued buffers at this point.
    pub(crate) fn clear(&mut self) {
        for buffer in [&mut self.shared, &mut self.own, &mut self.contiguous] {
            buffer.clear();
            buffer.shrink_to(RETAINED_BYTES);
        }
        self.ranges.clear();
        self.ranges.shrink_to(RETAINED_RANGES);
        self.unsent.clear();
        self.unsent.shrink_to(RETAINED_UNSENT);
    }
}

fn append(buffer: &mut Vec<u8>, arena: Arena, write: impl FnOnce(&mut Vec<u8>)) -> BufferRange {
    let start = offset(buffer.len());
    write(buffer);
    BufferRange {
        arena,
        start,
        end: offset(buffer.len()),
        next: NONE,
    }
}

/// The position at the end of the bytes or of the ranges. The shard flushes a batch long before either has 4 billion.
fn offset(len: usize) -> u32 {
    u32::try_from(len).expect("a batch is flushed before it grows to 4 GiB")
}

fn range_at(ranges: &[BufferRange], number: u32) -> Option<BufferRange> {
    ranges.get(convert::to_usize(number)).copied()
}

fn bytes_in<'a>(shared: &'a [u8], own: &'a [u8], range: BufferRange) -> &'a [u8] {
    let buffer = match range.arena {
        Arena::Shared => shared,
        Arena::Own | Arena::Preamble => own,
    };
    buffer
        .get(convert::to_usize(range.start)..convert::to_usize(range.end))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use steadfast_protocol::websocket::Opcode;

    use super::*;

    #[test]
    fn consecutive_shared_frames_are_one_range_whatever_is_sent_to_others_in_between() {
        let mut batch = WriteBatch::default();
        let (mut subscriber, mut publisher) = (QueuedBuffers::EMPTY, QueuedBuffers::EMPTY);

        for number in 0..3_u8 {
            let frame = batch.add_shared(text(&[b'a' + number]));
            batch.enqueue(&mut subscriber, frame);
            let ack = batch.add_own(text(&[b'0' + number]));
            batch.enqueue(&mut publisher, ack);
        }

        assert_eq!(batch.gather(subscriber), b"\x81\x01a\x81\x01b\x81\x01c");
        assert_eq!(batch.gather(publisher), b"\x81\x010\x81\x011\x81\x012");
        assert_eq!(batch.ranges(), 2);
    }

    #[test]
    fn a_socket_gets_frames_of_both_kinds_in_the_order_in_which_they_were_queued() {
        let mut batch = WriteBatch::default();
        let mut queued = QueuedBuffers::EMPTY;

        for range in [
            batch.add_preamble(b"upgrade"),
            batch.add_shared(text(b"a")),
            batch.add_own(text(b"b")),
            batch.add_own(text(b"c")),
            batch.add_shared(text(b"d")),
        ] {
            batch.enqueue(&mut queued, range);
        }

        assert_eq!(
            batch.gather(queued),
            b"upgrade\x81\x01a\x81\x01b\x81\x01c\x81\x01d"
        );
    }

    #[test]
    fn frames_that_only_others_receive_are_left_out() {
        let mut batch = WriteBatch::default();
        let mut queued = QueuedBuffers::EMPTY;
        let first = batch.add_shared(text(b"first"));
        batch.enqueue(&mut queued, first);

        batch.add_shared(text(b"for others"));
        let last = batch.add_shared(text(b"last"));
        batch.enqueue(&mut queued, last);

        assert_eq!(batch.gather(queued), b"\x81\x05first\x81\x04last");
        assert_eq!(batch.bytes(), 25);
    }

    #[test]
    fn an_empty_queue_has_nothing_to_write() {
        let mut batch = WriteBatch::default();

        assert!(QueuedBuffers::EMPTY.is_empty());
        assert_eq!(batch.gather(QueuedBuffers::EMPTY), b"");
    }

    #[test]
    fn a_large_batch_releases_its_memory() {
        let mut batch = WriteBatch::default();
        batch.add_shared(text(&vec![b' '; 4 * RETAINED_BYTES]));

        batch.clear();

        assert_eq!(batch.bytes(), 0);
        assert!(batch.shared.capacity() <= RETAINED_BYTES);
    }

    fn text(payload: &[u8]) -> Frame<'_> {
        Frame::unfragmented(Opcode::Text, payload)
    }
}
