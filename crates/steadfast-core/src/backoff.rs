//! When the next attempt comes: full jitter, drawn from the session's seed, its range picked by the cause.
//!
//! The delay is `floor + U(0, min(cap, base * 2^n))`. Jitter is drawn after the cap and never clamped, so that it does
//! not vanish at the cap (as in several published libraries); the growth falls only with the life of a connection, not
//! with its mere opening, so that a server that accepts and drops is not hammered.

use std::time::Duration;

use steadfast_machine::{Generator, Seed};

use crate::policy::BackoffSettings;

/// A hint is stretched by up to a quarter, so that all who were told the same do not come at the same time.
const HINT_STRETCH: u32 = 4;

/// Doublings beyond this are above any cap.
const LEVEL_MAX: u32 = 40;

/// Why an attempt is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A connection was lost.
    Drop,
    /// The server said that it goes away, so all its clients come.
    Mass {
        /// What it wants waited.
        hint: Option<Duration>,
    },
    /// An attempt failed, or the server asked for patience.
    Failure {
        /// What it wants waited.
        hint: Option<Duration>,
    },
}

/// The growth of the delays, and their jitter.
#[derive(Debug)]
pub(crate) struct Backoff {
    settings: BackoffSettings,
    generator: Generator,
    level: u32,
}

impl Backoff {
    pub(crate) const fn new(settings: BackoffSettings, seed: Seed) -> Self {
        Self {
            settings,
            generator: seed.generator(),
            level: 0,
        }
    }

    /// The delay before the next attempt.
    pub(crate) fn next(&mut self, reason: Reason) -> Duration {
        let BackoffSettings {
            first_within,
            spread,
            ..
        } = self.settings;
        match reason {
            Reason::Drop if self.level == 0 => self.draw(first_within),
            // The loss itself was counted by `lived` or `failed`.
            Reason::Drop => self.drawn(),
            Reason::Mass { hint: None } => self.draw(spread),
            Reason::Mass { hint: Some(hint) } => self.stretch(hint),
            Reason::Failure { hint: None } => self.grow(),
            Reason::Failure { hint: Some(hint) } => self.grow().max(self.stretch(hint)),
        }
    }

    /// A connection lived for so long: the growth halves for each stable period.
    pub(crate) fn lived(&mut self, time: Duration) {
        let periods = time.as_nanos() / self.settings.stable_after.as_nanos().max(1);
        let halvings = u32::try_from(periods).unwrap_or(u32::MAX);
        self.level = self.level.checked_shr(halvings).unwrap_or(0);
    }

    /// A connection ended before it was of any use.
    pub(crate) fn failed(&mut self) {
        self.level = (self.level + 1).min(LEVEL_MAX);
    }

    fn grow(&mut self) -> Duration {
        let delay = self.drawn();
        self.failed();
        delay
    }

    fn drawn(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.level).unwrap_or(u32::MAX);
        let range = self.settings.base.saturating_mul(factor);
        self.settings.floor + self.draw(range.min(self.settings.cap))
    }

    /// A pause that somebody asked for, somewhat longer, so that not all who were asked come at the same time.
    pub(crate) fn stretch(&mut self, hint: Duration) -> Duration {
        let hint = hint.min(self.settings.hint_max).max(self.settings.floor);
        hint + self.draw(hint / HINT_STRETCH)
    }

    fn draw(&mut self, range: Duration) -> Duration {
        self.generator.between(Duration::ZERO, range)
    }
}
