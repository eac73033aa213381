//! The delay before the next attempt: exponential with full jitter, drawn from the session's seed.
//!
//! The delay is `floor + U(0, min(cap, base * 2^n))`. Jitter is drawn after the cap and not clamped, so that it does
//! not vanish at the cap (as it does in several published libraries). The exponent decreases with the duration of a
//! connection, not with its establishment, so that a server that accepts and then drops connections is not flooded with
//! attempts. It decreases in proportion to the duration, without a threshold: otherwise a server that is restarted
//! shortly before the threshold would drive every client to the cap, although it served them well in between.

use std::time::Duration;

use steadfast_machine::{Generator, Seed, convert};

use crate::policy::BackoffSettings;

/// A requested delay is extended by up to a quarter, so that clients with the same request do not retry at the same
/// time.
const RETRY_AFTER_JITTER: u32 = 4;

/// The exponent is a fixed-point number; this is 1.0.
const EXPONENT_UNIT: u32 = 256;

/// Above this, the delay grows no further: its factor is a `u32`.
const EXPONENT_MAX: u32 = 40 * EXPONENT_UNIT;

/// Why an attempt is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BackoffReason {
    ConnectionLost,
    /// The server announced that it goes away, so all its clients reconnect.
    ServerGoingAway {
        /// The delay that the server requested.
        retry_after: Option<Duration>,
    },
    /// An attempt failed, or the server requested a delay.
    AttemptFailed {
        /// The delay that the server requested.
        retry_after: Option<Duration>,
    },
}

/// The exponential growth of the delays, and their jitter.
#[derive(Debug)]
pub(crate) struct Backoff {
    settings: BackoffSettings,
    generator: Generator,
    /// The exponent, times [`EXPONENT_UNIT`].
    exponent: u32,
}

impl Backoff {
    pub(crate) const fn new(settings: BackoffSettings, seed: Seed) -> Self {
        Self {
            settings,
            generator: seed.generator(),
            exponent: 0,
        }
    }

    /// The delay before the next attempt.
    pub(crate) fn next(&mut self, reason: BackoffReason) -> Duration {
        let BackoffSettings {
            first_delay_max,
            going_away_jitter,
            ..
        } = self.settings;
        match reason {
            BackoffReason::ConnectionLost if self.exponent < EXPONENT_UNIT => {
                self.draw(first_delay_max)
            }
            // The loss itself was already counted by `connected_for` or `on_failure`.
            BackoffReason::ConnectionLost => self.draw_delay(),
            // A server that repeatedly goes away, or requests no delay, is not flooded with attempts either.
            BackoffReason::ServerGoingAway { retry_after: None } => {
                self.draw(going_away_jitter).max(self.draw_if_grown())
            }
            BackoffReason::ServerGoingAway {
                retry_after: Some(retry_after),
            } => self
                .jittered_retry_after(retry_after)
                .max(self.draw_if_grown()),
            BackoffReason::AttemptFailed { retry_after: None } => self.draw_and_grow(),
            BackoffReason::AttemptFailed {
                retry_after: Some(retry_after),
            } => self
                .draw_and_grow()
                .max(self.jittered_retry_after(retry_after)),
        }
    }

    /// Halves the exponent for each stable period that the connection lasted, and decreases it linearly within one.
    pub(crate) fn connected_for(&mut self, time: Duration) {
        let period = self.settings.stable_after.as_nanos().max(1);
        let halvings = convert::saturating(time.as_nanos() / period);
        let exponent = self.exponent.checked_shr(halvings).unwrap_or(0);
        let fall = u128::from(exponent / 2) * (time.as_nanos() % period) / period;
        self.exponent = exponent - u32::try_from(fall).expect("at most half of the exponent");
    }

    /// Doubles the delay after a failed attempt or the end of a connection. At the cap the exponent grows no further,
    /// so that an hour of failures takes no longer to recover from than a minute of them.
    pub(crate) fn on_failure(&mut self) {
        if self.range() < self.settings.cap {
            self.exponent = (self.exponent + EXPONENT_UNIT).min(EXPONENT_MAX);
        }
    }

    fn draw_and_grow(&mut self) -> Duration {
        let delay = self.draw_delay();
        self.on_failure();
        delay
    }

    /// The delay that earlier failures require; zero if there were none since a stable connection.
    fn draw_if_grown(&mut self) -> Duration {
        if self.exponent < EXPONENT_UNIT {
            return Duration::ZERO;
        }
        self.draw_delay()
    }

    fn draw_delay(&mut self) -> Duration {
        let range = self.range().min(self.settings.cap);
        self.settings.floor.saturating_add(self.draw(range))
    }

    /// The range of the delay before the cap.
    fn range(&self) -> Duration {
        let (whole, part) = (self.exponent / EXPONENT_UNIT, self.exponent % EXPONENT_UNIT);
        let factor = 2_u32.saturating_pow(whole);
        let below = self.settings.base.saturating_mul(factor);
        below.saturating_add((below / EXPONENT_UNIT).saturating_mul(part))
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

    fn jittered_retry_after(&mut self, retry_after: Duration) -> Duration {
        let retry_delay = self.cap_retry_after(retry_after).max(self.settings.floor);
        self.add_jitter(retry_delay)
    }

    fn draw(&mut self, range: Duration) -> Duration {
        self.generator.between(Duration::ZERO, range)
    }
}
