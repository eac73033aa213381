//! A black hole: bytes and the FIN of a direction do not arrive.

use std::time::Duration;

use steadfast_machine::Instant;

use super::held::Held;
use super::{Ending, Item, Removal, Stage};
use crate::toxic::{BlackHoleMode, CloseMode, ToxicKind};

#[derive(Debug)]
pub(super) struct BlackHole {
    mode: BlackHoleMode,
    /// When the connection is reset.
    close_at: Option<Instant>,
    held: Held,
    has_dropped: bool,
}

impl BlackHole {
    pub(super) fn new(mode: BlackHoleMode, start: Instant, close_after: Duration) -> Self {
        Self {
            mode,
            close_at: (!close_after.is_zero()).then(|| start + close_after),
            held: Held::new(),
            has_dropped: false,
        }
    }
}

impl Stage for BlackHole {
    fn held(&self) -> &Held {
        &self.held
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    fn push(&mut self, now: Instant, item: Item) {
        match self.mode {
            BlackHoleMode::Drop => self.has_dropped = true,
            BlackHoleMode::Hold => self.held.push(now, item),
        }
    }

    fn pop(&mut self, _now: Instant) -> Option<Item> {
        None
    }

    fn next_at(&self) -> Option<Instant> {
        None
    }

    fn end(&mut self, now: Instant) -> Option<Ending> {
        self.close_at
            .is_some_and(|at| at <= now)
            .then_some(Ending::Close(CloseMode::Rst))
    }

    fn end_at(&self) -> Option<Instant> {
        self.close_at
    }

    fn swallows_failures(&self) -> bool {
        true
    }

    /// What is held stays held; in the mode `drop` it is lost at the removal.
    fn update(&mut self, now: Instant, kind: &ToxicKind) {
        if let ToxicKind::BlackHole { mode, close_after } = *kind {
            self.mode = mode;
            self.close_at = (!close_after.is_zero()).then(|| now + close_after);
        }
    }

    /// A connection that lost bytes is reset, because its receiver would misread what follows.
    fn remove(&mut self) -> Removal {
        if self.has_dropped {
            Removal::closing(CloseMode::Rst)
        } else {
            Removal::passing(&mut self.held)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, chunk, millis};
    use super::*;
    use crate::toxic::Toxic;

    fn blackhole(mode: BlackHoleMode, close_after: Duration) -> Bench {
        Bench::new(&Toxic::new(ToxicKind::BlackHole { mode, close_after }))
    }

    #[test]
    fn dropped_bytes_never_pass_and_the_removal_resets() {
        let mut bench = blackhole(BlackHoleMode::Drop, Duration::ZERO);
        for _ in 0..1000 {
            bench.push(at(0), chunk(&[0; 1024]));
        }
        bench.push(at(0), Item::Fin);

        assert_eq!(bench.run_until(at(100_000)), []);
        assert_eq!(bench.end_at(), None);
        let removal = bench.remove();
        assert_eq!(
            (removal.items.len(), removal.close),
            (0, Some(CloseMode::Rst))
        );
    }

    #[test]
    fn a_connection_that_lost_nothing_survives_the_removal() {
        let bench = blackhole(BlackHoleMode::Drop, Duration::ZERO);

        assert_eq!(bench.remove().close, None);
    }

    #[test]
    fn held_bytes_are_bounded_and_pass_at_the_removal() {
        let mut bench = blackhole(BlackHoleMode::Hold, Duration::ZERO);
        let mut count = 0;
        while bench.has_space() {
            bench.push(at(0), chunk(&[0; 1024]));
            count += 1;
        }

        assert_eq!(bench.run_until(at(100_000)), []);
        let removal = bench.remove();
        assert_eq!((count, removal.items.len(), removal.close), (64, 64, None));
    }

    #[test]
    fn the_absolute_time_to_close_is_not_extended_by_chunks() {
        let mut bench = blackhole(BlackHoleMode::Drop, millis(300));
        bench.push(at(299), chunk(b"a"));

        assert_eq!(bench.end(at(299)), None);
        assert_eq!(bench.end(at(300)), Some(Ending::Close(CloseMode::Rst)));
    }
}
