//! Latency with jitter: each chunk passes later, in order, without a limit on the throughput.

use std::time::Duration;

use steadfast_machine::{Generator, Instant};

use super::held::Held;
use super::{Item, Stage};
use crate::toxic::ToxicKind;

/// The limits of what is in flight in one direction; the sender waits beyond. 32 MiB are 100 ms at 2.5 Gbit/s.
const IN_FLIGHT_BYTES_MAX: usize = 32 << 20;
const IN_FLIGHT_CHUNKS_MAX: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Latency {
    mean: Duration,
    jitter: Duration,
    generator: Generator,
    held: Held,
    /// When the newest item passes; none overtakes it.
    last_at: Instant,
}

impl Latency {
    pub(super) const fn new(mean: Duration, jitter: Duration, generator: Generator) -> Self {
        Self {
            mean,
            jitter,
            generator,
            held: Held::new(),
            last_at: Instant::START,
        }
    }

    fn draw_delay(&mut self) -> Duration {
        if self.jitter.is_zero() {
            return self.mean;
        }
        let deviation = self
            .generator
            .between(Duration::ZERO, self.jitter.saturating_mul(2));
        self.mean
            .saturating_add(deviation)
            .saturating_sub(self.jitter)
    }
}

impl Stage for Latency {
    fn held(&self) -> &Held {
        &self.held
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    fn has_space(&self) -> bool {
        self.held.bytes() < IN_FLIGHT_BYTES_MAX && self.held.len() < IN_FLIGHT_CHUNKS_MAX
    }

    fn push(&mut self, now: Instant, item: Item) {
        let delay = match item {
            Item::Bytes(_) => self.draw_delay(),
            // It only waits for the bytes before it.
            Item::Fin | Item::Close(_) => Duration::ZERO,
        };
        self.last_at = self.last_at.max(now + delay);
        self.held.push(self.last_at, item);
    }

    /// What is held passes at once, as on removal.
    fn update(&mut self, now: Instant, kind: &ToxicKind) {
        if let ToxicKind::Latency { latency, jitter } = *kind {
            self.mean = latency;
            self.jitter = jitter;
            self.held.release(now);
            self.last_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, chunk, millis};
    use super::*;
    use crate::toxic::Toxic;

    #[test]
    fn fifty_chunks_with_a_distance_of_1_ms_take_149_ms_and_keep_their_order() {
        let mut bench = Bench::new(&Toxic::latency(millis(100)));
        for number in 0..50 {
            bench.push(at(u64::from(number)), chunk(&[number]));
        }

        let passed = bench.run_until(at(1000));

        let expected: Vec<_> = (0..50)
            .map(|number| (at(100 + u64::from(number)), chunk(&[number])))
            .collect();
        assert_eq!(passed, expected);
    }

    #[test]
    fn jitter_stays_within_its_range_and_never_reorders() {
        let mut bench = Bench::new(&Toxic::latency_with_jitter(millis(50), millis(20)));
        let mut delays = Vec::new();
        for number in 0..200 {
            bench.push(at(u64::from(number) * 100), chunk(&[number]));
            let passed = bench.run_until(at(u64::from(number) * 100 + 99));
            assert_eq!(passed.len(), 1);
            delays.push(passed[0].0.saturating_since(at(u64::from(number) * 100)));
        }
        assert!(
            delays
                .iter()
                .all(|delay| (millis(30)..=millis(70)).contains(delay))
        );
        assert!(delays.iter().any(|delay| *delay < millis(35)));
        assert!(delays.iter().any(|delay| *delay > millis(65)));

        for number in 0..200 {
            bench.push(at(30_000), chunk(&[number]));
        }
        let order: Vec<_> = bench
            .run_until(at(40_000))
            .into_iter()
            .map(|it| it.1)
            .collect();
        assert_eq!(
            order,
            (0..200).map(|number| chunk(&[number])).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_jitter_above_the_latency_never_means_a_time_before_now() {
        let mut bench = Bench::new(&Toxic::latency_with_jitter(millis(1), millis(100)));

        bench.push(at(5), chunk(b"a"));

        let passed = bench.run_until(at(200));
        assert!(passed[0].0 >= at(5));
    }

    #[test]
    fn the_fin_waits_for_the_bytes_only_and_a_removal_passes_all() {
        let mut bench = Bench::new(&Toxic::latency(millis(100)));
        bench.push(at(0), chunk(b"a"));
        bench.push(at(60), Item::Fin);
        assert_eq!(bench.run_until(at(99)), []);
        assert_eq!(
            bench.run_until(at(100)),
            [(at(100), chunk(b"a")), (at(100), Item::Fin)]
        );

        bench.push(at(200), chunk(b"b"));
        let removal = bench.remove();
        assert_eq!(
            (removal.items.into(), removal.close),
            (vec![chunk(b"b")], None)
        );
    }

    #[test]
    fn what_is_in_flight_is_bounded() {
        let mut bench = Bench::new(&Toxic::latency(millis(100)));
        let mut count = 0;
        while bench.has_space() {
            bench.push(at(0), chunk(&[0; 1024]));
            count += 1;
        }
        assert_eq!(count, 32 << 10);
    }

    #[test]
    fn an_update_passes_what_is_held() {
        let mut bench = Bench::new(&Toxic::latency(millis(1000)));
        bench.push(at(0), chunk(b"a"));
        bench.update(at(10), &Toxic::latency(millis(5)));
        bench.push(at(10), chunk(b"b"));

        assert_eq!(
            bench.run_until(at(100)),
            [(at(10), chunk(b"a")), (at(15), chunk(b"b"))]
        );
    }
}
