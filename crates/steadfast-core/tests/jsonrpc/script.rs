//! A session and its outputs, in virtual time, with the server's side played by the test.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::jsonrpc::{
    CallError, Class, Feed, Input, JsonRpc, JsonRpcSettings, MethodCall, Notification, Output,
    Session, SubscriptionEvent,
};
use steadfast_core::dialect::{Dialect as _, Oversized};
use steadfast_core::event::{ConnectionErrorKind, SessionEvent, SessionSnapshot};
use steadfast_core::io::{
    Attempt, CallId, Computation, ConnectionLoss, CredentialsSource, Frame, MessageId, Outgoing,
    SubscribeOptions, SubscriptionId,
};
use steadfast_core::policy::{
    BackoffRange, BackoffSettings, EndpointsSettings, LinkSettings, LivenessSettings,
    OutboxSettings, SessionPolicy, SessionSettings,
};
use steadfast_core::secret::Secret;
use steadfast_machine::{Instant, Machine, Seed};

/// The largest message that the server accepts.
pub(crate) const MESSAGE_BYTES_MAX: usize = 200;

/// The time limit of a call.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// The maximum number of calls that are sent and have no reply.
pub(crate) const IN_FLIGHT_MAX: usize = 4;

pub(crate) struct Script {
    session: Session,
    pub(crate) now: Instant,
    attempt: Attempt,
    /// What the session has sent over the current connection and the test has not read.
    pub(crate) sent: Vec<String>,
    pub(crate) results: Vec<(u64, Result<Bytes, CallError>)>,
    pub(crate) items: Vec<SubscriptionEvent>,
    pub(crate) events: Vec<SessionEvent>,
    pub(crate) messages: usize,
    /// The pings that the session has sent over all connections.
    pub(crate) pings: usize,
    /// How often each call was sent, by the number in its params if it has one.
    pub(crate) sent_calls: BTreeMap<u64, usize>,
    pub(crate) computations: Vec<(Attempt, u32, Computation)>,
    pub(crate) redirects: Vec<(usize, Vec<String>)>,
    next_number: u64,
}

pub(crate) const fn settings() -> JsonRpcSettings {
    JsonRpcSettings::new(MESSAGE_BYTES_MAX)
}

fn session_settings() -> SessionSettings {
    let secs = Duration::from_secs;
    let endpoints = EndpointsSettings::new(1, secs(10), Duration::from_mins(5));
    let backoff = BackoffSettings::new(BackoffRange::proportional(50, secs(1), secs(20)))
        .retry_after_max(Duration::from_mins(5));
    let liveness = LivenessSettings::new(secs(15), secs(10));
    let link = LinkSettings::new(secs(10), endpoints, backoff, liveness);
    SessionSettings::new(link, OutboxSettings::new(16, 1 << 16, secs(10)))
        .calls_max(16)
        .calls_in_flight_max(IN_FLIGHT_MAX)
}

impl Script {
    /// A session that was opened and is dialling.
    pub(crate) fn new(settings: JsonRpcSettings) -> Self {
        Self::with(settings, session_settings())
    }

    /// A session that is dialling, with this limit of calls in flight.
    pub(crate) fn with_in_flight_max(settings: JsonRpcSettings, calls: usize) -> Self {
        let calls_max = 64;
        let session = session_settings().calls_max(calls_max);
        Self::with(settings, session.calls_in_flight_max(calls))
    }

    fn with(settings: JsonRpcSettings, session: SessionSettings) -> Self {
        let policy = SessionPolicy::new(session).expect("valid");
        let dialect = JsonRpc::new(settings).expect("valid");
        let credentials = CredentialsSource::Fixed(Secret::new("key".to_owned()));
        let (seed, now) = (Seed::new(1), Instant::START);
        let mut script = Self {
            session: Session::new(&policy, dialect, credentials, seed, now),
            now,
            attempt: Attempt::default(),
            sent: Vec::new(),
            results: Vec::new(),
            items: Vec::new(),
            events: Vec::new(),
            messages: 0,
            pings: 0,
            sent_calls: BTreeMap::new(),
            computations: Vec::new(),
            redirects: Vec::new(),
            next_number: 0,
        };
        script.handle(Input::OpenRequested);
        script
    }

    /// A session whose transport is open.
    pub(crate) fn connected() -> Self {
        let mut script = Self::new(settings());
        script.dial();
        script
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.session.handle(self.now, input);
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Dial { attempt, .. } => {
                    self.attempt = attempt;
                    self.sent.clear();
                }
                Output::Transmit { frame, .. } => {
                    let text = frame.as_text().expect("text");
                    for part in text.split("\"params\":[\"call \",").skip(1) {
                        let number = part.split(']').next().expect("a number");
                        let number = number.parse().expect("a number");
                        *self.sent_calls.entry(number).or_default() += 1;
                    }
                    self.sent.push(text.to_owned());
                }
                Output::Deliver { event, .. } => self.items.push(event),
                Output::CompleteCall { id, outcome } => self.results.push((id.0, outcome)),
                Output::CompleteMessage { outcome, .. } => {
                    self.messages += usize::from(outcome.is_ok());
                }
                Output::Notify(event) => self.events.push(event),
                Output::Probe { .. } => self.pings += 1,
                Output::Abort { .. } | Output::Close { .. } => {}
                Output::FetchCredentials { reason, .. } => panic!("{reason:?}"),
                Output::Compute {
                    attempt,
                    id,
                    computation,
                } => self.computations.push((attempt, id, computation)),
                Output::Redirect { endpoint, urls } => self.redirects.push((endpoint, urls)),
            }
        }
    }

    /// The newest attempt.
    pub(crate) const fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// Plays the server of this attempt from now on.
    pub(crate) const fn play(&mut self, attempt: Attempt) {
        self.attempt = attempt;
    }

    pub(crate) fn snapshot(&self) -> &SessionSnapshot {
        self.session.snapshot()
    }

    pub(crate) fn debug(&self) -> String {
        format!("{:?}", self.session)
    }

    /// Advances the time, and calls the session at each of its deadlines.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.handle(Input::Tick);
        }
        self.now = end;
    }

    /// As [`Self::advance`], with a server that replies to pings.
    pub(crate) fn advance_with_pongs(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.receive_pong();
            self.advance(Duration::from_secs(5).min(end.saturating_since(self.now)));
        }
    }

    pub(crate) fn dial(&mut self) {
        let attempt = self.attempt;
        self.handle(Input::Dialled { attempt });
    }

    /// The next attempt is due, and its transport opens.
    pub(crate) fn redial(&mut self) {
        let at = self.session.poll_timeout().expect("it tries again");
        self.now = at.max(self.now);
        self.handle(Input::Tick);
        self.dial();
    }

    pub(crate) fn replace_credentials(&mut self, credentials: &str) {
        let credentials = Secret::new(credentials.to_owned());
        self.handle(Input::CredentialsReplaced(credentials));
    }

    pub(crate) fn receive(&mut self, text: &str) {
        let attempt = self.attempt;
        self.handle(Input::Received {
            attempt,
            frame: Frame::from(text),
        });
    }

    /// When the session waits for the next attempt, how long it does.
    pub(crate) fn waits(&self) -> Option<Duration> {
        let at = self.snapshot().next_attempt_at?;
        Some(at.saturating_since(self.now))
    }

    /// A message above the limit arrives in parts.
    pub(crate) fn receive_oversized(&mut self, text: &str) {
        let begin = JsonRpc::EXCERPT.expect("oversized messages are read");
        let mut excerpt = begin();
        text.as_bytes().chunks(7).for_each(|part| excerpt.add(part));
        let attempt = self.attempt;
        self.handle(Input::ReceivedOversized {
            attempt,
            oversized: Oversized {
                bytes: text.len().try_into().expect("a length"),
                excerpt: excerpt.finish(),
            },
        });
    }

    /// The socket has not accepted this many bytes.
    pub(crate) fn report_send_buffer(&mut self, bytes: u64) {
        let attempt = self.attempt;
        self.handle(Input::SendBuffer { attempt, bytes });
    }

    pub(crate) fn receive_pong(&mut self) {
        let attempt = self.attempt;
        self.handle(Input::BytesReceived { attempt, bytes: 2 });
        self.handle(Input::PongReceived { attempt });
    }

    pub(crate) fn lose(&mut self) {
        self.lose_as(ConnectionLoss::Failed {
            kind: ConnectionErrorKind::Reset,
            text: "reset".to_owned(),
        });
    }

    pub(crate) fn lose_with(&mut self, code: u16) {
        self.lose_as(ConnectionLoss::CloseFrame {
            code: Some(code),
            reason: String::new(),
        });
    }

    fn lose_as(&mut self, loss: ConnectionLoss) {
        let attempt = self.attempt;
        self.handle(Input::Lost { attempt, loss });
    }

    pub(crate) fn call(&mut self, method: &str, params: &str, class: Class) -> u64 {
        self.next_number += 1;
        let deadline = self.now + CALL_TIMEOUT;
        self.handle(Input::CallRequested {
            id: CallId(self.next_number),
            call: MethodCall {
                method: method.to_owned(),
                params: Bytes::copy_from_slice(params.as_bytes()),
                class,
            },
            deadline,
        });
        self.next_number
    }

    /// The number of the next call.
    pub(crate) const fn next_number(&self) -> u64 {
        self.next_number + 1
    }

    pub(crate) fn notify(&mut self, method: &str) {
        self.next_number += 1;
        self.handle(Input::SendRequested(Outgoing {
            id: MessageId(self.next_number),
            message: Notification {
                method: method.to_owned(),
                params: Bytes::new(),
            },
            ttl: None,
            drops_oldest: false,
        }));
    }

    pub(crate) fn subscribe(&mut self, feed: Feed) -> SubscriptionId {
        self.subscribe_with(feed, 16)
    }

    pub(crate) fn subscribe_with(&mut self, feed: Feed, buffer: usize) -> SubscriptionId {
        self.next_number += 1;
        let id = SubscriptionId(self.next_number);
        let options = SubscribeOptions::to(feed, buffer);
        self.handle(Input::SubscribeRequested { id, options });
        id
    }

    /// What was sent since the last call.
    pub(crate) fn take_sent(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sent)
    }

    /// The results as text.
    pub(crate) fn take_results(&mut self) -> Vec<String> {
        let results = std::mem::take(&mut self.results).into_iter();
        let text = |(id, outcome): (u64, Result<Bytes, CallError>)| match outcome {
            Ok(result) => format!("{id}: {}", String::from_utf8_lossy(&result)),
            Err(error) => format!("{id}: {error:?}"),
        };
        results.map(text).collect()
    }
}
