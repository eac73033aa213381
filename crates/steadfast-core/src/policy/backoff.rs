//! The settings of the delay before the next attempt.

use std::time::Duration;

use super::{ABOVE_ZERO, Rule, SessionSetting, above_zero};

/// The range of the delay before the next attempt. The delay is uniform over the range, in addition to
/// [`BackoffSettings::floor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackoffRange {
    /// A share of the time without a connection, which bounds every wait by the outage: a client whose last connection
    /// was stable starts its next attempt at the latest `floor` and this share of the outage after the server is
    /// available again.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
