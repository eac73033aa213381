//! One event loop: the tasks that share a shard, and what wakes them.
//!
//! Everything runs on one thread, so the shard is borrowed for the length of one synchronous step and never across an
//! await. A turn is what happens between two runs of [`end_turns`]: the scheduler is first in, first out, so the task
//! that ends a turn runs behind all tasks that were ready when the turn began, and writes for all of them at once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use steadfast_hub::Hub;
use steadfast_hub::io::{Input, LogEvent};
use steadfast_machine::{Instant, Seed};
use steadfast_protocol::websocket;
use tokio::sync::Notify;
use tokio::time;

use crate::access::AccessRules;
use crate::admin::{Admin, Room};
use crate::clock::Clock;
use crate::config::policy::Policies;
use crate::log::CoreLog;
use crate::shard::{Outgoing, Shard};
use crate::upgrade::{Echo, UpgradeRules};

/// One read takes at most this much; larger messages take several. Shared by all connections of a core.
const READ_BUFFER_BYTES: usize = 64 << 10;
/// Entries of the log in one turn: enough to coalesce, few enough that sockets are written in between.
const LOG_EVENTS_MAX: usize = 512;

/// What the connections of one core share.
#[derive(Debug)]
pub(crate) struct Core {
    shard: RefCell<Shard>,
    /// Empty between two reads.
    pub(crate) read_buffer: RefCell<Box<[u8]>>,
    clock: Clock,
    pub(crate) settings: CoreSettings,
    pub(crate) admin: Arc<Admin>,
    /// Connections that have not finished their first request.
    handshakes: Cell<usize>,
    /// As many clients are connected as may be.
    is_full: Cell<bool>,
    is_turn_open: Cell<bool>,
    turn_end: Notify,
    outgoing: Notify,
    /// The deadline that the timer's task sleeps until.
    armed: Cell<Option<Instant>>,
    sooner: Notify,
    /// A socket is gone.
    room: Notify,
    /// The last connection is gone.
    emptied: Notify,
    /// A connection's task panicked, so the hub may be in any state.
    panicked: Notify,
}

/// What a core does with connections, from the configuration.
#[derive(Clone, Debug)]
pub(crate) struct CoreSettings {
    pub(crate) rules: UpgradeRules,
    pub(crate) client_limits: websocket::WebSocketLimits,
    pub(crate) echo_limits: websocket::WebSocketLimits,
    pub(crate) handshake_timeout: Duration,
    handshakes_max: usize,
    /// Clients of this core.
    peers_max: usize,
    /// All sockets of this core; above the hub's limit, which answers those it refuses.
    sockets_max: usize,
    shutdown_wait: Duration,
}

impl CoreSettings {
    /// The settings of each core, which may have this many sockets.
    pub(crate) fn new(policies: &Policies, sockets_max: usize) -> Self {
        let server = &policies.config.server;
        Self {
            rules: UpgradeRules {
                access: AccessRules::new(policies.config.client.anonymous, &server.allowed_origins),
                echo: if policies.config.test.echo {
                    Echo::Served
                } else {
                    Echo::Absent
                },
            },
            client_limits: policies.client_limits,
            echo_limits: policies.echo_limits,
            handshake_timeout: server.handshake_timeout.0,
            handshakes_max: usize::try_from(server.handshakes_max).unwrap_or(usize::MAX),
            peers_max: policies.peers_max(),
            sockets_max,
            shutdown_wait: server.shutdown_wait.0,
        }
    }
}

impl Core {
    pub(crate) fn new(
        hub: Hub,
        clock: Clock,
        close_wait: Duration,
        settings: CoreSettings,
        admin: Arc<Admin>,
    ) -> Self {
        Self {
            shard: RefCell::new(Shard::new(hub, close_wait)),
            read_buffer: RefCell::new(vec![0; READ_BUFFER_BYTES].into_boxed_slice()),
            clock,
            settings,
            admin,
            handshakes: Cell::new(0),
            is_full: Cell::new(false),
            is_turn_open: Cell::new(false),
            turn_end: Notify::new(),
            outgoing: Notify::new(),
            armed: Cell::new(None),
            sooner: Notify::new(),
            room: Notify::new(),
            emptied: Notify::new(),
            panicked: Notify::new(),
        }
    }

    /// Looks at the shard without telling it anything.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&mut Shard) -> R) -> R {
        look(&mut self.shard.borrow_mut())
    }

    /// One synchronous step with the shard. The turn ends behind it, and behind all others that are ready now.
    pub(crate) fn step<R>(&self, act: impl FnOnce(&mut Shard, Instant) -> R) -> R {
        let result = self.act(act);
        if !self.is_turn_open.replace(true) {
            self.turn_end.notify_one();
        }
        result
    }

    /// Ends a turn: writes to every socket that is owed something, and sees to the next deadline.
    fn end_turn(&self) {
        self.is_turn_open.set(false);
        self.act(Shard::end_turn);
        let shard = self.shard.borrow();
        if shard.has_turn() && !self.is_turn_open.replace(true) {
            self.turn_end.notify_one();
        }
        if let Some(deadline) = shard.deadline()
            && self.armed.get().is_none_or(|armed| deadline < armed)
        {
            self.armed.set(Some(deadline));
            self.sooner.notify_one();
        }
    }

    /// Acts, and wakes whoever waits for what came of it.
    fn act<R>(&self, act: impl FnOnce(&mut Shard, Instant) -> R) -> R {
        let mut shard = self.shard.borrow_mut();
        let before = shard.connections();
        let result = act(&mut shard, self.clock.now());
        if shard.has_outgoing() {
            self.outgoing.notify_one();
        }
        if shard.connections() < before {
            self.room.notify_one();
            if shard.connections() == 0 {
                self.emptied.notify_one();
            }
        }
        let is_full = shard.peers() >= self.settings.peers_max;
        if self.is_full.replace(is_full) != is_full {
            self.admin
                .on_core(if is_full { Room::None } else { Room::Some });
        }
        result
    }

    /// Counts a connection that has not finished its first request.
    pub(crate) fn seat(self: &Rc<Self>) -> Seat {
        self.handshakes.set(self.handshakes.get() + 1);
        Seat {
            core: Rc::clone(self),
        }
    }

    /// Ends when another socket may be accepted.
    pub(crate) async fn wait_for_room(&self) {
        let mut is_told = false;
        loop {
            let handshakes = self.handshakes.get();
            let sockets = handshakes + self.shard.borrow().connections();
            if handshakes < self.settings.handshakes_max && sockets < self.settings.sockets_max {
                return;
            }
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(
                    handshakes,
                    sockets,
                    "no room for another socket, new ones wait"
                );
            }
            self.room.notified().await;
        }
    }

    /// Closes every connection and waits until they are gone, or long enough.
    pub(crate) async fn shut_down(&self) {
        self.step(Shard::shut_down);
        // Whoever does not answer the close in time is cut off with the process.
        drop(time::timeout(self.settings.shutdown_wait, self.wait_until_empty()).await);
        let left = self.shard.borrow().connections();
        if left > 0 {
            tracing::warn!(left, "connections did not close in time");
        }
    }

    /// A connection's task is panicking.
    pub(crate) fn on_panic(&self) {
        self.panicked.notify_one();
    }

    /// Ends when a connection's task panicked.
    pub(crate) async fn panicked(&self) {
        self.panicked.notified().await;
    }

    async fn wait_until_empty(&self) {
        while self.shard.borrow().connections() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// A place among the connections that have not finished their first request; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Seat {
    core: Rc<Core>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.core
            .handshakes
            .set(self.core.handshakes.get().saturating_sub(1));
        self.core.room.notify_one();
    }
}

/// A seed for one hub, from the operating system's randomness.
///
/// # Errors
///
/// When the system has none.
pub(crate) fn seed() -> Result<Seed, getrandom::Error> {
    getrandom::u64().map(Seed::new)
}

/// Ends each turn: writes to every socket that is owed something.
pub(crate) async fn end_turns(core: Rc<Core>) {
    loop {
        core.turn_end.notified().await;
        core.end_turn();
    }
}

/// Wakes the hub at its deadlines. One sleep for the whole core.
pub(crate) async fn keep_time(core: Rc<Core>) {
    loop {
        let armed = core.shard.borrow().deadline();
        core.armed.set(armed);
        let Some(deadline) = armed else {
            core.sooner.notified().await;
            continue;
        };
        let wait = deadline - core.clock.now();
        if time::timeout(wait, core.sooner.notified()).await.is_err() {
            core.step(Shard::tick);
        }
    }
}

/// Owns the core's end of the log: hands over what the hub asked, and shows the hub what the log said.
pub(crate) async fn keep_log(core: Rc<Core>, mut log: CoreLog) {
    loop {
        either(core.outgoing.notified(), log.ready()).await;
        for outgoing in core.step(|shard, _| shard.take_outgoing()) {
            match outgoing {
                Outgoing::Ask(request) => log.ask(request),
                Outgoing::Tell(note) => log.tell(note),
            }
        }
        log.flush();
        show(&core, &mut log).await;
    }
}

async fn show(core: &Core, log: &mut CoreLog) {
    loop {
        let mut events: Vec<LogEvent> = Vec::new();
        let taken = log.take(&mut events, LOG_EVENTS_MAX);
        if !events.is_empty() {
            let input = Input::Log {
                events,
                at: Clock::wall(),
            };
            core.step(|shard, now| shard.handle(now, input));
        }
        if !taken.more {
            return;
        }
        // The sockets get their turn in between.
        tokio::task::yield_now().await;
    }
}

/// Ends with the first of two futures; both must be cancel-safe.
async fn either(first: impl Future<Output = ()>, second: impl Future<Output = ()>) {
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
