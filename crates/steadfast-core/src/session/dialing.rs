//! From the wish for a connection to the connect command, and what comes between two attempts.

use steadfast_machine::Instant;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{ConnectRequest, Request};

use super::{Session, Stage};
use crate::backoff::Reason;
use crate::event::{Cause, Event, Phase, State};
use crate::io::{Attempt, DialFailure, Output};
use crate::liveness::Liveness;

/// Subscribe commands join the connect command up to this length of the message; the others follow its answer.
const FIRST_MESSAGE_BYTES: usize = Limits::MESSAGE_BYTES / 2;

/// The most bytes of a subscribe command beside its names.
const SUBSCRIBE_BYTES: usize = 1_024;

impl Session {
    pub(super) fn open(&mut self, now: Instant) {
        match self.stage {
            Stage::Idle => {}
            // The wish has changed: the old end is not waited for.
            Stage::Closing { .. } => self.end_at_once(now),
            Stage::Live { is_ready, .. } => {
                if self.drain_until.take().is_some() {
                    let phase = if is_ready {
                        Phase::Ready
                    } else {
                        Phase::Resuming
                    };
                    self.enter(now, State::Connected, phase);
                }
                return;
            }
            Stage::Dialing { .. } | Stage::Greeting { .. } | Stage::Waiting { .. } => {
                self.drain_until = None;
                return;
            }
            Stage::Failed => return,
        }
        self.away_since = Some(now);
        self.dial(now);
    }

    /// The network is back: the next attempt is due, or a connection must show that it still lives.
    pub(super) fn kick(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::Waiting { .. } => self.dial(now),
            Stage::Live { liveness, .. } => {
                if liveness.ask_now(now) {
                    let attempt = self.attempt;
                    self.outputs.push_back(Output::Probe { attempt });
                }
            }
            Stage::Idle
            | Stage::Dialing { .. }
            | Stage::Greeting { .. }
            | Stage::Closing { .. }
            | Stage::Failed => {}
        }
    }

    pub(super) fn revive(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Failed) {
            self.failures = 0;
            self.away_since.get_or_insert(now);
            self.snapshot.attempt = 0;
            self.dial(now);
        }
    }

    pub(super) fn dial(&mut self, now: Instant) {
        let endpoints = u32::try_from(self.settings().endpoints).unwrap_or(u32::MAX);
        let turn = self.failures.checked_rem(endpoints).unwrap_or(0);
        let endpoint = usize::try_from(turn).unwrap_or(0);
        self.attempt = Attempt(self.attempt.0 + 1);
        self.attempt_started = now;
        self.stage = Stage::Dialing {
            deadline: Some(now + self.settings().attempt_deadline),
        };
        self.snapshot.attempt = self.snapshot.attempt.saturating_add(1);
        self.snapshot.endpoint = endpoint;
        let state = self.state_without_connection();
        self.enter(now, state, Phase::Dialing);
        let (attempt, number) = (self.attempt, self.snapshot.attempt);
        self.outputs.push_back(Output::Dial { attempt, endpoint });
        self.notify(Event::Attempting {
            attempt: number,
            endpoint,
        });
    }

    /// The shell has too many dials under way: the time of this attempt does not run.
    pub(super) fn dial_held(&mut self) {
        if let Stage::Dialing { deadline } = &mut self.stage {
            *deadline = None;
        }
    }

    /// The dial that was held goes on: the attempt begins now.
    pub(super) fn dial_began(&mut self, now: Instant) {
        let limit = self.settings().attempt_deadline;
        if let Stage::Dialing { deadline } = &mut self.stage
            && deadline.is_none()
        {
            *deadline = Some(now + limit);
            self.attempt_started = now;
        }
    }

    /// Before its first connection a session connects; later it reconnects.
    pub(super) fn state_without_connection(&self) -> State {
        match self.snapshot.state {
            State::Connected | State::Reconnecting => State::Reconnecting,
            State::Disconnected | State::Connecting | State::Failed => State::Connecting,
        }
    }

    /// The transport is open: the connect command and the subscriptions go out in one message.
    pub(super) fn dialled(&mut self, now: Instant) {
        let Stage::Dialing { deadline } = self.stage else {
            return;
        };
        self.outgoing.clear();
        let settings = self.settings();
        let deadline = deadline.unwrap_or(now + settings.attempt_deadline);
        let connect = ConnectRequest {
            token: settings.token.clone(),
            data: settings.data.clone(),
            name: settings.name.clone(),
            ..ConnectRequest::default()
        };
        let mut length = connect.token.len() + connect.data.as_ref().map_or(0, bytes::Bytes::len);
        let liveness = Liveness::new(settings.liveness, now);
        let command = self.outgoing.ask(Request::Connect(connect));
        self.stage = Stage::Greeting {
            deadline,
            command,
            liveness,
        };
        let wants_feeds = self.drain_until.is_none();
        while wants_feeds && length < FIRST_MESSAGE_BYTES && self.ask_for_subscription(now) {
            length += SUBSCRIBE_BYTES;
        }
        let state = self.snapshot.state;
        self.enter(now, state, Phase::Authenticating);
    }

    /// True when there was one to be asked for.
    pub(super) fn ask_for_subscription(&mut self, now: Instant) -> bool {
        let id = self.outgoing.next_id();
        let request = self.subscriptions.ask_next(now, id);
        let found = request.is_some();
        self.ask(request);
        found
    }

    pub(super) fn ask(&mut self, request: Option<Request>) {
        let has_peer = matches!(self.stage, Stage::Greeting { .. } | Stage::Live { .. });
        if let Some(request) = request.filter(|_| has_peer) {
            self.outgoing.ask(request);
        }
    }

    pub(super) fn dial_failed(&mut self, now: Instant, failure: DialFailure) {
        // A transport that is open ends as a loss.
        if !matches!(self.stage, Stage::Dialing { .. }) {
            return;
        }
        let cause = if failure.is_local {
            Cause::LocalNetwork(failure.text)
        } else {
            Cause::Dial(failure.text)
        };
        if failure.is_final {
            return self.fail(now, cause);
        }
        let hint = failure.retry_after;
        self.attempt_failed(now, cause, Reason::Failure { hint });
    }

    pub(super) fn attempt_timed_out(&mut self, now: Instant) {
        self.abandon_transport();
        let reason = Reason::Failure { hint: None };
        self.attempt_failed(now, Cause::AttemptTimeout, reason);
    }

    /// An attempt came to nothing; the next one is counted from its start, so that a slow failure does not add up.
    pub(super) fn attempt_failed(&mut self, now: Instant, cause: Cause, reason: Reason) {
        self.outgoing.clear();
        self.subscriptions.lost();
        self.failures = self.failures.saturating_add(1);
        let limit = self.settings().backoff.attempts_max;
        if limit.is_some_and(|limit| self.snapshot.attempt >= limit) {
            let attempts = self.snapshot.attempt;
            return self.fail(now, Cause::AttemptsExhausted(attempts));
        }
        let endpoints = u32::try_from(self.settings().endpoints).unwrap_or(u32::MAX);
        let is_round_over = self.failures.checked_rem(endpoints) == Some(0);
        let has_hint = !matches!(reason, Reason::Failure { hint: None });
        // Other endpoints of a round are tried at once; the pause comes between rounds.
        let delay = if is_round_over || has_hint {
            self.backoff.next(reason)
        } else {
            self.settings().backoff.floor
        };
        // What a server asks for counts from when it asked.
        let from = if has_hint { now } else { self.attempt_started };
        let until = (from + delay).max(now);
        self.wait(now, until, cause);
    }

    pub(super) fn wait(&mut self, now: Instant, until: Instant, cause: Cause) {
        self.stage = Stage::Waiting { until };
        self.snapshot.cause = Some(cause.clone());
        let state = self.state_without_connection();
        let phase = if self.is_degraded(now) {
            Phase::Degraded
        } else {
            Phase::Waiting
        };
        self.enter(now, state, phase);
        let attempt = self.snapshot.attempt.saturating_add(1);
        self.notify(Event::Waiting {
            attempt,
            until,
            cause,
        });
    }

    /// When a session that waits becomes degraded; `None` when it is, or does not wait.
    pub(super) fn degrade_at(&self) -> Option<Instant> {
        let is_waiting = self.snapshot.phase == Phase::Waiting;
        let since = self.away_since.filter(|_| is_waiting)?;
        Some(since + self.settings().session_ttl)
    }

    pub(super) fn degrade(&mut self, now: Instant) {
        if self.degrade_at().is_some_and(|at| now >= at) {
            self.snapshot.phase = Phase::Degraded;
        }
    }

    fn is_degraded(&self, now: Instant) -> bool {
        let ttl = self.settings().session_ttl;
        self.away_since
            .is_some_and(|since| now.saturating_since(since) >= ttl)
    }
}
