//! Toxiproxy's `timeout`: discards everything, and closes the connection after an idle time.

use std::time::Duration;

use steadfast_machine::Instant;

use super::held::Held;
use super::{Ending, Item, Removal, Stage};
use crate::toxic::{CloseMode, ToxicKind};

#[derive(Debug)]
pub(super) struct Timeout {
    idle_time: Duration,
    /// The last chunk, or the start.
    idle_since: Instant,
    /// The FIN of the sender, which passes.
    held: Held,
}

impl Timeout {
    pub(super) const fn new(idle_time: Duration, start: Instant) -> Self {
        Self {
            idle_time,
            idle_since: start,
            held: Held::new(),
        }
    }
}

impl Stage for Timeout {
    fn held(&self) -> &Held {
        &self.held
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    fn push(&mut self, now: Instant, item: Item) {
        match item {
            Item::Bytes(_) => self.idle_since = now,
            Item::Fin | Item::Close(_) => self.held.push(now, item),
        }
    }

    fn end(&mut self, now: Instant) -> Option<Ending> {
        self.end_at()
            .is_some_and(|at| at <= now)
            .then_some(Ending::Close(CloseMode::Fin))
    }

    fn end_at(&self) -> Option<Instant> {
        (!self.idle_time.is_zero()).then(|| self.idle_since + self.idle_time)
    }

    fn update(&mut self, now: Instant, kind: &ToxicKind) {
        if let ToxicKind::Timeout { timeout } = *kind {
            self.idle_time = timeout;
            self.idle_since = now;
        }
    }

    /// The connection ends, because bytes were lost.
    fn remove(&mut self) -> Removal {
        Removal::closing(CloseMode::Fin)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, chunk, millis};
    use super::*;
    use crate::toxic::Toxic;

    #[test]
    fn it_is_an_idle_timer_that_each_chunk_restarts() {
        let mut bench = Bench::new(&Toxic::timeout(millis(300)));
        for number in 1..=30 {
            bench.push(at(number * 100), chunk(b"a"));
            assert_eq!(bench.end(at(number * 100 + 99)), None);
        }

        assert_eq!(bench.end_at(), Some(at(3300)));
        assert_eq!(bench.end(at(3299)), None);
        assert_eq!(bench.end(at(3300)), Some(Ending::Close(CloseMode::Fin)));
        assert_eq!(bench.run_until(at(5000)), []);
    }

    #[test]
    fn zero_never_closes_and_a_removal_closes() {
        let bench = Bench::new(&Toxic::timeout(millis(0)));

        assert_eq!(bench.end_at(), None);
        assert_eq!(bench.remove().close, Some(CloseMode::Fin));
    }
}
