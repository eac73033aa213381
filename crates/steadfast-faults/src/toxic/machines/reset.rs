//! Resets: of a connection after a time, and Toxiproxy's `reset_peer` after the first chunk.

use std::time::Duration;

use steadfast_machine::Instant;

use super::held::Held;
use super::{Ending, Item, Stage};
use crate::toxic::{CloseMode, ToxicKind};

/// Passes everything until it resets.
#[derive(Debug)]
pub(super) struct Reset {
    at: Instant,
    held: Held,
}

impl Reset {
    pub(super) fn new(start: Instant, after: Duration) -> Self {
        Self {
            at: start + after,
            held: Held::new(),
        }
    }
}

impl Stage for Reset {
    fn held(&self) -> &Held {
        &self.held
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    fn push(&mut self, now: Instant, item: Item) {
        self.held.push(now, item);
    }

    fn end(&mut self, now: Instant) -> Option<Ending> {
        (self.at <= now).then_some(Ending::Close(CloseMode::Rst))
    }

    fn end_at(&self) -> Option<Instant> {
        Some(self.at)
    }

    fn update(&mut self, now: Instant, kind: &ToxicKind) {
        if let ToxicKind::Reset { after } = *kind {
            self.at = now + after;
        }
    }
}

/// Holds the first chunk, and resets after a time.
#[derive(Debug)]
pub(super) struct ResetPeer {
    timeout: Duration,
    /// The first chunk or the FIN with the time of its arrival.
    held: Held,
}

impl ResetPeer {
    pub(super) const fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            held: Held::new(),
        }
    }
}

impl Stage for ResetPeer {
    fn held(&self) -> &Held {
        &self.held
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    fn has_space(&self) -> bool {
        self.held.is_empty()
    }

    fn push(&mut self, now: Instant, item: Item) {
        self.held.push(now, item);
    }

    fn pop(&mut self, _now: Instant) -> Option<Item> {
        None
    }

    fn next_at(&self) -> Option<Instant> {
        None
    }

    fn end(&mut self, now: Instant) -> Option<Ending> {
        self.end_at()
            .is_some_and(|at| at <= now)
            .then_some(Ending::Close(CloseMode::Rst))
    }

    fn end_at(&self) -> Option<Instant> {
        self.held.next_at().map(|arrived| arrived + self.timeout)
    }

    fn update(&mut self, _now: Instant, kind: &ToxicKind) {
        if let ToxicKind::ResetPeer { timeout } = *kind {
            self.timeout = timeout;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, chunk, millis};
    use super::*;
    use crate::toxic::Toxic;

    const RST: Option<Ending> = Some(Ending::Close(CloseMode::Rst));

    #[test]
    fn an_idle_connection_is_reset_after_its_time() {
        let mut bench = Bench::new(&Toxic::reset_after(millis(50)));

        assert_eq!((bench.end(at(49)), bench.end(at(50))), (None, RST));
        assert_eq!(Bench::new(&Toxic::reset()).end(at(0)), RST);
    }

    #[test]
    fn bytes_pass_before_the_reset() {
        let mut bench = Bench::new(&Toxic::reset_after(millis(50)));
        bench.push(at(10), chunk(b"a"));

        assert_eq!(bench.run_until(at(49)), [(at(10), chunk(b"a"))]);
    }

    #[test]
    fn a_peer_is_reset_only_after_its_first_chunk_which_does_not_pass() {
        let mut bench = Bench::new(&Toxic::reset_peer(millis(50)));
        assert_eq!((bench.end(at(1000)), bench.end_at()), (None, None));

        bench.push(at(1000), chunk(b"a"));

        assert!(!bench.has_space());
        assert_eq!(bench.run_until(at(2000)), []);
        assert_eq!((bench.end(at(1049)), bench.end(at(1050))), (None, RST));
        assert_eq!(bench.remove().items, [chunk(b"a")]);
    }
}
