//! The settings of failover and failback between endpoints.

use std::time::Duration;

use super::setters::setters;
use super::{ABOVE_ZERO, PolicyError, Rule, SessionSetting, above_zero, check};

/// When a session avoids an endpoint, and when it returns to one of better priority; see [`crate::endpoints`].
///
/// ```
/// use std::time::Duration;
/// use steadfast_core::policy::{EndpointsSettings, FailbackSettings};
///
/// let endpoints = EndpointsSettings::new(4, Duration::from_secs(10), Duration::from_mins(5))
///     .hold_down_jitter(Duration::from_mins(10))
///     .failback(FailbackSettings::new(Duration::from_hours(1)));
/// assert_eq!(endpoints.hold_down, Duration::from_mins(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointsSettings {
    /// The maximum number of endpoints; above zero. Bounds the memory, and the number of attempts of a round.
    pub count_max: usize,
    /// A connection that lasts this long is stable: its loss is not a failure of its endpoint. Above zero.
    pub stable_after: Duration,
    /// How long an endpoint is tried after the others because of a failure, without the jitter; above zero. A failback
    /// is not due before that either, so this is also the smallest interval between two attempts at it while a session
    /// is connected to another endpoint, and between two interruptions by a preferred endpoint that accepts connections
    /// and drops them.
    pub hold_down: Duration,
    /// The jitter that extends each hold-down, uniform from zero to this time. A fleet that lost one endpoint returns to
    /// it within this time.
    pub hold_down_jitter: Duration,
    /// When a session returns to an endpoint of better priority; `None` if it stays until its connection is lost. The
    /// present connection is kept until the new one is accepted; see [`crate::event::SessionEvent::Migrating`].
    pub failback: Option<FailbackSettings>,
}

/// When a failback is due, apart from the hold-down of its target.
///
/// ```
/// use std::time::Duration;
/// use steadfast_core::policy::FailbackSettings;
///
/// let failback = FailbackSettings::new(Duration::from_mins(30)).jitter(Duration::from_mins(10));
/// assert_eq!(failback.after, Duration::from_mins(30));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailbackSettings {
    /// The time from a connection, or from a list with a better endpoint, without the jitter; above zero.
    pub after: Duration,
    /// The jitter that extends this time, uniform from zero to this. A fleet that receives a better endpoint at one
    /// instant connects to it within this time.
    pub jitter: Duration,
}

/// Whether the endpoints of a session serve the same log: the history of their topics, with one order and one set of
/// offsets and idempotency keys.
///
/// ```
/// use steadfast_core::policy::EndpointLogs;
///
/// assert_eq!(EndpointLogs::default(), EndpointLogs::Independent);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointLogs {
    /// Each endpoint has its own log. When a session is connected to another endpoint than before, messages that may
    /// have been applied end as interrupted, since they could be applied again, and subscriptions report a gap.
    #[default]
    Independent,
    /// All endpoints serve the same log, for example several addresses of one server. Messages are sent again, and
    /// subscriptions are resumed, over a connection to any of them.
    Shared,
}

/// Settings of endpoints that have been validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointsPolicy(EndpointsSettings);

impl EndpointsPolicy {
    /// Validates settings.
    ///
    /// # Errors
    ///
    /// Returns the first setting that is invalid.
    pub fn new(settings: EndpointsSettings) -> Result<Self, PolicyError> {
        check(settings.rules())?;
        Ok(Self(settings))
    }

    /// The validated settings.
    pub const fn settings(&self) -> &EndpointsSettings {
        &self.0
    }
}

impl EndpointsSettings {
    /// At most this many endpoints, of which one is tried after the others for `hold_down` if it fails or ends a
    /// connection before `stable_after`. `hold_down_jitter` is as long as `hold_down`, and there is no failback.
    pub const fn new(count_max: usize, stable_after: Duration, hold_down: Duration) -> Self {
        Self {
            count_max,
            stable_after,
            hold_down,
            hold_down_jitter: hold_down,
            failback: None,
        }
    }

    /// Sets when a session returns to an endpoint of better priority.
    #[must_use]
    pub const fn failback(mut self, failback: FailbackSettings) -> Self {
        self.failback = Some(failback);
        self
    }

    pub(super) fn rules(&self) -> [Rule; 4] {
        let is_failback_delayed = self.failback.is_none_or(|it| !it.after.is_zero());
        [
            (
                self.count_max > 0,
                SessionSetting::EndpointsCountMax,
                ABOVE_ZERO,
            ),
            above_zero(SessionSetting::EndpointsStableAfter, self.stable_after),
            above_zero(SessionSetting::EndpointsHoldDown, self.hold_down),
            (
                is_failback_delayed,
                SessionSetting::EndpointsFailbackAfter,
                ABOVE_ZERO,
            ),
        ]
    }
}

impl FailbackSettings {
    /// A failback is due after this time, which a jitter extends up to twice as long.
    pub const fn new(after: Duration) -> Self {
        Self {
            after,
            jitter: after,
        }
    }
}

setters!(EndpointsSettings {
    count_max: usize,
    stable_after: Duration,
    hold_down: Duration,
    hold_down_jitter: Duration,
});

setters!(FailbackSettings {
    after: Duration,
    jitter: Duration,
});
