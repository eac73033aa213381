//! Whether the peer is alive: judged by what is received, never by what is sent.
//!
//! Any byte counts as life. After `idle` of silence a probe goes out, a second one half a `timeout` later, and at
//! `idle + timeout` the peer is given up. What is sent moves nothing: a busy writer would never notice a peer that is
//! gone, since the kernel takes its bytes for minutes.

use std::time::Duration;

use steadfast_machine::Instant;

use crate::policy::LivenessSettings;

/// What is to be done about a silent peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Nothing yet.
    Nothing,
    /// Ask it for a sign of life.
    Probe,
    /// Give it up: it was silent for so long.
    Dead(Duration),
    /// Give it up: it took nothing of what waits for so long.
    Stalled(Duration),
}

/// How far the questioning of a silent peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Not at all.
    Never,
    /// Once, then; the verdict is due `timeout` later.
    Once(Instant),
    /// Twice; the first time then.
    Twice(Instant),
    /// Once more, because we ourselves were late; the verdict is due then.
    Again(Instant),
}

/// Bytes that wait without the peer having taken any.
#[derive(Clone, Copy, Debug)]
struct Stall {
    since: Instant,
    /// When the peer is given up.
    verdict: Instant,
    /// The verdict was put off once, because we ourselves were late.
    is_excused: bool,
}

/// The watch over one connection.
#[derive(Debug)]
pub(crate) struct Liveness {
    settings: LivenessSettings,
    heard_at: Instant,
    asked: Asked,
    /// When the first unanswered probe went out, for the round trip.
    probed_at: Option<Instant>,
    /// Bytes wait and the peer takes none.
    stall: Option<Stall>,
    unsent: u64,
}

impl Liveness {
    pub(crate) const fn new(settings: LivenessSettings, now: Instant) -> Self {
        Self {
            settings,
            heard_at: now,
            asked: Asked::Never,
            probed_at: None,
            stall: None,
            unsent: 0,
        }
    }

    /// Bytes arrived. Returns the round trip when they may be the answer to a probe.
    pub(crate) fn heard(&mut self, now: Instant) -> Option<Duration> {
        self.heard_at = now;
        self.asked = Asked::Never;
        let probed_at = self.probed_at.take()?;
        Some(now.saturating_since(probed_at))
    }

    /// What the socket has not taken.
    pub(crate) fn unsent(&mut self, now: Instant, bytes: u64) {
        if bytes == 0 {
            self.stall = None;
        } else if bytes < self.unsent || self.stall.is_none() {
            self.stall = Some(Stall {
                since: now,
                verdict: now + self.settings.write_stall,
                is_excused: false,
            });
        }
        self.unsent = bytes;
    }

    /// The transport got so much more. Without this, bytes that are added would hide bytes that are taken.
    pub(crate) const fn handed_over(&mut self, bytes: u64) {
        if self.stall.is_some() {
            self.unsent = self.unsent.saturating_add(bytes);
        }
    }

    /// True while the socket has not taken everything.
    pub(crate) const fn is_clogged(&self) -> bool {
        self.stall.is_some()
    }

    /// Something is about to be sent. After a long silence the peer is asked at once, so that a caller learns after
    /// `timeout` that it speaks to nobody.
    pub(crate) fn sending(&mut self, now: Instant) -> Duty {
        let silence = now.saturating_since(self.heard_at);
        if self.asked == Asked::Never && silence >= self.settings.idle / 2 {
            self.ask(now);
            return Duty::Probe;
        }
        Duty::Nothing
    }

    /// Asks the peer whatever the time is, unless it is being asked. True when it must be.
    pub(crate) fn ask_now(&mut self, now: Instant) -> bool {
        let is_due = self.asked == Asked::Never;
        if is_due {
            self.ask(now);
        }
        is_due
    }

    /// The last time that something was heard.
    pub(crate) const fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// When this is to be looked at again.
    pub(crate) fn deadline(&self) -> Instant {
        let silence = match self.asked {
            Asked::Never => self.heard_at + self.settings.idle,
            Asked::Once(at) => at + self.settings.timeout / 2,
            Asked::Twice(at) => at + self.settings.timeout,
            Asked::Again(verdict) => verdict,
        };
        match self.stall {
            Some(stall) => silence.min(stall.verdict),
            None => silence,
        }
    }

    /// Time has passed.
    pub(crate) fn look(&mut self, now: Instant) -> Duty {
        if let Some(duty) = self.look_at_stall(now) {
            return duty;
        }
        match self.asked {
            Asked::Never if now >= self.heard_at + self.settings.idle => {
                self.ask(now);
                Duty::Probe
            }
            Asked::Once(at) if now >= at + self.settings.timeout / 2 => {
                self.asked = Asked::Twice(at);
                let due = at + self.settings.timeout / 2;
                self.blame_self(now, due).unwrap_or(Duty::Probe)
            }
            Asked::Twice(at) if now >= at + self.settings.timeout => {
                let due = at + self.settings.timeout;
                self.blame_self(now, due).unwrap_or_else(|| self.dead(now))
            }
            Asked::Again(verdict) if now >= verdict => self.dead(now),
            Asked::Never | Asked::Once(_) | Asked::Twice(_) | Asked::Again(_) => Duty::Nothing,
        }
    }

    fn ask(&mut self, now: Instant) {
        self.asked = Asked::Once(now);
        self.probed_at.get_or_insert(now);
    }

    /// A process that slept, or a machine, has not listened either: the peer gets one more chance.
    fn blame_self(&mut self, now: Instant, due: Instant) -> Option<Duty> {
        let late = now.saturating_since(due);
        (late > self.settings.timeout / 2).then(|| {
            self.asked = Asked::Again(now + self.settings.grace);
            Duty::Probe
        })
    }

    /// Who was late has not written either: then the peer gets the grace to take something.
    fn look_at_stall(&mut self, now: Instant) -> Option<Duty> {
        let stall = self.stall.as_mut().filter(|stall| now >= stall.verdict)?;
        let late = now.saturating_since(stall.verdict);
        if late > self.settings.write_stall / 2 && !stall.is_excused {
            stall.is_excused = true;
            stall.verdict = now + self.settings.grace;
            return None;
        }
        Some(Duty::Stalled(now.saturating_since(stall.since)))
    }

    fn dead(&self, now: Instant) -> Duty {
        Duty::Dead(now.saturating_since(self.heard_at))
    }
}
