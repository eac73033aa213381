//! Events of a dialect in any order and for any request: the session keeps its invariants, and each message and call has
//! exactly one outcome.

#![expect(
    clippy::indexing_slicing,
    reason = "numbers are taken modulo the lengths of the tables"
)]

use std::time::Duration;

use proptest::prelude::*;
use steadfast_core::Session;
use steadfast_core::dialect::Delivery;
use steadfast_core::event::{SessionEvent, SessionPhase, SessionState};
use steadfast_core::io::{
    CallId, ConnectionLoss, CredentialsError, CredentialsSource, FetchId, Input, MessageId,
    Outgoing, Output, RenewalReason, SubscribeOptions, SubscriptionId,
};
use steadfast_core::policy::SessionPolicy;
use steadfast_core::secret::Secret;
use steadfast_machine::{Instant, Machine, Seed};

use crate::hostile_dialect::{
    ACCEPTED, AUTHENTICATED, Hostile, HostileCall, HostileMessage, HostileTopic, KINDS, REFUSED,
    REJECTED, REPLIED, SUBSCRIBED, Sent, UNSUBSCRIBED, frame, request_of,
};
use crate::invariants::InvariantChecker;
use crate::script::{dial_failure, settings};

/// More ticks than this at one instant are a busy loop.
const TICKS_MAX: usize = 50;
/// The number of an event that neither expires nor gives up.
const HARMLESS: u8 = 4;

struct Peer {
    session: Session<Hostile>,
    now: Instant,
    invariants: InvariantChecker,
    /// The requests of the current connection.
    requests: Vec<(u8, u32)>,
    /// Requests over a connection that has not replaced the current one.
    premature: Vec<(u8, u32)>,
    /// The credentials with which the current connection was opened.
    shown: Option<String>,
    fetches: Vec<(Instant, FetchId, RenewalReason)>,
    events: Vec<SessionEvent>,
    next: u64,
}

impl Peer {
    fn new(source: CredentialsSource) -> Self {
        Self::with(source, Hostile::default(), None)
    }

    fn fixed() -> Self {
        Self::new(CredentialsSource::Fixed(Secret::new("one".to_owned())))
    }

    fn with(source: CredentialsSource, dialect: Hostile, attempts_max: Option<u32>) -> Self {
        let mut settings = settings();
        settings.link.priorities = vec![0, 1];
        settings.link.backoff.attempts_max = attempts_max;
        let policy = SessionPolicy::new(settings).expect("valid");
        let now = Instant::START;
        Self {
            session: Session::new(&policy, dialect, source, Seed::new(1), now),
            now,
            invariants: InvariantChecker::default(),
            requests: Vec::new(),
            premature: Vec::new(),
            shown: None,
            fetches: Vec::new(),
            events: Vec::new(),
            next: 0,
        }
    }

    /// A session that was opened, and is connected if it needs no credentials.
    fn connected(mut self) -> Self {
        self.handle(Input::OpenRequested);
        self.fetched(Ok("one"));
        self.dial();
        self.say(&[(ACCEPTED, 0, HARMLESS)]);
        assert_eq!(self.phase(), SessionPhase::Ready);
        self
    }

    fn phase(&self) -> SessionPhase {
        self.session.snapshot().phase
    }

    fn state(&self) -> SessionState {
        self.session.snapshot().state
    }

    fn handle(&mut self, input: Input<Hostile>) {
        self.invariants.on_input(&input, self.state());
        self.session.handle(self.now, input);
        while let Some(output) = self.session.poll_output() {
            let standby = self.invariants.standby();
            self.invariants.on_output(&output);
            if standby.is_some_and(|it| it == self.invariants.attempt()) {
                self.requests.clear();
            }
            match output {
                Output::Dial { attempt, .. } if self.invariants.standby() == Some(attempt) => {}
                Output::Dial { .. } => {
                    self.requests.clear();
                    self.shown = None;
                }
                Output::Transmit { attempt, frame }
                    if self.invariants.standby() == Some(attempt) =>
                {
                    self.premature.extend(request_of(&frame));
                }
                Output::Transmit { frame, .. } => {
                    if let Some(request) = request_of(&frame) {
                        self.requests.push(request);
                    } else if self.shown.is_none() {
                        let text = String::from_utf8_lossy(frame.payload());
                        self.shown = Some(text.into_owned());
                    }
                }
                Output::FetchCredentials { id, reason } => {
                    self.fetches.push((self.now, id, reason));
                }
                Output::Notify(event) => self.events.push(event),
                Output::Compute { .. } | Output::Redirect { .. } => {}
                Output::Abort { .. }
                | Output::Probe { .. }
                | Output::Close { .. }
                | Output::Deliver { .. }
                | Output::CompleteMessage { .. }
                | Output::CompleteCall { .. } => {}
            }
        }
        self.invariants.check(&self.session, self.now);
    }

    fn advance(&mut self, time: Duration) {
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

    fn dial(&mut self) {
        let attempt = self.invariants.attempt();
        self.handle(Input::Dialled { attempt });
    }

    fn say(&mut self, events: &[Sent]) {
        if self.invariants.is_open() {
            let attempt = self.invariants.attempt();
            let frame = frame(events);
            self.handle(Input::Received { attempt, frame });
        }
    }

    /// The peer of the standby, if there is one, does one thing.
    fn act_on_standby(&mut self, number: u16) {
        let Some(attempt) = self.invariants.standby() else {
            return self.handle(Input::MigrateRequested { endpoint: None });
        };
        let [high, low] = number.to_be_bytes();
        match number % 6 {
            0 => {
                let (code, reason) = (Some(number), String::new());
                let loss = ConnectionLoss::CloseFrame { code, reason };
                self.handle(Input::Lost { attempt, loss });
            }
            1 | 2 => self.handle(Input::Dialled { attempt }),
            3 | 4 if self.invariants.is_standby_open() => {
                let frame = frame(&[(ACCEPTED, 0, low)]);
                self.handle(Input::Received { attempt, frame });
            }
            _ if self.invariants.is_standby_open() => {
                let frame = frame(&[(high % KINDS, 1, low), (low % KINDS, 2, high)]);
                self.handle(Input::Received { attempt, frame });
            }
            _ => {}
        }
    }

    fn fetched(&mut self, outcome: Result<&str, CredentialsError>) {
        if let Some((_, id, _)) = self.fetches.last().copied() {
            let outcome = outcome.map(|text| Secret::new(text.to_owned()));
            self.handle(Input::CredentialsFetched { id, outcome });
        }
    }

    fn lose(&mut self, code: u16) {
        let attempt = self.invariants.attempt();
        let (code, reason) = (Some(code), String::new());
        let loss = ConnectionLoss::CloseFrame { code, reason };
        self.handle(Input::Lost { attempt, loss });
    }

    fn replace_credentials(&mut self, text: &str) {
        self.handle(Input::CredentialsReplaced(Secret::new(text.to_owned())));
    }

    fn subscribe(&mut self, topic: u8) -> SubscriptionId {
        self.next += 1;
        let options = SubscribeOptions::to(HostileTopic(topic), 4);
        let id = SubscriptionId(self.next);
        self.handle(Input::SubscribeRequested { id, options });
        id
    }

    /// The ids of the requests of this kind.
    fn ids(&self, kind: u8) -> Vec<u32> {
        let found = self.requests.iter().filter(|(it, _)| *it == kind);
        found.map(|(_, id)| *id).collect()
    }

    /// Does what a healthy peer and its application would do.
    fn serve(&mut self) {
        self.fetched(Ok("good"));
        if self.invariants.is_dialing() {
            self.dial();
        }
        let attempt = self.invariants.attempt();
        self.handle(Input::BytesReceived { attempt, bytes: 2 });
        self.handle(Input::PongReceived { attempt });
        if self.phase() == SessionPhase::Handshake {
            self.say(&[(ACCEPTED, 0, HARMLESS)]);
        }
        for (kind, id) in std::mem::take(&mut self.requests) {
            let reply = match kind {
                b'c' => 3,
                b'm' => 4,
                b's' => SUBSCRIBED,
                b'a' => AUTHENTICATED,
                _ => 7,
            };
            self.say(&[(reply, id, HARMLESS)]);
        }
    }

    fn request(&mut self, kind: u8, number: u16) {
        self.next += 1;
        let next = self.next;
        let [_, low] = number.to_be_bytes();
        let delivery = [
            Delivery::Unacknowledged,
            Delivery::AtLeastOnce,
            Delivery::AtMostOnce,
        ];
        let wait = Duration::from_millis(u64::from(number) * 10);
        match kind {
            0 => self.handle(Input::SendRequested(Outgoing {
                id: MessageId(next),
                message: HostileMessage(low % 4, delivery[usize::from(number) % 3]),
                ttl: number.is_multiple_of(2).then_some(wait),
                drops_oldest: number.is_multiple_of(5),
            })),
            1 => self.handle(Input::CallRequested {
                id: CallId(next),
                call: HostileCall(number.is_multiple_of(2)),
                deadline: self.now + wait,
            }),
            2 => {
                self.subscribe(low % 3);
            }
            3 => self.handle(Input::CallWithdrawn {
                id: CallId(u64::from(low)),
            }),
            4 => self.handle(Input::UnsubscribeRequested {
                id: SubscriptionId(u64::from(low)),
            }),
            _ => self.handle(Input::Consumed {
                id: SubscriptionId(u64::from(low)),
                items: 3,
            }),
        }
    }

    fn step(&mut self, kind: u8, number: u16) {
        let [high, low] = number.to_be_bytes();
        let wait = Duration::from_millis(u64::from(number));
        match kind {
            0..6 => self.request(kind, number),
            6 => self.handle(Input::OpenRequested),
            7 => self.handle(Input::CloseRequested { drain: wait }),
            8 => self.handle(Input::ReconnectRequested),
            9 => self.handle(Input::RestartRequested),
            10 => self.dial(),
            11 => {
                let attempt = self.invariants.attempt();
                let failure = dial_failure();
                self.handle(Input::DialFailed { attempt, failure });
            }
            12 => self.lose(number),
            13 => self.fetched(Ok("fetched")),
            14 => self.fetched(Err(CredentialsError::temporary("down"))),
            15 => self.replace_credentials("others"),
            16 => self.advance(wait * 4),
            17..21 => self.serve(),
            36.. => self.act_on_standby(number),
            _ => {
                let known = self.requests.get(usize::from(low) % 8);
                let id = known.map_or_else(|| u32::from(high), |(_, id)| *id);
                let one = (kind % KINDS, id, low);
                let two = (high % KINDS, id, high);
                self.say(&[one, two]);
            }
        }
    }
}

#[test]
fn a_second_acceptance_changes_nothing() {
    let mut peer = Peer::fixed().connected();

    peer.say(&[(ACCEPTED, 0, HARMLESS)]);

    assert_eq!(peer.phase(), SessionPhase::Ready);
    assert!(peer.session.next_timer().is_some(), "failures are detected");
    peer.lose(1_001);
    assert_eq!(peer.phase(), SessionPhase::Waiting);
}

#[test]
fn an_acceptance_during_closing_does_not_prevent_the_end() {
    let mut peer = Peer::fixed().connected();
    let drain = Duration::ZERO;
    peer.handle(Input::CloseRequested { drain });

    peer.say(&[(ACCEPTED, 0, HARMLESS)]);
    peer.advance(settings().link.close_timeout);

    assert_eq!(peer.state(), SessionState::Disconnected);
}

#[test]
fn credentials_that_expire_at_once_are_fetched_once_per_second() {
    let mut peer = Peer::new(CredentialsSource::Fetched).connected();
    let first = peer.fetches.len();

    // A number from 1 to 3 expires at once.
    peer.say(&[(AUTHENTICATED, 0, 1)]);
    let mut served = first;
    for _ in 0..100 {
        peer.advance(Duration::from_millis(50));
        if peer.fetches.len() > served {
            served = peer.fetches.len();
            peer.fetched(Ok("short"));
        }
        for id in peer.ids(b'a') {
            peer.say(&[(AUTHENTICATED, id, 1)]);
        }
        peer.requests.clear();
    }

    let fetches = peer.fetches.len() - first;
    assert!((1..=5).contains(&fetches), "{fetches} in 5 s");
}

#[test]
fn credentials_that_are_replaced_during_the_handshake_follow_it() {
    let mut peer = Peer::fixed();
    peer.handle(Input::OpenRequested);
    peer.dial();
    peer.replace_credentials("two");

    peer.say(&[(ACCEPTED, 0, HARMLESS)]);

    assert_eq!(peer.shown.as_deref(), Some("one"));
    assert_eq!(peer.ids(b'a').len(), 1);
}

#[test]
fn a_rejection_of_credentials_that_were_replaced_during_the_handshake_is_retried() {
    let mut peer = Peer::fixed();
    peer.handle(Input::OpenRequested);
    peer.dial();
    peer.replace_credentials("two");

    // 8 renews the credentials.
    peer.say(&[(REJECTED, 0, 8)]);

    assert_eq!(peer.phase(), SessionPhase::Waiting);
    peer.handle(Input::ReconnectRequested);
    peer.dial();
    assert_eq!(peer.shown.as_deref(), Some("two"));
    peer.say(&[(REJECTED, 0, 8)]);
    assert_eq!(peer.state(), SessionState::Failed);
}

#[test]
fn the_reply_to_earlier_credentials_is_not_that_to_the_newest() {
    let mut peer = Peer::fixed().connected();
    peer.replace_credentials("two");
    peer.replace_credentials("three");
    let ids = peer.ids(b'a');

    peer.say(&[(AUTHENTICATED, ids[0], HARMLESS)]);
    peer.say(&[(REFUSED, ids[1], HARMLESS)]);

    let failed = |it: &SessionEvent| matches!(it, SessionEvent::RenewalFailed { .. });
    assert!(peer.events.iter().any(failed));
}

#[test]
fn a_fetch_that_fails_without_a_connection_is_no_failed_renewal() {
    let mut peer = Peer::new(CredentialsSource::Fetched).connected();
    peer.say(&[(AUTHENTICATED, 0, 1)]);
    peer.advance(Duration::from_secs(2));
    assert_eq!(peer.fetches.len(), 2, "the renewal");
    peer.lose(4);

    peer.fetched(Err(CredentialsError::temporary("down")));

    let failed = |it: &SessionEvent| matches!(it, SessionEvent::RenewalFailed { .. });
    assert!(!peer.events.iter().any(failed), "{:?}", peer.events);
}

#[test]
fn credentials_of_the_application_replace_those_that_are_being_fetched() {
    let mut peer = Peer::new(CredentialsSource::Fetched).connected();
    peer.say(&[(AUTHENTICATED, 0, 1)]);
    peer.advance(Duration::from_secs(2));
    assert_eq!(peer.fetches.len(), 2, "the renewal");
    peer.replace_credentials("mine");
    let ids = peer.ids(b'a');
    peer.say(&[(AUTHENTICATED, ids[0], HARMLESS)]);

    peer.fetched(Ok("older"));
    peer.advance(settings().link.connect_timeout);
    peer.lose(4);
    peer.handle(Input::ReconnectRequested);
    peer.dial();

    assert_eq!(peer.shown.as_deref(), Some("mine"));
    let failed = |it: &SessionEvent| matches!(it, SessionEvent::RenewalFailed { .. });
    assert!(!peer.events.iter().any(failed), "{:?}", peer.events);
}

#[test]
fn credentials_that_cannot_be_sent_over_an_open_connection_are_for_the_next_one() {
    let dialect = Hostile {
        cannot_authenticate: true,
    };
    let source = CredentialsSource::Fixed(Secret::new("one".to_owned()));
    let mut peer = Peer::with(source, dialect, None).connected();

    peer.replace_credentials("two");

    assert!(peer.ids(b'a').is_empty());
    let failed = |it: &SessionEvent| matches!(it, SessionEvent::RenewalFailed { .. });
    assert!(peer.events.iter().any(failed));
    peer.lose(4);
    peer.handle(Input::ReconnectRequested);
    peer.dial();
    assert_eq!(peer.shown.as_deref(), Some("two"));
}

#[test]
fn the_delay_that_the_peer_requests_for_new_credentials_is_kept() {
    let mut peer = Peer::new(CredentialsSource::Fetched).connected();
    peer.replace_credentials("two");
    let ids = peer.ids(b'a');

    // 25 retries after 25 s.
    peer.say(&[(REFUSED, ids[0], 25)]);

    let Some(SessionEvent::RenewalFailed { retry_at, .. }) = peer.events.last() else {
        panic!("{:?}", peer.events);
    };
    let until = peer.now + Duration::from_secs(25);
    assert!(retry_at.is_some_and(|at| at >= until), "{retry_at:?}");
}

#[test]
fn nothing_is_renewed_while_the_connection_closes() {
    let mut peer = Peer::new(CredentialsSource::Fetched).connected();
    peer.say(&[(AUTHENTICATED, 0, 1)]);
    let drain = Duration::ZERO;
    peer.handle(Input::CloseRequested { drain });

    peer.say(&[(AUTHENTICATED, 0, 1)]);
    peer.advance(Duration::from_secs(2));

    assert_eq!(peer.fetches.len(), 1);
}

#[test]
fn a_reply_of_the_wrong_type_to_new_credentials_is_a_failed_renewal() {
    let mut peer = Peer::new(CredentialsSource::Fetched).connected();
    peer.replace_credentials("two");
    let ids = peer.ids(b'a');

    peer.say(&[(REPLIED, ids[0], HARMLESS)]);

    let last = peer.events.last();
    assert!(
        matches!(
            last,
            Some(SessionEvent::RenewalFailed {
                retry_at: Some(_),
                ..
            })
        ),
        "{last:?}"
    );
}

#[test]
fn a_subscription_that_the_peer_ends_each_time_is_requested_with_growing_delays() {
    let mut peer = Peer::fixed().connected();
    let subscription = peer.subscribe(1);
    let mut requests = 0;

    for _ in 0..1_000 {
        let ids = peer.ids(b's');
        requests += ids.len();
        peer.requests.clear();
        for id in ids {
            peer.say(&[(SUBSCRIBED, id, HARMLESS)]);
            // 4 and 10 are for topic 1: it may be requested again, the second time without its position.
            let number = if id.is_multiple_of(2) { 4 } else { 10 };
            peer.say(&[(UNSUBSCRIBED, 0, number)]);
        }
        let (id, items) = (subscription, 8);
        peer.handle(Input::Consumed { id, items });
        let attempt = peer.invariants.attempt();
        peer.handle(Input::BytesReceived { attempt, bytes: 2 });
        peer.advance(Duration::from_millis(10));
    }

    assert!((3..10).contains(&requests), "{requests} in 10 s");
}

#[test]
fn what_the_peer_said_before_the_switch_has_its_effect_in_the_same_step() {
    let mut peer = Peer::fixed().connected();
    peer.subscribe(HARMLESS % 3);
    peer.serve();
    let attempt = peer.invariants.attempt();
    // The socket has not accepted everything, which delays the switch.
    peer.handle(Input::SendBuffer { attempt, bytes: 1 });
    peer.handle(Input::MigrateRequested { endpoint: None });
    let standby = peer.invariants.standby().expect("a standby");
    peer.handle(Input::Dialled { attempt: standby });
    let subscribed_and_ended = [(SUBSCRIBED, 1, HARMLESS), (UNSUBSCRIBED, 0, HARMLESS)];
    for events in [&[(ACCEPTED, 0, HARMLESS)][..], &subscribed_and_ended] {
        let (attempt, frame) = (standby, frame(events));
        peer.handle(Input::Received { attempt, frame });
    }
    assert_eq!(peer.ids(b's'), Vec::<u32>::new());

    peer.handle(Input::SendBuffer { attempt, bytes: 0 });

    assert_eq!(peer.ids(b's'), [1, 2], "and once more after its end");
}

fn steps() -> impl Strategy<Value = Vec<(u8, u16)>> {
    proptest::collection::vec((0_u8..42, 0_u16..4_000), 1..150)
}

fn sources() -> impl Strategy<Value = CredentialsSource> {
    let fixed = CredentialsSource::Fixed(Secret::new("one".to_owned()));
    prop_oneof![Just(fixed), Just(CredentialsSource::Fetched)]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn over_any_events_close_completes_everything(
        steps in steps(),
        source in sources(),
        attempts_max in prop_oneof![Just(None), Just(Some(3))],
    ) {
        let mut peer = Peer::with(source, Hostile::default(), attempts_max);
        for (kind, number) in steps {
            peer.step(kind, number);
        }

        peer.handle(Input::CloseRequested { drain: Duration::from_secs(1) });
        peer.advance(Duration::from_secs(1) + settings().link.close_timeout);

        prop_assert_eq!(peer.state(), SessionState::Disconnected);
        prop_assert_eq!(peer.invariants.pending(), 0);
        prop_assert_eq!(peer.invariants.transports(), 0);
        prop_assert_eq!(peer.premature, Vec::new(), "only a handshake precedes the switch");
    }

    #[test]
    fn after_any_events_a_healthy_peer_brings_a_session_back_to_ready(
        steps in steps(),
        source in sources(),
    ) {
        let mut peer = Peer::new(source);
        for (kind, number) in steps {
            peer.step(kind, number);
        }

        for _ in 0..60 {
            for input in [Input::OpenRequested, Input::RestartRequested, Input::ReconnectRequested] {
                peer.handle(input);
            }
            peer.serve();
            // Altogether longer than any delay that a server can request.
            peer.advance(Duration::from_secs(8));
        }

        prop_assert_eq!(peer.phase(), SessionPhase::Ready);
    }
}
