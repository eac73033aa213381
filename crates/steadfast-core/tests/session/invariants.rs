//! Invariants that hold after each input of every test: `script` checks them for every output.

use std::collections::BTreeSet;

use steadfast_core::Session;
use steadfast_core::dialect::Dialect;
use steadfast_core::event::{ConnectionEpoch, SessionEvent, SessionPhase, SessionState};
use steadfast_core::io::{Attempt, CallId, Input, MessageId, Output, Timer};
use steadfast_machine::Instant;

/// The history of one session, and the checks on it.
#[derive(Default)]
pub(crate) struct InvariantChecker {
    /// The transport of the present attempt or connection, and whether it is open.
    transport: Option<(Attempt, bool)>,
    /// That of the connection that is to replace it, likewise.
    standby: Option<(Attempt, bool)>,
    /// That of a connection that was replaced, until it has ended.
    retiring: Option<Attempt>,
    /// An attempt to replace the connection was reported and has not ended.
    migration: Migration,
    last_attempt: Attempt,
    /// The attempt of the last transport that was not a standby.
    last_present: Attempt,
    epoch: ConnectionEpoch,
    /// A connection was reported and has not ended.
    is_connected: bool,
    /// How often the session has reported that it is degraded, in this outage.
    degraded_reports: usize,
    has_failed: bool,
    /// The application requested to close the session.
    is_closing: bool,
    published: BTreeSet<MessageId>,
    called: BTreeSet<CallId>,
}

/// Whether the session tries to replace its connection.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Migration {
    #[default]
    None,
    InProgress,
}

impl InvariantChecker {
    fn is_migrating(&self) -> bool {
        self.migration == Migration::InProgress
    }

    pub(crate) fn attempt(&self) -> Attempt {
        self.transport.map_or(self.last_present, |(it, _)| it)
    }

    /// The attempt that is to replace the present connection.
    pub(crate) fn standby(&self) -> Option<Attempt> {
        self.standby.map(|(it, _)| it)
    }

    pub(crate) fn is_standby_open(&self) -> bool {
        matches!(self.standby, Some((_, true)))
    }

    /// The attempt of a connection that was replaced, and has not ended.
    pub(crate) const fn retiring(&self) -> Option<Attempt> {
        self.retiring
    }

    /// The number of transports that have not ended.
    pub(crate) fn transports(&self) -> usize {
        let all = [
            self.transport.is_some(),
            self.standby.is_some(),
            self.retiring.is_some(),
        ];
        all.into_iter().filter(|it| *it).count()
    }

    /// The standby replaces the present connection.
    fn switch(&mut self) {
        self.transport = self.standby.take();
        assert!(self.is_open(), "the new connection is open");
        self.last_present = self.attempt();
    }

    pub(crate) fn is_dialing(&self) -> bool {
        matches!(self.transport, Some((_, false)))
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.transport, Some((_, true)))
    }

    /// Records an input, with the state of the session before it.
    pub(crate) fn on_input<D: Dialect>(&mut self, input: &Input<D>, state: SessionState) {
        match input {
            Input::Dialled { attempt } => {
                for transport in [&mut self.transport, &mut self.standby] {
                    if *transport == Some((*attempt, false)) {
                        *transport = Some((*attempt, true));
                    }
                }
            }
            Input::DialFailed { attempt, .. } => {
                for transport in [&mut self.transport, &mut self.standby] {
                    transport.take_if(|it| *it == (*attempt, false));
                }
            }
            Input::Lost { attempt, .. } => {
                self.remove(*attempt);
            }
            Input::SendRequested(publish) => {
                assert!(
                    self.published.insert(publish.id),
                    "the test repeats {publish:?}"
                );
            }
            Input::CallRequested { id, .. } => {
                assert!(self.called.insert(*id), "the test repeats {id:?}");
            }
            Input::CallWithdrawn { id } => {
                self.called.remove(id);
            }
            Input::RestartRequested => self.has_failed &= state != SessionState::Failed,
            Input::OpenRequested => self.is_closing = false,
            Input::CloseRequested { .. } => self.is_closing = true,
            Input::DialQueued { .. }
            | Input::DialStarted { .. }
            | Input::ReconnectRequested
            | Input::MigrateRequested { .. }
            | Input::CredentialsFetched { .. }
            | Input::CredentialsReplaced(_)
            | Input::BytesReceived { .. }
            | Input::PongReceived { .. }
            | Input::Received { .. }
            | Input::ReceivedOversized { .. }
            | Input::SendBuffer { .. }
            | Input::SubscribeRequested { .. }
            | Input::UnsubscribeRequested { .. }
            | Input::Consumed { .. }
            | Input::Computed { .. }
            | Input::Tick => {}
        }
    }

    /// The transport of this attempt has ended. Returns whether there was one.
    fn remove(&mut self, attempt: Attempt) -> bool {
        let transport = self.transport.take_if(|(it, _)| *it == attempt);
        let standby = self.standby.take_if(|(it, _)| *it == attempt);
        let retiring = self.retiring.take_if(|it| *it == attempt);
        transport.is_some() || standby.is_some() || retiring.is_some()
    }

    /// Publications and calls without an outcome.
    pub(crate) fn pending(&self) -> usize {
        self.published.len() + self.called.len()
    }

    pub(crate) fn on_output<D: Dialect>(&mut self, output: &Output<D>) {
        match output {
            Output::Dial { attempt, .. } => {
                assert!(!self.has_failed, "a failed session does not dial");
                assert!(*attempt > self.last_attempt, "attempts never repeat");
                self.last_attempt = *attempt;
                if self.is_migrating() {
                    assert!(self.is_open(), "there is a connection to replace");
                    assert_eq!(self.standby, None, "one standby at a time");
                    self.standby = Some((*attempt, false));
                } else {
                    assert_eq!(self.transport, None, "one transport at a time");
                    self.transport = Some((*attempt, false));
                    self.last_present = *attempt;
                }
            }
            Output::Abort { attempt } => {
                assert!(
                    self.remove(*attempt),
                    "{output:?}: there is no such transport"
                );
            }
            Output::Transmit { attempt, .. } | Output::Probe { attempt } => {
                let open = Some((*attempt, true));
                assert!(self.transport == open || self.standby == open, "{output:?}");
            }
            Output::Close { attempt, .. } => {
                assert_eq!(self.transport, Some((*attempt, true)), "{output:?}");
                if self.is_migrating() {
                    assert_eq!(self.retiring, None, "one connection is closed at a time");
                    self.retiring = Some(*attempt);
                    self.switch();
                    self.is_connected = false;
                }
            }
            Output::CompleteMessage { id, .. } => {
                assert!(self.published.remove(id), "{id:?} completes once");
            }
            Output::CompleteCall { id, .. } => {
                assert!(self.called.remove(id), "{id:?} completes once");
            }
            Output::FetchCredentials { .. }
            | Output::Compute { .. }
            | Output::Redirect { .. }
            | Output::Deliver { .. } => {}
            Output::Notify(event) => self.on_event(event),
        }
    }

    fn on_event(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::Connected { epoch, .. } => {
                assert!(!self.is_connected, "the previous connection has ended");
                assert_eq!(
                    epoch.0,
                    self.epoch.0 + 1,
                    "the connection number grows by one"
                );
                self.epoch = *epoch;
                self.is_connected = true;
                self.degraded_reports = 0;
                if std::mem::take(&mut self.migration) == Migration::InProgress
                    && self.transport.is_none()
                {
                    self.switch();
                }
            }
            SessionEvent::Migrating { .. } => {
                assert!(self.is_connected && !self.is_migrating(), "{event:?}");
                self.migration = Migration::InProgress;
            }
            SessionEvent::MigrationFailed { .. } => {
                assert_eq!(self.standby, None, "its transport has ended");
                self.migration = Migration::None;
            }
            SessionEvent::Ready { epoch } => {
                assert!(self.is_connected && *epoch == self.epoch, "{event:?}");
            }
            SessionEvent::Lost { epoch, .. } => {
                assert!(self.is_connected && *epoch == self.epoch, "{event:?}");
                self.is_connected = false;
            }
            SessionEvent::Closed => {
                self.is_connected = false;
                self.degraded_reports = 0;
            }
            SessionEvent::Degraded { .. } => {
                assert!(!self.is_connected, "{event:?} while connected");
                assert_eq!(
                    self.degraded_reports, 0,
                    "reported twice in an outage: {event:?}"
                );
                self.degraded_reports += 1;
            }
            SessionEvent::Failed { .. } => {
                assert!(!self.is_connected, "a loss precedes a failure");
                self.has_failed = true;
            }
            SessionEvent::LoginExpired { .. } | SessionEvent::LoggedIn { .. } => {
                assert!(self.is_connected, "{event:?} without a connection");
            }
            SessionEvent::RenewalFailed { .. } => {}
            SessionEvent::Attempting { .. } | SessionEvent::Waiting { .. } => {
                assert!(!self.is_connected, "{event:?} while connected");
            }
            SessionEvent::Notice { .. } | _ => panic!("unknown event {event:?}"),
        }
        if *event == SessionEvent::Closed {
            self.has_failed = false;
        }
    }

    /// Checks the session between two inputs.
    pub(crate) fn check<D: Dialect>(&self, session: &Session<D>, now: Instant) {
        let it = session.snapshot();
        let fits = match it.state {
            SessionState::Disconnected | SessionState::Failed => it.phase == SessionPhase::Idle,
            SessionState::Connecting | SessionState::Reconnecting => matches!(
                it.phase,
                SessionPhase::FetchingCredentials
                    | SessionPhase::Dialing
                    | SessionPhase::Handshake
                    | SessionPhase::Waiting
                    | SessionPhase::Degraded
            ),
            SessionState::Connected => matches!(
                it.phase,
                SessionPhase::LoggingIn
                    | SessionPhase::Resuming
                    | SessionPhase::Ready
                    | SessionPhase::Draining
                    | SessionPhase::Closing
            ),
            _ => false,
        };
        assert!(fits, "{:?} in {:?}", it.phase, it.state);
        let waits = matches!(it.phase, SessionPhase::Waiting | SessionPhase::Degraded);
        assert_eq!(it.next_attempt_at.is_some(), waits, "{it:?}");
        let has_transport = !waits
            && !matches!(
                it.phase,
                SessionPhase::Idle | SessionPhase::FetchingCredentials
            );
        assert_eq!(self.transport.is_some(), has_transport, "{it:?}");
        assert_eq!(
            self.is_connected,
            it.state == SessionState::Connected,
            "{it:?}"
        );
        assert_eq!(self.standby.is_some(), self.is_migrating(), "{it:?}");
        assert!(
            !self.is_migrating()
                || matches!(it.phase, SessionPhase::Ready | SessionPhase::LoggingIn),
            "{it:?}"
        );
        assert_eq!(self.has_failed, it.state == SessionState::Failed, "{it:?}");
        assert_eq!(self.epoch, it.epoch);
        assert!(it.since <= now);
        if let Some((_, timer)) = session.next_timer() {
            let may_be = match timer {
                Timer::Outbox | Timer::Call => true,
                Timer::Redial | Timer::Degrade => waits,
                Timer::ConnectTimeout => {
                    self.is_migrating()
                        || matches!(
                            it.phase,
                            SessionPhase::FetchingCredentials
                                | SessionPhase::Dialing
                                | SessionPhase::Handshake
                        )
                }
                Timer::Failback => it.phase == SessionPhase::Ready && !self.is_migrating(),
                Timer::Switch => self.is_standby_open(),
                Timer::Credentials => it.state == SessionState::Connected,
                Timer::Liveness => {
                    it.phase == SessionPhase::Handshake
                        || it.state == SessionState::Connected && it.phase != SessionPhase::Closing
                }
                Timer::Resubscribe => it.state == SessionState::Connected,
                Timer::CloseTimeout => self.is_closing || self.retiring.is_some(),
            };
            assert!(may_be, "{timer:?} in {:?}", it.phase);
        }
    }
}
