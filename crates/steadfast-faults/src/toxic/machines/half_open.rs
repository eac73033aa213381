//! A half-open connection: the sender is gone, and the receiver does not know it.

use std::time::Duration;

use steadfast_machine::Instant;

use super::held::Held;
use super::{Ending, Item, Stage};
use crate::toxic::ToxicKind;

/// Passes everything until the sender's side is closed.
#[derive(Debug)]
pub(super) struct HalfOpen {
    at: Instant,
    held: Held,
}

impl HalfOpen {
    pub(super) fn new(start: Instant, after: Duration) -> Self {
        Self {
            at: start + after,
            held: Held::new(),
        }
    }
}

impl Stage for HalfOpen {
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
        (self.at <= now).then_some(Ending::Forget)
    }

    fn end_at(&self) -> Option<Instant> {
        Some(self.at)
    }

    fn update(&mut self, now: Instant, kind: &ToxicKind) {
        if let ToxicKind::HalfOpen { after } = *kind {
            self.at = now + after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, millis};
    use super::*;
    use crate::toxic::Toxic;

    #[test]
    fn the_sender_is_forgotten_at_its_time() {
        let mut bench = Bench::new(&Toxic::new(ToxicKind::HalfOpen { after: millis(50) }));

        assert_eq!(bench.end_at(), Some(at(50)));
        assert_eq!(bench.end(at(49)), None);
        assert_eq!(bench.end(at(50)), Some(Ending::Forget));
    }
}
