//! The standby: a connection that is established while the present one stays, in order to replace it.
//!
//! There is at most one. Its failure leaves the present connection as it is; whatever ends that, or closes the link, ends
//! the standby too, unless its peer has accepted the client.

use std::time::Duration;

use steadfast_machine::{Instant, convert};

use super::{Lifecycle, Link, LinkOutput};
use crate::endpoints::EndpointId;
use crate::event::{DisconnectCause, MigrationError, MigrationReason, SessionEvent};
use crate::io::{Attempt, DialFailure, RenewalReason, Timer};
use crate::liveness::{Action as LivenessAction, Liveness};
use crate::retry_advice::{Action, RetryAdvice};

/// The longest time that requests in flight delay the switch to an accepted standby, in which new requests wait.
/// Afterwards they end as those of a lost connection; but if the switch only renews a login in time, it is tried again later
/// instead of ending a request that must not be repeated.
pub const SWITCH_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that is to replace the present one.
#[derive(Debug)]
pub(super) struct Standby {
    pub(super) attempt: Attempt,
    pub(super) endpoint: EndpointId,
    pub(super) reason: MigrationReason,
    pub(super) stage: StandbyStage,
}

/// The stage of a standby, with the data that is valid in it.
#[derive(Debug)]
pub(super) enum StandbyStage {
    Dialing {
        /// `None` while the dial is queued in the shell.
        deadline: Option<Instant>,
    },
    Handshake {
        deadline: Instant,
        liveness: Liveness,
    },
    /// The peer has accepted the client: the present connection replies to what is in flight.
    Accepted {
        switch_by: Instant,
        liveness: Liveness,
    },
}

impl Standby {
    pub(super) const fn liveness_mut(&mut self) -> Option<&mut Liveness> {
        match &mut self.stage {
            StandbyStage::Handshake { liveness, .. } | StandbyStage::Accepted { liveness, .. } => {
                Some(liveness)
            }
            StandbyStage::Dialing { .. } => None,
        }
    }

    pub(super) const fn dial_deadline(&mut self) -> Option<&mut Option<Instant>> {
        match &mut self.stage {
            StandbyStage::Dialing { deadline } => Some(deadline),
            StandbyStage::Handshake { .. } | StandbyStage::Accepted { .. } => None,
        }
    }

    /// The next deadline and what happens when it passes.
    pub(super) fn timer(&self) -> Option<(Instant, Timer)> {
        let (liveness, other) = match &self.stage {
            StandbyStage::Dialing { deadline } => {
                return deadline.map(|at| (at, Timer::ConnectTimeout));
            }
            StandbyStage::Handshake { deadline, liveness } => {
                (liveness, (*deadline, Timer::ConnectTimeout))
            }
            StandbyStage::Accepted {
                switch_by,
                liveness,
            } => (liveness, (*switch_by, Timer::Switch)),
        };
        let silence = (liveness.deadline(), Timer::Liveness);
        [silence, other].into_iter().min_by_key(|(at, _)| *at)
    }

    /// The index of its endpoint in the shell's list.
    pub(super) fn endpoint_index(&self) -> usize {
        convert::saturating(self.endpoint.0)
    }
}

/// The begin of a standby.
impl Link {
    /// The application requests another connection instead of the present one: to this endpoint, or to the next one that
    /// is available, or to the same one if there is no other. Has no effect while another attempt to replace the
    /// connection is in progress; otherwise an attempt begins, or a [`SessionEvent::MigrationFailed`] says why not.
    pub fn migrate(&mut self, now: Instant, endpoint: Option<usize>) {
        if self.standby.is_some() {
            return;
        }
        match self.migration_target(now, endpoint) {
            Ok(target) => self.start_standby(now, target, MigrationReason::Requested),
            Err(error) => self.notify(SessionEvent::MigrationFailed { endpoint, error }),
        }
    }

    /// Another connection to the same server replaces the present one, whose login cannot be renewed. Has no effect while
    /// another attempt to replace it is in progress.
    pub(crate) fn renew(&mut self, now: Instant) {
        if self.standby.is_none() && self.can_migrate() {
            self.start_standby(now, self.endpoint, MigrationReason::Renewal);
        }
    }

    /// The index of the endpoint of an attempt that has not ended.
    pub(crate) fn endpoint_of(&self, attempt: Attempt) -> Option<usize> {
        if self.is_current(attempt) {
            return Some(self.snapshot.endpoint);
        }
        let standby = self.standby.as_ref();
        standby
            .filter(|it| it.attempt == attempt)
            .map(|it| it.endpoint_index())
    }

    fn migration_target(
        &mut self,
        now: Instant,
        endpoint: Option<usize>,
    ) -> Result<EndpointId, MigrationError> {
        if !self.can_migrate() {
            return Err(MigrationError::NotReady);
        }
        let Some(endpoint) = endpoint else {
            let is_other_available = self.endpoints.available_at() <= now;
            let target = if is_other_available {
                self.endpoints.next(now)
            } else {
                self.endpoint
            };
            return self.unless_postponed(now, target);
        };
        if endpoint >= self.settings.priorities.len() {
            return Err(MigrationError::UnknownEndpoint);
        }
        self.unless_postponed(now, EndpointId(convert::to_u64(endpoint)))
    }

    /// A server that requested a delay is not dialled before that either.
    fn unless_postponed(&self, now: Instant, id: EndpointId) -> Result<EndpointId, MigrationError> {
        match self.endpoints.postponed_until(id) {
            Some(until) if until > now => Err(MigrationError::Postponed { until }),
            Some(_) | None => Ok(id),
        }
    }

    /// Whether a standby may begin: the present connection is ready, and the link is not closing.
    pub(crate) const fn can_migrate(&self) -> bool {
        let is_ready = matches!(self.lifecycle, Lifecycle::Connected { is_ready: true, .. });
        is_ready && !self.is_draining()
    }

    /// When a failback is due, if it may begin then.
    pub(super) fn failback_at(&self) -> Option<Instant> {
        let can_begin = self.can_migrate() && self.standby.is_none();
        self.endpoints.failback_at().filter(|_| can_begin)
    }

    /// Begins a failback if one is due and may begin.
    pub(super) fn start_due_failback(&mut self, now: Instant) {
        if self.failback_at().is_some()
            && let Some(target) = self.endpoints.start_failback(now)
        {
            self.start_standby(now, target, MigrationReason::Failback);
        }
    }

    fn start_standby(&mut self, now: Instant, target: EndpointId, reason: MigrationReason) {
        let standby = Standby {
            attempt: self.next_attempt(),
            endpoint: target,
            reason,
            stage: StandbyStage::Dialing {
                deadline: Some(now + self.settings.connect_timeout),
            },
        };
        let (attempt, endpoint) = (standby.attempt, standby.endpoint_index());
        self.standby = Some(Box::new(standby));
        self.notify(SessionEvent::Migrating { endpoint, reason });
        self.outputs
            .push_back(LinkOutput::Dial { attempt, endpoint });
    }
}

/// The progress of a standby.
impl Link {
    /// Whether this attempt is to replace the present connection, and has not ended.
    pub fn is_standby(&self, attempt: Attempt) -> bool {
        self.standby
            .as_ref()
            .is_some_and(|it| it.attempt == attempt)
    }

    /// Whether the peer of the standby has accepted the client: the layer above sends no new requests, and calls
    /// [`Self::switch`] as soon as none is in flight.
    pub fn is_switching(&self) -> bool {
        let stage = self.standby.as_ref().map(|it| &it.stage);
        matches!(stage, Some(StandbyStage::Accepted { .. }))
    }

    /// Whether the standby waits for a switch that renews the login.
    pub(crate) fn is_switching_for_renewal(&self) -> bool {
        let reason = self.standby.as_ref().map(|it| it.reason);
        self.is_switching() && reason == Some(MigrationReason::Renewal)
    }

    /// Whether the time is over that requests in flight delay the switch.
    pub(crate) fn is_switch_overdue(&self, now: Instant) -> bool {
        let stage = self.standby.as_ref().map(|it| &it.stage);
        matches!(stage, Some(StandbyStage::Accepted { switch_by, .. }) if now >= *switch_by)
    }

    /// Gives the standby up, because a request in flight must not be interrupted.
    pub(crate) fn give_up_renewal(&mut self) {
        self.abandon_standby_because(MigrationError::RequestInFlight);
    }

    pub(super) fn standby_dialled(&mut self, now: Instant) {
        let limit = now + self.settings.connect_timeout;
        let liveness = Liveness::new(self.settings.liveness, now);
        let Some(standby) = &mut self.standby else {
            return;
        };
        let StandbyStage::Dialing { deadline } = standby.stage else {
            return;
        };
        standby.stage = StandbyStage::Handshake {
            deadline: deadline.unwrap_or(limit),
            liveness,
        };
        let (attempt, endpoint) = (standby.attempt, standby.endpoint);
        self.endpoints.on_opened(endpoint);
        self.outputs
            .push_back(LinkOutput::StartHandshake { attempt });
    }

    pub(super) fn standby_accepted(&mut self, now: Instant) {
        let Some(mut standby) = self.standby.take() else {
            return;
        };
        standby.stage = match standby.stage {
            StandbyStage::Handshake { liveness, .. } => StandbyStage::Accepted {
                switch_by: now + SWITCH_TIMEOUT,
                liveness,
            },
            stage @ (StandbyStage::Dialing { .. } | StandbyStage::Accepted { .. }) => stage,
        };
        self.standby = Some(standby);
    }

    /// Time has passed.
    pub(super) fn tick_standby(&mut self, now: Instant) {
        let Some(standby) = &mut self.standby else {
            return;
        };
        let is_late = match &standby.stage {
            StandbyStage::Dialing { deadline } => deadline.is_some_and(|at| now >= at),
            StandbyStage::Handshake { deadline, .. } => now >= *deadline,
            StandbyStage::Accepted { switch_by, .. } if now >= *switch_by => {
                return self.switch(now);
            }
            StandbyStage::Accepted { .. } => false,
        };
        let attempt = standby.attempt;
        if is_late {
            return self.give_up_standby(now, DisconnectCause::ConnectTimeout);
        }
        let Some(liveness) = standby.liveness_mut() else {
            return;
        };
        match liveness.on_timer(now) {
            LivenessAction::Wait => {}
            LivenessAction::Probe => self.probe(attempt),
            LivenessAction::GiveUp(cause) => self.give_up_standby(now, cause),
        }
    }
}

/// The end of a standby without a switch.
impl Link {
    pub(super) fn standby_dial_failed(&mut self, now: Instant, failure: DialFailure) {
        // The failure of an open transport is reported as a loss.
        if let Some(standby) = &self.standby
            && matches!(standby.stage, StandbyStage::Dialing { .. })
        {
            if failure.is_final {
                self.endpoints.on_failed_for_good(standby.endpoint);
            }
            let retry_after = failure.retry_after;
            let cause = DisconnectCause::from(failure);
            let advice = RetryAdvice {
                retry_after,
                ..RetryAdvice::RETRY
            };
            self.standby_failed(now, cause, advice);
        }
    }

    /// The peer rejected the client.
    pub(super) fn standby_rejected(
        &mut self,
        now: Instant,
        cause: DisconnectCause,
        advice: RetryAdvice,
    ) {
        if !self.is_switching() {
            self.abort_standby_transport();
            self.standby_failed(now, cause, advice);
        }
    }

    /// Gives up its transport, because the peer is unresponsive or violated the protocol.
    pub(super) fn give_up_standby(&mut self, now: Instant, cause: DisconnectCause) {
        self.abort_standby_transport();
        self.standby_failed(now, cause, RetryAdvice::RETRY);
    }

    /// The standby failed, and its transport is gone. Whatever the advice is, the present connection stays.
    pub(super) fn standby_failed(
        &mut self,
        now: Instant,
        cause: DisconnectCause,
        advice: RetryAdvice,
    ) {
        let Some(standby) = self.standby.take() else {
            return;
        };
        let can_renew = advice.action == Action::RenewCredentials && self.credentials.can_fetch;
        if can_renew {
            self.endpoints.on_inconclusive(standby.endpoint);
        } else {
            self.report_failed_attempt(now, standby.endpoint, &cause);
        }
        if let Some(retry_after) = advice.retry_after {
            let delay = self.backoff.jittered_retry_after(retry_after);
            self.endpoints.postpone(standby.endpoint, now + delay);
        }
        if can_renew {
            let reason = RenewalReason::Rejected;
            self.require_credentials(reason);
            self.outputs
                .push_back(LinkOutput::FetchCredentials { reason });
        }
        self.end_standby(&standby, MigrationError::Failed(cause));
    }

    /// Ends a standby for a reason that has nothing to do with it.
    pub(super) fn abandon_standby(&mut self) {
        self.abandon_standby_because(MigrationError::Abandoned);
    }

    fn abandon_standby_because(&mut self, error: MigrationError) {
        self.abort_standby_transport();
        if let Some(standby) = self.standby.take() {
            self.endpoints.on_inconclusive(standby.endpoint);
            self.end_standby(&standby, error);
        }
    }

    pub(super) fn abort_standby_transport(&mut self) {
        if let Some(attempt) = self.standby.as_ref().map(|it| it.attempt) {
            self.outputs.push_back(LinkOutput::Abort { attempt });
        }
    }

    fn end_standby(&mut self, standby: &Standby, error: MigrationError) {
        let attempt = standby.attempt;
        self.outputs.push_back(LinkOutput::StandbyDown { attempt });
        self.notify(SessionEvent::MigrationFailed {
            endpoint: Some(standby.endpoint_index()),
            error,
        });
    }
}
