//! One direction of a connection: the bytes that its sender's socket has not accepted, the bytes in flight, and the
//! current faults.
//!
//! Bytes arrive in the order in which they were sent. A frozen stream delivers everything later, a black hole drops
//! everything without notice, and a stream with a read rate delivers as slowly as its reader reads. The network holds a
//! window of bytes; further bytes stay unsent at the sender, which can query their number.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use steadfast_machine::{Instant, convert};

use crate::toxic::{Ending, Pipeline, Step};

/// The number of bytes of one direction that the network and the receiver's socket hold.
const WINDOW_BYTES: usize = 32 << 10;

/// The delay between two reads of one frame.
const SPLIT_READ_DELAY: Duration = Duration::from_millis(1);

/// How a byte stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// An orderly close, after everything that was sent.
    Closed,
    /// A reset, which takes effect at once; bytes in flight are lost.
    Reset,
}

/// What the receiver reads from a byte stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes, in the order in which they were sent.
    Bytes(Bytes),
    /// The end of the stream; nothing follows.
    End(StreamEnd),
}

/// The queue position of an unsent frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Before all messages.
    Control,
    /// In the order in which they were sent.
    Messages,
}

/// The rate of a slow reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRate {
    /// At least 1.
    pub bytes_per_second: u64,
}

/// One direction of a connection.
#[derive(Debug)]
pub struct ByteStream {
    /// Complete frames that the sender's socket has not accepted.
    unsent: VecDeque<Bytes>,
    unsent_bytes: usize,
    /// The total number of bytes that the sender's socket has accepted or discarded.
    accepted_bytes: u64,
    unsent_since: Option<Instant>,
    /// The pending end of the stream, which follows all unsent frames.
    end: Option<(Duration, StreamEnd)>,
    is_ended: bool,
    /// The machines of toxics, which bytes pass between the sender's socket and the network.
    pipeline: Pipeline,
    /// The end of the stream that passes the machines after all bytes.
    passing_end: Option<(Duration, StreamEnd)>,
    /// How a toxic ends the connection.
    ending: Option<Ending>,
    /// The chunks in flight, in the order of their arrival.
    in_flight: VecDeque<(Instant, Chunk)>,
    in_flight_bytes: usize,
    last_arrival: Instant,
    is_blackhole: bool,
    frozen_until: Instant,
    /// The sender's socket accepts nothing before this instant.
    writes_blocked_until: Instant,
    /// Whether the receiver has stopped reading.
    is_paused: bool,
    read_rate: Option<ReadRate>,
    /// The number of bytes that the network and the receiver's socket hold.
    window: usize,
    /// The time at which a slow reader has read all bytes that it has received so far.
    read_done_at: Instant,
    /// The time of the next scheduled event of this stream.
    next_event_at: Option<Instant>,
}

impl ByteStream {
    /// An open stream without faults.
    pub const fn new(now: Instant) -> Self {
        Self {
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            accepted_bytes: 0,
            unsent_since: None,
            end: None,
            is_ended: false,
            pipeline: Pipeline::new(),
            passing_end: None,
            ending: None,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            last_arrival: now,
            is_blackhole: false,
            frozen_until: now,
            writes_blocked_until: now,
            is_paused: false,
            read_rate: None,
            window: WINDOW_BYTES,
            read_done_at: now,
            next_event_at: None,
        }
    }

    /// Accepts a complete frame from the sender, unless the stream has ended.
    pub fn send(&mut self, now: Instant, delay: Duration, frame: Bytes, lane: Lane) {
        if self.is_ended || self.is_blackhole {
            return;
        }
        self.unsent_bytes += frame.len();
        match lane {
            Lane::Control => self.unsent.push_front(frame),
            Lane::Messages => self.unsent.push_back(frame),
        }
        self.refill(now, delay);
        if !self.unsent.is_empty() {
            self.unsent_since.get_or_insert(now);
        }
    }

    /// Ends the stream; the receiver detects the end after all bytes.
    pub fn end(&mut self, now: Instant, delay: Duration, end: StreamEnd) {
        if self.is_ended || self.is_blackhole {
            self.is_ended = true;
            return;
        }
        self.is_ended = true;
        self.end = Some((delay, end));
        self.refill(now, delay);
    }

    /// Discards all unsent frames.
    pub fn discard_unsent(&mut self) {
        self.unsent.clear();
        self.accepted_bytes += convert::to_u64(self.unsent_bytes);
        self.unsent_bytes = 0;
        self.unsent_since = None;
    }

    /// Drops everything in flight; the receiver detects the reset after the delay.
    pub fn reset(&mut self, now: Instant, delay: Duration) {
        self.drop_everything();
        self.is_ended = true;
        if !self.is_blackhole {
            self.enqueue(now, delay, Chunk::End(StreamEnd::Reset));
        }
    }

    /// Drops all bytes from now on, without notice to either end.
    pub fn blackhole(&mut self) {
        self.drop_everything();
        self.is_blackhole = true;
    }

    fn drop_everything(&mut self) {
        self.discard_unsent();
        self.end = None;
        self.pipeline = Pipeline::new();
        self.passing_end = None;
        self.in_flight.clear();
        self.in_flight_bytes = 0;
    }

    /// Delivers nothing before `until`.
    pub fn freeze(&mut self, until: Instant) {
        self.frozen_until = self.frozen_until.max(until);
    }

    /// Blocks writes of the sender before `until`.
    pub fn block_writes(&mut self, until: Instant) {
        self.writes_blocked_until = self.writes_blocked_until.max(until);
    }

    /// Limits the rate at which the receiver reads.
    pub const fn limit_read_rate(&mut self, read_rate: ReadRate) {
        self.read_rate = Some(read_rate);
    }

    /// Limits the bytes that the network and the receiver's socket hold.
    pub const fn shrink_window(&mut self, window: usize) {
        self.window = window;
    }

    /// Restores the default window, and removes the read rate and the machines of toxics, which pass what they held.
    pub fn restore(&mut self, now: Instant) {
        self.read_rate = None;
        self.window = WINDOW_BYTES;
        self.pipeline.clear(now);
        self.pass(now, Duration::ZERO);
    }

    /// Lets all further bytes pass the machines of toxics.
    pub fn set_pipeline(&mut self, pipeline: Pipeline) {
        if !self.is_blackhole {
            self.pipeline = pipeline;
        }
    }

    /// Takes the ending that a toxic requested, which the driver executes.
    pub const fn take_ending(&mut self) -> Option<Ending> {
        self.ending.take()
    }

    /// The receiver stops or resumes reading.
    pub const fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// Whether the stream has no black hole, freeze or read rate.
    pub fn is_healthy(&self, now: Instant) -> bool {
        !self.is_blackhole
            && self.frozen_until <= now
            && self.read_rate.is_none()
            && self.pipeline.is_empty()
    }

    /// The number of bytes that the sender's socket has not accepted.
    pub const fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }

    /// The total number of bytes that the sender's socket has accepted or discarded.
    pub const fn accepted_bytes(&self) -> u64 {
        self.accepted_bytes
    }

    /// The total number of bytes that were sent.
    pub fn sent_bytes(&self) -> u64 {
        self.accepted_bytes + convert::to_u64(self.unsent_bytes)
    }

    /// The time since which there are unsent bytes.
    pub const fn unsent_since(&self) -> Option<Instant> {
        self.unsent_since
    }

    /// The bytes in flight and those that toxics hold, in the order in which they were sent.
    pub fn bytes_in_flight(&self) -> impl Iterator<Item = &Bytes> {
        let in_flight = self.in_flight.iter().filter_map(|(_, chunk)| match chunk {
            Chunk::Bytes(bytes) => Some(bytes),
            Chunk::End(_) => None,
        });
        in_flight.chain(self.pipeline.held_bytes())
    }

    /// Reads the next chunk that has arrived, at most `bytes_max` of it; the rest follows after a short delay.
    pub fn read(&mut self, now: Instant, bytes_max: usize) -> Option<Chunk> {
        if self.due(now).is_none_or(|at| at > now) {
            return None;
        }
        let (_, chunk) = self.in_flight.pop_front()?;
        let Chunk::Bytes(mut bytes) = chunk else {
            return Some(chunk);
        };
        if bytes.len() > bytes_max {
            let rest = bytes.split_off(bytes_max);
            self.in_flight
                .push_front((now + SPLIT_READ_DELAY, Chunk::Bytes(rest)));
        }
        self.in_flight_bytes -= bytes.len();
        if let Some(read_rate) = self.read_rate {
            let length = convert::to_u64(bytes.len());
            let nanos = length.saturating_mul(1_000_000_000) / read_rate.bytes_per_second.max(1);
            self.read_done_at = self.read_done_at.max(now) + Duration::from_nanos(nanos);
        }
        Some(Chunk::Bytes(bytes))
    }

    /// Moves unsent frames into the window while there is space.
    pub fn refill(&mut self, now: Instant, delay: Duration) {
        self.pass(now, delay);
        while now >= self.writes_blocked_until && self.has_space(now) {
            let Some(frame) = self.unsent.pop_front() else {
                break;
            };
            self.unsent_bytes -= frame.len();
            self.accepted_bytes += convert::to_u64(frame.len());
            self.pipeline.receive(now, frame);
            self.pass(now, delay);
        }
        if self.unsent.is_empty() {
            self.unsent_since = None;
            if let Some((end_delay, end)) = self.end.take() {
                self.passing_end = Some((delay.max(end_delay), end));
                self.pipeline.finish(now);
                self.pass(now, delay);
            }
        }
    }

    /// Puts into flight what has passed the machines of toxics.
    fn pass(&mut self, now: Instant, delay: Duration) {
        while let Some(step) = self.pipeline.next(now) {
            match step {
                Step::Write(bytes) => self.enqueue(now, delay, Chunk::Bytes(bytes)),
                Step::Fin => {
                    let end = self.passing_end.take();
                    let (end_delay, end) = end.unwrap_or((delay, StreamEnd::Closed));
                    self.enqueue(now, delay.max(end_delay), Chunk::End(end));
                }
                Step::End { ending, .. } => {
                    self.ending = Some(ending);
                    return;
                }
            }
        }
    }

    /// Returns the time of the next event, which the caller must schedule; `None` unless a new event must be scheduled.
    pub fn schedule(&mut self, now: Instant) -> Option<Instant> {
        let has_work = self.has_space(now) && !self.unsent.is_empty();
        let refill = has_work.then(|| self.writes_blocked_until.max(now));
        let passed = self.pipeline.has_passed().then_some(now);
        let toxic = passed.or_else(|| self.pipeline.next_at(now, false));
        let next = [self.due(now), refill, toxic].into_iter().flatten().min()?;
        if self
            .next_event_at
            .is_some_and(|scheduled| scheduled <= next)
        {
            return None;
        }
        self.next_event_at = Some(next);
        Some(next)
    }

    /// A scheduled event occurs. Returns `false` when an earlier event has replaced it.
    pub fn on_event(&mut self, now: Instant) -> bool {
        let is_due = self.next_event_at.is_some_and(|scheduled| scheduled <= now);
        if is_due {
            self.next_event_at = None;
        }
        is_due
    }

    /// Returns when the next chunk can be read; faults may delay it.
    fn due(&self, now: Instant) -> Option<Instant> {
        let (arrival, _) = self.in_flight.front().filter(|_| !self.is_paused)?;
        let readable_at = self.read_rate.map_or(now, |_| self.read_done_at);
        Some((*arrival).max(self.frozen_until).max(readable_at))
    }

    fn has_space(&self, now: Instant) -> bool {
        self.in_flight_bytes < self.window && self.pipeline.read_max(now) > 0
    }

    /// Adds a chunk to those in flight; it arrives after all of them.
    fn enqueue(&mut self, now: Instant, delay: Duration, chunk: Chunk) {
        self.last_arrival = self.last_arrival.max(now + delay);
        if let Chunk::Bytes(bytes) = &chunk {
            self.in_flight_bytes += bytes.len();
        }
        self.in_flight.push_back((self.last_arrival, chunk));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(5);

    #[test]
    fn a_frozen_stream_delivers_later_and_in_order() {
        let mut stream = stream();
        stream.send(at(0), DELAY, bytes("a"), Lane::Messages);
        stream.freeze(at(100));
        stream.send(at(10), DELAY, bytes("b"), Lane::Messages);
        stream.end(at(20), DELAY, StreamEnd::Closed);
        assert!(stream.bytes_in_flight().eq([&bytes("a"), &bytes("b")]));

        assert_eq!(read_all(&mut stream, at(99)), []);
        let all = [chunk("a"), chunk("b"), Chunk::End(StreamEnd::Closed)];
        assert_eq!(read_all(&mut stream, at(100)), all);
    }

    #[test]
    fn a_blackhole_delivers_neither_bytes_nor_the_end() {
        let mut stream = stream();
        stream.send(at(0), DELAY, bytes("a"), Lane::Messages);
        stream.blackhole();
        stream.send(at(1), DELAY, bytes("b"), Lane::Messages);
        stream.reset(at(2), DELAY);

        assert_eq!(read_all(&mut stream, at(10_000)), []);
        assert_eq!(stream.schedule(at(3)), None);
    }

    #[test]
    fn a_slow_reader_leaves_bytes_unsent() {
        let mut stream = stream();
        stream.limit_read_rate(ReadRate {
            bytes_per_second: 1_000,
        });
        stream.shrink_window(100);
        for _ in 0..3 {
            stream.send(at(0), DELAY, Bytes::from(vec![0; 100]), Lane::Messages);
        }
        assert_eq!(stream.unsent_bytes(), 200);
        assert_eq!(stream.unsent_since(), Some(at(0)));

        assert_eq!(read_all(&mut stream, at(5)).len(), 1);
        stream.refill(at(5), DELAY);

        assert_eq!(stream.unsent_bytes(), 100);
        assert_eq!(
            read_all(&mut stream, at(50)),
            [],
            "the first frame is still being read"
        );
        assert_eq!(read_all(&mut stream, at(105)).len(), 1);
    }

    #[test]
    fn a_reset_loses_bytes_in_flight() {
        let mut stream = stream();
        stream.send(at(0), DELAY, bytes("a"), Lane::Messages);
        stream.reset(at(1), DELAY);

        assert_eq!(
            read_all(&mut stream, at(100)),
            [Chunk::End(StreamEnd::Reset)]
        );
    }

    #[test]
    fn a_frame_can_be_split_between_two_reads() {
        let mut stream = stream();
        stream.send(at(0), DELAY, bytes("ab"), Lane::Messages);

        assert_eq!(stream.read(at(5), 1), Some(chunk("a")));
        assert_eq!(stream.read(at(5), 1), None);
        assert_eq!(stream.read(at(6), 1), Some(chunk("b")));
    }

    fn stream() -> ByteStream {
        ByteStream::new(Instant::START)
    }

    fn at(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn chunk(text: &'static str) -> Chunk {
        Chunk::Bytes(bytes(text))
    }

    fn read_all(stream: &mut ByteStream, now: Instant) -> Vec<Chunk> {
        std::iter::from_fn(|| stream.read(now, usize::MAX)).collect()
    }
}
