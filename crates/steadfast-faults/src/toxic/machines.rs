//! One machine per kind of toxic, each for one direction of one connection.

mod bandwidth;
mod blackhole;
mod corrupt;
mod first_bytes;
mod half_close;
mod half_open;
mod held;
mod latency;
mod limit;
mod reset;
mod slicer;
mod slow_close;
mod slow_connect;
mod slow_read;
mod stall;
#[cfg(test)]
mod testing;
mod timeout;

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use steadfast_machine::{Generator, Instant};

use self::bandwidth::Bandwidth;
use self::blackhole::BlackHole;
use self::corrupt::Corrupt;
use self::first_bytes::FirstBytes;
use self::half_close::HalfClose;
use self::half_open::HalfOpen;
use self::held::Held;
use self::latency::Latency;
use self::limit::Limit;
use self::reset::{Reset, ResetPeer};
use self::slicer::Slicer;
use self::slow_close::SlowClose;
use self::slow_connect::SlowConnect;
use self::slow_read::SlowRead;
use self::stall::Stall;
use self::timeout::Timeout;
use super::{CloseMode, Toxic, ToxicKind};

/// The number of bytes that a machine holds before it stops accepting more, unless it delays data.
pub(super) const HELD_BYTES_MAX: usize = 64 << 10;

/// What passes through a machine, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// At least one byte.
    Bytes(Bytes),
    /// The sender has finished.
    Fin,
    /// The connection ends after everything before.
    Close(CloseMode),
}

impl Item {
    /// The number of bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Fin | Self::Close(_) => 0,
        }
    }
}

/// How a machine ends a connection, without regard to what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides end in this way.
    Close(CloseMode),
    /// The sender's side is closed; the receiver's socket stays open without notice.
    Forget,
}

/// What a machine returns when its toxic is removed.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// What it held, which passes at once.
    pub(super) items: VecDeque<Item>,
    /// How the connection must end, because bytes were lost.
    pub(super) close: Option<CloseMode>,
}

impl Removal {
    /// Everything that is held passes.
    fn passing(held: &mut Held) -> Self {
        Self {
            items: held.drain(),
            close: None,
        }
    }

    /// What is held is lost, and so were bytes before it.
    fn closing(close: CloseMode) -> Self {
        Self {
            items: VecDeque::new(),
            close: Some(close),
        }
    }
}

/// The machine of a toxic for one direction of a connection.
pub(super) trait Stage: fmt::Debug + Send {
    /// What it holds.
    fn held(&self) -> &Held;

    /// What it holds.
    fn held_mut(&mut self) -> &mut Held;

    /// Whether it accepts another item. What it holds is bounded, because it receives nothing beyond its limit.
    fn has_space(&self) -> bool {
        self.held().has_space()
    }

    /// Accepts an item.
    fn push(&mut self, now: Instant, item: Item);

    /// Returns the next item that passes at `now`.
    fn pop(&mut self, now: Instant) -> Option<Item> {
        self.held_mut().pop_due(now)
    }

    /// The time at which the next item passes; `None` if it waits for an item or for its removal.
    fn next_at(&self) -> Option<Instant> {
        self.held().next_at()
    }

    /// Returns an ending that is due.
    fn end(&mut self, _now: Instant) -> Option<Ending> {
        None
    }

    /// The time of its next ending.
    fn end_at(&self) -> Option<Instant> {
        None
    }

    /// The greatest number of bytes to read from the sender at `now`; zero stops reading.
    fn read_max(&self, _now: Instant) -> usize {
        usize::MAX
    }

    /// The time at which a read that is stopped continues.
    fn read_at(&self) -> Option<Instant> {
        None
    }

    /// Whether a failure of the sender's socket, such as a reset, does not reach the receiver.
    fn swallows_failures(&self) -> bool {
        false
    }

    /// Takes over other attributes of the same kind; keeps what it counted.
    fn update(&mut self, now: Instant, kind: &ToxicKind);

    /// Ends the machine; without a loss, what it holds passes at once.
    fn remove(&mut self) -> Removal {
        Removal::passing(self.held_mut())
    }
}

/// When a machine starts to count its times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// When the connection was established.
    pub(super) established: Instant,
    /// The later one of the creation of the toxic and the start of the connection.
    pub(super) affected: Instant,
    /// Whether the toxic existed when the client was accepted.
    pub(super) is_new_connection: bool,
}

/// Creates the machine of a toxic; `None` for one that passes everything.
pub(super) fn stage(toxic: &Toxic, start: Start, generator: Generator) -> Option<Box<dyn Stage>> {
    let inner: Box<dyn Stage> = match toxic.kind {
        ToxicKind::Noop => return None,
        ToxicKind::Latency { latency, jitter } => {
            Box::new(Latency::new(latency, jitter, generator))
        }
        ToxicKind::Bandwidth { rate } => Box::new(Bandwidth::new(rate, start.affected)),
        ToxicKind::SlowClose { delay } => Box::new(SlowClose::new(delay)),
        ToxicKind::Timeout { timeout } => Box::new(Timeout::new(timeout, start.affected)),
        ToxicKind::ResetPeer { timeout } => Box::new(ResetPeer::new(timeout)),
        ToxicKind::Slicer {
            average_size,
            size_variation,
            delay,
        } => Box::new(Slicer::new(average_size, size_variation, delay, generator)),
        ToxicKind::LimitData { bytes, close } => Box::new(Limit::new(bytes, close)),
        ToxicKind::Reset { after } => Box::new(Reset::new(start.affected, after)),
        ToxicKind::HalfClose { after } => Box::new(HalfClose::new(start.affected, after)),
        ToxicKind::HalfOpen { after } => Box::new(HalfOpen::new(start.affected, after)),
        ToxicKind::BlackHole { mode, close_after } => {
            Box::new(BlackHole::new(mode, start.affected, close_after))
        }
        ToxicKind::SlowConnect {
            first_byte_delay, ..
        } => {
            if !start.is_new_connection {
                return None;
            }
            Box::new(SlowConnect::new(start.established, first_byte_delay))
        }
        ToxicKind::Stall { after_bytes, time } => {
            Box::new(Stall::new(start.affected, after_bytes, time))
        }
        ToxicKind::SlowRead { rate } => Box::new(SlowRead::new(rate, start.affected)),
        ToxicKind::Corrupt { at_byte, every } => Box::new(Corrupt::new(at_byte, every, generator)),
    };
    Some(match toxic.select.first_bytes {
        Some(count) => Box::new(FirstBytes::new(inner, count)),
        None => inner,
    })
}
