//! Settings of a session that are valid by construction. State machines have no defaults; shells document theirs.

mod backoff;
mod endpoints;

use std::fmt;
use std::time::Duration;

use thiserror::Error;

pub use backoff::{BackoffRange, BackoffSettings};
pub use endpoints::{EndpointLogs, EndpointsPolicy, EndpointsSettings, FailbackSettings};

/// Why settings are invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid {setting}: {problem}")]
#[non_exhaustive]
pub struct PolicyError {
    /// What is out of range.
    pub setting: SessionSetting,
    /// The rule that it violates.
    pub problem: &'static str,
}

/// When the client pings the server, and when it gives up the connection. Any received byte proves that the server is
/// alive.
///
/// A dead connection is detected within `ping_after_idle + pong_timeout` of the last byte, and within
/// `ping_after_request + pong_timeout` of a request in flight. As soon as eight round trips are known, the second bound
/// is adaptive: `ping_after_request + pong_timeout_min` on a connection whose round trips are short. A server that sends
/// some byte within `pong_timeout`, and within `ping_after_request + pong_timeout_min`, of each request and ping is never
/// given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivenessSettings {
    /// Idle time before the first ping; above zero.
    pub ping_after_idle: Duration,
    /// From the first ping until the connection is given up; above zero. With a request in flight, the longest such
    /// time, and the limit of a measured round trip.
    pub pong_timeout: Duration,
    /// From a publication or call, or the last byte after it, to a ping if nothing is received; above zero. Four times
    /// the smoothed round-trip time if that is longer, and never later than `ping_after_idle`.
    pub ping_after_request: Duration,
    /// The shortest time from that ping until the connection is given up; above zero, at most `pong_timeout`. The time
    /// itself is the smoothed round-trip time and four times its variation (RFC 6298), and what 128 kbit/s take for
    /// the bytes before the ping that the server may not have received.
    pub pong_timeout_min: Duration,
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

/// Settings of a link: where and when a connection is attempted, given up and attempted again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// The priority of each endpoint, in the order of the shell's list; at least one and at most
    /// [`EndpointsSettings::count_max`]. The endpoint with the lowest number is preferred, and sessions are distributed
    /// at random over endpoints of equal priority.
    pub priorities: Vec<u16>,
    /// Failover and failback between the endpoints.
    pub endpoints: EndpointsSettings,
    /// From the start of an attempt until the peer has accepted the client; above zero.
    pub connect_timeout: Duration,
    /// The session is degraded after this time without a connection.
    pub degraded_after: Duration,
    /// From the close frame to the end of the session, even if the peer does not reply; above zero.
    pub close_timeout: Duration,
    /// The delay before the next attempt.
    pub backoff: BackoffSettings,
    /// Pings and failure detection.
    pub liveness: LivenessSettings,
}

/// All settings of a session, whatever its dialect is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// When a connection is attempted, given up and attempted again.
    pub link: LinkSettings,
    /// Whether the endpoints serve the same log.
    pub endpoint_logs: EndpointLogs,
    /// The maximum number of pending calls; above zero.
    pub calls_max: usize,
    /// The maximum number of subscriptions; above zero.
    pub subscriptions_max: usize,
    /// Limits and timeouts of publications.
    pub outbox: OutboxSettings,
}

/// A setting of a session that can be out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the settings document the fields")]
#[non_exhaustive]
pub enum SessionSetting {
    Priorities,
    Name,
    MessageBytesMax,
    FirstMessages,
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
    EndpointsCountMax,
    EndpointsStableAfter,
    EndpointsHoldDown,
    EndpointsFailbackAfter,
    LivenessPingAfterIdle,
    LivenessPongTimeout,
    LivenessPingAfterRequest,
    LivenessPongTimeoutMin,
    LivenessWriteTimeout,
    OutboxMessagesMax,
    OutboxBytesMax,
    OutboxInFlightMax,
    OutboxChannelInFlightMax,
    OutboxAckTimeout,
    OutboxRetryAfter,
}

impl SessionSetting {
    /// The path of the field in [`SessionSettings`] or [`LinkSettings`], or its name in the settings of the dialect.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Priorities => "priorities",
            Self::Name => "name",
            Self::MessageBytesMax => "message_bytes_max",
            Self::FirstMessages => "first_messages",
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
            Self::EndpointsCountMax => "endpoints.count_max",
            Self::EndpointsStableAfter => "endpoints.stable_after",
            Self::EndpointsHoldDown => "endpoints.hold_down",
            Self::EndpointsFailbackAfter => "endpoints.failback.after",
            Self::LivenessPingAfterIdle => "liveness.ping_after_idle",
            Self::LivenessPongTimeout => "liveness.pong_timeout",
            Self::LivenessPingAfterRequest => "liveness.ping_after_request",
            Self::LivenessPongTimeoutMin => "liveness.pong_timeout_min",
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
            (settings.calls_max > 0, SessionSetting::CallsMax, ABOVE_ZERO),
            (
                settings.subscriptions_max > 0,
                SessionSetting::SubscriptionsMax,
                ABOVE_ZERO,
            ),
        ];
        let own = own.into_iter().chain(settings.outbox.rules());
        check(settings.link.all_rules().chain(own))?;
        Ok(Self(settings))
    }

    /// The part of the settings that concerns the link.
    pub fn link(&self) -> LinkPolicy {
        LinkPolicy(self.0.link.clone())
    }

    /// The validated settings.
    pub const fn settings(&self) -> &SessionSettings {
        &self.0
    }
}

/// Settings of a link that have been validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPolicy(LinkSettings);

impl LinkPolicy {
    /// Validates settings.
    ///
    /// # Errors
    ///
    /// Returns the first setting that is invalid.
    pub fn new(settings: LinkSettings) -> Result<Self, PolicyError> {
        check(settings.all_rules())?;
        Ok(Self(settings))
    }

    /// The validated settings.
    pub const fn settings(&self) -> &LinkSettings {
        &self.0
    }
}

/// Whether a rule holds, the setting that it applies to, and the problem if it does not hold.
type Rule = (bool, SessionSetting, &'static str);

/// Returns the first rule that does not hold as an error.
fn check(rules: impl IntoIterator<Item = Rule>) -> Result<(), PolicyError> {
    match rules.into_iter().find(|(holds, ..)| !holds) {
        None => Ok(()),
        Some((_, setting, problem)) => Err(PolicyError { setting, problem }),
    }
}

const ABOVE_ZERO: &str = "must be above zero";

const fn above_zero(setting: SessionSetting, value: Duration) -> Rule {
    (!value.is_zero(), setting, ABOVE_ZERO)
}

impl LinkSettings {
    /// The rules of these settings and of their parts.
    fn all_rules(&self) -> impl Iterator<Item = Rule> {
        let rules = self.rules().into_iter();
        let rules = rules.chain(self.endpoints.rules());
        let rules = rules.chain(self.backoff.rules());
        rules.chain(self.liveness.rules())
    }

    const fn rules(&self) -> [Rule; 4] {
        [
            (
                !self.priorities.is_empty(),
                SessionSetting::Priorities,
                "must contain at least one endpoint",
            ),
            (
                self.priorities.len() <= self.endpoints.count_max,
                SessionSetting::EndpointsCountMax,
                "must not be below the number of endpoints",
            ),
            above_zero(SessionSetting::ConnectTimeout, self.connect_timeout),
            above_zero(SessionSetting::CloseTimeout, self.close_timeout),
        ]
    }
}

impl LivenessSettings {
    fn rules(&self) -> [Rule; 6] {
        [
            above_zero(SessionSetting::LivenessPingAfterIdle, self.ping_after_idle),
            above_zero(SessionSetting::LivenessPongTimeout, self.pong_timeout),
            above_zero(
                SessionSetting::LivenessPingAfterRequest,
                self.ping_after_request,
            ),
            above_zero(
                SessionSetting::LivenessPongTimeoutMin,
                self.pong_timeout_min,
            ),
            (
                self.pong_timeout_min <= self.pong_timeout,
                SessionSetting::LivenessPongTimeoutMin,
                "must not be above liveness.pong_timeout",
            ),
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
