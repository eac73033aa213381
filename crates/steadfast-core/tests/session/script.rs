//! A session and its outputs, in virtual time, with the server's side played by the test.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::centrifuge::{
    Call, CallResult, Centrifuge, CentrifugeSettings, Input, Outgoing, Output, Publish, SendResult,
    Session, SubscribeOptions, SubscriptionEvent,
};
use steadfast_core::event::{
    ConnectionErrorKind, DialErrorKind, DialStage, SessionEvent, SessionPhase, SessionSnapshot,
    SessionState,
};
use steadfast_core::io::{
    Attempt, CallId, ConnectionLoss, CredentialsSource, DialFailure, FetchId, Frame, MessageId,
    RenewalReason, SubscriptionId, Timer,
};
use steadfast_core::policy::{
    BackoffRange, BackoffSettings, EndpointsSettings, LinkSettings, LivenessSettings,
    OutboxSettings, SessionPolicy, SessionSettings,
};
use steadfast_core::secret::Secret;
use steadfast_machine::{Instant, Machine, Seed, convert};
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::idempotent::{self, IdempotentAck};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ChannelName, Command, ConnectResult, Position, Publication, Push, PushEvent, Reply, ReplyError,
    ReplyResult, Request, SubscribeResult,
};

use crate::invariants::InvariantChecker;

/// The epoch of every channel, unless a test sets another.
pub(crate) const EPOCH: &str = "000000000000000e.0";

/// More ticks than this at one instant are a busy loop.
const TICKS_MAX: usize = 50;

pub(crate) struct Script {
    session: Session,
    pub(crate) now: Instant,
    pub(crate) invariants: InvariantChecker,
    /// Commands that the server has not read.
    pub(crate) inbox: Vec<Command>,
    /// Those of the connection that is to replace the present one.
    pub(crate) standby_inbox: Vec<Command>,
    /// Those that the server had not read when their connection was replaced.
    pub(crate) retired_inbox: Vec<Command>,
    pub(crate) dials: Vec<(Instant, usize)>,
    pub(crate) probes: Vec<Instant>,
    pub(crate) closes: Vec<u16>,
    pub(crate) subscription_events: Vec<(SubscriptionId, SubscriptionEvent)>,
    pub(crate) publication_outcomes: Vec<(MessageId, SendResult)>,
    pub(crate) call_outcomes: Vec<(CallId, CallResult)>,
    pub(crate) events: Vec<(Instant, SessionEvent)>,
    /// The fetches of credentials that the session requested.
    pub(crate) fetches: Vec<(Instant, FetchId, RenewalReason)>,
    next_number: u64,
}

pub(crate) const fn liveness() -> LivenessSettings {
    LivenessSettings::new(Duration::from_secs(15), Duration::from_secs(10))
        .ping_after_request(Duration::from_secs(2))
        .pong_timeout_min(Duration::from_secs(2))
        .clock_jump_grace(Duration::from_secs(2))
}

pub(crate) fn settings() -> SessionSettings {
    let secs = Duration::from_secs;
    let endpoints = EndpointsSettings::new(4, secs(10), Duration::from_mins(5))
        .hold_down_jitter(Duration::from_mins(10));
    let backoff = BackoffSettings::new(BackoffRange::proportional(50, secs(1), secs(20)))
        .floor(Duration::from_millis(50))
        .going_away_jitter(secs(5))
        .stable_after(secs(10))
        .retry_after_max(Duration::from_mins(5));
    let link = LinkSettings::new(secs(10), endpoints, backoff, liveness())
        .degraded_after(Duration::from_mins(2))
        .close_timeout(secs(3));
    let outbox = OutboxSettings::new(64, 1 << 16, secs(10))
        .in_flight_max(8)
        .channel_in_flight_max(8)
        .resend_window(secs(100))
        .retry_after(Duration::from_millis(500));
    SessionSettings::new(link, outbox)
        .calls_max(16)
        .subscriptions_max(16)
}

pub(crate) fn no_credentials() -> CredentialsSource {
    CredentialsSource::Fixed(Secret::default())
}

pub(crate) fn centrifuge() -> Centrifuge {
    let settings = CentrifugeSettings::new("test", Limits::MESSAGE_BYTES);
    Centrifuge::new(settings).expect("valid")
}

/// Ranges that double with each failure.
pub(crate) const EXPONENTIAL: BackoffRange =
    BackoffRange::exponential(Duration::from_millis(250), 2, Duration::from_secs(30));

impl Script {
    /// A session that was opened and is dialling.
    pub(crate) fn new() -> Self {
        Self::with(settings(), 1)
    }

    pub(crate) fn with(settings: SessionSettings, seed: u64) -> Self {
        let mut script = Self::idle(settings, seed);
        script.handle(Input::OpenRequested);
        script
    }

    /// A session that fetches its credentials, and was opened.
    pub(crate) fn with_credentials() -> Self {
        Self::fetching_credentials(settings())
    }

    pub(crate) fn fetching_credentials(settings: SessionSettings) -> Self {
        let mut script = Self::idle_with(settings, 1, CredentialsSource::Fetched);
        script.handle(Input::OpenRequested);
        script
    }

    pub(crate) fn idle(settings: SessionSettings, seed: u64) -> Self {
        Self::idle_with(settings, seed, no_credentials())
    }

    /// A session that says something else than [`centrifuge`] about itself, and was opened.
    pub(crate) fn speaking(dialect: Centrifuge, settings: SessionSettings) -> Self {
        let mut script = Self::of(dialect, settings, 1, no_credentials());
        script.handle(Input::OpenRequested);
        script
    }

    fn idle_with(settings: SessionSettings, seed: u64, credentials: CredentialsSource) -> Self {
        Self::of(centrifuge(), settings, seed, credentials)
    }

    fn of(
        dialect: Centrifuge,
        settings: SessionSettings,
        seed: u64,
        credentials: CredentialsSource,
    ) -> Self {
        let policy = SessionPolicy::new(settings).expect("valid");
        let (seed, now) = (Seed::new(seed), Instant::START);
        Self {
            session: Session::new(&policy, dialect, credentials, seed, now),
            now: Instant::START,
            invariants: InvariantChecker::default(),
            inbox: Vec::new(),
            standby_inbox: Vec::new(),
            retired_inbox: Vec::new(),
            dials: Vec::new(),
            probes: Vec::new(),
            closes: Vec::new(),
            subscription_events: Vec::new(),
            publication_outcomes: Vec::new(),
            call_outcomes: Vec::new(),
            events: Vec::new(),
            fetches: Vec::new(),
            next_number: 0,
        }
    }

    /// A session that is connected and ready.
    pub(crate) fn ready() -> Self {
        let mut script = Self::new();
        script.connect();
        script
    }

    pub(crate) fn snapshot(&self) -> &SessionSnapshot {
        self.session.snapshot()
    }

    /// The length of the session's debug output, which grows with everything that it keeps.
    pub(crate) fn size(&self) -> usize {
        format!("{:?}", self.session).len()
    }

    pub(crate) fn state(&self) -> SessionState {
        self.snapshot().state
    }

    pub(crate) fn phase(&self) -> SessionPhase {
        self.snapshot().phase
    }

    pub(crate) fn attempt(&self) -> Attempt {
        self.invariants.attempt()
    }

    pub(crate) fn handle(&mut self, input: Input) {
        let state = self.session.snapshot().state;
        self.invariants.on_input(&input, state);
        self.session.handle(self.now, input);
        while let Some(output) = self.session.poll_output() {
            let standby = self.invariants.standby();
            self.invariants.on_output(&output);
            if standby.is_some_and(|it| it == self.invariants.attempt()) {
                let inbox = std::mem::take(&mut self.standby_inbox);
                self.retired_inbox = std::mem::replace(&mut self.inbox, inbox);
            }
            match output {
                Output::Dial { attempt, endpoint } => {
                    if self.invariants.standby() == Some(attempt) {
                        self.standby_inbox.clear();
                    } else {
                        self.inbox.clear();
                    }
                    self.dials.push((self.now, endpoint));
                }
                Output::Abort { .. } => {}
                Output::Transmit { attempt, frame } => {
                    let commands =
                        Encoding::Json.decode_commands(frame.payload(), &Limits::DEFAULT);
                    let inbox = if self.invariants.standby() == Some(attempt) {
                        &mut self.standby_inbox
                    } else {
                        &mut self.inbox
                    };
                    inbox.extend(commands.map(|command| command.expect("valid")));
                }
                Output::Probe { .. } => self.probes.push(self.now),
                Output::Close { code, .. } => self.closes.push(code),
                Output::Deliver { id, event } => self.subscription_events.push((id, event)),
                Output::CompleteMessage { id, outcome } => {
                    self.publication_outcomes.push((id, outcome));
                }
                Output::CompleteCall { id, outcome } => self.call_outcomes.push((id, outcome)),
                Output::FetchCredentials { id, reason } => {
                    self.fetches.push((self.now, id, reason));
                }
                // This protocol has no login that needs them.
                Output::Compute { .. } | Output::Redirect { .. } => {}
                Output::Notify(event) => self.events.push((self.now, event)),
            }
        }
        self.invariants.check(&self.session, self.now);
    }

    /// Advances the time, and calls the session at each of its deadlines.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        let mut ticks = 0;
        while let Some((at, timer)) = self.session.next_timer().filter(|(at, _)| *at <= end) {
            ticks = if at > self.now { 0 } else { ticks + 1 };
            assert!(ticks < TICKS_MAX, "busy loop on {timer:?}");
            self.now = at.max(self.now);
            self.handle(Input::Tick);
        }
        self.now = end;
    }

    /// The next deadline of the session.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }

    /// What the next deadline of the session is for.
    pub(crate) fn timer(&self) -> Option<Timer> {
        self.session.next_timer().map(|(_, timer)| timer)
    }

    /// The process is suspended, and handles one tick afterwards.
    pub(crate) fn freeze(&mut self, time: Duration) {
        self.now = self.now + time;
        self.handle(Input::Tick);
    }

    /// Advances the time until the next dial.
    pub(crate) fn advance_to_next_dial(&mut self) -> Duration {
        let (began, dials) = (self.now, self.dials.len());
        let mut ticks = 0;
        while self.dials.len() == dials {
            let at = self.session.poll_timeout().expect("it tries again");
            ticks = if at > self.now { 0 } else { ticks + 1 };
            assert!(ticks < TICKS_MAX, "busy loop");
            self.now = at.max(self.now);
            self.handle(Input::Tick);
        }
        self.now - began
    }

    /// The application asks for a connection, and the session dials: at once, or when it may.
    pub(crate) fn redial(&mut self) {
        self.handle(Input::ReconnectRequested);
        if !self.invariants.is_dialing() {
            self.advance_to_next_dial();
        }
    }

    /// The transport opens and the server accepts the connect command; all other commands remain unread.
    pub(crate) fn connect(&mut self) {
        self.dial();
        self.accept_connect();
    }

    pub(crate) fn dial(&mut self) {
        let attempt = self.attempt();
        self.handle(Input::Dialled { attempt });
    }

    pub(crate) fn accept_connect(&mut self) {
        self.accept_connect_for(0);
    }

    /// The server accepts the connect command; the credentials expire after this number of seconds, 0 for never.
    pub(crate) fn accept_connect_for(&mut self, ttl: u32) {
        let first = self.inbox.remove(0);
        assert!(matches!(first.request, Request::Connect(_)), "{first:?}");
        self.reply_to(first.id, Ok(connected(ttl)));
    }

    /// The application requests another connection.
    pub(crate) fn migrate(&mut self, endpoint: Option<usize>) {
        self.handle(Input::MigrateRequested { endpoint });
    }

    /// The attempt that is to replace the present connection.
    pub(crate) fn standby(&self) -> Attempt {
        self.invariants.standby().expect("a standby")
    }

    pub(crate) fn dial_standby(&mut self) {
        let attempt = self.standby();
        self.handle(Input::Dialled { attempt });
    }

    /// Whether the server of the standby has to reply to its connect command.
    pub(crate) fn must_accept_standby(&self) -> bool {
        let first = self.standby_inbox.first().map(|it| &it.request);
        matches!(first, Some(Request::Connect(_)))
    }

    /// The server of the standby accepts the connect command.
    pub(crate) fn accept_standby(&mut self) {
        self.reply_to_standby(Ok(connected(0)));
    }

    pub(crate) fn reply_to_standby(&mut self, outcome: Result<ReplyResult, ReplyError>) {
        let first = self.standby_inbox.remove(0);
        assert!(matches!(first.request, Request::Connect(_)), "{first:?}");
        let (attempt, id) = (self.standby(), first.id);
        self.reply_on(attempt, &Reply::Response { id, outcome });
    }

    /// The transport of the standby opens, and its server accepts the client.
    pub(crate) fn connect_standby(&mut self) {
        self.dial_standby();
        self.accept_standby();
    }

    pub(crate) fn lose(&mut self, attempt: Attempt) {
        let loss = ConnectionLoss::Failed {
            kind: ConnectionErrorKind::Reset,
            text: "reset".to_owned(),
        };
        self.handle(Input::Lost { attempt, loss });
    }

    pub(crate) fn reject_connect(&mut self, error: ReplyError) {
        let first = self.inbox.remove(0);
        self.reply_to(first.id, Err(error));
    }

    pub(crate) fn dial_fails(&mut self) {
        let (attempt, failure) = (self.attempt(), dial_failure());
        self.handle(Input::DialFailed { attempt, failure });
    }

    pub(crate) fn lose_connection(&mut self) {
        self.lose_as(ConnectionLoss::Failed {
            kind: ConnectionErrorKind::Reset,
            text: "reset".to_owned(),
        });
    }

    pub(crate) fn receive_too_large_message(&mut self) {
        self.lose_as(ConnectionLoss::MessageTooLarge("too large".to_owned()));
    }

    pub(crate) fn lose_with(&mut self, code: u16, reason: &str) {
        let reason = reason.to_owned();
        self.lose_as(ConnectionLoss::CloseFrame {
            code: Some(code),
            reason,
        });
    }

    fn lose_as(&mut self, loss: ConnectionLoss) {
        let attempt = self.attempt();
        self.handle(Input::Lost { attempt, loss });
    }

    /// Returns the unread commands.
    pub(crate) fn commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.inbox)
    }

    pub(crate) fn reply_to(&mut self, id: u32, outcome: Result<ReplyResult, ReplyError>) {
        self.reply(&Reply::Response { id, outcome });
    }

    pub(crate) fn reply(&mut self, reply: &Reply) {
        self.reply_on(self.attempt(), reply);
    }

    pub(crate) fn reply_on(&mut self, attempt: Attempt, reply: &Reply) {
        let mut message = Vec::new();
        Encoding::Json.append_reply(&mut message, reply);
        self.receive_on(attempt, &message);
    }

    pub(crate) fn receive(&mut self, message: &[u8]) {
        self.receive_on(self.attempt(), message);
    }

    pub(crate) fn receive_on(&mut self, attempt: Attempt, message: &[u8]) {
        let message = Bytes::copy_from_slice(message);
        let bytes = convert::to_u64(message.len());
        self.handle(Input::BytesReceived { attempt, bytes });
        self.handle(Input::Received {
            attempt,
            frame: Frame::Text(message),
        });
    }

    /// Something arrives that is no message.
    pub(crate) fn receive_bytes(&mut self, bytes: u64) {
        let attempt = self.attempt();
        self.handle(Input::BytesReceived { attempt, bytes });
    }

    /// A pong arrives, also without a ping.
    pub(crate) fn receive_pong(&mut self) {
        self.receive_bytes(2);
        let attempt = self.attempt();
        self.handle(Input::PongReceived { attempt });
    }

    pub(crate) fn push(&mut self, channel: &str, offset: u64) {
        self.reply(&Reply::Push(Push {
            channel: ChannelName::from(channel),
            event: PushEvent::Publication(item(offset)),
        }));
    }

    pub(crate) fn publish(&mut self) -> MessageId {
        self.publish_for(None)
    }

    pub(crate) fn publish_for(&mut self, ttl: Option<Duration>) -> MessageId {
        self.publish_in("chat", ttl)
    }

    pub(crate) fn publish_in(&mut self, channel: &str, ttl: Option<Duration>) -> MessageId {
        self.next_number += 1;
        let id = MessageId(self.next_number);
        self.handle(Input::SendRequested(Outgoing {
            id,
            message: Publish::new(
                channel.into(),
                Bytes::from(id.0.to_string()),
                format!("k{}", id.0),
            ),
            ttl,
            drops_oldest: false,
        }));
        id
    }

    /// Advances the time while the peer sends bytes each second.
    pub(crate) fn keep_alive(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.advance(Duration::from_secs(1));
            self.receive_pong();
        }
    }

    pub(crate) fn call(&mut self, call: Call, deadline: Duration) -> CallId {
        self.next_number += 1;
        let id = CallId(self.next_number);
        let deadline = self.now + deadline;
        self.handle(Input::CallRequested { id, call, deadline });
        id
    }

    pub(crate) fn withdraw(&mut self, id: CallId) {
        self.handle(Input::CallWithdrawn { id });
    }

    pub(crate) fn subscribe(&mut self, channel: &str, buffer_len_max: usize) -> SubscriptionId {
        self.subscribe_since(channel, buffer_len_max, None)
    }

    pub(crate) fn subscribe_since(
        &mut self,
        channel: &str,
        buffer_len_max: usize,
        since: Option<Position>,
    ) -> SubscriptionId {
        self.next_number += 1;
        let id = SubscriptionId(self.next_number);
        let mut options = SubscribeOptions::new(channel, buffer_len_max);
        options.since = since;
        options.buffer_len_max = buffer_len_max;
        self.handle(Input::SubscribeRequested { id, options });
        id
    }

    /// The server reads the only command, a subscribe, and replies.
    pub(crate) fn reply_to_subscribe(&mut self, result: SubscribeResult) -> Command {
        let command = self.commands().pop().expect("a subscribe command");
        assert!(matches!(command.request, Request::Subscribe(_)));
        self.reply_to(command.id, Ok(ReplyResult::Subscribe(result)));
        command
    }

    pub(crate) fn drain_subscription_events(&mut self) -> Vec<SubscriptionEvent> {
        std::mem::take(&mut self.subscription_events)
            .into_iter()
            .map(|(_, event)| event)
            .collect()
    }

    /// The last loss of a connection, and its time.
    pub(crate) fn last_loss(&self) -> Option<(Instant, SessionEvent)> {
        let is_loss =
            |(_, event): &&(Instant, SessionEvent)| matches!(event, SessionEvent::Lost { .. });
        self.events.iter().rfind(is_loss).cloned()
    }
}

/// The result of a connect command; the credentials expire after this number of seconds, 0 for never.
pub(crate) fn connected(ttl: u32) -> ReplyResult {
    ReplyResult::Connect(ConnectResult {
        client: "c".to_owned(),
        ping: 25,
        pong: true,
        expires: ttl > 0,
        ttl,
        ..ConnectResult::default()
    })
}

pub(crate) fn dial_failure() -> DialFailure {
    DialFailure {
        stage: DialStage::Connect,
        kind: DialErrorKind::Refused,
        text: "refused".to_owned(),
        is_local: false,
        is_final: false,
        retry_after: None,
    }
}

pub(crate) fn at(offset: u64) -> Position {
    Position {
        epoch: EPOCH.to_owned(),
        offset,
    }
}

pub(crate) fn item(offset: u64) -> Publication {
    Publication {
        data: Bytes::from(offset.to_string()),
        offset,
        ..Publication::default()
    }
}

/// A subscribe result without recovery.
pub(crate) fn subscribed(position: Position) -> SubscribeResult {
    SubscribeResult {
        recoverable: true,
        positioned: true,
        position,
        ..SubscribeResult::default()
    }
}

/// A subscribe result that recovered these publications.
pub(crate) fn recovered(position: Position, offsets: &[u64]) -> SubscribeResult {
    SubscribeResult {
        recovered: true,
        was_recovering: true,
        publications: offsets.iter().copied().map(item).collect(),
        ..subscribed(position)
    }
}

/// The result of an idempotent publish.
pub(crate) fn ack(offset: u64, duplicate: bool) -> ReplyResult {
    let mut result = Vec::new();
    let ack = IdempotentAck {
        offset,
        epoch: EPOCH.to_owned(),
        duplicate,
    };
    idempotent::append_ack(&mut result, &ack);
    ReplyResult::Rpc(Bytes::from(result))
}

/// The key of an idempotent publish.
pub(crate) fn key_of(command: &Command) -> Option<String> {
    let Request::Rpc(rpc) = &command.request else {
        return None;
    };
    (rpc.method == idempotent::METHOD).then(|| {
        let publish = idempotent::decode_publish(&rpc.data, &Limits::DEFAULT).expect("valid");
        publish.idempotency_key
    })
}
