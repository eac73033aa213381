//! Settings of a session that are valid by construction. State machines have no defaults; shells document theirs.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// Why settings are invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid {setting}: {problem}")]
pub struct PolicyError {
    /// What is out of range.
    pub setting: SessionSetting,
    /// The rule that it violates.
    pub problem: &'static str,
}

/// The range of the delay before the next attempt. The delay is uniform over the range, in addition to
/// [`BackoffSettings::floor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// When the client pings the server, and when it gives up the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivenessSettings {
    /// Idle time before the first ping; above zero.
    pub ping_after_idle: Duration,
    /// From the first ping until the connection is given up; above zero. A dead connection is detected within
    /// `ping_after_idle + pong_timeout`.
    pub pong_timeout: Duration,
    /// The longest time without write progress before the connection is given up; above zero.
    pub write_timeout: Duration,
    /// Additional time for the peer if this process handled a deadline late, for example after a suspension.
    pub clock_jump_grace: Duration,
}

/// Limits and timeouts of publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxSettings {
    /// The maximum number of publications, queued and in flight; above zero.
    pub messages_max: usize,
    /// The maximum number of bytes of their payloads; above zero.
    pub bytes_max: usize,
    /// The maximum number of publications in flight; above zero.
    pub in_flight_max: usize,
    /// The maximum number of publications in flight in one channel; above zero. With 1 the order of a channel always
    /// holds, at the cost of a round trip for each publication. With more, publications that were in flight when the
    /// server temporarily rejects one may be stored before it.
    pub channel_in_flight_max: usize,
    /// How long a connected server may take to acknowledge a publication; above zero. Afterwards it is resent with its
    /// key, with twice the timeout. While the socket does not accept all bytes the timeout restarts: a resend would
    /// only be queued after the first.
    pub ack_timeout: Duration,
    /// A publication is not resent after this time. Shorter than the server's deduplication window, by the time that a
    /// message may be in flight: a resend that arrives after the server has forgotten the key is applied a second time.
    pub resend_window: Duration,
    /// The pause of a channel after the server temporarily rejected a publication; above zero. Doubles with each
    /// consecutive rejection, up to 20 s, and is extended by up to a quarter.
    pub retry_after: Duration,
}

/// All settings of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// The number of endpoints; at least 1. They are tried in turn.
    pub endpoints: usize,
    /// The client name in the connect command; at most 16 bytes.
    pub name: String,
    /// A connection token; empty for none.
    pub token: String,
    /// Application data in the connect command, raw JSON.
    pub data: Option<bytes::Bytes>,
    /// From the start of an attempt to the reply to the connect command; above zero.
    pub connect_timeout: Duration,
    /// The session is degraded after this time without a connection.
    pub degraded_after: Duration,
    /// From the close frame to the end of the session, even if the peer does not reply; above zero.
    pub close_timeout: Duration,
    /// The maximum number of pending calls; above zero.
    pub calls_max: usize,
    /// The maximum number of subscriptions; above zero.
    pub subscriptions_max: usize,
    /// The delay before the next attempt.
    pub backoff: BackoffSettings,
    /// Pings and failure detection.
    pub liveness: LivenessSettings,
    /// Limits and timeouts of publications.
    pub outbox: OutboxSettings,
}

/// A setting of a session that can be out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the settings document the fields")]
pub enum SessionSetting {
    Endpoints,
    Name,
    ConnectTimeout,
    CloseTimeout,
    CallsMax,
    SubscriptionsMax,
    BackoffPercent,
    BackoffMin,
    BackoffMax,
    BackoffBase,
    BackoffFactor,
    BackoffCap,
    BackoffStableAfter,
    BackoffAttemptsMax,
    LivenessPingAfterIdle,
    LivenessPongTimeout,
    LivenessWriteTimeout,
    OutboxMessagesMax,
    OutboxBytesMax,
    OutboxInFlightMax,
    OutboxChannelInFlightMax,
    OutboxAckTimeout,
    OutboxRetryAfter,
}

impl SessionSetting {
    /// The path of the field in [`SessionSettings`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::Name => "name",
            Self::ConnectTimeout => "connect_timeout",
            Self::CloseTimeout => "close_timeout",
            Self::CallsMax => "calls_max",
            Self::SubscriptionsMax => "subscriptions_max",
            Self::BackoffPercent => "backoff.range.percent",
            Self::BackoffMin => "backoff.range.min",
            Self::BackoffMax => "backoff.range.max",
            Self::BackoffBase => "backoff.range.base",
            Self::BackoffFactor => "backoff.range.factor",
            Self::BackoffCap => "backoff.range.cap",
            Self::BackoffStableAfter => "backoff.stable_after",
            Self::BackoffAttemptsMax => "backoff.attempts_max",
            Self::LivenessPingAfterIdle => "liveness.ping_after_idle",
            Self::LivenessPongTimeout => "liveness.pong_timeout",
            Self::LivenessWriteTimeout => "liveness.write_timeout",
            Self::OutboxMessagesMax => "outbox.messages_max",
            Self::OutboxBytesMax => "outbox.bytes_max",
            Self::OutboxInFlightMax => "outbox.in_flight_max",
            Self::OutboxChannelInFlightMax => "outbox.channel_in_flight_max",
            Self::OutboxAckTimeout => "outbox.ack_timeout",
            Self::OutboxRetryAfter => "outbox.retry_after",
        }
    }
}

impl fmt::Display for SessionSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Settings that have been validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPolicy(SessionSettings);

impl SessionPolicy {
    /// Validates settings.
    ///
    /// # Errors
    ///
    /// Returns the first setting that is invalid.
    pub fn new(settings: SessionSettings) -> Result<Self, PolicyError> {
        let own = [
            (
                settings.endpoints > 0,
                SessionSetting::Endpoints,
                "must be at least 1",
            ),
            (
                settings.name.len() <= 16,
                SessionSetting::Name,
                "must have at most 16 bytes",
            ),
            above_zero(SessionSetting::ConnectTimeout, settings.connect_timeout),
            above_zero(SessionSetting::CloseTimeout, settings.close_timeout),
            (settings.calls_max > 0, SessionSetting::CallsMax, ABOVE_ZERO),
            (
                settings.subscriptions_max > 0,
                SessionSetting::SubscriptionsMax,
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

    /// The validated settings.
    pub const fn settings(&self) -> &SessionSettings {
        &self.0
    }
}

/// Whether a rule holds, the setting that it applies to, and the problem if it does not hold.
type Rule = (bool, SessionSetting, &'static str);

const ABOVE_ZERO: &str = "must be above zero";

const fn above_zero(setting: SessionSetting, value: Duration) -> Rule {
    (!value.is_zero(), setting, ABOVE_ZERO)
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
    fn rules(&self) -> [Rule; 5] {
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

impl LivenessSettings {
    const fn rules(&self) -> [Rule; 3] {
        [
            above_zero(SessionSetting::LivenessPingAfterIdle, self.ping_after_idle),
            above_zero(SessionSetting::LivenessPongTimeout, self.pong_timeout),
            above_zero(SessionSetting::LivenessWriteTimeout, self.write_timeout),
        ]
    }
}

impl OutboxSettings {
    const fn rules(&self) -> [Rule; 6] {
        [
            (
                self.messages_max > 0,
                SessionSetting::OutboxMessagesMax,
                ABOVE_ZERO,
            ),
            (
                self.bytes_max > 0,
                SessionSetting::OutboxBytesMax,
                ABOVE_ZERO,
            ),
            (
                self.in_flight_max > 0,
                SessionSetting::OutboxInFlightMax,
                ABOVE_ZERO,
            ),
            (
                self.channel_in_flight_max > 0,
                SessionSetting::OutboxChannelInFlightMax,
                ABOVE_ZERO,
            ),
            above_zero(SessionSetting::OutboxAckTimeout, self.ack_timeout),
            above_zero(SessionSetting::OutboxRetryAfter, self.retry_after),
        ]
    }
}
