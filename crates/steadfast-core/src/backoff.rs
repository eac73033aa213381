//! When the next attempt comes: full jitter, drawn from the session's seed, its range picked by the cause.
//!
//! The delay is `floor + U(0, min(cap, base * 2^n))`. Jitter is drawn after the cap and never clamped, so that it does
//! not vanish at the cap (as in several published libraries); the growth falls only with the life of a connection, not
//! with its mere opening, so that a server that accepts and drops is not hammered. It falls by as much as the connection
//! lived, without a step at any age: else a server that is restarted shortly before that age would drive every client
//! to the cap, although it served them well in between.

use std::time::Duration;

use steadfast_machine::{Generator, Seed};

use crate::policy::BackoffSettings;

/// A hint is stretched by up to a quarter, so that all who were told the same do not come at the same time.
const HINT_STRETCH: u32 = 4;

/// Parts of a doubling.
const DOUBLING: u32 = 256;

/// Doublings beyond this are above any cap that a duration can hold.
const LEVEL_MAX: u32 = 40 * DOUBLING;

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
    /// How often the base is doubled, in parts of a doubling.
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
            Reason::Drop if self.level < DOUBLING => self.draw(first_within),
            // The loss itself was counted by `lived` or `failed`.
            Reason::Drop => self.drawn(),
            // Whoever always goes away, or always wants no wait, is not hammered either.
            Reason::Mass { hint: None } => self.draw(spread).max(self.grown()),
            Reason::Mass { hint: Some(hint) } => self.hinted(hint).max(self.grown()),
            Reason::Failure { hint: None } => self.grow(),
            Reason::Failure { hint: Some(hint) } => self.grow().max(self.hinted(hint)),
        }
    }

    /// A connection lived for so long: the growth halves for each stable period, and falls evenly within one.
    pub(crate) fn lived(&mut self, time: Duration) {
        let period = self.settings.stable_after.as_nanos().max(1);
        let halvings = u32::try_from(time.as_nanos() / period).unwrap_or(u32::MAX);
        let level = self.level.checked_shr(halvings).unwrap_or(0);
        let fall = u128::from(level / 2) * (time.as_nanos() % period) / period;
        self.level = level.saturating_sub(u32::try_from(fall).unwrap_or(level));
    }

    /// An attempt failed, or a connection ended. What is at the cap grows no further: an hour of failures must not take
    /// longer to forget than a minute of them.
    pub(crate) fn failed(&mut self) {
        if self.range() < self.settings.cap {
            self.level = (self.level + DOUBLING).min(LEVEL_MAX);
        }
    }

    fn grow(&mut self) -> Duration {
        let delay = self.drawn();
        self.failed();
        delay
    }

    /// What the ends before this one ask for; nothing after a connection that lived.
    fn grown(&mut self) -> Duration {
        if self.level < DOUBLING {
            return Duration::ZERO;
        }
        self.drawn()
    }

    fn drawn(&mut self) -> Duration {
        let range = self.range().min(self.settings.cap);
        self.settings.floor.saturating_add(self.draw(range))
    }

    /// What the delay is drawn from, were there no cap.
    fn range(&self) -> Duration {
        let (whole, part) = (self.level / DOUBLING, self.level % DOUBLING);
        let factor = 1_u32.checked_shl(whole).unwrap_or(u32::MAX);
        let below = self.settings.base.saturating_mul(factor);
        below.saturating_add((below / DOUBLING).saturating_mul(part))
    }

    /// What a server may ask for.
    pub(crate) fn bound(&self, hint: Duration) -> Duration {
        hint.min(self.settings.hint_max)
    }

    /// A pause, somewhat longer, so that not all who were asked for it come at the same time.
    pub(crate) fn stretch(&mut self, pause: Duration) -> Duration {
        pause.saturating_add(self.draw(pause / HINT_STRETCH))
    }

    /// A pause of one's own, or the longer one that the server wants.
    pub(crate) fn pause(&mut self, own: Duration, hint: Option<Duration>) -> Duration {
        let hint = hint.map_or(Duration::ZERO, |hint| self.bound(hint));
        self.stretch(own.max(hint))
    }

    fn hinted(&mut self, hint: Duration) -> Duration {
        let pause = self.bound(hint).max(self.settings.floor);
        self.stretch(pause)
    }

    fn draw(&mut self, range: Duration) -> Duration {
        self.generator.between(Duration::ZERO, range)
    }
}
