//! Settings of a session that are valid by construction. Machines have no defaults; shells have documented ones.

use std::time::Duration;

use thiserror::Error;

/// Why settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{setting} {problem}")]
pub struct PolicyError {
    /// Which setting.
    pub setting: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// When the next attempt comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffSettings {
    /// No drawn delay is shorter; keeps a refusing server from being hammered.
    pub floor: Duration,
    /// The range of the first drawn delay; doubles with each failure.
    pub base: Duration,
    /// The range grows no further; at least `base`.
    pub cap: Duration,
    /// The first attempt after a connection that had been stable comes within this time.
    pub first_within: Duration,
    /// The same when the server said that it goes away, so that all its clients come at once.
    pub spread: Duration,
    /// A connection that lives for so long halves the growth, and again for each further such time; a part of it counts
    /// for its part. Above zero.
    pub stable_after: Duration,
    /// The longest wait that a server may ask for.
    pub hint_max: Duration,
    /// After so many failed attempts in a row the session fails; `None`: never.
    pub attempts_max: Option<u32>,
}

/// When a silent peer is asked, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivenessSettings {
    /// Silence before the first probe; above zero.
    pub idle: Duration,
    /// From the first probe to the verdict; above zero. A dead peer is noticed within `idle + timeout`.
    pub timeout: Duration,
    /// The peer may leave what waits untouched for so long; above zero.
    pub write_stall: Duration,
    /// What a session that was itself late gives the peer beyond the verdict.
    pub grace: Duration,
}

/// What may wait to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxSettings {
    /// Publications, those unanswered included; above zero.
    pub messages_max: usize,
    /// Bytes of their payloads; above zero.
    pub bytes_max: usize,
    /// Publications that may be unanswered at a time; above zero.
    pub window: usize,
    /// The same within one channel; above zero. With 1 a channel keeps its order whatever happens, at the price of a
    /// round trip for each publication. With more, those that were under way when the server refuses one for the moment
    /// may stand before it.
    pub channel_window: usize,
    /// The time for an answer of a living server; above zero. Then it is sent again with its key, with twice the time.
    /// While the socket takes less than it is given, the time begins anew: a repeat would only wait behind the first.
    pub answer_timeout: Duration,
    /// What was sent longer ago is not repeated. Shorter than the server remembers keys, by the time that a message may
    /// be under way: a repeat that arrives after the server has forgotten is applied a second time.
    pub key_window: Duration,
    /// The pause before a publication is sent again that the server could not take at the moment; above zero. Doubles
    /// with each refusal of its channel in a row, up to 20 s, and is stretched by up to a quarter.
    pub retry_after: Duration,
}

/// Everything that a session is told at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// How many endpoints there are; at least 1. They are tried in turn.
    pub endpoints: usize,
    /// The name by which the client introduces itself; at most 16 bytes.
    pub name: String,
    /// A connection token; empty for none.
    pub token: String,
    /// Application data for the server, raw JSON.
    pub data: Option<bytes::Bytes>,
    /// From the start of an attempt to the server's answer to the connect command; above zero.
    pub attempt_deadline: Duration,
    /// Away for so long, a session is called degraded.
    pub session_ttl: Duration,
    /// From the close frame to the end, whatever the peer does; above zero.
    pub close_deadline: Duration,
    /// Calls that may wait or be unanswered; above zero.
    pub calls_max: usize,
    /// Subscriptions at a time; above zero.
    pub subscriptions_max: usize,
    /// When the next attempt comes.
    pub backoff: BackoffSettings,
    /// When a silent peer is given up.
    pub liveness: LivenessSettings,
    /// What may wait to be published.
    pub outbox: OutboxSettings,
}

/// Settings that were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPolicy(SessionSettings);

impl SessionPolicy {
    /// Checks settings.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn new(settings: SessionSettings) -> Result<Self, PolicyError> {
        let own = [
            (
                settings.endpoints > 0,
                "endpoints",
                "must name at least one",
            ),
            (
                settings.name.len() <= 16,
                "name",
                "must have at most 16 bytes",
            ),
            above_zero("attempt_deadline", settings.attempt_deadline),
            above_zero("close_deadline", settings.close_deadline),
            (settings.calls_max > 0, "calls_max", ABOVE_ZERO),
            (
                settings.subscriptions_max > 0,
                "subscriptions_max",
                ABOVE_ZERO,
            ),
        ];
        let parts = settings.backoff.rules().into_iter();
        let parts = parts
            .chain(settings.liveness.rules())
            .chain(settings.outbox.rules());
        match own.into_iter().chain(parts).find(|(holds, ..)| !holds) {
            None => Ok(Self(settings)),
            Some((_, setting, problem)) => Err(PolicyError { setting, problem }),
        }
    }

    /// What was checked.
    pub const fn settings(&self) -> &SessionSettings {
        &self.0
    }
}

/// Whether a rule holds, which setting it is about, and what is wrong when it does not.
type Rule = (bool, &'static str, &'static str);

const ABOVE_ZERO: &str = "must be above zero";

const fn above_zero(setting: &'static str, value: Duration) -> Rule {
    (!value.is_zero(), setting, ABOVE_ZERO)
}

impl BackoffSettings {
    fn rules(&self) -> [Rule; 4] {
        [
            above_zero("backoff.base", self.base),
            (
                self.cap >= self.base,
                "backoff.cap",
                "must not be below backoff.base",
            ),
            above_zero("backoff.stable_after", self.stable_after),
            (
                self.attempts_max != Some(0),
                "backoff.attempts_max",
                ABOVE_ZERO,
            ),
        ]
    }
}

impl LivenessSettings {
    const fn rules(&self) -> [Rule; 3] {
        [
            above_zero("liveness.idle", self.idle),
            above_zero("liveness.timeout", self.timeout),
            above_zero("liveness.write_stall", self.write_stall),
        ]
    }
}

impl OutboxSettings {
    const fn rules(&self) -> [Rule; 6] {
        [
            (self.messages_max > 0, "outbox.messages_max", ABOVE_ZERO),
            (self.bytes_max > 0, "outbox.bytes_max", ABOVE_ZERO),
            (self.window > 0, "outbox.window", ABOVE_ZERO),
            (self.channel_window > 0, "outbox.channel_window", ABOVE_ZERO),
            above_zero("outbox.answer_timeout", self.answer_timeout),
            above_zero("outbox.retry_after", self.retry_after),
        ]
    }
}
