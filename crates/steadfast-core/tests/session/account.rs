//! What must hold after each input, whatever a test does: the script asks it about every output.

use std::collections::BTreeSet;

use steadfast_core::Session;
use steadfast_core::event::{ConnectionEpoch, Event, Phase, State};
use steadfast_core::io::{Attempt, CallId, Input, Output, PublicationId, Timer};
use steadfast_machine::{Instant, Machine};

/// The books of one session.
#[derive(Default)]
pub(crate) struct Account {
    /// The one transport that there may be, and whether it is open.
    transport: Option<(Attempt, bool)>,
    last_attempt: Attempt,
    epoch: ConnectionEpoch,
    /// A connection was announced and not ended.
    is_connected: bool,
    has_failed: bool,
    /// The application wants the end.
    is_closing: bool,
    published: BTreeSet<PublicationId>,
    called: BTreeSet<CallId>,
}

impl Account {
    pub(crate) fn attempt(&self) -> Attempt {
        self.transport.map_or(self.last_attempt, |(it, _)| it)
    }

    pub(crate) fn is_dialing(&self) -> bool {
        matches!(self.transport, Some((_, false)))
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.transport, Some((_, true)))
    }

    /// What the test tells the session, which is in this state.
    pub(crate) fn on_input(&mut self, input: &Input, state: State) {
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
            Input::PublishRequested(publish) => {
                assert!(
                    self.published.insert(publish.id),
                    "the test repeats {publish:?}"
                );
            }
            Input::CallRequested { id, .. } => {
                assert!(self.called.insert(*id), "the test repeats {id:?}");
            }
            Input::Revived => self.has_failed &= state != State::Failed,
            Input::OpenRequested => self.is_closing = false,
            Input::CloseRequested { .. } => self.is_closing = true,
            Input::DialHeld { .. }
            | Input::DialBegan { .. }
            | Input::Kicked
            | Input::Heard { .. }
            | Input::Received { .. }
            | Input::Unsent { .. }
            | Input::SubscribeRequested { .. }
            | Input::UnsubscribeRequested { .. }
            | Input::Taken { .. }
            | Input::Tick => {}
        }
    }

    /// What has no result yet.
    pub(crate) fn owed(&self) -> usize {
        self.published.len() + self.called.len()
    }

    pub(crate) fn on_output(&mut self, output: &Output) {
        match output {
            Output::Dial { attempt, .. } => {
                assert_eq!(self.transport, None, "one transport at a time");
                assert!(!self.has_failed, "a failed session does not dial");
                assert!(*attempt > self.last_attempt, "attempts never repeat");
                self.transport = Some((*attempt, false));
                self.last_attempt = *attempt;
            }
            Output::Abandon { attempt } => {
                let live = self.transport.map(|(it, _)| it);
                assert_eq!(live, Some(*attempt), "what is abandoned is there");
                self.transport = None;
            }
            Output::Transmit { attempt, .. }
            | Output::Probe { attempt }
            | Output::HangUp { attempt, .. } => {
                assert_eq!(self.transport, Some((*attempt, true)), "{output:?}");
            }
            Output::Resolve { id, .. } => {
                assert!(self.published.remove(id), "{id:?} resolves once");
            }
            Output::Answer { id, .. } => {
                assert!(self.called.remove(id), "{id:?} is answered once");
            }
            Output::Deliver { .. } => {}
            Output::Notify(event) => self.on_event(event),
        }
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Connected { epoch, .. } => {
                assert!(!self.is_connected, "the connection before is ended");
                assert_eq!(epoch.0, self.epoch.0 + 1, "the epoch grows by one");
                self.epoch = *epoch;
                self.is_connected = true;
            }
            Event::Ready { epoch } => {
                assert!(self.is_connected && *epoch == self.epoch, "{event:?}");
            }
            Event::Lost { epoch, .. } => {
                assert!(self.is_connected && *epoch == self.epoch, "{event:?}");
                self.is_connected = false;
            }
            Event::Closed => self.is_connected = false,
            Event::Failed { .. } => {
                assert!(!self.is_connected, "a loss comes before a failure");
                self.has_failed = true;
            }
            Event::Attempting { .. } | Event::Waiting { .. } => {
                assert!(!self.is_connected, "{event:?} while connected");
            }
        }
        if *event == Event::Closed {
            self.has_failed = false;
        }
    }

    /// The session between two inputs.
    pub(crate) fn check(&self, session: &Session, now: Instant) {
        let it = session.snapshot();
        let fits = match it.state {
            State::Disconnected | State::Failed => it.phase == Phase::Idle,
            State::Connecting | State::Reconnecting => matches!(
                it.phase,
                Phase::Dialing | Phase::Authenticating | Phase::Waiting | Phase::Degraded
            ),
            State::Connected => matches!(
                it.phase,
                Phase::Resuming | Phase::Ready | Phase::Draining | Phase::Closing
            ),
        };
        assert!(fits, "{:?} in {:?}", it.phase, it.state);
        let waits = matches!(it.phase, Phase::Waiting | Phase::Degraded);
        assert_eq!(it.next_try_at.is_some(), waits, "{it:?}");
        let has_transport = !waits && it.phase != Phase::Idle;
        assert_eq!(self.transport.is_some(), has_transport, "{it:?}");
        assert_eq!(self.is_connected, it.state == State::Connected, "{it:?}");
        assert_eq!(self.has_failed, it.state == State::Failed, "{it:?}");
        assert_eq!(self.epoch, it.epoch);
        assert!(it.since <= now);
        if let Some((_, timer)) = session.poll_timeout() {
            let may_be = match timer {
                Timer::Outbox | Timer::Call => true,
                Timer::Redial | Timer::Degrade => waits,
                Timer::AttemptDeadline => {
                    matches!(it.phase, Phase::Dialing | Phase::Authenticating)
                }
                Timer::Liveness => {
                    it.phase == Phase::Authenticating
                        || it.state == State::Connected && it.phase != Phase::Closing
                }
                Timer::Resubscribe => it.state == State::Connected,
                Timer::CloseDeadline => self.is_closing,
            };
            assert!(may_be, "{timer:?} in {:?}", it.phase);
        }
    }
}
