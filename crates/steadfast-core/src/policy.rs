//! Settings of a session that are valid by construction.
//!
//! State machines have no defaults; shells document theirs. What has no meaning without a decision is therefore an
//! argument of `new`; everything else is switched off by `new`, or follows from the arguments, until its setter is called.

mod backoff;
mod endpoints;
mod liveness;
mod outbox;
mod setters;

use std::fmt;
use std::time::Duration;

use thiserror::Error;

pub use backoff::{BackoffRange, BackoffSettings};
pub use endpoints::{EndpointLogs, EndpointsPolicy, EndpointsSettings, FailbackSettings};
pub use liveness::LivenessSettings;
pub use outbox::OutboxSettings;

use setters::setters;

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

/// Settings of a link: where and when a connection is attempted, given up and attempted again.
///
/// ```
/// use std::time::Duration;
/// use steadfast_core::policy::{
///     BackoffRange, BackoffSettings, EndpointsSettings, LinkPolicy, LinkSettings, LivenessSettings,
/// };
///
/// let secs = Duration::from_secs;
/// let endpoints = EndpointsSettings::new(4, secs(10), secs(300));
/// let backoff = BackoffSettings::new(BackoffRange::proportional(50, secs(1), secs(20)));
/// let liveness = LivenessSettings::new(secs(15), secs(10));
/// let settings = LinkSettings::new(secs(10), endpoints, backoff, liveness).priorities(vec![0, 1]);
/// assert!(LinkPolicy::new(settings).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
///
/// ```
/// # use std::time::Duration;
/// # use steadfast_core::policy::{LinkSettings, OutboxSettings, SessionPolicy, SessionSettings};
/// # fn policy(link: LinkSettings) {
/// let outbox = OutboxSettings::new(1_000, 1 << 20, Duration::from_secs(10));
/// let settings = SessionSettings::new(link, outbox).subscriptions_max(16);
/// assert!(SessionPolicy::new(settings).is_ok());
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionSettings {
    /// When a connection is attempted, given up and attempted again.
    pub link: LinkSettings,
    /// Whether the endpoints serve the same log.
    pub endpoint_logs: EndpointLogs,
    /// The maximum number of pending calls; above zero.
    pub calls_max: usize,
    /// The maximum number of calls that are sent and have no reply; above zero. Further ones wait in order.
    pub calls_in_flight_max: usize,
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
    BatchMax,
    FirstMessages,
    ConnectTimeout,
    CloseTimeout,
    CallsMax,
    CallsInFlightMax,
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
            Self::BatchMax => "batch_max",
            Self::FirstMessages => "first_messages",
            Self::ConnectTimeout => "connect_timeout",
            Self::CloseTimeout => "close_timeout",
            Self::CallsMax => "calls_max",
            Self::CallsInFlightMax => "calls_in_flight_max",
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
                settings.calls_in_flight_max > 0,
                SessionSetting::CallsInFlightMax,
                ABOVE_ZERO,
            ),
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
    /// One endpoint, and this long for an attempt. `degraded_after` and `close_timeout` are as long as
    /// `connect_timeout`.
    pub fn new(
        connect_timeout: Duration,
        endpoints: EndpointsSettings,
        backoff: BackoffSettings,
        liveness: LivenessSettings,
    ) -> Self {
        Self {
            priorities: vec![0],
            endpoints,
            connect_timeout,
            degraded_after: connect_timeout,
            close_timeout: connect_timeout,
            backoff,
            liveness,
        }
    }

    /// Sets the field [`priorities`](field@Self::priorities), which documents the limits.
    #[must_use]
    pub fn priorities(mut self, priorities: Vec<u16>) -> Self {
        self.priorities = priorities;
        self
    }

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

impl SessionSettings {
    /// Each endpoint has its own log. There may be as many pending calls, all of them in flight, and as many
    /// subscriptions, as publications.
    pub const fn new(link: LinkSettings, outbox: OutboxSettings) -> Self {
        Self {
            link,
            endpoint_logs: EndpointLogs::Independent,
            calls_max: outbox.messages_max,
            calls_in_flight_max: outbox.messages_max,
            subscriptions_max: outbox.messages_max,
            outbox,
        }
    }
}

setters!(LinkSettings {
    endpoints: EndpointsSettings,
    connect_timeout: Duration,
    degraded_after: Duration,
    close_timeout: Duration,
    backoff: BackoffSettings,
    liveness: LivenessSettings,
});

setters!(SessionSettings {
    endpoint_logs: EndpointLogs,
    calls_max: usize,
    calls_in_flight_max: usize,
    subscriptions_max: usize,
    outbox: OutboxSettings,
});
