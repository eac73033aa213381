//! The settings of the delay before the next attempt.

use std::time::Duration;

use super::setters::setters;
use super::{ABOVE_ZERO, Rule, SessionSetting, above_zero};

/// The range of the delay before the next attempt. The delay is uniform over the range, in addition to
/// [`BackoffSettings::floor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackoffRange {
    /// A share of the time without a connection, which bounds every wait by the outage: a client whose last connection
    /// was stable starts its next attempt at the latest `floor` and this share of the outage after the server is
    /// available again.
    #[non_exhaustive]
    Proportional {
        /// The share of the time since the loss, in percent; above zero. The time of earlier outages is added, as far
        /// as connections since then have not compensated for it, see [`BackoffSettings::stable_after`].
        percent: u32,
        /// The smallest range; above zero.
        min: Duration,
        /// The largest range; at least `min`.
        max: Duration,
    },
    /// Grows with the number of failed attempts and lost connections, however long they took.
    #[non_exhaustive]
    Exponential {
        /// The range after a stable connection; above zero.
        base: Duration,
        /// The growth for each failed attempt and each loss; at least 2.
        factor: u32,
        /// The largest range; at least `base`.
        cap: Duration,
    },
}

/// The delay before the next attempt: `floor + U(0, range)`, from the start of the failed attempt or from the loss.
///
/// With a [`BackoffRange::Proportional`] range, a session whose last connection was stable, and whose server requested
/// no delay and did not announce that it goes away, is connected again at the latest
/// `floor + clamp(outage * percent / 100, min, max)` and one connection attempt after the server is available again, if
/// the server then accepts it. An attempt in progress at that time may have to time out first. With several endpoints,
/// each of them may take an attempt.
///
/// A connection was stable if the time of earlier outages is no longer counted: with
/// `defaults::BACKOFF` of the client library, after at most 90 s.
///
/// ```
/// use std::time::Duration;
/// use steadfast_core::policy::{BackoffRange, BackoffSettings};
///
/// let range = BackoffRange::proportional(50, Duration::from_secs(1), Duration::from_secs(20));
/// let backoff = BackoffSettings::new(range)
///     .floor(Duration::from_millis(50))
///     .cap(Duration::from_secs(10))
///     .attempts_max(100);
/// assert_eq!(backoff.range, BackoffRange::proportional(50, Duration::from_secs(1), Duration::from_secs(10)));
/// assert_eq!(backoff.attempts_max, Some(100));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackoffSettings {
    /// The smallest delay; limits the rate of attempts at a server that rejects them.
    pub floor: Duration,
    /// The range of the random part of the delay.
    pub range: BackoffRange,
    /// The maximum delay of the first attempt after the server announced that it goes away: all its clients
    /// reconnect.
    pub going_away_jitter: Duration,
    /// What earlier outages or failures added to the range halves for each such period that a connection lasts, and
    /// decreases linearly within one. Below `floor` it counts no longer. Above zero.
    pub stable_after: Duration,
    /// The longest delay that a server may request.
    pub retry_after_max: Duration,
    /// The session fails after this number of consecutive failed attempts; `None` for no limit.
    pub attempts_max: Option<u32>,
}

impl BackoffRange {
    /// A share of the time without a connection, in percent and above zero; at least `min`, which is above zero, and at
    /// most `max`. See [`Self::Proportional`].
    pub const fn proportional(percent: u32, min: Duration, max: Duration) -> Self {
        Self::Proportional { percent, min, max }
    }

    /// From `base`, which is above zero, multiplied by `factor`, at least 2, for each failure; at most `cap`. See
    /// [`Self::Exponential`].
    pub const fn exponential(base: Duration, factor: u32, cap: Duration) -> Self {
        Self::Exponential { base, factor, cap }
    }

    /// Sets the largest range: `max` of a proportional one, `cap` of an exponential one. Not below the smallest range.
    #[must_use]
    pub const fn cap(self, largest: Duration) -> Self {
        match self {
            Self::Proportional { percent, min, .. } => Self::proportional(percent, min, largest),
            Self::Exponential { base, factor, .. } => Self::exponential(base, factor, largest),
        }
    }

    /// The range after a stable connection.
    const fn smallest(self) -> Duration {
        match self {
            Self::Proportional { min, .. } => min,
            Self::Exponential { base, .. } => base,
        }
    }

    /// The range after a long outage or many failures.
    const fn largest(self) -> Duration {
        match self {
            Self::Proportional { max, .. } => max,
            Self::Exponential { cap, .. } => cap,
        }
    }

    fn rules(&self) -> [Rule; 3] {
        match *self {
            Self::Proportional { percent, min, max } => [
                (percent > 0, SessionSetting::BackoffPercent, ABOVE_ZERO),
                above_zero(SessionSetting::BackoffMin, min),
                (
                    max >= min,
                    SessionSetting::BackoffMax,
                    "must not be below backoff.range.min",
                ),
            ],
            Self::Exponential { base, factor, cap } => [
                above_zero(SessionSetting::BackoffBase, base),
                (
                    factor >= 2,
                    SessionSetting::BackoffFactor,
                    "must be at least 2",
                ),
                (
                    cap >= base,
                    SessionSetting::BackoffCap,
                    "must not be below backoff.range.base",
                ),
            ],
        }
    }
}

impl BackoffSettings {
    /// Delays within this range, without a floor and without a limit on attempts. `going_away_jitter` is the smallest
    /// range; `stable_after` and `retry_after_max` are the largest.
    pub const fn new(range: BackoffRange) -> Self {
        Self {
            floor: Duration::ZERO,
            range,
            going_away_jitter: range.smallest(),
            stable_after: range.largest(),
            retry_after_max: range.largest(),
            attempts_max: None,
        }
    }

    /// Sets the largest range of the delays, and nothing else; see [`BackoffRange::cap`].
    #[must_use]
    pub const fn cap(mut self, largest: Duration) -> Self {
        self.range = self.range.cap(largest);
        self
    }

    /// Sets the number of consecutive failed attempts after which the session fails; above zero.
    #[must_use]
    pub const fn attempts_max(mut self, attempts: u32) -> Self {
        self.attempts_max = Some(attempts);
        self
    }

    pub(super) fn rules(&self) -> [Rule; 5] {
        let [first, second, third] = self.range.rules();
        [
            first,
            second,
            third,
            above_zero(SessionSetting::BackoffStableAfter, self.stable_after),
            (
                self.attempts_max != Some(0),
                SessionSetting::BackoffAttemptsMax,
                ABOVE_ZERO,
            ),
        ]
    }
}

setters!(BackoffSettings {
    floor: Duration,
    range: BackoffRange,
    going_away_jitter: Duration,
    stable_after: Duration,
    retry_after_max: Duration,
});
