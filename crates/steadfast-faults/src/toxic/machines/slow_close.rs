//! A slow close: bytes pass, the FIN passes later.

use std::time::Duration;

use steadfast_machine::Instant;

use super::held::Held;
use super::{Item, Stage};
use crate::toxic::ToxicKind;

#[derive(Debug)]
pub(super) struct SlowClose {
    delay: Duration,
    held: Held,
}

impl SlowClose {
    pub(super) const fn new(delay: Duration) -> Self {
        Self {
            delay,
            held: Held::new(),
        }
    }
}

impl Stage for SlowClose {
    fn held(&self) -> &Held {
        &self.held
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    fn push(&mut self, now: Instant, item: Item) {
        let at = match item {
            Item::Fin => now + self.delay,
            Item::Bytes(_) | Item::Close(_) => now,
        };
        self.held.push(at, item);
    }

    /// A FIN that is held passes at once, as on removal.
    fn update(&mut self, now: Instant, kind: &ToxicKind) {
        if let ToxicKind::SlowClose { delay } = *kind {
            self.delay = delay;
            self.held.release(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, chunk, millis};
    use super::*;
    use crate::toxic::Toxic;

    #[test]
    fn only_the_fin_is_delayed() {
        let mut bench = Bench::new(&Toxic::slow_close(millis(500)));
        bench.push(at(10), chunk(b"a"));
        bench.push(at(10), Item::Fin);

        let passed = bench.run_until(at(1000));

        assert_eq!(passed, [(at(10), chunk(b"a")), (at(510), Item::Fin)]);
    }

    #[test]
    fn a_removal_passes_the_fin() {
        let mut bench = Bench::new(&Toxic::slow_close(millis(500)));
        bench.push(at(10), Item::Fin);

        assert_eq!(bench.remove().items, [Item::Fin]);
    }
}
