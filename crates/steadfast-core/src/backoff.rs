//! The delay before the next attempt: full jitter over a range that grows with the time away, drawn from the session's
//! seed.
//!
//! The delay is `floor + U(0, range)`. Jitter is drawn after the range is limited and not clamped, so that it does not
//! vanish at the limit (as it does in several published libraries). By default the range is half of the time without a
//! connection: however long the outage was, the wait after it is in proportion, and no series of small draws leads to a
//! long wait after a short outage.
//!
//! What has grown decreases with the duration of a connection, not with its establishment, so that a server that accepts
//! and then drops connections is not flooded with attempts. It decreases in proportion to the duration, without a
//! threshold: otherwise a server that is restarted shortly before the threshold would drive every client to the longest
//! delay, although it served them well in between.

use std::time::Duration;

use steadfast_machine::{Generator, Instant, Seed, convert};

use crate::policy::{BackoffRange, BackoffSettings};

/// A requested delay is extended by up to a quarter, so that clients with the same request do not retry at the same
/// time.
const RETRY_AFTER_JITTER: u32 = 4;

/// Why an attempt is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BackoffReason {
    ConnectionLost,
    /// The server announced that it goes away, so all its clients reconnect.
    ServerGoingAway {
        /// The delay that the server requested. In [`Backoff::next`], the time until an endpoint is available.
        retry_after: Option<Duration>,
    },
    /// An attempt failed, or the server requested a delay.
    AttemptFailed {
        /// The delay that the server requested. In [`Backoff::next`], the time until an endpoint is available.
        retry_after: Option<Duration>,
    },
}

impl BackoffReason {
    /// The delay that servers requested.
    pub(crate) const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::ConnectionLost => None,
            Self::ServerGoingAway { retry_after } | Self::AttemptFailed { retry_after } => {
                retry_after
            }
        }
    }

    /// The same reason with another delay.
    pub(crate) const fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        match self {
            Self::ConnectionLost => Self::ConnectionLost,
            Self::ServerGoingAway { .. } => Self::ServerGoingAway { retry_after },
            Self::AttemptFailed { .. } => Self::AttemptFailed { retry_after },
        }
    }
}

/// The range of the delays, and their jitter.
#[derive(Debug)]
pub(crate) struct Backoff {
    settings: BackoffSettings,
    generator: Generator,
    /// What earlier outages and failures contribute to the range. `Proportional`: the time without a connection before
    /// the current outage, as far as connections have not compensated for it. `Exponential`: the range itself.
    growth: Duration,
    /// The start of the current outage; `None` while connected.
    outage_since: Option<Instant>,
}

impl Backoff {
    pub(crate) const fn new(settings: BackoffSettings, seed: Seed) -> Self {
        Self {
            settings,
            generator: seed.generator(),
            growth: Duration::ZERO,
            outage_since: None,
        }
    }

    /// The application opened or restarted the session: time without a connection counts from now.
    pub(crate) const fn opened(&mut self, now: Instant) {
        self.outage_since = Some(now);
    }

    /// The server accepted the connection. The outage counts until a stable connection has compensated for it. At the
    /// maximum the growth ends, so that an hour without a server takes no longer to compensate for than a minute.
    pub(crate) fn connected(&mut self, now: Instant) {
        let outage = self.outage(now);
        self.outage_since = None;
        if let BackoffRange::Proportional { percent, max, .. } = self.settings.range {
            let growth_max = max.saturating_mul(100) / percent;
            self.growth = self.growth.saturating_add(outage).min(growth_max);
        }
    }

    /// The connection was lost, after it was ready for this time.
    pub(crate) fn disconnected(&mut self, now: Instant, stable_for: Duration) {
        self.outage_since = Some(now);
        self.on_failure();
        self.compensate(stable_for);
    }

    /// A connection that was ready for this time was replaced by another one, without an outage.
    pub(crate) fn replaced(&mut self, stable_for: Duration) {
        self.compensate(stable_for);
    }

    /// An attempt failed, or a connection ended.
    pub(crate) fn on_failure(&mut self) {
        if let BackoffRange::Exponential { base, factor, cap } = self.settings.range {
            self.growth = self.growth.max(base).saturating_mul(factor).min(cap);
        }
    }

    /// The delay before the next attempt, from `from`: the start of the failed attempt, or the loss.
    pub(crate) fn next(&mut self, reason: BackoffReason, from: Instant) -> Duration {
        match reason {
            BackoffReason::ConnectionLost => self.draw_delay(from),
            // A server that repeatedly goes away, or requests no delay, is not flooded with attempts either.
            BackoffReason::ServerGoingAway { retry_after } => {
                let delay = match retry_after {
                    None => self.draw(self.settings.going_away_jitter),
                    Some(retry_after) => retry_after,
                };
                delay.max(self.draw_if_grown(from))
            }
            BackoffReason::AttemptFailed { retry_after } => {
                let delay = self.draw_delay(from);
                self.on_failure();
                delay.max(retry_after.unwrap_or_default())
            }
        }
    }

    /// Halves the growth for each stable period that the connection lasted, and decreases it linearly within one.
    fn compensate(&mut self, time: Duration) {
        let nanos = |time: Duration| -> u64 { convert::saturating(time.as_nanos()) };
        let (time, period) = (nanos(time), nanos(self.settings.stable_after).max(1));
        let halvings: u32 = convert::saturating(time / period);
        let growth = nanos(self.growth).checked_shr(halvings).unwrap_or(0);
        let decrease = u128::from(growth / 2) * u128::from(time % period) / u128::from(period);
        let decrease = u64::try_from(decrease).expect("at most half of the growth");
        self.growth = Duration::from_nanos(growth - decrease);
        // Not after a shorter connection: the outages between many of these add up.
        if halvings > 0 && self.is_forgotten() {
            self.growth = Duration::ZERO;
        }
    }

    /// Whether the growth contributes less than the floor to a range. It would otherwise halve indefinitely.
    fn is_forgotten(&self) -> bool {
        match self.settings.range {
            BackoffRange::Proportional { percent, .. } => {
                share(self.growth, percent) < self.settings.floor
            }
            BackoffRange::Exponential { base, .. } => self.growth <= base,
        }
    }

    /// The delay that earlier outages and failures require; zero if there were none since a stable connection.
    fn draw_if_grown(&mut self, from: Instant) -> Duration {
        if self.growth.is_zero() && self.outage(from).is_zero() {
            return Duration::ZERO;
        }
        self.draw_delay(from)
    }

    fn draw_delay(&mut self, from: Instant) -> Duration {
        let range = self.range(from);
        self.settings.floor.saturating_add(self.draw(range))
    }

    fn range(&self, from: Instant) -> Duration {
        match self.settings.range {
            BackoffRange::Proportional { percent, min, max } => {
                let away = self.growth.saturating_add(self.outage(from));
                share(away, percent).clamp(min, max)
            }
            BackoffRange::Exponential { base, cap, .. } => self.growth.clamp(base, cap),
        }
    }

    fn outage(&self, now: Instant) -> Duration {
        self.outage_since
            .map_or(Duration::ZERO, |since| now.saturating_since(since))
    }

    /// Limits a delay that the server requests.
    pub(crate) fn cap_retry_after(&self, retry_after: Duration) -> Duration {
        retry_after.min(self.settings.retry_after_max)
    }

    /// Extends a delay by up to a quarter, so that clients with the same delay do not retry at the same time.
    pub(crate) fn add_jitter(&mut self, retry_delay: Duration) -> Duration {
        retry_delay.saturating_add(self.draw(retry_delay / RETRY_AFTER_JITTER))
    }

    /// The longer of the own delay and the one that the server requests, with jitter.
    pub(crate) fn retry_delay(
        &mut self,
        own_delay: Duration,
        retry_after: Option<Duration>,
    ) -> Duration {
        let retry_after = retry_after.map_or(Duration::ZERO, |retry_after| {
            self.cap_retry_after(retry_after)
        });
        self.add_jitter(own_delay.max(retry_after))
    }

    /// The delay before the next attempt at a server that requested this one: limited, and with jitter.
    pub(crate) fn jittered_retry_after(&mut self, retry_after: Duration) -> Duration {
        let retry_delay = self.cap_retry_after(retry_after).max(self.settings.floor);
        self.add_jitter(retry_delay)
    }

    fn draw(&mut self, range: Duration) -> Duration {
        self.generator.between(Duration::ZERO, range)
    }
}

/// The longest delay before something other than a connection is requested again, unless its first delay is longer.
pub(crate) const RETRY_DELAY_MAX: Duration = Duration::from_secs(20);

/// The delay before something other than a connection is requested again: `base`, doubled for each earlier delay, up to
/// [`RETRY_DELAY_MAX`].
pub(crate) fn retry_delay(base: Duration, earlier: u32) -> Duration {
    let factor = 2_u32.saturating_pow(earlier);
    base.saturating_mul(factor).min(RETRY_DELAY_MAX.max(base))
}

fn share(time: Duration, percent: u32) -> Duration {
    time.saturating_mul(percent) / 100
}

#[cfg(test)]
mod tests;
