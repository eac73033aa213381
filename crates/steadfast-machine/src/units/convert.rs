//! Conversions between integer types: lossless where the target has space for every value, otherwise saturating.
//!
//! All crates that have a `usize` to convert call it, except the protocol, which depends on no crate of ours.
//! A conversion that neither function fits stays a `try_from`: an error for a number from outside, `expect` with the
//! invariant for a number that is bounded elsewhere. An index never saturates, because the maximum looks like an index.

// The lossless conversions rely on these limits, so a target outside of them does not compile.
const _: () = assert!(
    usize::BITS >= u32::BITS && usize::BITS <= u64::BITS,
    "an address has 32 to 64 bits"
);

/// Converts a length or a count of things in memory, without loss.
#[expect(
    clippy::as_conversions,
    reason = "lossless, because an address has at most 64 bits; `From` does not exist for it"
)]
pub const fn to_u64(length: usize) -> u64 {
    length as u64
}

/// Converts a 32-bit index or length to one in memory, without loss.
#[expect(
    clippy::as_conversions,
    reason = "lossless, because an address has at least 32 bits; `From` does not exist for it"
)]
pub const fn to_usize(index: u32) -> usize {
    index as usize
}

/// Converts a count, a size or a span; a number above the range of `T` becomes the maximum of `T`.
///
/// For numbers whose maximum means "at least this much": statistics, limits, times.
pub fn saturating<T: Bounded>(number: impl Unsigned + TryInto<T>) -> T {
    number.try_into().unwrap_or(T::MAX)
}

/// The targets of [`saturating`].
pub trait Bounded {
    /// The greatest number of the type.
    const MAX: Self;
}

/// The sources of [`saturating`]: integer types without negative numbers, which would become the maximum too.
pub trait Unsigned {}

macro_rules! impl_bounded {
    ($($integer:ty),*) => {
        $(impl Bounded for $integer {
            const MAX: Self = Self::MAX;
        })*
    };
}

macro_rules! impl_unsigned {
    ($($integer:ty),*) => {
        $(impl Unsigned for $integer {})*
    };
}

impl_bounded!(u8, u16, u32, u64, usize, i32, i64);
impl_unsigned!(u16, u32, u64, u128, usize);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lossless_conversions_keep_the_extremes_of_their_range() {
        for length in [0, 1, usize::MAX] {
            assert_eq!(usize::try_from(to_u64(length)), Ok(length));
        }
        for index in [0, 1, u32::MAX] {
            assert_eq!(u32::try_from(to_usize(index)), Ok(index));
        }
    }

    #[test]
    fn a_number_above_the_range_becomes_the_maximum_and_others_keep_their_value() {
        assert_eq!(saturating::<u32>(u64::from(u32::MAX)), u32::MAX);
        assert_eq!(saturating::<u32>(1_u64 << 32), u32::MAX);
        assert_eq!(saturating::<u8>(7_usize), 7);
        assert_eq!(saturating::<i64>(u64::MAX), i64::MAX);
        assert_eq!(saturating::<u64>(Duration::MAX.as_nanos()), u64::MAX);
        assert_eq!(saturating::<u64>(Duration::from_secs(1).as_millis()), 1000);
    }
}
