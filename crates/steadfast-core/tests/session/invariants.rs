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
    /// The current transport, and whether it is open.
    transport: Option<(Attempt, bool)>,
    last_attempt: Attempt,
    epoch: ConnectionEpoch,
    /// A connection was reported and has not ended.
    is_connected: bool,
    has_failed: bool,
    /// The application requested to close the session.
    is_closing: bool,
    published: BTreeSet<MessageId>,
    called: BTreeSet<CallId>,
}

impl InvariantChecker {
    pub(crate) fn attempt(&self) -> Attempt {
        self.transport.map_or(self.last_attempt, |(it, _)| it)
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
                if self.transport == Some((*attempt, false)) {
                    self.transport = Some((*attempt, true));
                }
            }
            Input::DialFailed { attempt, .. } => {
                if self.transport == Some((*attempt, false)) {
                    self.transport = None;
                }
            }
            Input::Lost { attempt, .. } => {
                if self.transport.is_some_and(|(it, _)| it == *attempt) {
                    self.transport = None;
                }
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
            | Input::CredentialsFetched { .. }
            | Input::CredentialsReplaced(_)
            | Input::BytesReceived { .. }
            | Input::Received { .. }
            | Input::SendBuffer { .. }
            | Input::SubscribeRequested { .. }
            | Input::UnsubscribeRequested { .. }
            | Input::Consumed { .. }
            | Input::Tick => {}
        }
    }

    /// Publications and calls without an outcome.
    pub(crate) fn pending(&self) -> usize {
        self.published.len() + self.called.len()
    }

    pub(crate) fn on_output<D: Dialect>(&mut self, output: &Output<D>) {
        match output {
            Output::Dial { attempt, .. } => {
                assert_eq!(self.transport, None, "one transport at a time");
                assert!(!self.has_failed, "a failed session does not dial");
                assert!(*attempt > self.last_attempt, "attempts never repeat");
                self.transport = Some((*attempt, false));
                self.last_attempt = *attempt;
            }
            Output::Abort { attempt } => {
                let live = self.transport.map(|(it, _)| it);
                assert_eq!(
                    live,
                    Some(*attempt),
                    "only the current transport is aborted"
                );
                self.transport = None;
            }
            Output::Transmit { attempt, .. }
            | Output::Probe { attempt }
            | Output::Close { attempt, .. } => {
                assert_eq!(self.transport, Some((*attempt, true)), "{output:?}");
            }
            Output::CompleteMessage { id, .. } => {
                assert!(self.published.remove(id), "{id:?} completes once");
            }
            Output::CompleteCall { id, .. } => {
                assert!(self.called.remove(id), "{id:?} completes once");
            }
            Output::FetchCredentials { .. } | Output::Deliver { .. } => {}
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
            }
            SessionEvent::Ready { epoch } => {
                assert!(self.is_connected && *epoch == self.epoch, "{event:?}");
            }
            SessionEvent::Lost { epoch, .. } => {
                assert!(self.is_connected && *epoch == self.epoch, "{event:?}");
                self.is_connected = false;
            }
            SessionEvent::Closed => self.is_connected = false,
            SessionEvent::Failed { .. } => {
                assert!(!self.is_connected, "a loss precedes a failure");
                self.has_failed = true;
            }
            SessionEvent::RenewalFailed { .. } => {}
            SessionEvent::Attempting { .. } | SessionEvent::Waiting { .. } => {
                assert!(!self.is_connected, "{event:?} while connected");
            }
            _ => panic!("unknown event {event:?}"),
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
                SessionPhase::Resuming
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
        assert_eq!(self.has_failed, it.state == SessionState::Failed, "{it:?}");
        assert_eq!(self.epoch, it.epoch);
        assert!(it.since <= now);
        if let Some((_, timer)) = session.next_timer() {
            let may_be = match timer {
                Timer::Outbox | Timer::Call => true,
                Timer::Redial | Timer::Degrade => waits,
                Timer::ConnectTimeout => {
                    matches!(
                        it.phase,
                        SessionPhase::FetchingCredentials
                            | SessionPhase::Dialing
                            | SessionPhase::Handshake
                    )
                }
                Timer::Credentials => it.state == SessionState::Connected,
                Timer::Liveness => {
                    it.phase == SessionPhase::Handshake
                        || it.state == SessionState::Connected && it.phase != SessionPhase::Closing
                }
                Timer::Resubscribe => it.state == SessionState::Connected,
                Timer::CloseTimeout => self.is_closing,
            };
            assert!(may_be, "{timer:?} in {:?}", it.phase);
        }
    }
}
