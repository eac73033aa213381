//! One event loop: the tasks that share a shard, and what wakes them.
//!
//! Everything runs on one thread, so the shard is borrowed for one synchronous step and never across an await. A loop
//! iteration is the time between two runs of [`finish_iterations`]: the scheduler is first in, first out, so the task
//! that finishes an iteration runs after all tasks that were ready when the iteration began, and writes for all of them
//! at once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_engine::EngineEvent;
use steadfast_hub::Hub;
use steadfast_hub::io::Input;
use steadfast_machine::{Instant, Seed, convert};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time;

use crate::access::AccessRules;
use crate::admin::{Admin, Capacity};
use crate::config::keys::SettingSource;
use crate::config::policy::{Policies, SocketLimits};
use crate::config::reference;
use crate::diagnostics::{Refused, ShardLog};
use crate::echo::EchoSettings;
use crate::engine::ShardEngine;
use crate::handshakes::{HandshakeId, Handshakes};
use crate::shard::Shard;
use crate::shard_bus::{Inbox, ShardBus};
use crate::upgrade::{EchoEndpoint, HeadLimits, UpgradeRules};

/// The maximum number of bytes that one read returns; larger messages need several reads. All connections of a
/// shard share the buffer.
const READ_BUFFER_BYTES: usize = 64 << 10;
/// The maximum number of the engine's events in one loop iteration: enough to coalesce, few enough that sockets are written in
/// between.
const ENGINE_EVENTS_MAX: usize = 512;
/// The same for messages of shards.
const SHARD_MESSAGES_MAX: usize = 512;

/// State that the connections of one shard share.
#[derive(Debug)]
pub(crate) struct EventLoop {
    shard: RefCell<Shard>,
    /// Contains no data between two reads.
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    clock: Clock,
    pub(crate) settings: ShardSettings,
    pub(crate) admin: Arc<Admin>,
    /// Connections that have not finished their first request, with their tasks.
    handshakes: RefCell<Handshakes<Handshake>>,
    /// Whether `peers_max` clients are connected.
    is_full: Cell<bool>,
    is_iteration_open: Cell<bool>,
    iteration_end: Notify,
    /// Notified when there are requests to the engine.
    requests: Notify,
    /// The deadline until which the timer's task sleeps.
    armed_deadline: Cell<Option<Instant>>,
    rearm: Notify,
    /// Notified when the last connection is closed.
    all_closed: Notify,
    /// Notified when a connection's task panicked: the hub may then be in any state.
    panicked: Notify,
}

/// Settings of a shard for its connections, from the configuration.
#[derive(Clone, Debug)]
pub(crate) struct ShardSettings {
    pub(crate) rules: UpgradeRules,
    pub(crate) echo: EchoSettings,
    pub(crate) handshake_timeout: Duration,
    handshakes_max: usize,
    /// The maximum number of clients of this shard.
    peers_max: usize,
    peers_max_source: SettingSource,
    /// More than `peers_max`, so that the hub can reply to clients that it rejects.
    pub(crate) sockets: SocketLimits,
    shutdown_timeout: Duration,
}

impl ShardSettings {
    /// The settings of each shard, which may have this many sockets.
    pub(crate) fn new(policies: &Policies, sockets: SocketLimits) -> Self {
        let server = &policies.config.server;
        Self {
            rules: UpgradeRules {
                access: AccessRules::new(policies.config.client.anonymous, &server.allowed_origins),
                echo: if policies.config.test.echo {
                    EchoEndpoint::Enabled
                } else {
                    EchoEndpoint::Disabled
                },
                head: HeadLimits {
                    bytes_max: server.request_head_bytes_max.0.as_len(),
                    fields_max: convert::to_usize(server.request_fields_max),
                },
            },
            echo: EchoSettings {
                limits: policies.echo_limits,
                close_timeout: server.close_timeout.0,
            },
            handshake_timeout: server.handshake_timeout.0,
            handshakes_max: convert::to_usize(server.handshakes_max),
            peers_max: policies.peers_max(),
            peers_max_source: policies.peers_max_source,
            sockets,
            shutdown_timeout: server.shutdown_timeout.0,
        }
    }
}

impl EventLoop {
    pub(crate) fn new(
        hub: Hub,
        bus: ShardBus,
        clock: Clock,
        close_timeout: Duration,
        settings: ShardSettings,
        admin: Arc<Admin>,
    ) -> Self {
        Self {
            shard: RefCell::new(Shard::new(
                hub,
                bus,
                close_timeout,
                ShardLog::new(settings.peers_max_source),
            )),
            read_buffer: RefCell::new(vec![0; READ_BUFFER_BYTES].into_boxed_slice()),
            clock,
            settings,
            admin,
            handshakes: RefCell::default(),
            is_full: Cell::new(false),
            is_iteration_open: Cell::new(false),
            iteration_end: Notify::new(),
            requests: Notify::new(),
            armed_deadline: Cell::new(None),
            rearm: Notify::new(),
            all_closed: Notify::new(),
            panicked: Notify::new(),
        }
    }

    /// Accesses the shard without an input and without finishing an iteration.
    pub(crate) fn with_shard<R>(&self, access: impl FnOnce(&mut Shard) -> R) -> R {
        access(&mut self.shard.borrow_mut())
    }

    /// Runs one synchronous step with the shard. The iteration finishes after this step, and after all other tasks
    /// that are ready now.
    pub(crate) fn step<R>(&self, step: impl FnOnce(&mut Shard, Instant) -> R) -> R {
        let result = self.run_step(step);
        if !self.is_iteration_open.replace(true) {
            self.iteration_end.notify_one();
        }
        result
    }

    /// Finishes an iteration: writes to every dirty socket and rearms the timer if the next deadline is earlier.
    fn finish_iteration(&self) {
        self.is_iteration_open.set(false);
        self.run_step(Shard::finish_iteration);
        let shard = self.shard.borrow();
        if shard.has_pending_work() && !self.is_iteration_open.replace(true) {
            self.iteration_end.notify_one();
        }
        if let Some(deadline) = shard.deadline()
            && self
                .armed_deadline
                .get()
                .is_none_or(|armed| deadline < armed)
        {
            self.armed_deadline.set(Some(deadline));
            self.rearm.notify_one();
        }
    }

    /// Runs a step, and wakes the tasks that wait for its effects.
    fn run_step<R>(&self, step: impl FnOnce(&mut Shard, Instant) -> R) -> R {
        let mut shard = self.shard.borrow_mut();
        let before = shard.connections();
        let result = step(&mut shard, self.clock.now());
        if shard.has_requests() {
            self.requests.notify_one();
        }
        if shard.connections() == 0 && before > 0 {
            self.all_closed.notify_one();
        }
        let is_full = shard.peers() >= self.settings.peers_max;
        if self.is_full.replace(is_full) != is_full {
            self.admin.on_shard(if is_full {
                Capacity::Exhausted
            } else {
                Capacity::Available
            });
        }
        result
    }

    /// Starts the task of a connection whose first request is not complete. It has the permit until it has finished the
    /// request.
    pub(crate) fn start_handshake(
        self: &Rc<Self>,
        from: SocketAddr,
        spawn: impl FnOnce(HandshakePermit) -> JoinHandle<()>,
    ) {
        let mut handshakes = self.handshakes.borrow_mut();
        let id = handshakes.next_id();
        let task = spawn(HandshakePermit {
            id,
            event_loop: Rc::clone(self),
        });
        let task = task.abort_handle();
        handshakes.insert(id, from.ip(), Handshake { from, task });
    }

    /// Drops unfinished handshakes until another connection may be accepted. Returns whether it dropped one, whose
    /// socket is closed as soon as its task runs.
    pub(crate) fn free_capacity(&self) -> bool {
        let mut dropped = false;
        while let Some(setting) = self.handshake_limit() {
            let Some(handshake) = self.handshakes.borrow_mut().drop_one() else {
                break;
            };
            handshake.task.abort();
            let from = handshake.from;
            self.step(|shard, now| shard.log(now, Refused::Handshake { from, setting }));
            dropped = true;
        }
        dropped
    }

    /// Returns the limit that prevents another connection; `None` if it may be accepted.
    fn handshake_limit(&self) -> Option<SettingSource> {
        let handshakes = self.handshakes.borrow().len();
        if handshakes >= self.settings.handshakes_max {
            return Some(SettingSource::Key(
                const { reference::server("handshakes_max") },
            ));
        }
        let sockets = handshakes + self.shard.borrow().connections();
        (sockets >= self.settings.sockets.all).then_some(self.settings.sockets.source)
    }

    /// Whether another client may have a socket.
    pub(crate) fn has_socket_for_client(&self) -> bool {
        self.shard.borrow().connections() < self.settings.sockets.clients
    }

    /// Closes every connection and waits until all are closed, at most for `shutdown_timeout`.
    pub(crate) async fn shut_down(&self) {
        self.step(Shard::shut_down);
        // A client that does not reply to the close frame in time is disconnected when the process exits.
        drop(time::timeout(self.settings.shutdown_timeout, self.wait_until_empty()).await);
        let left = self.shard.borrow().connections();
        if left > 0 {
            tracing::warn!(
                connections = left,
                setting = "server.shutdown_timeout",
                "shutdown timeout reached; connections still open"
            );
        }
        self.with_shard(Shard::finish_log);
    }

    /// Reports that a connection's task is panicking.
    pub(crate) fn on_panic(&self) {
        self.panicked.notify_one();
    }

    /// Waits until a connection's task has panicked.
    pub(crate) async fn panicked(&self) {
        self.panicked.notified().await;
    }

    async fn wait_until_empty(&self) {
        while self.shard.borrow().connections() > 0 {
            self.all_closed.notified().await;
        }
    }
}

/// The task of a connection that has not finished its first request.
#[derive(Debug)]
struct Handshake {
    from: SocketAddr,
    task: AbortHandle,
}

/// Counts one connection that has not finished its first request; dropping it releases the capacity.
#[derive(Debug)]
pub(crate) struct HandshakePermit {
    id: HandshakeId,
    event_loop: Rc<EventLoop>,
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        self.event_loop.handshakes.borrow_mut().remove(self.id);
    }
}

/// Returns a seed for one hub, from the operating system's randomness.
///
/// # Errors
///
/// When the operating system cannot provide randomness.
pub(crate) fn seed() -> Result<Seed, getrandom::Error> {
    getrandom::u64().map(Seed::new)
}

/// Finishes each iteration: writes to every dirty socket.
pub(crate) async fn finish_iterations(event_loop: Rc<EventLoop>) {
    loop {
        event_loop.iteration_end.notified().await;
        event_loop.finish_iteration();
    }
}

/// Wakes the hub at its deadlines, with one timer for the entire shard.
pub(crate) async fn run_timer(event_loop: Rc<EventLoop>) {
    loop {
        let armed = event_loop.shard.borrow().deadline();
        event_loop.armed_deadline.set(armed);
        let Some(deadline) = armed else {
            event_loop.rearm.notified().await;
            continue;
        };
        let wait = deadline - event_loop.clock.now();
        if time::timeout(wait, event_loop.rearm.notified())
            .await
            .is_err()
        {
            event_loop.step(Shard::tick);
        }
    }
}

/// Owns the shard's end of the engine: submits the hub's requests, and delivers the engine's events to the hub.
pub(crate) async fn exchange_with_engine(event_loop: Rc<EventLoop>, mut engine: ShardEngine) {
    loop {
        first_of(event_loop.requests.notified(), engine.ready()).await;
        for request in event_loop.step(|shard, _| shard.take_requests()) {
            engine.request(request);
        }
        engine.flush();
        deliver_engine_events(&event_loop, &mut engine).await;
    }
}

async fn deliver_engine_events(event_loop: &EventLoop, engine: &mut ShardEngine) {
    loop {
        let mut events: Vec<EngineEvent> = Vec::new();
        let taken = engine.take(&mut events, ENGINE_EVENTS_MAX);
        if !events.is_empty() {
            event_loop.step(|shard, now| shard.handle(now, Input::Engine { events }));
        }
        if !taken.has_more {
            return;
        }
        // The sockets are written before more events are taken.
        tokio::task::yield_now().await;
    }
}

/// Owns the shard's inbox: delivers the messages of all shards to the hub.
pub(crate) async fn receive_messages(event_loop: Rc<EventLoop>, mut inbox: Inbox) {
    let mut messages = Vec::new();
    while inbox.receive(&mut messages, SHARD_MESSAGES_MAX).await > 0 {
        let mut messages = VecDeque::from(std::mem::take(&mut messages));
        while !messages.is_empty() {
            event_loop.step(|shard, now| shard.handle_shard_messages(now, &mut messages));
            // The sockets are written before more messages are taken.
            tokio::task::yield_now().await;
        }
    }
}

/// Waits for the first of two futures; both must be cancel-safe.
async fn first_of(first: impl Future<Output = ()>, second: impl Future<Output = ()>) {
    let mut first = std::pin::pin!(first);
    let mut second = std::pin::pin!(second);
    std::future::poll_fn(|context| {
        if first.as_mut().poll(context).is_ready() {
            std::task::Poll::Ready(())
        } else {
            second.as_mut().poll(context)
        }
    })
    .await;
}
