//! A session and its outputs, in virtual time, with the server's side played by the test.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::raw::{
    Handshake, HandshakeRule, Input, Outgoing, Output, Raw, RawSettings, SendResult, Session,
    SubscriptionEvent,
};
use steadfast_core::event::{ConnectionErrorKind, SessionEvent, SessionSnapshot};
use steadfast_core::io::{
    Attempt, ConnectionLoss, CredentialsSource, DialFailure, Frame, MessageId, SubscribeOptions,
    SubscriptionId,
};
use steadfast_core::policy::{
    BackoffRange, BackoffSettings, EndpointsSettings, LinkSettings, LivenessSettings,
    OutboxSettings, SessionPolicy, SessionSettings,
};
use steadfast_core::retry_advice::RetryAdvice;
use steadfast_core::secret::Secret;
use steadfast_machine::{Instant, Machine, Seed, convert};

/// The timeout of an attempt.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// More ticks than this at one instant are a busy loop.
const TICKS_MAX: usize = 50;

/// The maximum number of queued messages.
pub(crate) const MESSAGES_MAX: usize = 4;

/// The maximum size of all queued messages in bytes.
pub(crate) const BYTES_MAX: usize = 300;

/// The largest message that the server accepts.
pub(crate) const MESSAGE_BYTES_MAX: usize = 100;

pub(crate) struct Script {
    session: Session,
    pub(crate) now: Instant,
    /// The newest attempt.
    pub(crate) attempt: Attempt,
    /// What the session has sent over the current connection.
    pub(crate) sent: Vec<Frame>,
    pub(crate) received: Vec<SubscriptionEvent>,
    pub(crate) outcomes: Vec<(MessageId, SendResult)>,
    pub(crate) events: Vec<SessionEvent>,
    next_number: u64,
}

pub(crate) const fn raw() -> RawSettings {
    RawSettings::new(MESSAGE_BYTES_MAX)
}

/// A client that logs in, and a server that replies with `ok`, or with anything that begins with `no`.
pub(crate) fn with_login() -> RawSettings {
    let evaluate = |frame: &Frame| match frame.payload().as_ref() {
        b"ok" => Handshake::Accepted,
        other if other.starts_with(b"no") => Handshake::Rejected {
            reason: String::from_utf8_lossy(other).into_owned(),
            advice: RetryAdvice::GIVE_UP,
        },
        _ => Handshake::Continues,
    };
    raw()
        .first_messages(["login", "subscribe"].map(text))
        .handshake(HandshakeRule::new(evaluate))
}

fn credentials() -> CredentialsSource {
    CredentialsSource::Fixed(Secret::new("key".to_owned()))
}

fn settings() -> SessionSettings {
    let secs = Duration::from_secs;
    let endpoints = EndpointsSettings::new(2, secs(10), Duration::from_mins(5))
        .hold_down_jitter(Duration::from_mins(10));
    let backoff = BackoffSettings::new(BackoffRange::proportional(50, secs(1), secs(20)))
        .floor(Duration::from_millis(50))
        .going_away_jitter(secs(5))
        .stable_after(secs(10))
        .retry_after_max(Duration::from_mins(5));
    let liveness = LivenessSettings::new(secs(15), secs(10))
        .ping_after_request(secs(2))
        .pong_timeout_min(secs(2))
        .clock_jump_grace(secs(2));
    let link = LinkSettings::new(CONNECT_TIMEOUT, endpoints, backoff, liveness)
        .degraded_after(Duration::from_mins(2))
        .close_timeout(secs(3));
    let outbox = OutboxSettings::new(MESSAGES_MAX, BYTES_MAX, secs(10))
        .in_flight_max(8)
        .channel_in_flight_max(8)
        .resend_window(secs(100))
        .retry_after(Duration::from_millis(500));
    SessionSettings::new(link, outbox)
        .calls_max(1)
        .subscriptions_max(1)
}

impl Script {
    /// A session that was opened and is dialling.
    pub(crate) fn new(raw: RawSettings) -> Self {
        Self::with(raw, settings())
    }

    /// A session with a fallback endpoint that was opened and is dialling.
    pub(crate) fn with_fallback(raw: RawSettings) -> Self {
        let mut settings = settings();
        settings.link.priorities = vec![0, 1];
        Self::with(raw, settings)
    }

    fn with(raw: RawSettings, settings: SessionSettings) -> Self {
        let policy = SessionPolicy::new(settings).expect("valid");
        let dialect = Raw::new(raw).expect("valid");
        let (seed, now) = (Seed::new(1), Instant::START);
        let mut script = Self {
            session: Session::new(&policy, dialect, credentials(), seed, now),
            now,
            attempt: Attempt::default(),
            sent: Vec::new(),
            received: Vec::new(),
            outcomes: Vec::new(),
            events: Vec::new(),
            next_number: 0,
        };
        script.handle(Input::OpenRequested);
        script
    }

    /// A session with a reader, whose transport is open.
    pub(crate) fn connected(raw: RawSettings) -> Self {
        let mut script = Self::new(raw);
        script.read(16);
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
                Output::Transmit { frame, .. } => self.sent.push(frame),
                Output::Deliver { event, .. } => self.received.push(event),
                Output::CompleteMessage { id, outcome } => self.outcomes.push((id, outcome)),
                Output::Notify(event) => self.events.push(event),
                Output::Abort { .. } | Output::Probe { .. } | Output::Close { .. } => {}
                Output::CompleteCall { outcome, .. } => panic!("{outcome:?}"),
                Output::FetchCredentials { reason, .. } => panic!("{reason:?}"),
                Output::Compute { computation, .. } => panic!("{computation:?}"),
                Output::Redirect { urls, .. } => panic!("{urls:?}"),
            }
        }
    }

    pub(crate) fn snapshot(&self) -> &SessionSnapshot {
        self.session.snapshot()
    }

    /// Advances the time, and calls the session at each of its deadlines.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        let mut ticks = 0;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            ticks = if at > self.now { 0 } else { ticks + 1 };
            assert!(ticks < TICKS_MAX, "busy loop");
            self.now = at.max(self.now);
            self.handle(Input::Tick);
        }
        self.now = end;
    }

    /// The transport of the current attempt opens.
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

    /// The server sends a message, and the pongs to all pings.
    pub(crate) fn receive(&mut self, frame: Frame) {
        let attempt = self.attempt;
        let bytes = convert::to_u64(frame.payload().len());
        self.handle(Input::BytesReceived { attempt, bytes });
        self.handle(Input::PongReceived { attempt });
        self.handle(Input::Received { attempt, frame });
    }

    pub(crate) fn lose(&mut self) {
        self.lose_as(ConnectionLoss::Failed {
            kind: ConnectionErrorKind::Reset,
            text: "reset".to_owned(),
        });
    }

    pub(crate) fn lose_with(&mut self, code: Option<u16>) {
        let reason = String::new();
        self.lose_as(ConnectionLoss::CloseFrame { code, reason });
    }

    pub(crate) fn lose_as(&mut self, loss: ConnectionLoss) {
        let attempt = self.attempt;
        self.handle(Input::Lost { attempt, loss });
    }

    /// The transport of the current attempt does not open.
    pub(crate) fn fail_dial(&mut self, failure: DialFailure) {
        let attempt = self.attempt;
        self.handle(Input::DialFailed { attempt, failure });
    }

    /// The socket has not accepted this number of bytes.
    pub(crate) fn send_buffer(&mut self, bytes: u64) {
        let attempt = self.attempt;
        self.handle(Input::SendBuffer { attempt, bytes });
    }

    pub(crate) fn send(&mut self, message: Frame) -> MessageId {
        self.send_for(message, None)
    }

    pub(crate) fn send_for(&mut self, message: Frame, ttl: Option<Duration>) -> MessageId {
        self.next_number += 1;
        let id = MessageId(self.next_number);
        self.handle(Input::SendRequested(Outgoing {
            id,
            message,
            ttl,
            drops_oldest: false,
        }));
        id
    }

    /// The application receives all messages, with a buffer of this many events.
    pub(crate) fn read(&mut self, buffer_len_max: usize) -> SubscriptionId {
        self.read_within(buffer_len_max, usize::MAX)
    }

    /// The application receives all messages, with a buffer of this many events and bytes.
    pub(crate) fn read_within(
        &mut self,
        buffer_len_max: usize,
        buffer_bytes_max: usize,
    ) -> SubscriptionId {
        self.next_number += 1;
        let id = SubscriptionId(self.next_number);
        let options =
            SubscribeOptions::all_frames(buffer_len_max).buffer_bytes_max(buffer_bytes_max);
        self.handle(Input::SubscribeRequested { id, options });
        id
    }

    pub(crate) fn consume(&mut self, id: SubscriptionId, items: usize) {
        self.handle(Input::Consumed { id, items });
    }

    /// The events that were delivered since the last call, as words.
    pub(crate) fn words(&mut self) -> Vec<String> {
        std::mem::take(&mut self.received)
            .into_iter()
            .map(word)
            .collect()
    }
}

fn word(event: SubscriptionEvent) -> String {
    match event {
        SubscriptionEvent::Subscribed { position } => format!("subscribed {}", position.offset),
        SubscriptionEvent::Resumed { position } => format!("resumed {}", position.offset),
        SubscriptionEvent::Gap { from, to } => {
            let from = from.map_or(0, |from| from.offset);
            format!("gap {from} to {}", to.offset)
        }
        SubscriptionEvent::Interrupted { cause, is_final } => {
            let what = if is_final { "failed" } else { "interrupted" };
            format!("{what}: {cause}")
        }
        SubscriptionEvent::Item(frame) => String::from_utf8_lossy(frame.payload()).into_owned(),
        other @ (SubscriptionEvent::Unsubscribed(_) | _) => format!("{other:?}"),
    }
}

pub(crate) fn text(text: &str) -> Frame {
    Frame::Text(Bytes::copy_from_slice(text.as_bytes()))
}
