//! What the kernel has not accepted of one connection: a queue of frames, of which the first may be written in part.
//!
//! A frame that many peers receive is stored once, however many of them have not accepted it; small frames are copied,
//! because a reference would need as much memory. All send buffers of a shard count their memory in one place, each
//! shared frame once. Has no access to sockets and makes no decisions: the hub limits both the bytes of one peer and the
//! memory of all.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use steadfast_machine::Instant;
use steadfast_protocol::websocket::encoder::server_frame_len;

/// A frame below this size is copied into a chunk of its connection.
const SHARED_BYTES_MIN: usize = 512;
/// The size of a chunk for small frames.
const SMALL_CHUNK_BYTES: usize = 4 << 10;
/// What a chunk needs in addition to its bytes: its entry in the queue, its counts, and the header of the allocation.
const CHUNK_OVERHEAD_BYTES: usize = 64;
/// The maximum number of chunks in one write.
const SLICES_MAX: usize = 64;

/// The memory of all send buffers of a shard in bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnsentMemory(Rc<Cell<usize>>);

impl UnsentMemory {
    /// Returns how many bytes the send buffers need now.
    pub(crate) fn bytes(&self) -> usize {
        self.0.get()
    }

    fn add(&self, bytes: usize) {
        self.0.set(self.0.get() + bytes);
    }

    fn subtract(&self, bytes: usize) {
        self.0.set(self.0.get().saturating_sub(bytes));
    }
}

/// Bytes that count as unsent memory until they are dropped.
#[derive(Debug)]
struct CountedBytes {
    bytes: Vec<u8>,
    memory: UnsentMemory,
}

impl CountedBytes {
    fn new(bytes: Vec<u8>, memory: &UnsentMemory) -> Self {
        memory.add(bytes.capacity() + CHUNK_OVERHEAD_BYTES);
        Self {
            bytes,
            memory: memory.clone(),
        }
    }
}

impl Drop for CountedBytes {
    fn drop(&mut self) {
        self.memory
            .subtract(self.bytes.capacity() + CHUNK_OVERHEAD_BYTES);
    }
}

/// A frame that many send buffers may contain.
#[derive(Clone, Debug)]
pub(crate) struct SharedFrame(Rc<CountedBytes>);

impl SharedFrame {
    /// Whether a frame of this size is shared and not copied.
    pub(crate) const fn is_worthwhile(frame: &[u8]) -> bool {
        frame.len() >= SHARED_BYTES_MIN
    }

    /// Copies a frame out of a write batch.
    pub(crate) fn new(frame: &[u8], memory: &UnsentMemory) -> Self {
        Self(Rc::new(CountedBytes::new(frame.to_vec(), memory)))
    }
}

/// Bytes of the queue.
#[derive(Debug)]
enum Chunk {
    /// One frame, or bytes before the first frame: nothing is inserted within it.
    Whole(SharedFrame),
    /// Small frames of this connection alone. The capacity never changes.
    Small(Box<CountedBytes>),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(frame) => &frame.0.bytes,
            Self::Small(frames) => &frames.bytes,
        }
    }

    /// Returns where the frame ends that contains the byte at `position`, or `position` if a frame begins there.
    fn frame_boundary(&self, position: usize) -> usize {
        let bytes = self.bytes();
        if position == 0 || matches!(self, Self::Whole(_)) {
            return if position == 0 { 0 } else { bytes.len() };
        }
        let mut end = 0;
        while end < position {
            let frame = bytes.get(end..).and_then(server_frame_len);
            end = frame.map_or(bytes.len(), |len| bytes.len().min(end + len));
        }
        end
    }
}

/// The frames of one connection that the kernel has not accepted.
#[derive(Debug)]
pub(crate) struct SendBuffer {
    chunks: VecDeque<Chunk>,
    /// The bytes of the first chunk that are written.
    first_written: usize,
    /// The bytes of all chunks that are not written.
    unsent: usize,
    /// The reply to the last ping, which is sent after the frame that is being written. A later one replaces it: RFC
    /// 6455, section 5.5.3, requires only the reply to the last ping.
    pong: Option<Vec<u8>>,
    /// Whether the first chunk is a pong of which nothing is written.
    is_pong_first: bool,
    /// Since when the socket has accepted nothing.
    waiting_since: Option<Instant>,
    memory: UnsentMemory,
}

impl SendBuffer {
    /// An empty buffer.
    pub(crate) const fn new(memory: UnsentMemory) -> Self {
        Self {
            chunks: VecDeque::new(),
            first_written: 0,
            unsent: 0,
            pong: None,
            is_pong_first: false,
            waiting_since: None,
            memory,
        }
    }

    /// Records that the socket accepts nothing now.
    pub(crate) fn begin_wait(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// Whether the socket has accepted nothing since [`Self::begin_wait`].
    pub(crate) const fn is_waiting(&self) -> bool {
        self.waiting_since.is_some()
    }

    /// Returns how long the socket has accepted nothing.
    pub(crate) fn waited(&self, now: Instant) -> Duration {
        let waited = |since| now.saturating_since(since);
        self.waiting_since.map(waited).unwrap_or_default()
    }

    /// Records that the socket has accepted bytes.
    pub(crate) const fn end_wait(&mut self) {
        self.waiting_since = None;
    }

    /// Returns how many bytes are not written.
    pub(crate) fn bytes(&self) -> usize {
        self.unsent + self.pong.as_ref().map_or(0, Vec::len)
    }

    /// Appends a frame that other buffers may contain too.
    pub(crate) fn push_shared(&mut self, frame: SharedFrame) {
        self.push(Chunk::Whole(frame));
    }

    /// Appends a copy of a frame.
    pub(crate) fn push_frame(&mut self, frame: &[u8]) {
        if SharedFrame::is_worthwhile(frame) {
            return self.push_whole(frame);
        }
        if let Some(Chunk::Small(last)) = self.chunks.back_mut()
            && last.bytes.capacity() - last.bytes.len() >= frame.len()
        {
            last.bytes.extend_from_slice(frame);
            self.unsent += frame.len();
            return;
        }
        let mut bytes = Vec::with_capacity(SMALL_CHUNK_BYTES);
        bytes.extend_from_slice(frame);
        self.push(Chunk::Small(Box::new(CountedBytes::new(
            bytes,
            &self.memory,
        ))));
    }

    /// Appends a copy of bytes within which nothing is inserted.
    pub(crate) fn push_whole(&mut self, bytes: &[u8]) {
        self.push(Chunk::Whole(SharedFrame::new(bytes, &self.memory)));
    }

    fn push(&mut self, chunk: Chunk) {
        self.unsent += chunk.bytes().len();
        self.chunks.push_back(chunk);
    }

    /// Inserts a frame before everything of which no byte is written. Returns how many bytes are written before the end
    /// of this frame.
    pub(crate) fn insert_first(&mut self, frame: &[u8]) -> usize {
        let rest = self.split_first();
        let index = usize::from(rest > 0);
        let chunk = Chunk::Whole(SharedFrame::new(frame, &self.memory));
        self.chunks.insert(index, chunk);
        self.is_pong_first = false;
        self.unsent += frame.len();
        rest + frame.len()
    }

    /// Queues the reply to a ping. It replaces the one before, unless that is being written.
    pub(crate) fn set_pong(&mut self, frame: Vec<u8>) {
        if mem::take(&mut self.is_pong_first)
            && let Some(replaced) = self.chunks.pop_front()
        {
            self.unsent -= replaced.bytes().len();
        }
        self.pong = Some(frame);
    }

    /// Drops every frame of which no byte is written.
    pub(crate) fn discard(&mut self) {
        let rest = self.split_first();
        self.chunks.truncate(usize::from(rest > 0));
        self.unsent = rest;
        self.pong = None;
        self.is_pong_first = false;
    }

    /// Splits the first chunk after the frame that is being written. Returns what is left of this frame; if nothing is,
    /// the first chunk begins with the next frame.
    fn split_first(&mut self) -> usize {
        let Some(first) = self.chunks.front_mut() else {
            return 0;
        };
        let boundary = first.frame_boundary(self.first_written);
        if let Chunk::Small(frames) = first
            && boundary > 0
            && boundary < frames.bytes.len()
        {
            let after = frames.bytes.get(boundary..).unwrap_or_default().to_vec();
            frames.bytes.truncate(boundary);
            let after = Chunk::Small(Box::new(CountedBytes::new(after, &self.memory)));
            self.chunks.insert(1, after);
        }
        let rest = boundary - self.first_written;
        if rest == 0 && boundary > 0 {
            self.chunks.pop_front();
            self.first_written = 0;
        }
        rest
    }

    /// Returns the next bytes to write, at most `bytes_max`. A pong is first; if a frame is being written, only the rest of
    /// that frame is returned, so that the pong follows it.
    pub(crate) fn next_slices(&mut self, bytes_max: usize) -> Vec<IoSlice<'_>> {
        // A write that ended within another frame would delay the pong again.
        let bytes_max = self
            .place_pong()
            .map_or(bytes_max, |rest| bytes_max.min(rest));
        let mut slices = Vec::with_capacity(SLICES_MAX.min(self.chunks.len()));
        let (mut skipped, mut left) = (self.first_written, bytes_max);
        for chunk in self.chunks.iter().take(SLICES_MAX) {
            let bytes = chunk.bytes().get(skipped..).unwrap_or_default();
            let bytes = bytes.get(..left).unwrap_or(bytes);
            slices.push(IoSlice::new(bytes));
            (skipped, left) = (0, left - bytes.len());
            if left == 0 {
                break;
            }
        }
        slices
    }

    /// Returns how many bytes of the frame that is being written are left.
    fn first_rest(&self) -> usize {
        let first = self.chunks.front();
        first.map_or(0, |first| {
            first.frame_boundary(self.first_written) - self.first_written
        })
    }

    /// Inserts the pong, unless a frame is being written: then the rest of this frame is returned, for which it waits.
    fn place_pong(&mut self) -> Option<usize> {
        let pong = self.pong.take()?;
        let rest = self.first_rest();
        if rest > 0 {
            self.pong = Some(pong);
            return Some(rest);
        }
        self.insert_first(&pong);
        self.is_pong_first = self.first_written == 0;
        None
    }

    /// Removes bytes that were written.
    pub(crate) fn advance(&mut self, written: usize) {
        self.unsent = self.unsent.saturating_sub(written);
        self.first_written += written;
        if written > 0 {
            self.is_pong_first = false;
        }
        while let Some(first) = self.chunks.front()
            && self.first_written >= first.bytes().len()
        {
            self.first_written -= first.bytes().len();
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
