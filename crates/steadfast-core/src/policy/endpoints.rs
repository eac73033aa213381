//! The settings of failover and failback between endpoints.

use std::time::Duration;

use super::{ABOVE_ZERO, PolicyError, Rule, SessionSetting, above_zero, check};

/// When a session avoids an endpoint, and when it returns to one of better priority; see [`crate::endpoints`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// When a session returns to an endpoint of better priority; `None` if it stays until its connection is lost.
    /// A [`crate::Session`] does not use this yet: it stays until its connection is lost.
    pub failback: Option<FailbackSettings>,
}

/// When a failback is due, apart from the hold-down of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailbackSettings {
    /// The time from a connection, or from a list with a better endpoint, without the jitter; above zero.
    pub after: Duration,
    /// The jitter that extends this time, uniform from zero to this. A fleet that receives a better endpoint at one
    /// instant connects to it within this time.
    pub jitter: Duration,
}

/// Whether the endpoints of a session serve the same log: the history of their topics, with one order and one set of
/// offsets and idempotency keys.
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
