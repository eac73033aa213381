//! A slow reader: the sender's bytes stay in its socket, whose peer announces a zero window in the end.

use std::time::Duration;

use steadfast_machine::Instant;

use super::bandwidth::{bytes_in, time_of};
use super::held::Held;
use super::{Item, Stage};
use crate::toxic::ToxicKind;

/// The rate is kept over this time; a shorter one would mean very small reads.
const READ_TIME: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct SlowRead {
    bytes_per_second: u64,
    /// When the bytes that were read have taken their time.
    paid_until: Instant,
    held: Held,
}

impl SlowRead {
    pub(super) const fn new(rate: u64, start: Instant) -> Self {
        Self {
            bytes_per_second: rate.saturating_mul(1000),
            paid_until: start,
            held: Held::new(),
        }
    }
}

impl Stage for SlowRead {
    fn held(&self) -> &Held {
        &self.held
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    fn push(&mut self, now: Instant, item: Item) {
        if let Item::Bytes(bytes) = &item {
            let time = time_of(bytes.len(), self.bytes_per_second);
            self.paid_until = self.paid_until.max(now) + time;
        }
        self.held.push(now, item);
    }

    fn read_max(&self, now: Instant) -> usize {
        if self.bytes_per_second == 0 || now < self.paid_until {
            0
        } else {
            bytes_in(READ_TIME, self.bytes_per_second).max(1)
        }
    }

    fn read_at(&self) -> Option<Instant> {
        (self.bytes_per_second > 0).then_some(self.paid_until)
    }

    fn update(&mut self, now: Instant, kind: &ToxicKind) {
        if let ToxicKind::SlowRead { rate } = *kind {
            self.bytes_per_second = rate.saturating_mul(1000);
            self.paid_until = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, chunk};
    use crate::toxic::Toxic;

    #[test]
    fn a_rate_of_zero_reads_nothing() {
        let bench = Bench::new(&Toxic::slow_read(0));

        assert_eq!((bench.read_max(at(100_000)), bench.read_at()), (0, None));
    }

    #[test]
    fn reads_are_small_and_each_takes_its_time() {
        let mut bench = Bench::new(&Toxic::slow_read(10));
        assert_eq!(bench.read_max(at(0)), 100);

        bench.push(at(0), chunk(&[0; 100]));

        assert_eq!((bench.read_max(at(9)), bench.read_at()), (0, Some(at(10))));
        assert_eq!(bench.read_max(at(10)), 100);
        assert_eq!(bench.run_until(at(0)), [(at(0), chunk(&[0; 100]))]);
    }
}
