//! Bandwidth: at most a number of bytes per second, per connection and direction.

use std::time::Duration;

use steadfast_machine::{Instant, convert};

use super::held::Held;
use super::{HELD_BYTES_MAX, Item, Stage};
use crate::toxic::ToxicKind;

/// A chunk passes in pieces of at most this much time.
const PIECE_TIME: Duration = Duration::from_millis(100);

/// A fast connection holds one piece, so that its rate does not depend on how often it is driven, but no more than this.
const FAST_HELD_BYTES_MAX: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Bandwidth {
    bytes_per_second: u64,
    /// Items with the time of their arrival.
    held: Held,
    /// When the last piece had passed completely.
    free_at: Instant,
}

impl Bandwidth {
    pub(super) const fn new(rate: u64, start: Instant) -> Self {
        Self {
            bytes_per_second: rate.saturating_mul(1000),
            held: Held::new(),
            free_at: start,
        }
    }

    /// The length of the piece that passes next, and when it has passed; `None` while nothing passes.
    fn next_piece(&self) -> Option<(usize, Instant)> {
        let (arrived, item) = self.held.front()?;
        let start = self.free_at.max(*arrived);
        let Item::Bytes(bytes) = item else {
            return Some((0, start));
        };
        if self.bytes_per_second == 0 {
            return None;
        }
        let len = bytes
            .len()
            .min(bytes_in(PIECE_TIME, self.bytes_per_second).max(1));
        Some((len, start + time_of(len, self.bytes_per_second)))
    }
}

impl Stage for Bandwidth {
    fn held(&self) -> &Held {
        &self.held
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    fn has_space(&self) -> bool {
        let piece = bytes_in(PIECE_TIME, self.bytes_per_second);
        self.held.bytes() < piece.clamp(HELD_BYTES_MAX, FAST_HELD_BYTES_MAX)
    }

    fn push(&mut self, now: Instant, item: Item) {
        self.held.push(now, item);
    }

    fn pop(&mut self, now: Instant) -> Option<Item> {
        let (len, passed_at) = self.next_piece()?;
        if passed_at > now {
            return None;
        }
        self.free_at = passed_at;
        self.held.take(len.max(1))
    }

    fn next_at(&self) -> Option<Instant> {
        self.next_piece().map(|(_, passed_at)| passed_at)
    }

    /// The piece that passes now starts again at the new rate.
    fn update(&mut self, now: Instant, kind: &ToxicKind) {
        if let ToxicKind::Bandwidth { rate } = kind {
            self.bytes_per_second = rate.saturating_mul(1000);
            self.free_at = self.free_at.max(now);
        }
    }
}

/// The number of bytes that pass in this time.
pub(super) fn bytes_in(time: Duration, bytes_per_second: u64) -> usize {
    let bytes = u128::from(bytes_per_second).saturating_mul(time.as_nanos()) / 1_000_000_000;
    convert::saturating(bytes)
}

/// How long a number of bytes takes, rounded up, so that nothing passes early. The rate is not zero.
pub(super) fn time_of(bytes: usize, bytes_per_second: u64) -> Duration {
    let nanos = u128::from(convert::to_u64(bytes)).saturating_mul(1_000_000_000);
    let rate = u128::from(bytes_per_second.max(1));
    Duration::from_nanos(convert::saturating(nanos.div_ceil(rate)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, bytes_of, chunk, millis};
    use super::*;
    use crate::toxic::Toxic;

    #[test]
    fn a_rate_of_100_passes_100_000_bytes_per_second_in_pieces_of_100_ms() {
        let mut bench = Bench::new(&Toxic::bandwidth(100));
        bench.push(at(0), chunk(&vec![1; 50_000]));
        bench.push(at(0), chunk(&vec![2; 50_000]));
        bench.push(at(0), Item::Fin);

        let passed = bench.run_until(at(2000));

        assert_eq!(bytes_of(&passed).len(), 100_000);
        assert_eq!(passed.last(), Some(&(at(1000), Item::Fin)));
        let times: Vec<_> = passed.iter().map(|it| it.0).collect();
        let expected: Vec<_> = (1..=10)
            .map(|piece| at(100 * piece))
            .chain([at(1000)])
            .collect();
        assert_eq!(times, expected);
    }

    #[test]
    fn an_idle_time_is_not_saved_up() {
        let mut bench = Bench::new(&Toxic::bandwidth(1));
        bench.push(at(5000), chunk(&[0; 100]));

        assert_eq!(bench.run_until(at(5099)), []);
        assert_eq!(bytes_of(&bench.run_until(at(5100))).len(), 100);
    }

    #[test]
    fn a_rate_of_zero_holds_a_bounded_number_of_bytes_until_it_changes() {
        let mut bench = Bench::new(&Toxic::bandwidth(0));
        while bench.has_space() {
            bench.push(at(0), chunk(&[0; 1024]));
        }
        assert_eq!(bench.run_until(at(100_000)), []);

        bench.update(at(100_000), &Toxic::bandwidth(64));
        let passed = bench.run_until(at(101_024));
        assert_eq!(bytes_of(&passed).len(), 64 << 10);
        assert!(passed[0].0 > at(100_000));
    }

    #[test]
    fn a_removal_passes_what_is_held() {
        let mut bench = Bench::new(&Toxic::bandwidth(0));
        bench.push(at(0), chunk(b"abc"));

        assert_eq!(bench.remove().items, [chunk(b"abc")]);
    }

    #[test]
    fn a_fast_rate_holds_one_piece_and_no_more_than_4_mib() {
        for (rate, held) in [(10_000, 1_000_000), (u64::MAX, 4 << 20)] {
            let mut bench = Bench::new(&Toxic::bandwidth(rate));
            let mut count = 0;
            while bench.has_space() {
                bench.push(at(0), chunk(&[0; 1000]));
                count += 1000;
            }
            assert!((held..held + 1000).contains(&count), "{rate}: {count}");
        }
        assert_eq!(time_of(1, u64::MAX), millis(0) + Duration::from_nanos(1));
    }
}
