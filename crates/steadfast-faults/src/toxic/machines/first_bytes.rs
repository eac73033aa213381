//! A machine that handles only the first bytes of its direction; later ones pass after them.

use steadfast_machine::{Instant, convert};

use super::held::Held;
use super::{Ending, Item, Removal, Stage};
use crate::toxic::ToxicKind;

#[derive(Debug)]
pub(super) struct FirstBytes {
    inner: Box<dyn Stage>,
    /// The number of bytes that the inner machine still receives.
    left: u64,
    /// Items that the inner machine does not receive any more.
    later: Held,
}

impl FirstBytes {
    pub(super) const fn new(inner: Box<dyn Stage>, count: u64) -> Self {
        Self {
            inner,
            left: count,
            later: Held::new(),
        }
    }

    const fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Whether the inner machine neither receives nor holds anything any more.
    fn is_bypassed(&self) -> bool {
        self.is_over() && self.inner.held().is_empty()
    }
}

impl Stage for FirstBytes {
    fn held(&self) -> &Held {
        &self.later
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.later
    }

    fn has_space(&self) -> bool {
        if self.is_over() {
            self.later.has_space()
        } else {
            self.inner.has_space()
        }
    }

    fn push(&mut self, now: Instant, item: Item) {
        if self.is_over() {
            self.later.push(now, item);
            return;
        }
        let Item::Bytes(mut bytes) = item else {
            self.inner.push(now, item);
            return;
        };
        let later = bytes.split_off(bytes.len().min(convert::saturating(self.left)));
        self.left -= convert::to_u64(bytes.len());
        self.inner.push(now, Item::Bytes(bytes));
        if !later.is_empty() {
            self.later.push(now, Item::Bytes(later));
        }
    }

    fn pop(&mut self, now: Instant) -> Option<Item> {
        // The order stays: later bytes wait for all that the inner machine holds, but not for what it lost.
        if self.is_bypassed() {
            self.later.pop_due(now)
        } else {
            self.inner.pop(now)
        }
    }

    fn next_at(&self) -> Option<Instant> {
        if self.is_bypassed() {
            self.later.next_at()
        } else {
            self.inner.next_at()
        }
    }

    fn swallows_failures(&self) -> bool {
        !self.is_over() && self.inner.swallows_failures()
    }

    fn end(&mut self, now: Instant) -> Option<Ending> {
        if self.is_over() {
            None
        } else {
            self.inner.end(now)
        }
    }

    fn end_at(&self) -> Option<Instant> {
        if self.is_over() {
            None
        } else {
            self.inner.end_at()
        }
    }

    fn read_max(&self, now: Instant) -> usize {
        if self.is_over() {
            usize::MAX
        } else {
            self.inner.read_max(now)
        }
    }

    fn read_at(&self) -> Option<Instant> {
        if self.is_over() {
            None
        } else {
            self.inner.read_at()
        }
    }

    fn update(&mut self, now: Instant, kind: &ToxicKind) {
        self.inner.update(now, kind);
    }

    fn remove(&mut self) -> Removal {
        let mut removal = self.inner.remove();
        removal.items.extend(self.later.drain());
        removal
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, bytes_of, chunk, millis};
    use crate::toxic::{Select, Toxic};

    fn first_bytes(toxic: Toxic, count: u64) -> Bench {
        Bench::new(&toxic.select(Select {
            first_bytes: Some(count),
            ..Select::default()
        }))
    }

    #[test]
    fn only_the_first_bytes_are_delayed_and_later_ones_do_not_overtake_them() {
        let mut bench = first_bytes(Toxic::latency(millis(100)), 3);
        bench.push(at(0), chunk(b"abcde"));
        let passed = bench.run_until(at(100));
        assert_eq!(passed, [(at(100), chunk(b"abc")), (at(100), chunk(b"de"))]);

        bench.push(at(200), chunk(b"f"));

        assert_eq!(bench.run_until(at(200)), [(at(200), chunk(b"f"))]);
    }

    #[test]
    fn what_follows_lost_bytes_passes() {
        let mut bench = first_bytes(Toxic::black_hole(), 3);
        bench.push(at(0), chunk(b"abcde"));

        assert_eq!(bytes_of(&bench.run_until(at(0))), b"de");
    }

    #[test]
    fn what_follows_held_bytes_waits_for_them() {
        let mut bench = first_bytes(Toxic::stall(), 3);
        bench.push(at(0), chunk(b"abcde"));

        assert_eq!(bench.run_until(at(1000)), []);
        assert_eq!(bench.remove().items, [chunk(b"abc"), chunk(b"de")]);
    }
}
