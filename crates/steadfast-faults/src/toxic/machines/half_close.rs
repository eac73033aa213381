//! A half-close: a FIN in one direction, while the other stays open.

use std::time::Duration;

use steadfast_machine::Instant;

use super::held::Held;
use super::{Item, Stage};
use crate::toxic::ToxicKind;

#[derive(Debug)]
pub(super) struct HalfClose {
    at: Instant,
    held: Held,
    has_passed_fin: bool,
}

impl HalfClose {
    pub(super) fn new(start: Instant, after: Duration) -> Self {
        Self {
            at: start + after,
            held: Held::new(),
            has_passed_fin: false,
        }
    }
}

impl Stage for HalfClose {
    fn held(&self) -> &Held {
        &self.held
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    fn push(&mut self, now: Instant, item: Item) {
        if !self.has_passed_fin && now < self.at {
            self.held.push(now, item);
        }
    }

    fn pop(&mut self, now: Instant) -> Option<Item> {
        if let Some(item) = self.held.pop_due(now) {
            self.has_passed_fin |= item == Item::Fin;
            return Some(item);
        }
        if self.has_passed_fin || now < self.at {
            return None;
        }
        self.has_passed_fin = true;
        Some(Item::Fin)
    }

    fn next_at(&self) -> Option<Instant> {
        let fin = (!self.has_passed_fin).then_some(self.at);
        [self.held.next_at(), fin].into_iter().flatten().min()
    }

    fn update(&mut self, now: Instant, kind: &ToxicKind) {
        if let ToxicKind::HalfClose { after } = *kind {
            self.at = now + after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, chunk, millis};
    use super::*;
    use crate::toxic::Toxic;

    #[test]
    fn the_fin_passes_once_after_the_bytes_before_it_and_later_bytes_are_discarded() {
        let mut bench = Bench::new(&Toxic::new(ToxicKind::HalfClose { after: millis(50) }));
        bench.push(at(10), chunk(b"a"));
        assert_eq!(bench.run_until(at(49)), [(at(10), chunk(b"a"))]);
        assert_eq!(bench.run_until(at(60)), [(at(50), Item::Fin)]);

        bench.push(at(70), chunk(b"b"));
        bench.push(at(70), Item::Fin);

        assert_eq!(bench.run_until(at(1000)), []);
    }
}
