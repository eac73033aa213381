//! The instants at which a client publishes: a random start, then one publication per period with random jitter.
//!
//! The schedule is fixed before the run and does not wait for replies (open loop), so that a slow server cannot slow
//! the load down and hide its slowness.

use std::time::Duration;

use steadfast_machine::{Generator, Seed};

use crate::scenario::model::Publishing;
use crate::topology::ClientId;

/// The instants at which one client publishes, relative to the start of the baseline, in ascending order.
#[derive(Clone, Debug)]
pub struct PublishSchedule {
    generator: Generator,
    next: Duration,
    every: Duration,
    jitter: Duration,
    last: Duration,
    until: Duration,
}

impl PublishSchedule {
    pub(super) fn new(send: &Publishing, seed: u64, client: ClientId, until: Duration) -> Self {
        let mut run_generator = Seed::new(seed).generator();
        let mut generator = Seed::new(run_generator.next_u64() ^ u64::from(client.0)).generator();
        let next = generator.between(Duration::ZERO, send.every);
        // Half a period at most, so that two publications never swap.
        let jitter = send.every.saturating_mul(send.jitter_percent.min(50)) / 100;
        Self {
            generator,
            next,
            every: send.every,
            jitter,
            last: Duration::ZERO,
            until,
        }
    }
}

impl Iterator for PublishSchedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let shift = self
            .generator
            .between(Duration::ZERO, self.jitter.saturating_mul(2));
        let at = (self.next + shift)
            .saturating_sub(self.jitter)
            .max(self.last);
        if at >= self.until || self.every.is_zero() {
            return None;
        }
        self.next = self.next.saturating_add(self.every);
        self.last = at;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(200);
    const UNTIL: Duration = Duration::from_mins(1);

    #[test]
    fn a_client_publishes_once_per_period_in_ascending_order() {
        let instants: Vec<Duration> = schedule(7, 1).collect();

        assert!(instants.len().abs_diff(300) <= 1, "{}", instants.len());
        assert!(instants.is_sorted());
        assert!(instants.last().unwrap() < &UNTIL);
    }

    #[test]
    fn equal_seeds_give_equal_instants_and_clients_differ() {
        let first: Vec<Duration> = schedule(7, 1).collect();

        assert_eq!(first, schedule(7, 1).collect::<Vec<_>>());
        assert_ne!(first, schedule(7, 2).collect::<Vec<_>>());
        assert_ne!(first, schedule(8, 1).collect::<Vec<_>>());
    }

    fn schedule(seed: u64, client: u32) -> PublishSchedule {
        let send = Publishing {
            every: EVERY,
            jitter_percent: 50,
            payload_bytes: 120,
            channels: 1,
            queue_len_max: 10,
            ops: Vec::new(),
            timeout: EVERY,
        };
        PublishSchedule::new(&send, seed, ClientId(client), UNTIL)
    }
}
