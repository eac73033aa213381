//! A slow start: the first byte of a new connection passes later. Its dial is delayed by the driver, before any byte.

use std::time::Duration;

use steadfast_machine::Instant;

use super::held::Held;
use super::{Item, Stage};
use crate::toxic::ToxicKind;

#[derive(Debug)]
pub(super) struct SlowConnect {
    established: Instant,
    opens_at: Instant,
    held: Held,
}

impl SlowConnect {
    pub(super) fn new(established: Instant, first_byte_delay: Duration) -> Self {
        Self {
            established,
            opens_at: established + first_byte_delay,
            held: Held::new(),
        }
    }
}

impl Stage for SlowConnect {
    fn held(&self) -> &Held {
        &self.held
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    fn push(&mut self, now: Instant, item: Item) {
        self.held.push(now, item);
    }

    fn pop(&mut self, now: Instant) -> Option<Item> {
        if self.next_at()? > now {
            return None;
        }
        self.held.pop().map(|(_, item)| item)
    }

    fn next_at(&self) -> Option<Instant> {
        self.held.next_at().map(|at| at.max(self.opens_at))
    }

    fn update(&mut self, _now: Instant, kind: &ToxicKind) {
        if let ToxicKind::SlowConnect {
            first_byte_delay, ..
        } = *kind
        {
            self.opens_at = self.established + first_byte_delay;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, chunk, millis};
    use super::*;
    use crate::toxic::Toxic;

    #[test]
    fn only_the_first_bytes_are_late() {
        let (dial_delay, first_byte_delay) = (millis(0), millis(200));
        let mut bench = Bench::new(&Toxic::new(ToxicKind::SlowConnect {
            dial_delay,
            first_byte_delay,
        }));
        bench.push(at(1), chunk(b"a"));
        assert_eq!(bench.run_until(at(250)), [(at(200), chunk(b"a"))]);

        bench.push(at(300), chunk(b"b"));

        assert_eq!(bench.run_until(at(300)), [(at(300), chunk(b"b"))]);
    }
}
