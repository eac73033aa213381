//! Units: time, size and seeded randomness; in [`convert`], integers of other types.
//!
//! A number never leaves its module without its unit, and a machine never reads time or randomness from the system.

pub mod convert;
mod position;

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

pub use position::Position;

/// A point on the driver's monotonic clock, in nanoseconds since the driver started.
///
/// Range: about 584 years. Addition saturates at the end of the range.
///
/// ```
/// use std::time::Duration;
/// use steadfast_machine::Instant;
///
/// let later = Instant::START + Duration::from_secs(3);
/// assert_eq!(later.saturating_since(Instant::START), Duration::from_secs(3));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The instant at which the driver started.
    pub const START: Self = Self(0);

    /// Returns the instant `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(convert::saturating(rhs.as_nanos())))
    }
}

impl Sub<Self> for Instant {
    type Output = Duration;

    fn sub(self, rhs: Self) -> Duration {
        self.saturating_since(rhs)
    }
}

/// A time in milliseconds since the Unix epoch: of the wall clock, which a machine receives only inside its inputs, or of
/// an axis that a machine derives from the wall clock at its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Returns the time `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns the milliseconds from `earlier` to `self`, negative when `earlier` is later; saturates at the ends of the
    /// range.
    pub fn millis_since(self, earlier: Self) -> i64 {
        let distance: i64 = convert::saturating(self.0.abs_diff(earlier.0));
        if self.0 >= earlier.0 {
            distance
        } else {
            -distance
        }
    }

    /// Returns the time this many milliseconds later, or earlier if they are negative; saturates at the ends of the range.
    #[must_use]
    pub const fn shifted(self, millis: i64) -> Self {
        Self(self.0.saturating_add_signed(millis))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(convert::saturating(rhs.as_millis())))
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Returns a size of `bytes` bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns a size of `kib` times 1,024 bytes; saturates at the end of the range.
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib.saturating_mul(1 << 10))
    }

    /// Returns a size of `mib` times 1,048,576 bytes; saturates at the end of the range.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib.saturating_mul(1 << 20))
    }

    /// Returns the number of bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// Returns the number of bytes as a length in memory; saturates on a target with a smaller address space.
    pub fn as_len(self) -> usize {
        convert::saturating(self.0)
    }
}

impl fmt::Display for ByteSize {
    /// Writes the largest binary unit that divides the size exactly, for example `64 MiB` or `1500 B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match UNITS
            .iter()
            .find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit))
        {
            Some((unit, name)) => write!(f, "{} {name}", self.0 / unit),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// The number that determines all randomness of a machine or of a simulation run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// Returns the seed with this number.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the seed's number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Starts the pseudo-random sequence of this seed.
    pub const fn generator(self) -> Generator {
        Generator { state: self.0 }
    }
}

/// The pseudo-random number generator of a [`Seed`]; its sequence never changes between versions.
///
/// The algorithm is `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
/// Not for secrets: ids use the operating system's randomness.
#[derive(Clone, Debug)]
pub struct Generator {
    state: u64,
}

impl Generator {
    /// Returns the next 64 random bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number from 0 up to, not including, `bound`; 0 when `bound` is 0.
    ///
    /// The modulo bias is below 2^-32 for bounds below 2^32, which is negligible for every use here.
    pub const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            0
        } else {
            self.next_u64() % bound
        }
    }

    /// Returns a number from 0 up to, not including, `len`, such as an index of a list; 0 when `len` is 0.
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "the number is below a `usize`"
    )]
    pub const fn below_len(&mut self, len: usize) -> usize {
        self.below(convert::to_u64(len)) as usize
    }

    /// Returns a uniformly distributed duration from `low` to `high`, both included; `low` when `high` is smaller.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low);
        let nanos: u64 = convert::saturating(span.as_nanos());
        low + Duration::from_nanos(self.below(nanos.saturating_add(1)))
    }

    /// Returns `true` with a probability of `numerator` in `denominator`.
    pub const fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// Returns a seed for a component that needs an independent sequence.
    pub const fn split(&mut self) -> Seed {
        Seed(self.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_produces_the_published_sequence() {
        let mut generator = Seed::new(1_234_567).generator();

        // Reference values of SplitMix64 for this seed.
        assert_eq!(generator.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(generator.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn instants_saturate_and_differences_are_never_negative() {
        let end = Instant::from_nanos(u64::MAX);

        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(Instant::START - end, Duration::ZERO);
    }

    #[test]
    fn timestamps_saturate_and_their_signed_distance_has_a_direction() {
        let (early, late) = (Timestamp::from_millis(10), Timestamp::from_millis(25));

        assert_eq!(
            (late.millis_since(early), early.millis_since(late)),
            (15, -15)
        );
        assert_eq!(early.shifted(15), late);
        assert_eq!(late.shifted(-15), early);
        assert_eq!(early.shifted(-11), Timestamp::from_millis(0));
        assert_eq!(early + Duration::from_millis(15), late);
        let end = Timestamp::from_millis(u64::MAX);
        assert_eq!(end.millis_since(early), i64::MAX);
        assert_eq!(early.millis_since(end), -i64::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
    }

    #[test]
    fn a_random_length_is_the_random_number_below_the_same_bound() {
        let mut numbers = Seed::new(7).generator();
        let mut lengths = Seed::new(7).generator();

        for len in 1..100 {
            let below = lengths.below_len(len);
            assert!(below < len);
            assert_eq!(convert::to_u64(below), numbers.below(convert::to_u64(len)));
        }
        assert_eq!(lengths.below_len(0), 0);
    }

    #[test]
    fn between_stays_within_its_bounds() {
        let (low, high) = (Duration::from_millis(50), Duration::from_millis(80));
        let mut generator = Seed::new(7).generator();

        for _ in 0..1000 {
            let drawn = generator.between(low, high);
            assert!(drawn >= low && drawn <= high, "{drawn:?}");
        }
        assert_eq!(generator.between(high, low), high);
    }

    #[test]
    fn sizes_are_displayed_in_the_largest_exact_unit() {
        assert_eq!(ByteSize::from_mib(64).to_string(), "64 MiB");
        assert_eq!(ByteSize::from_bytes(1500).to_string(), "1500 B");
    }
}
