//! A session and everything it said, with virtual time, and the server played by hand.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::Session;
use steadfast_core::event::{Event, Phase, Snapshot, State};
use steadfast_core::io::{
    Attempt, Call, CallError, CallId, CallResult, Delivery, DialFailure, Feed, Input, Loss, Output,
    PublicationId, Publish, SubscribeOptions, SubscriptionId,
};
use steadfast_core::policy::{
    BackoffSettings, LivenessSettings, OutboxSettings, SessionPolicy, SessionSettings,
};
use steadfast_machine::{Instant, Machine, Seed};
use steadfast_protocol::idempotent::{self, IdempotentAck};
use steadfast_protocol::json;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    Command, ConnectResult, Position, Publication, Push, PushEvent, Reply, ReplyError, ReplyResult,
    Request, SubscribeResult,
};

use crate::account::Account;

/// The epoch of every channel unless a test says otherwise.
pub(crate) const EPOCH: &str = "000000000000000e.0";

/// More ticks than this at one instant are a loop that spins.
const TICKS_MAX: usize = 50;

pub(crate) struct Script {
    session: Session,
    pub(crate) now: Instant,
    pub(crate) account: Account,
    /// Commands that the server has not looked at.
    pub(crate) inbox: Vec<Command>,
    pub(crate) dials: Vec<(Instant, usize)>,
    pub(crate) probes: Vec<Instant>,
    pub(crate) hang_ups: Vec<u16>,
    pub(crate) feeds: Vec<(SubscriptionId, Feed)>,
    pub(crate) resolved: Vec<(PublicationId, Delivery)>,
    pub(crate) answered: Vec<(CallId, Result<CallResult, CallError>)>,
    pub(crate) events: Vec<(Instant, Event)>,
    next_number: u64,
}

pub(crate) const fn liveness() -> LivenessSettings {
    LivenessSettings {
        idle: Duration::from_secs(15),
        timeout: Duration::from_secs(10),
        write_stall: Duration::from_secs(10),
        grace: Duration::from_secs(2),
    }
}

pub(crate) fn settings() -> SessionSettings {
    SessionSettings {
        endpoints: 1,
        name: "test".to_owned(),
        token: String::new(),
        data: None,
        attempt_deadline: Duration::from_secs(10),
        session_ttl: Duration::from_mins(2),
        close_deadline: Duration::from_secs(3),
        calls_max: 16,
        subscriptions_max: 16,
        backoff: BackoffSettings {
            floor: Duration::from_millis(50),
            base: Duration::from_millis(250),
            cap: Duration::from_secs(30),
            first_within: Duration::from_secs(1),
            spread: Duration::from_secs(5),
            stable_after: Duration::from_secs(10),
            hint_max: Duration::from_mins(5),
            attempts_max: None,
        },
        liveness: liveness(),
        outbox: OutboxSettings {
            messages_max: 64,
            bytes_max: 1 << 16,
            window: 8,
            channel_window: 8,
            answer_timeout: Duration::from_secs(10),
            key_window: Duration::from_secs(100),
            retry_after: Duration::from_millis(500),
        },
    }
}

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

    pub(crate) fn idle(settings: SessionSettings, seed: u64) -> Self {
        let policy = SessionPolicy::new(settings).expect("valid");
        Self {
            session: Session::new(policy, Seed::new(seed), Instant::START),
            now: Instant::START,
            account: Account::default(),
            inbox: Vec::new(),
            dials: Vec::new(),
            probes: Vec::new(),
            hang_ups: Vec::new(),
            feeds: Vec::new(),
            resolved: Vec::new(),
            answered: Vec::new(),
            events: Vec::new(),
            next_number: 0,
        }
    }

    /// A session that is connected and ready.
    pub(crate) fn ready() -> Self {
        let mut script = Self::new();
        script.connect();
        script
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        self.session.snapshot()
    }

    /// What the session holds, as long as it is when written out: it grows with everything that it keeps.
    pub(crate) fn size(&self) -> usize {
        format!("{:?}", self.session).len()
    }

    pub(crate) fn state(&self) -> State {
        self.snapshot().state
    }

    pub(crate) fn phase(&self) -> Phase {
        self.snapshot().phase
    }

    pub(crate) fn attempt(&self) -> Attempt {
        self.account.attempt()
    }

    pub(crate) fn handle(&mut self, input: Input) {
        let state = self.session.snapshot().state;
        self.account.on_input(&input, state);
        self.session.handle(self.now, input);
        while let Some(output) = self.session.poll_output() {
            self.account.on_output(&output);
            match output {
                Output::Dial { endpoint, .. } => {
                    self.inbox.clear();
                    self.dials.push((self.now, endpoint));
                }
                Output::Abandon { .. } => {}
                Output::Transmit { message, .. } => {
                    let commands = json::decode_commands(&message, &Limits::DEFAULT).expect("fits");
                    self.inbox
                        .extend(commands.map(|command| command.expect("valid")));
                }
                Output::Probe { .. } => self.probes.push(self.now),
                Output::HangUp { code, .. } => self.hang_ups.push(code),
                Output::Deliver { id, feed } => self.feeds.push((id, feed)),
                Output::Resolve { id, delivery } => self.resolved.push((id, delivery)),
                Output::Answer { id, outcome } => self.answered.push((id, outcome)),
                Output::Notify(event) => self.events.push((self.now, event)),
            }
        }
        self.account.check(&self.session, self.now);
    }

    /// Lets time pass, waking the session whenever it wants to be woken.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut ticks = 0;
        while let Some((at, timer)) = self.session.poll_timeout().filter(|(at, _)| *at <= end) {
            ticks = if at > self.now { 0 } else { ticks + 1 };
            assert!(ticks < TICKS_MAX, "spins on {timer:?}");
            self.now = at.max(self.now);
            self.handle(Input::Tick);
        }
        self.now = end;
    }

    /// The process stands still, and is woken once.
    pub(crate) fn freeze(&mut self, time: Duration) {
        self.now = self.now + time;
        self.handle(Input::Tick);
    }

    /// Lets time pass until the next dial.
    pub(crate) fn pass_until_dial(&mut self) -> Duration {
        let (began, dials) = (self.now, self.dials.len());
        while self.dials.len() == dials {
            let (at, _) = self.session.poll_timeout().expect("it tries again");
            self.now = at.max(self.now);
            self.handle(Input::Tick);
        }
        self.now - began
    }

    /// The transport opens and the server answers the connect command; all commands but this one can still be read.
    pub(crate) fn connect(&mut self) {
        self.dial();
        self.greet();
    }

    pub(crate) fn dial(&mut self) {
        let attempt = self.attempt();
        self.handle(Input::Dialled { attempt });
    }

    pub(crate) fn greet(&mut self) {
        let first = self.inbox.remove(0);
        assert!(matches!(first.request, Request::Connect(_)), "{first:?}");
        let result = ConnectResult {
            client: "c".to_owned(),
            ping: 25,
            pong: true,
            ..ConnectResult::default()
        };
        self.answer(first.id, Ok(ReplyResult::Connect(result)));
    }

    pub(crate) fn refuse_connect(&mut self, error: ReplyError) {
        let first = self.inbox.remove(0);
        self.answer(first.id, Err(error));
    }

    pub(crate) fn dial_fails(&mut self) {
        let (attempt, failure) = (self.attempt(), refused());
        self.handle(Input::DialFailed { attempt, failure });
    }

    pub(crate) fn lose(&mut self) {
        self.lose_as(Loss::Broken("reset".to_owned()));
    }

    pub(crate) fn lose_with(&mut self, code: u16, reason: &str) {
        let reason = reason.to_owned();
        self.lose_as(Loss::Closed {
            code: Some(code),
            reason,
        });
    }

    fn lose_as(&mut self, loss: Loss) {
        let attempt = self.attempt();
        self.handle(Input::Lost { attempt, loss });
    }

    /// Commands that the server reads now.
    pub(crate) fn commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.inbox)
    }

    pub(crate) fn answer(&mut self, id: u32, outcome: Result<ReplyResult, ReplyError>) {
        self.reply(&Reply::Response { id, outcome });
    }

    pub(crate) fn reply(&mut self, reply: &Reply) {
        let mut message = Vec::new();
        json::append_reply(&mut message, reply);
        self.receive(&message);
    }

    pub(crate) fn receive(&mut self, message: &[u8]) {
        let attempt = self.attempt();
        let message = Bytes::copy_from_slice(message);
        self.hear();
        self.handle(Input::Received { attempt, message });
    }

    pub(crate) fn hear(&mut self) {
        let attempt = self.attempt();
        self.handle(Input::Heard { attempt });
    }

    pub(crate) fn push(&mut self, channel: &str, offset: u64) {
        self.reply(&Reply::Push(Push {
            channel: channel.to_owned(),
            event: PushEvent::Publication(item(offset)),
        }));
    }

    pub(crate) fn publish(&mut self) -> PublicationId {
        self.publish_for(None)
    }

    pub(crate) fn publish_for(&mut self, ttl: Option<Duration>) -> PublicationId {
        self.publish_in("room", ttl)
    }

    pub(crate) fn publish_in(&mut self, channel: &str, ttl: Option<Duration>) -> PublicationId {
        self.next_number += 1;
        let id = PublicationId(self.next_number);
        self.handle(Input::PublishRequested(Publish {
            id,
            channel: channel.to_owned(),
            data: Bytes::from(id.0.to_string()),
            key: format!("k{}", id.0),
            ttl,
        }));
        id
    }

    /// Time passes, and the peer shows each second that it lives.
    pub(crate) fn pass_alive(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(Duration::from_secs(1));
            self.hear();
        }
    }

    pub(crate) fn call(&mut self, call: Call, deadline: Duration) -> CallId {
        self.next_number += 1;
        let id = CallId(self.next_number);
        let deadline = self.now + deadline;
        self.handle(Input::CallRequested { id, call, deadline });
        id
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
        let options = SubscribeOptions {
            channel: channel.to_owned(),
            since,
            join_leave: false,
            buffer_len_max,
        };
        self.handle(Input::SubscribeRequested { id, options });
        id
    }

    /// The server reads the one command that is there, a subscribe, and answers.
    pub(crate) fn answer_subscribe(&mut self, result: SubscribeResult) -> Command {
        let command = self.commands().pop().expect("a subscribe command");
        assert!(matches!(command.request, Request::Subscribe(_)));
        self.answer(command.id, Ok(ReplyResult::Subscribe(result)));
        command
    }

    pub(crate) fn drain_feeds(&mut self) -> Vec<Feed> {
        std::mem::take(&mut self.feeds)
            .into_iter()
            .map(|(_, feed)| feed)
            .collect()
    }

    /// How the last connection ended, and when.
    pub(crate) fn last_loss(&self) -> Option<(Instant, Event)> {
        let is_loss = |(_, event): &&(Instant, Event)| matches!(event, Event::Lost { .. });
        self.events.iter().rfind(is_loss).cloned()
    }
}

pub(crate) fn refused() -> DialFailure {
    DialFailure {
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

/// The answer to a subscribe command that recovered nothing.
pub(crate) fn stands(position: Position) -> SubscribeResult {
    SubscribeResult {
        recoverable: true,
        positioned: true,
        position,
        ..SubscribeResult::default()
    }
}

/// The answer to one that recovered these.
pub(crate) fn recovered(position: Position, offsets: &[u64]) -> SubscribeResult {
    SubscribeResult {
        recovered: true,
        was_recovering: true,
        publications: offsets.iter().copied().map(item).collect(),
        ..stands(position)
    }
}

/// The answer to a keyed publish.
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

/// The key of a keyed publish.
pub(crate) fn key_of(command: &Command) -> Option<String> {
    let Request::Rpc(rpc) = &command.request else {
        return None;
    };
    (rpc.method == idempotent::METHOD).then(|| {
        let publish = idempotent::decode_publish(&rpc.data, &Limits::DEFAULT).expect("valid");
        publish.idempotency_key
    })
}
