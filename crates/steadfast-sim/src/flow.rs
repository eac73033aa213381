//! One direction of a link: what its sender's socket has not taken, what is under way, and what is wrong with it.
//!
//! Bytes come out in the order in which they went in. A flow that is frozen delivers everything later, one that swallows
//! delivers nothing and tells nobody, one with a pace delivers as slowly as its reader reads. The network holds a window
//! of bytes; what does not fit waits at the sender, who can be told so.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use steadfast_machine::Instant;

/// Bytes that the network and the reader's socket hold of one direction.
const WINDOW_BYTES: usize = 32 << 10;

/// Between two reads of one frame.
const CUT_PAUSE: Duration = Duration::from_millis(1);

/// How a direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order, behind everything that was sent.
    Ended,
    /// At once; what was under way is lost.
    Reset,
}

/// What comes out of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    Bytes(Bytes),
    End(End),
}

/// Where a frame waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Ahead of all messages.
    Control,
    Messages,
}

/// Whether frames keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Kept,
    /// The mutation: each frame arrives when it arrives.
    Lost,
}

/// A reader that takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) bytes_per_second: u64,
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Flow {
    order: Order,
    /// Whole frames that the sender's socket has not taken.
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// Bytes that waited and do so no longer, since the beginning.
    taken_bytes: u64,
    waits_since: Option<Instant>,
    /// What was sent before ends behind everything that waits.
    end: Option<(Duration, End)>,
    is_ended: bool,
    /// What is under way, by the time of its arrival.
    moving: VecDeque<(Instant, Chunk)>,
    moving_bytes: usize,
    last_arrival: Instant,
    swallows: bool,
    frozen_until: Instant,
    /// The sender's socket takes nothing until then.
    stuffed_until: Instant,
    /// The receiver does not read.
    is_paused: bool,
    pace: Option<Pace>,
    /// Bytes that the network and the receiver's socket hold.
    window: usize,
    /// A slow reader has read what it has got so far.
    read_until: Instant,
    /// The next look that is planned.
    wake_at: Option<Instant>,
}

impl Flow {
    pub(crate) const fn new(order: Order, now: Instant) -> Self {
        Self {
            order,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            taken_bytes: 0,
            waits_since: None,
            end: None,
            is_ended: false,
            moving: VecDeque::new(),
            moving_bytes: 0,
            last_arrival: now,
            swallows: false,
            frozen_until: now,
            stuffed_until: now,
            is_paused: false,
            pace: None,
            window: WINDOW_BYTES,
            read_until: now,
            wake_at: None,
        }
    }

    /// Takes a whole frame from the sender, unless the flow has ended.
    pub(crate) fn send(&mut self, now: Instant, delay: Duration, frame: Bytes, lane: Lane) {
        if self.is_ended || self.swallows {
            return;
        }
        self.waiting_bytes += frame.len();
        match lane {
            Lane::Control => self.waiting.push_front(frame),
            Lane::Messages => self.waiting.push_back(frame),
        }
        self.refill(now, delay);
        if !self.waiting.is_empty() {
            self.waits_since.get_or_insert(now);
        }
    }

    /// The sender sends nothing more; the receiver learns of it behind everything else.
    pub(crate) fn end(&mut self, now: Instant, delay: Duration, end: End) {
        if self.is_ended || self.swallows {
            self.is_ended = true;
            return;
        }
        self.is_ended = true;
        self.end = Some((delay, end));
        self.refill(now, delay);
    }

    /// What the sender still holds is thrown away with it.
    pub(crate) fn drop_waiting(&mut self) {
        self.waiting.clear();
        self.taken_bytes += wide(self.waiting_bytes);
        self.waiting_bytes = 0;
        self.waits_since = None;
    }

    /// Everything on the way is lost, and the receiver learns of it after a while.
    pub(crate) fn reset(&mut self, now: Instant, delay: Duration) {
        self.lose_everything();
        self.is_ended = true;
        if !self.swallows {
            self.launch(now, delay, Chunk::End(End::Reset));
        }
    }

    /// From now on bytes vanish, and nobody is told.
    pub(crate) fn swallow(&mut self) {
        self.lose_everything();
        self.swallows = true;
    }

    fn lose_everything(&mut self) {
        self.drop_waiting();
        self.end = None;
        self.moving.clear();
        self.moving_bytes = 0;
    }

    /// Nothing comes out until then.
    pub(crate) fn freeze(&mut self, until: Instant) {
        self.frozen_until = self.frozen_until.max(until);
    }

    /// The sender's socket is full until then.
    pub(crate) fn stuff(&mut self, until: Instant) {
        self.stuffed_until = self.stuffed_until.max(until);
    }

    /// The receiver reads so slowly.
    pub(crate) const fn slow_down(&mut self, pace: Pace) {
        self.pace = Some(pace);
    }

    /// The network and the receiver's socket hold no more than this.
    pub(crate) const fn narrow(&mut self, window: usize) {
        self.window = window;
    }

    /// The receiver reads as fast as it can, and there is room for all of it.
    pub(crate) const fn widen(&mut self) {
        self.pace = None;
        self.window = WINDOW_BYTES;
    }

    /// The receiver stops to read, or goes on.
    pub(crate) const fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// The mutation: a frame that was held up is not delivered. True when there was one.
    pub(crate) fn lose_one(&mut self) -> bool {
        match self.moving.front() {
            Some((_, Chunk::Bytes(bytes))) => {
                self.moving_bytes -= bytes.len();
                self.moving.pop_front();
                true
            }
            Some((_, Chunk::End(_))) | None => false,
        }
    }

    /// Whether it does what it was made for.
    pub(crate) fn is_healthy(&self, now: Instant) -> bool {
        !self.swallows && self.frozen_until <= now && self.pace.is_none()
    }

    /// Bytes that the sender's socket has not taken.
    pub(crate) const fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Bytes that waited and do so no longer, since the beginning.
    pub(crate) const fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }

    /// Everything that was sent so far.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.taken_bytes + wide(self.waiting_bytes)
    }

    /// Since when some wait.
    pub(crate) const fn waits_since(&self) -> Option<Instant> {
        self.waits_since
    }

    /// The next chunk that has arrived by now, at most so many bytes of it; the rest follows a little later.
    pub(crate) fn take(&mut self, now: Instant, bytes_max: usize) -> Option<Chunk> {
        if self.due(now).is_none_or(|at| at > now) {
            return None;
        }
        let (_, chunk) = self.moving.pop_front()?;
        let Chunk::Bytes(mut bytes) = chunk else {
            return Some(chunk);
        };
        if bytes.len() > bytes_max {
            let rest = bytes.split_off(bytes_max);
            self.moving
                .push_front((now + CUT_PAUSE, Chunk::Bytes(rest)));
        }
        self.moving_bytes -= bytes.len();
        if let Some(pace) = self.pace {
            let length = wide(bytes.len());
            let nanos = length.saturating_mul(1_000_000_000) / pace.bytes_per_second.max(1);
            self.read_until = self.read_until.max(now) + Duration::from_nanos(nanos);
        }
        Some(Chunk::Bytes(bytes))
    }

    /// The sender's socket takes what it has room for.
    pub(crate) fn refill(&mut self, now: Instant, delay: Duration) {
        while now >= self.stuffed_until && self.has_room() {
            let Some(frame) = self.waiting.pop_front() else {
                break;
            };
            self.waiting_bytes -= frame.len();
            self.taken_bytes += wide(frame.len());
            self.launch(now, delay, Chunk::Bytes(frame));
        }
        if self.waiting.is_empty() {
            self.waits_since = None;
            if let Some((late, end)) = self.end.take() {
                self.launch(now, delay.max(late), Chunk::End(end));
            }
        }
    }

    /// When there is something to do next, for which no look is planned yet. The caller plans it.
    pub(crate) fn plan(&mut self, now: Instant) -> Option<Instant> {
        let has_work = self.has_room() && !self.waiting.is_empty();
        let refill = has_work.then(|| self.stuffed_until.max(now));
        let next = [self.due(now), refill].into_iter().flatten().min()?;
        if self.wake_at.is_some_and(|planned| planned <= next) {
            return None;
        }
        self.wake_at = Some(next);
        Some(next)
    }

    /// A planned look takes place. False when an earlier one was planned meanwhile and has taken its place.
    pub(crate) fn wake(&mut self, now: Instant) -> bool {
        let is_due = self.wake_at.is_some_and(|planned| planned <= now);
        if is_due {
            self.wake_at = None;
        }
        is_due
    }

    /// When the next chunk comes out; it may be held up for longer.
    fn due(&self, now: Instant) -> Option<Instant> {
        let (arrival, _) = self.moving.front().filter(|_| !self.is_paused)?;
        let slow = self.pace.map_or(now, |_| self.read_until);
        Some((*arrival).max(self.frozen_until).max(slow))
    }

    fn has_room(&self) -> bool {
        self.moving_bytes < self.window
    }

    fn launch(&mut self, now: Instant, delay: Duration, chunk: Chunk) {
        let arrival = now + delay;
        let place = match (self.order, &chunk) {
            (Order::Lost, Chunk::Bytes(_)) => self.moving.partition_point(|(at, _)| *at <= arrival),
            (Order::Lost, Chunk::End(_)) | (Order::Kept, _) => self.moving.len(),
        };
        self.last_arrival = self.last_arrival.max(arrival);
        let at = if place == self.moving.len() {
            self.last_arrival
        } else {
            arrival
        };
        if let Chunk::Bytes(bytes) = &chunk {
            self.moving_bytes += bytes.len();
        }
        self.moving.insert(place, (at, chunk));
    }
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_millis(5);

    #[test]
    fn what_is_frozen_arrives_later_and_in_order() {
        let mut flow = flow();
        flow.send(at(0), LATE, bytes("a"), Lane::Messages);
        flow.freeze(at(100));
        flow.send(at(10), LATE, bytes("b"), Lane::Messages);
        flow.end(at(20), LATE, End::Ended);

        assert_eq!(take_all(&mut flow, at(99)), []);
        let all = [chunk("a"), chunk("b"), Chunk::End(End::Ended)];
        assert_eq!(take_all(&mut flow, at(100)), all);
    }

    #[test]
    fn what_is_swallowed_never_arrives_and_neither_does_the_end() {
        let mut flow = flow();
        flow.send(at(0), LATE, bytes("a"), Lane::Messages);
        flow.swallow();
        flow.send(at(1), LATE, bytes("b"), Lane::Messages);
        flow.reset(at(2), LATE);

        assert_eq!(take_all(&mut flow, at(10_000)), []);
        assert_eq!(flow.plan(at(3)), None);
    }

    #[test]
    fn a_slow_reader_makes_the_sender_wait() {
        let mut flow = flow();
        flow.slow_down(Pace {
            bytes_per_second: 1_000,
        });
        flow.narrow(100);
        for _ in 0..3 {
            flow.send(at(0), LATE, Bytes::from(vec![0; 100]), Lane::Messages);
        }
        assert_eq!(flow.waiting_bytes(), 200);
        assert_eq!(flow.waits_since(), Some(at(0)));

        assert_eq!(take_all(&mut flow, at(5)).len(), 1);
        flow.refill(at(5), LATE);

        assert_eq!(flow.waiting_bytes(), 100);
        assert_eq!(
            take_all(&mut flow, at(50)),
            [],
            "it reads the first one still"
        );
        assert_eq!(take_all(&mut flow, at(105)).len(), 1);
    }

    #[test]
    fn a_reset_loses_what_is_under_way() {
        let mut flow = flow();
        flow.send(at(0), LATE, bytes("a"), Lane::Messages);
        flow.reset(at(1), LATE);

        assert_eq!(take_all(&mut flow, at(100)), [Chunk::End(End::Reset)]);
    }

    #[test]
    fn a_frame_may_come_in_two_reads() {
        let mut flow = flow();
        flow.send(at(0), LATE, bytes("ab"), Lane::Messages);

        assert_eq!(flow.take(at(5), 1), Some(chunk("a")));
        assert_eq!(flow.take(at(5), 1), None);
        assert_eq!(flow.take(at(6), 1), Some(chunk("b")));
    }

    fn flow() -> Flow {
        Flow::new(Order::Kept, Instant::START)
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

    fn take_all(flow: &mut Flow, now: Instant) -> Vec<Chunk> {
        std::iter::from_fn(|| flow.take(now, usize::MAX)).collect()
    }
}
