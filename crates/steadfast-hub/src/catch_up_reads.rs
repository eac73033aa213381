//! How many reads a hub that catches up has in flight, and when it pauses.

use std::time::Duration;

use steadfast_machine::Instant;

/// The first pause after a read was rejected, and the longest one. Doubled in between.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The reads of a hub that catches up. The channels that wait for theirs are in the table of channels.
#[derive(Debug)]
pub(crate) struct CatchUpReads {
    in_flight: usize,
    /// The end of the pause after a read was rejected.
    paused_until: Option<Instant>,
    next_pause: Duration,
}

impl CatchUpReads {
    pub(crate) const fn new() -> Self {
        Self {
            in_flight: 0,
            paused_until: None,
            next_pause: PAUSE_MIN,
        }
    }

    /// Whether another read may be sent.
    pub(crate) const fn has_capacity(&self, reads_max: usize) -> bool {
        self.paused_until.is_none() && self.in_flight < reads_max
    }

    /// Records that a read was sent.
    pub(crate) const fn begin(&mut self) {
        self.in_flight += 1;
    }

    /// Records a response. One during a pause is to a read that was sent before: it does not end the pause.
    pub(crate) const fn complete(&mut self) {
        self.in_flight -= 1;
        if self.paused_until.is_none() {
            self.next_pause = PAUSE_MIN;
        }
    }

    /// Records that a read was rejected. One during a pause was sent before: it does not make the pause longer.
    pub(crate) fn reject(&mut self, now: Instant) {
        self.in_flight -= 1;
        if self.paused_until.is_none() {
            self.paused_until = Some(now + self.next_pause);
            self.next_pause = self.next_pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    /// Ends the pause if its time has passed. Returns `false` if not.
    pub(crate) fn end_pause(&mut self, now: Instant) -> bool {
        self.paused_until.take_if(|end| *end <= now).is_some()
    }

    /// The end of the pause.
    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.paused_until
    }
}
