//! How much of one connection the kernel may hold, and how large a write is. Pure: the connection makes the system calls.
//!
//! What the kernel holds can neither be overtaken by a ping nor discarded, so it should be sent within a few seconds.
//! Nothing is limited as long as a peer accepts its bytes quickly.

use std::num::NonZeroU32;
use std::time::Duration;

/// The size of the first write of new data: a new connection sends ten packets at once, 14 KiB, and the kernel then takes
/// another write. It takes both as one, which a batch of fan-out needs: two writes cost a quarter of its rate.
const FIRST_WRITE_BYTES: usize = 20 << 10;
/// The size of the smallest later write of new data: fan-out needs few writes.
const NEXT_WRITE_BYTES: usize = 8 << 10;
/// The size of the smallest write of a send buffer. The kernel takes a write as a whole even when it has much to send
/// already.
pub(crate) const DRAIN_WRITE_BYTES: usize = 4 << 10;
/// The size of the smallest write to a slow peer: a packet and a half.
const SLOW_WRITE_BYTES: usize = 2 << 10;
/// The size of the largest write.
const WRITE_BYTES_MAX: usize = 1 << 20;
/// A later write has at most this fraction of what the kernel has accepted in the series. So a slow link, of which the
/// kernel accepts the first window, gets little more than that window, and a fast one needs few writes.
const GROWTH_ONE_IN: usize = 4;
/// A write has at most this fraction of the limit: the kernel takes one write above it.
const LIMIT_ONE_IN: usize = 8;

/// The smallest limit: the kernel accepts no smaller one. It is enough for two packets.
const LIMIT_BYTES_MIN: NonZeroU32 = NonZeroU32::new(4_608).expect("not zero");
/// The largest limit; above it, only the window of the connection limits what the kernel holds. The default of
/// `net.core.wmem_max` permits 416 KiB.
const LIMIT_BYTES_MAX: NonZeroU32 = NonZeroU32::new(4_608 << 6).expect("not zero");
/// A socket that accepted nothing for longer gets a smaller limit: it waits for about a third of the limit to be
/// acknowledged, so all of it takes some seconds.
const SLOW_WAIT: Duration = Duration::from_millis(750);
/// A socket that accepts bytes again within this time gets a larger limit.
const QUICK_WAIT: Duration = Duration::from_millis(250);

/// How many bytes of memory the kernel may use for what a connection has sent and the peer has not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KernelLimit(Option<NonZeroU32>);

impl KernelLimit {
    /// The limit is up to the kernel, as for every peer that was never slow.
    pub(crate) const AUTOMATIC: Self = Self(None);

    /// Returns the limit in bytes, or `None` if it is up to the kernel.
    pub(crate) const fn bytes(self) -> Option<NonZeroU32> {
        self.0
    }

    /// Returns the size of the first write of new data.
    pub(crate) fn first_write_bytes(self) -> usize {
        self.limit_write(FIRST_WRITE_BYTES)
    }

    /// Returns the size of the next write of new data of which the kernel has accepted this many bytes.
    pub(crate) fn next_write_bytes(self, accepted: usize) -> usize {
        self.limit_write((accepted / GROWTH_ONE_IN).clamp(NEXT_WRITE_BYTES, WRITE_BYTES_MAX))
    }

    /// Returns the size of the next write of a send buffer, after this many bytes that the kernel has accepted in a series.
    /// `waited` is how long it accepted nothing before: after a slow wait, it should accept little until the limit is
    /// smaller.
    pub(crate) fn drain_write_bytes(self, accepted: usize, waited: Duration) -> usize {
        if waited > SLOW_WAIT {
            return SLOW_WRITE_BYTES;
        }
        self.limit_write((accepted / GROWTH_ONE_IN).clamp(DRAIN_WRITE_BYTES, WRITE_BYTES_MAX))
    }

    fn limit_write(self, bytes: usize) -> usize {
        let limit = self.0.and_then(|limit| usize::try_from(limit.get()).ok());
        let most = limit.map(|limit| (limit / LIMIT_ONE_IN).max(SLOW_WRITE_BYTES));
        most.map_or(bytes, |most| bytes.min(most))
    }

    /// Returns the limit after the socket has accepted nothing for this time. `in_use` is the limit that the kernel
    /// applies now; it is determined only if it is needed.
    pub(crate) fn after_wait(self, waited: Duration, in_use: impl FnOnce() -> Option<u32>) -> Self {
        if waited > SLOW_WAIT {
            let current = self.0.map(NonZeroU32::get).or_else(in_use);
            let Some(half) = current.map(|current| current / 2) else {
                return self;
            };
            let half = NonZeroU32::new(half).unwrap_or(LIMIT_BYTES_MIN);
            Self(Some(half.clamp(LIMIT_BYTES_MIN, LIMIT_BYTES_MAX)))
        } else if waited < QUICK_WAIT {
            let twice = |limit: NonZeroU32| limit.saturating_add(limit.get()).min(LIMIT_BYTES_MAX);
            Self(self.0.map(twice))
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel uses for a new connection with the first window.
    const IN_USE: u32 = 46_080;

    #[test]
    fn a_peer_that_accepts_its_bytes_within_750_ms_is_never_limited() {
        let mut limit = KernelLimit::AUTOMATIC;

        for waited in [Duration::ZERO, QUICK_WAIT, SLOW_WAIT] {
            limit = limit.after_wait(waited, || panic!("the kernel need not be asked"));
        }

        assert_eq!(limit, KernelLimit::AUTOMATIC);
        assert_eq!(limit.first_write_bytes(), FIRST_WRITE_BYTES);
        assert_eq!(limit.drain_write_bytes(1 << 30, SLOW_WAIT), WRITE_BYTES_MAX);
    }

    #[test]
    fn each_slow_wait_halves_the_limit_down_to_the_smallest() {
        let limits: Vec<u32> = after_slow_waits(5);

        assert_eq!(limits, [23_040, 11_520, 5_760, 4_608, 4_608]);
    }

    #[test]
    fn a_peer_that_becomes_fast_gets_the_largest_limit_within_seven_waits() {
        let mut limit = KernelLimit(Some(LIMIT_BYTES_MIN));

        for _ in 0..7 {
            limit = limit.after_wait(Duration::ZERO, || None);
        }

        assert_eq!(limit.bytes(), Some(LIMIT_BYTES_MAX));
    }

    #[test]
    fn a_limit_stays_while_a_third_of_it_takes_between_250_and_750_ms() {
        let limit = KernelLimit(Some(LIMIT_BYTES_MIN));

        for waited in [QUICK_WAIT, SLOW_WAIT] {
            assert_eq!(limit.after_wait(waited, || None), limit);
        }
    }

    #[test]
    fn a_slow_peer_is_written_a_packet_and_a_half_at_a_time() {
        let limit = KernelLimit(Some(LIMIT_BYTES_MIN));

        assert_eq!(limit.first_write_bytes(), SLOW_WRITE_BYTES);
        assert_eq!(
            limit.drain_write_bytes(1 << 20, Duration::ZERO),
            SLOW_WRITE_BYTES
        );
    }

    #[test]
    fn little_is_written_after_a_slow_wait() {
        let limit = KernelLimit::AUTOMATIC;

        assert_eq!(limit.drain_write_bytes(0, 2 * SLOW_WAIT), SLOW_WRITE_BYTES);
    }

    #[test]
    fn a_socket_whose_limit_is_unknown_is_not_limited() {
        let limit = KernelLimit::AUTOMATIC.after_wait(2 * SLOW_WAIT, || None);

        assert_eq!(limit, KernelLimit::AUTOMATIC);
    }

    fn after_slow_waits(count: usize) -> Vec<u32> {
        let mut limit = KernelLimit::AUTOMATIC;
        let next = || {
            limit = limit.after_wait(2 * SLOW_WAIT, || Some(IN_USE));
            limit.bytes().unwrap().get()
        };
        std::iter::repeat_with(next).take(count).collect()
    }
}
