//! The delay before the next attempt: it doubles, and each client draws its own.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use crate::client::bug::Bug;

/// The longest first delay.
const FIRST: Duration = Duration::from_millis(600);
/// The longest of all delays.
const LONGEST: Duration = Duration::from_millis(2_400);
/// A delay is at least this part of the longest of its attempt.
const SHORTEST_DIVISOR: u32 = 4;

/// The delays between the attempts of a client.
#[derive(Debug)]
pub(super) struct Backoff {
    longest: Duration,
    bug: Option<Bug>,
}

impl Backoff {
    pub(super) const fn new(bug: Option<Bug>) -> Self {
        Self {
            longest: FIRST,
            bug,
        }
    }

    /// The delay before the next attempt.
    pub(super) fn next(&mut self) -> Duration {
        let longest = self.longest;
        self.longest = (longest * 2).min(LONGEST);
        if self.bug == Some(Bug::NoJitter) {
            return longest;
        }
        let shortest = longest / SHORTEST_DIVISOR;
        shortest + longest.saturating_sub(shortest).mul_f64(random_part())
    }

    pub(super) const fn reset(&mut self) {
        self.longest = FIRST;
    }
}

/// Eight bytes from the seed of the standard library's hash maps.
pub(super) fn random_bytes() -> [u8; 8] {
    RandomState::new().hash_one(0_u8).to_ne_bytes()
}

/// A number from 0 to 1.
fn random_part() -> f64 {
    let [a, b, c, d, ..] = random_bytes();
    f64::from(u32::from_ne_bytes([a, b, c, d])) / f64::from(u32::MAX)
}
