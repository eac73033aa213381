//! A stall: nothing passes for a time, then everything.

use std::time::Duration;

use steadfast_machine::{Instant, convert};

use super::held::Held;
use super::{Item, Stage};
use crate::toxic::ToxicKind;

#[derive(Debug)]
pub(super) struct Stall {
    /// The number of bytes that still pass before.
    bytes_left: u64,
    time: Duration,
    /// When it began.
    since: Option<Instant>,
    held: Held,
}

impl Stall {
    pub(super) fn new(start: Instant, after_bytes: u64, time: Duration) -> Self {
        Self {
            bytes_left: after_bytes,
            time,
            since: (after_bytes == 0).then_some(start),
            held: Held::new(),
        }
    }

    /// Until when nothing passes; `None` until the removal.
    fn until(&self, since: Instant) -> Option<Instant> {
        (!self.time.is_zero()).then(|| since + self.time)
    }
}

impl Stage for Stall {
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
        if self.since.is_some() {
            return self.held.pop().map(|(_, item)| item);
        }
        let item = self.held.take(convert::saturating(self.bytes_left));
        if let Some(Item::Bytes(bytes)) = &item {
            self.bytes_left -= convert::to_u64(bytes.len());
        }
        if self.bytes_left == 0 {
            self.since = Some(now);
        }
        item
    }

    fn next_at(&self) -> Option<Instant> {
        let arrived = self.held.next_at()?;
        match self.since {
            Some(since) => self.until(since).map(|until| until.max(arrived)),
            None => Some(arrived),
        }
    }

    /// A stall that has begun takes over the new time.
    fn update(&mut self, _now: Instant, kind: &ToxicKind) {
        if let ToxicKind::Stall { time, .. } = *kind {
            self.time = time;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, bytes_of, chunk, millis};
    use super::*;
    use crate::toxic::Toxic;

    #[test]
    fn everything_passes_after_its_time() {
        let mut bench = Bench::new(&Toxic::stall_for(millis(100)));
        bench.push(at(10), chunk(b"a"));
        bench.push(at(20), Item::Fin);

        assert_eq!(bench.run_until(at(99)), []);
        assert_eq!(
            bench.run_until(at(200)),
            [(at(100), chunk(b"a")), (at(100), Item::Fin)]
        );
        bench.push(at(300), chunk(b"b"));
        assert_eq!(bench.run_until(at(300)), [(at(300), chunk(b"b"))]);
    }

    #[test]
    fn it_begins_after_a_number_of_bytes() {
        let (after_bytes, time) = (3, millis(0));
        let mut bench = Bench::new(&Toxic::new(ToxicKind::Stall { after_bytes, time }));
        bench.push(at(0), chunk(b"abcde"));

        assert_eq!(bytes_of(&bench.run_until(at(100_000))), b"abc");
        assert_eq!(bench.remove().items, [chunk(b"de")]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut bench = Bench::new(&Toxic::stall());
        let mut count = 0;
        while bench.has_space() {
            bench.push(at(0), chunk(&[0; 1024]));
            count += 1;
        }
        assert_eq!(count, 64);
    }
}
