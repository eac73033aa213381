//! The migrations of a run: sessions replace their connections while these are open.
//!
//! They have their own randomness, so that a seed without migrations means the same as before there were any.

use std::time::Duration;

use steadfast_core::policy::FailbackSettings;
use steadfast_machine::{Generator, Seed};

/// Of the generator of the migrations, so that it differs from the others of the run. With it, the seeds that the tests
/// repeat because they once found an error have no migrations, and still mean the same.
const SALT: u64 = 0x6d16_0000;

/// In a third of the runs, each session migrates up to this number of times.
const MIGRATIONS_MAX: u64 = 12;

/// In these runs a session soon returns to the node that it prefers.
pub(crate) const FAILBACK: FailbackSettings =
    FailbackSettings::new(Duration::from_millis(300)).jitter(Duration::from_secs(1));

/// Whether sessions of the run with this seed migrate, and the generator of their times.
pub(crate) fn generator(seed: u64) -> Option<Generator> {
    let mut generator = Seed::new(seed ^ SALT).generator();
    generator.chance(1, 3).then_some(generator)
}

/// Draws the times at which a session migrates.
pub(crate) fn draw_times(generator: &mut Generator, within: Duration) -> Vec<Duration> {
    let count = 1 + generator.below(MIGRATIONS_MAX);
    (0..count)
        .map(|_| generator.between(Duration::from_millis(50), within))
        .collect()
}
