//! Quotas of a connection: how many channels it creates and how many idempotency keys it uses in a period.
//!
//! One connection must not use up what all share: the store remembers a channel for days and a key for minutes. What a
//! request may use is taken when it is sent and given back when it did not use it, so requests in flight cannot exceed a
//! quota.

use std::time::Duration;

use steadfast_machine::{Instant, convert};

/// A number of uses in each period; all of them may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// At least 1.
    pub uses_max: u32,
    /// At least 1 s. A use becomes available again after an equal part of it.
    pub period: Duration,
}

impl Quota {
    /// After this time one use becomes available again.
    fn interval(self) -> Duration {
        self.period / self.uses_max.max(1)
    }
}

/// What a connection has used of one quota (the generic cell rate algorithm).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QuotaUse {
    /// When everything will be available again.
    restored_at: Instant,
}

impl QuotaUse {
    /// Takes one use. Returns `false` if none is available.
    pub(crate) fn take(&mut self, now: Instant, quota: Quota) -> bool {
        let restored_at = self.restored_at.max(now) + quota.interval();
        let is_available = restored_at - now <= quota.period;
        if is_available {
            self.restored_at = restored_at;
        }
        is_available
    }

    /// Gives back one use that was taken.
    pub(crate) fn give_back(&mut self, quota: Quota) {
        let interval = convert::saturating::<u64>(quota.interval().as_nanos());
        let nanos = self.restored_at.as_nanos().saturating_sub(interval);
        self.restored_at = Instant::from_nanos(nanos);
    }
}

/// What a request has taken of the quotas of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) channel: bool,
    pub(crate) key: bool,
}

/// What a connection has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quotas {
    pub(crate) channels: QuotaUse,
    pub(crate) keys: QuotaUse,
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota {
        uses_max: 3,
        period: Duration::from_mins(1),
    };

    #[test]
    fn as_many_uses_as_the_quota_are_available_at_once_and_one_more_after_each_part_of_the_period()
    {
        let mut used = QuotaUse::default();
        let at = |seconds| Instant::START + Duration::from_secs(seconds);

        let taken =
            [0, 0, 0, 0, 19, 20, 21, 100, 100, 100, 100].map(|second| used.take(at(second), QUOTA));

        let t = true;
        let f = false;
        assert_eq!(taken, [t, t, t, f, f, t, f, t, t, t, f]);
    }

    #[test]
    fn a_use_that_is_given_back_is_available_again_and_no_more_than_the_quota() {
        let mut used = QuotaUse::default();
        for _ in 0..100 {
            assert!(used.take(Instant::START, QUOTA));
            used.give_back(QUOTA);
        }
        let now = Instant::START + Duration::from_secs(10);
        used.give_back(QUOTA);

        let taken = [0; 4].map(|_| used.take(now, QUOTA));

        assert_eq!(taken, [true, true, true, false]);
    }
}
