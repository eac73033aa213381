//! A client with its driver and its server, of which each works only when the test lets it, and the state in which a
//! future is dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use steadfast::centrifuge::{Client, Driver, MessageReceipt, Subscription};
use steadfast::{BackoffSettings, DialLimit, SessionPhase, SessionState, defaults};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use super::driven::Driven;
use super::scripted_peer::{Script, ScriptedPeer};
use super::steps::Steps;

/// The capacity of the outbox.
pub(super) const OUTBOX_LEN: usize = 2;
/// The channel of the subscription that exists before the future.
pub(super) const KEPT: &str = "kept";
/// The idempotency key of the publication that exists before the future.
pub(super) const FIRST: &str = "first";

/// More commands than the command queue has space for.
const COMMANDS: usize = 5_000;

/// Where the client is while the future is polled and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The driver is not polled.
    Undriven,
    /// The driver is not polled, and the command queue is full.
    FullQueue,
    /// Another client has the only permit to dial.
    DialQueued,
    /// Between two attempts.
    Waiting,
    /// The application has not returned its credentials.
    FetchingCredentials,
    /// The upgrade has no response.
    Dialing,
    /// The connect command has no reply.
    Handshake,
    /// Connected, and nothing has a reply.
    Connected,
    /// As `Connected`, and the outbox is full.
    FullOutbox,
    /// Connected, and everything has its reply.
    Ready,
    /// The session no longer reconnects.
    Failed,
    /// The application has closed the client.
    Closed,
}

impl State {
    pub(super) const ALL: [Self; 12] = [
        Self::Undriven,
        Self::FullQueue,
        Self::DialQueued,
        Self::Waiting,
        Self::FetchingCredentials,
        Self::Dialing,
        Self::Handshake,
        Self::Connected,
        Self::FullOutbox,
        Self::Ready,
        Self::Failed,
        Self::Closed,
    ];

    /// Whether a driver that is polled sends commands.
    pub(super) const fn is_connected(self) -> bool {
        matches!(self, Self::Connected | Self::FullOutbox | Self::Ready)
    }

    const fn is_driven(self) -> bool {
        !matches!(self, Self::Undriven | Self::FullQueue)
    }

    const fn script(self) -> Script {
        match self {
            Self::Waiting | Self::Failed => Script::Refuse,
            Self::Dialing => Script::Accept,
            Self::Handshake => Script::Upgrade,
            Self::Connected | Self::FullOutbox => Script::Connect,
            Self::Undriven
            | Self::FullQueue
            | Self::DialQueued
            | Self::FetchingCredentials
            | Self::Ready
            | Self::Closed => Script::Serve,
        }
    }

    const fn backoff(self) -> BackoffSettings {
        if matches!(self, Self::Failed) {
            defaults::BACKOFF.attempts_max(1)
        } else {
            defaults::BACKOFF
        }
    }
}

/// What an application has of a client.
#[derive(Debug)]
pub(super) struct Handles {
    pub(super) client: Client,
    pub(super) subscription: Subscription,
    /// `None` once its outcome was returned, or the test has dropped it.
    pub(super) receipt: Option<MessageReceipt>,
    /// Fills the outbox.
    pub(super) second_receipt: Option<MessageReceipt>,
}

/// The driver and the server, and what determines their progress.
#[derive(Debug)]
pub(super) struct World {
    pub(super) state: State,
    pub(super) peer: ScriptedPeer,
    pub(super) client: Client,
    limit: DialLimit,
    /// The credentials that the application can return.
    credentials: Arc<Semaphore>,
    driver: Driven<Driver>,
    is_driven: bool,
    is_turn_of_driver: bool,
    /// The client that has the permit to dial, while another one waits for it.
    dialing: Option<(ScriptedPeer, Client, Pin<Box<Driver>>)>,
}

impl World {
    /// Brings a client into a state.
    pub(super) async fn enter(state: State) -> (Self, Handles) {
        let (mut world, handles) = Self::start(state);
        world.until("the state", Self::is_entered).await;
        if state == State::Closed {
            let client = world.client.clone();
            world.complete(client.close(Duration::ZERO)).await.unwrap();
        }
        (world, handles)
    }

    /// Creates a client that steps bring into a state.
    pub(super) fn start(state: State) -> (Self, Handles) {
        let peer = ScriptedPeer::new(state.script());
        let limit = DialLimit::new(1);
        let dialing = (state == State::DialQueued).then(|| dialing(&limit));
        let credentials = Arc::new(Semaphore::new(0));
        let (client, driver) = client(state, &peer, &limit, &credentials);
        let handles = Handles {
            subscription: client.subscribe(KEPT),
            receipt: Some(publish(&client, FIRST)),
            second_receipt: (state == State::FullOutbox).then(|| publish(&client, "second")),
            client: client.clone(),
        };
        if state == State::FullQueue {
            // Ignored by a session that has not failed.
            (0..COMMANDS).for_each(|_| client.restart());
        }
        let world = Self {
            state,
            peer,
            client,
            limit,
            credentials,
            driver: Driven::new(driver),
            is_driven: state.is_driven(),
            is_turn_of_driver: false,
            dialing,
        };
        (world, handles)
    }

    fn is_entered(&self) -> bool {
        let it = self.client.state().borrow().clone();
        match self.state {
            State::Undriven | State::FullQueue => true,
            State::DialQueued => it.phase == SessionPhase::Dialing,
            State::Waiting => it.phase == SessionPhase::Waiting,
            State::FetchingCredentials => it.phase == SessionPhase::FetchingCredentials,
            State::Dialing => {
                it.phase == SessionPhase::Dialing && self.peer.open_connections() == 1
            }
            State::Handshake => it.phase == SessionPhase::Handshake,
            State::Connected => it.in_flight == 1,
            State::FullOutbox => it.in_flight == OUTBOX_LEN,
            State::Ready | State::Closed => {
                it.phase == SessionPhase::Ready && it.queued + it.in_flight == 0
            }
            State::Failed => it.state == SessionState::Failed,
        }
    }

    /// Removes what keeps the client from being ready, and waits until it is.
    pub(super) async fn heal(&mut self) {
        self.release();
        self.credentials.add_permits(1);
        self.peer.script = Script::Serve;
        if self.state == State::Failed {
            self.client.restart();
        }
        let is_ready = |it: &Self| {
            let phase = it.client.state().borrow().phase;
            if phase == SessionPhase::Waiting {
                it.client.reconnect_now();
            }
            phase == SessionPhase::Ready
        };
        self.until("a connection", is_ready).await;
    }

    /// From now on the driver is polled when it was woken, and may dial.
    pub(super) fn release(&mut self) {
        self.drive();
        self.dialing = None;
    }

    /// From now on the driver is polled when it was woken.
    pub(super) const fn drive(&mut self) {
        self.is_driven = true;
    }

    /// Whether the driver has completed.
    pub(super) const fn is_finished(&self) -> bool {
        self.driver.is_finished()
    }

    /// How often the driver was polled.
    pub(super) const fn driver_polls(&self) -> usize {
        self.driver.polls
    }

    /// Drops the driver.
    pub(super) fn drop_driver(&mut self) {
        self.driver.drop_driver();
    }

    /// Replaces the client, whose driver was dropped, by one with the same limit of dials, and waits until it is ready.
    pub(super) async fn replace_client(&mut self) {
        let (client, driver) = client(State::Ready, &self.peer, &self.limit, &self.credentials);
        self.state = State::Ready;
        self.client = client;
        self.driver = Driven::new(driver);
        self.heal().await;
    }
    fn poll_driver(&mut self) {
        if self.is_driven {
            self.driver.poll();
        }
    }
}

fn client(
    state: State,
    peer: &ScriptedPeer,
    limit: &DialLimit,
    credentials: &Arc<Semaphore>,
) -> (Client, Driver) {
    let mut builder = Client::builder(&peer.url()).unwrap();
    if state == State::FetchingCredentials {
        let credentials = Arc::clone(credentials);
        builder = builder.credentials(move |_| {
            let credentials = Arc::clone(&credentials);
            async move {
                let _permit = credentials.acquire().await;
                Ok("token".to_owned())
            }
        });
    }
    builder
        .outbox(defaults::OUTBOX.messages_max(OUTBOX_LEN))
        .backoff(state.backoff())
        .calls_max(1)
        .dial_limit(limit.clone())
        .build()
        .unwrap()
}

/// A client that dials a server without a response, so that it keeps the permit.
fn dialing(limit: &DialLimit) -> (ScriptedPeer, Client, Pin<Box<Driver>>) {
    let peer = ScriptedPeer::new(Script::Accept);
    let (client, driver) = client(State::Dialing, &peer, limit, &Arc::new(Semaphore::new(0)));
    let mut driver = Box::pin(driver);
    let polled = driver
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    (peer, client, driver)
}

fn publish(client: &Client, key: &str) -> MessageReceipt {
    client.message("news", &1).key(key).send_now().unwrap()
}

impl Steps for World {
    async fn step(&mut self) {
        self.is_turn_of_driver = !self.is_turn_of_driver;
        if self.is_turn_of_driver {
            self.poll_driver();
        } else {
            self.peer.poll();
            // The runtime learns what has arrived at the sockets of the driver.
            yield_now().await;
        }
    }
}
