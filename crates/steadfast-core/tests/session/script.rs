//! A session, a clock that jumps, and a server that speaks the protocol as the script says.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::Session;
use steadfast_core::event::{Event, Snapshot};
use steadfast_core::io::{
    Attempt, Delivery, DialFailure, Feed, Input, Loss, Output, PublicationId, Publish,
    SubscribeOptions, SubscriptionId, Timer,
};
use steadfast_core::policy::{
    BackoffSettings, LivenessSettings, OutboxSettings, SessionPolicy, SessionSettings,
};
use steadfast_machine::{Instant, Machine, Seed};
use steadfast_protocol::json::{append_reply, decode_commands};
use steadfast_protocol::keyed::{self, KeyedAck};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    Command, ConnectResult, Position, Publication, Push, PushEvent, Reply, ReplyError, ReplyResult,
    Request, SubscribeResult,
};

pub(crate) const IDLE: Duration = Duration::from_secs(15);
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const CAP: Duration = Duration::from_secs(30);

/// A session and everything that it has ordered.
pub(crate) struct Script {
    pub(crate) session: Session,
    pub(crate) now: Instant,
    /// The transport that is open, as the session sees it.
    pub(crate) attempt: Attempt,
    pub(crate) dials: Vec<Instant>,
    pub(crate) probes: Vec<Instant>,
    pub(crate) abandoned: Vec<Attempt>,
    pub(crate) commands: Vec<Command>,
    pub(crate) feeds: Vec<(SubscriptionId, Feed)>,
    pub(crate) outcomes: Vec<(PublicationId, Delivery)>,
    pub(crate) events: Vec<Event>,
    pub(crate) hung_up: Option<u16>,
}

pub(crate) fn settings() -> SessionSettings {
    SessionSettings {
        endpoints: 1,
        name: "script".to_owned(),
        token: String::new(),
        data: None,
        attempt_deadline: Duration::from_secs(10),
        session_ttl: Duration::from_mins(2),
        close_deadline: Duration::from_secs(5),
        calls_max: 8,
        subscriptions_max: 8,
        backoff: BackoffSettings {
            floor: Duration::from_millis(50),
            base: Duration::from_millis(250),
            cap: CAP,
            first_within: Duration::from_secs(1),
            spread: Duration::from_secs(5),
            stable_after: Duration::from_secs(10),
            hint_max: Duration::from_mins(5),
            attempts_max: None,
        },
        liveness: LivenessSettings {
            idle: IDLE,
            timeout: TIMEOUT,
            write_stall: Duration::from_secs(10),
            grace: Duration::from_secs(2),
        },
        outbox: OutboxSettings {
            messages_max: 4,
            bytes_max: 1_000,
            window: 3,
            key_window: Duration::from_mins(2),
            retry_after: Duration::from_millis(500),
        },
    }
}

impl Script {
    pub(crate) fn new(settings: SessionSettings, seed: u64) -> Self {
        let policy = SessionPolicy::new(settings).expect("valid settings");
        let mut script = Self {
            session: Session::new(policy, Seed::new(seed), Instant::START),
            now: Instant::START,
            attempt: Attempt::default(),
            dials: Vec::new(),
            probes: Vec::new(),
            abandoned: Vec::new(),
            commands: Vec::new(),
            feeds: Vec::new(),
            outcomes: Vec::new(),
            events: Vec::new(),
            hung_up: None,
        };
        script.tell(Input::OpenRequested);
        script
    }

    /// Connected, with nothing subscribed.
    pub(crate) fn connected() -> Self {
        let mut script = Self::new(settings(), 1);
        script.accept();
        script
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        self.session.snapshot()
    }

    pub(crate) fn tell(&mut self, input: Input) {
        self.session.handle(self.now, input);
        while let Some(output) = self.session.poll_output() {
            self.note(output);
        }
    }

    fn note(&mut self, output: Output) {
        match output {
            Output::Dial { attempt, .. } => {
                self.attempt = attempt;
                self.dials.push(self.now);
            }
            Output::Abandon { attempt } => self.abandoned.push(attempt),
            Output::Transmit { attempt, message } => {
                assert_eq!(
                    attempt, self.attempt,
                    "an order for a transport that is gone"
                );
                for command in decode_commands(&message, &Limits::DEFAULT).expect("a message") {
                    self.commands.push(command.expect("a command"));
                }
            }
            Output::Probe { .. } => self.probes.push(self.now),
            Output::HangUp { code, .. } => self.hung_up = Some(code),
            Output::Deliver { id, feed } => self.feeds.push((id, feed)),
            Output::Resolve { id, delivery } => self.outcomes.push((id, delivery)),
            Output::Answer { .. } => {}
            Output::Notify(event) => self.events.push(event),
        }
    }

    /// Goes to the next deadline that lies within this time, or to its end. True when there was one.
    fn step(&mut self, until: Instant) -> Option<Timer> {
        match self.session.poll_timeout() {
            Some((at, timer)) if at <= until => {
                self.now = self.now.max(at);
                self.tell(Input::Tick);
                Some(timer)
            }
            Some(_) | None => {
                self.now = until;
                None
            }
        }
    }

    /// Lets time pass without anything from outside.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut steps = 0;
        while self.step(until).is_some() {
            steps += 1;
            assert!(steps < 100_000, "the session does not come to rest");
        }
    }

    /// Goes on until the next dial.
    pub(crate) fn until_dial(&mut self) {
        let dials = self.dials.len();
        while self.dials.len() == dials {
            let (at, _) = self.session.poll_timeout().expect("nothing is due");
            self.now = self.now.max(at);
            self.tell(Input::Tick);
        }
    }

    /// The transport opens, and the server opens the session.
    pub(crate) fn accept(&mut self) {
        let attempt = self.attempt;
        self.tell(Input::Dialled { attempt });
        let connect = self.take_command(|it| matches!(it, Request::Connect(_)));
        self.answer(
            connect.id,
            Ok(ReplyResult::Connect(ConnectResult {
                client: "me".to_owned(),
                ping: 25,
                pong: true,
                ..ConnectResult::default()
            })),
        );
    }

    pub(crate) fn refuse_dial(&mut self) {
        let failure = DialFailure {
            text: "connection refused".to_owned(),
            is_local: false,
            is_final: false,
            retry_after: None,
        };
        let attempt = self.attempt;
        self.tell(Input::DialFailed { attempt, failure });
    }

    pub(crate) fn take_command(&mut self, is_it: impl Fn(&Request) -> bool) -> Command {
        let place = self.commands.iter().position(|it| is_it(&it.request));
        let place = place.unwrap_or_else(|| panic!("no such command in {:?}", self.commands));
        self.commands.remove(place)
    }

    pub(crate) fn answer(&mut self, id: u32, outcome: Result<ReplyResult, ReplyError>) {
        self.receive(&Reply::Answer { id, outcome });
    }

    pub(crate) fn receive(&mut self, reply: &Reply) {
        let mut message = Vec::new();
        append_reply(&mut message, reply);
        let (attempt, message) = (self.attempt, Bytes::from(message));
        self.tell(Input::Heard { attempt });
        self.tell(Input::Received { attempt, message });
    }

    pub(crate) fn heard(&mut self) {
        let attempt = self.attempt;
        self.tell(Input::Heard { attempt });
    }

    pub(crate) fn break_link(&mut self) {
        let (attempt, loss) = (self.attempt, Loss::Broken("reset".to_owned()));
        self.tell(Input::Lost { attempt, loss });
    }

    pub(crate) fn close_with(&mut self, code: u16, reason: &str) {
        let attempt = self.attempt;
        let loss = Loss::Closed {
            code: Some(code),
            reason: reason.to_owned(),
        };
        self.tell(Input::Lost { attempt, loss });
    }

    pub(crate) fn publish(&mut self, number: u64) {
        self.publish_for(number, None);
    }

    pub(crate) fn publish_for(&mut self, number: u64, ttl: Option<Duration>) {
        self.tell(Input::PublishRequested(Publish {
            id: PublicationId(number),
            channel: "news".to_owned(),
            data: Bytes::from_static(b"1"),
            key: format!("key-{number}"),
            ttl,
        }));
    }

    /// The keys of the publish commands that arrived, with their ids; taken out.
    pub(crate) fn take_published(&mut self) -> Vec<(u32, String)> {
        let mut found = Vec::new();
        self.commands.retain(|command| match &command.request {
            Request::Rpc(rpc) => {
                let publish =
                    keyed::decode_publish(&rpc.data, &Limits::DEFAULT).expect("a keyed publish");
                found.push((command.id, publish.key));
                false
            }
            Request::Connect(_)
            | Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::Publish(_)
            | Request::Presence(_)
            | Request::PresenceStats(_)
            | Request::History(_)
            | Request::Ping
            | Request::Send(_)
            | Request::Refresh(_)
            | Request::SubRefresh(_)
            | Request::Pong => true,
        });
        found
    }

    pub(crate) fn acknowledge(&mut self, id: u32, offset: u64, duplicate: bool) {
        let mut data = Vec::new();
        let epoch = "e".to_owned();
        keyed::append_ack(
            &mut data,
            &KeyedAck {
                offset,
                epoch,
                duplicate,
            },
        );
        self.answer(id, Ok(ReplyResult::Rpc(Bytes::from(data))));
    }

    pub(crate) fn subscribe(&mut self, buffer_len_max: usize) {
        self.tell(Input::SubscribeRequested {
            id: SubscriptionId(1),
            options: SubscribeOptions {
                channel: "news".to_owned(),
                buffer_len_max,
                ..SubscribeOptions::default()
            },
        });
    }

    /// Answers the subscribe command that waits; returns what it asked for.
    pub(crate) fn grant(
        &mut self,
        epoch: &str,
        offset: u64,
        recovered: bool,
        missed: &[u64],
    ) -> Option<Position> {
        let command = self.take_command(|it| matches!(it, Request::Subscribe(_)));
        let Request::Subscribe(request) = command.request else {
            return None;
        };
        self.answer(
            command.id,
            Ok(ReplyResult::Subscribe(SubscribeResult {
                recoverable: true,
                recovered,
                was_recovering: request.recover,
                position: Position {
                    epoch: epoch.to_owned(),
                    offset,
                },
                publications: missed.iter().map(|offset| publication(*offset)).collect(),
                ..SubscribeResult::default()
            })),
        );
        request.recover.then_some(request.position)
    }

    pub(crate) fn push(&mut self, offset: u64) {
        self.receive(&Reply::Push(Push {
            channel: "news".to_owned(),
            event: PushEvent::Publication(publication(offset)),
        }));
    }

    /// What was handed over, in short: offsets of items, and the rest by name.
    pub(crate) fn handed(&self) -> Vec<String> {
        let short = |feed: &Feed| match feed {
            Feed::Started { position } => format!("started {}", position.offset),
            Feed::Resumed { position } => format!("resumed {}", position.offset),
            Feed::Gap { to, .. } => format!("gap {}", to.offset),
            Feed::Item(publication) => publication.offset.to_string(),
            Feed::Joined(_) => "joined".to_owned(),
            Feed::Left(_) => "left".to_owned(),
            Feed::Ended { code, .. } => format!("ended {code}"),
        };
        self.feeds.iter().map(|(_, feed)| short(feed)).collect()
    }
}

fn publication(offset: u64) -> Publication {
    Publication {
        data: Bytes::from_static(b"1"),
        offset,
        ..Publication::default()
    }
}
