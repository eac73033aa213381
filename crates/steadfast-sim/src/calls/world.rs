//! A run: it routes the events to the systems in the order of virtual time, and leads the run through its phases.

use std::time::Duration;

use steadfast_core::io::Attempt;
use steadfast_faults::link::{Chunk, Direction};
use steadfast_machine::{Instant, convert};

use super::counts::Count;
use super::driver::Driver;
use super::event::{Context, Event, SessionInput};
use super::invariant::Invariant;
use super::network::Network;
use super::planted_bug::PlantedBug;
use super::report::SeedResult;
use super::server_process::ServerProcess;
use crate::ids::ConnectionId;
use crate::words::at;

/// The longest virtual time of a run, a multiple of every timeout in it.
const RUN_TIME_MAX: Duration = Duration::from_mins(10);
/// The most events at one instant: a state machine whose deadline never moves would stop virtual time.
const EVENTS_PER_INSTANT_MAX: u32 = 10_000;
/// The time between two checks of the phase of the run.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// The last faults are noticed later: the network delivers a reset after up to 2 s.
const QUIET: Duration = Duration::from_secs(3);
/// The longest time from the last fault until each session is connected: to notice it (6 s), one window of the limit on
/// logins (60 s), an attempt that ends at its timeout (3 s), and the delays before the next ones (3 s each).
const RETURN_TIME_MAX: Duration = Duration::from_secs(80);
/// What is in flight when the sessions are closed arrives within this time, and is executed.
const LATE_TIME_MAX: Duration = Duration::from_secs(15);

/// What the run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The last fault to end, and each session to be connected.
    Return,
    /// The outcomes of the calls that were made then.
    Certain,
    /// The sessions to be closed, and their last calls to be executed.
    Close {
        since: Instant,
    },
    Ended,
}

#[derive(Debug)]
struct World {
    ctx: Context,
    network: Network,
    server: ServerProcess,
    sessions: Vec<Driver>,
    phase: Phase,
}

/// Runs one seed to its end and returns its counts and the first violations of invariants.
pub fn run(seed: u64, planted_bug: Option<PlantedBug>) -> SeedResult {
    let mut world = World::new(seed, planted_bug);
    world.schedule_all();
    world.run_to_end();
    let Context {
        mut ledger,
        mut counts,
        ..
    } = world.ctx;
    if !ledger.has_violations() {
        ledger.finish(&mut counts);
    }
    SeedResult {
        seed,
        counts,
        violations: ledger.into_violations(),
    }
}

impl World {
    fn new(seed: u64, planted_bug: Option<PlantedBug>) -> Self {
        let mut ctx = Context::new(seed, planted_bug);
        let count = ctx.settings.sessions.len();
        ctx.counts.add_many(Count::Sessions, convert::to_u64(count));
        Self {
            sessions: (0..count)
                .filter_map(|index| Driver::new(&mut ctx, index))
                .collect(),
            ctx,
            network: Network::default(),
            server: ServerProcess::new(),
            phase: Phase::Return,
        }
    }

    /// Schedules the first events: all faults, and the first call of each session.
    fn schedule_all(&mut self) {
        let ctx = &mut self.ctx;
        for session in 0..self.sessions.len() {
            ctx.schedule_session(Instant::START, session, SessionInput::Open);
        }
        for session in &self.sessions {
            session.plan_call(ctx);
        }
        let settings = ctx.settings.clone();
        for fault in settings.link_faults {
            schedule_fault(ctx, Event::Inject { fault });
        }
        for (count, event) in [
            (settings.connection_losses, Event::LoseConnection),
            (settings.kills, Event::Kill),
            (settings.expirations, Event::Expire),
            (settings.terminations, Event::Terminate),
        ] {
            for _ in 0..count {
                schedule_fault(ctx, event);
            }
        }
        for _ in 0..settings.suspensions {
            let time = ctx.between_millis(100, 8_000);
            schedule_fault(ctx, Event::Suspend { time });
        }
        for _ in 0..settings.migrations {
            let session = ctx.generator.below_len(self.sessions.len());
            let event = SessionInput::Migrate;
            schedule_fault(ctx, Event::Session { session, event });
        }
        ctx.clock.schedule(settings.fault_time, Event::Check);
    }

    fn run_to_end(&mut self) {
        let end = Instant::START + RUN_TIME_MAX;
        let (mut instant, mut events) = (self.ctx.now(), 0_u32);
        while self.phase != Phase::Ended && !self.ctx.ledger.has_violations() {
            let Some(event) = self.ctx.clock.next(end) else {
                break;
            };
            let now = self.ctx.now();
            events = if now == instant { events + 1 } else { 0 };
            instant = now;
            if events > EVENTS_PER_INSTANT_MAX {
                let details = format!("virtual time does not advance from {}", at(now));
                self.ctx.ledger.report(Invariant::NoBusyLoop, details);
            }
            self.route(event);
        }
    }

    /// Hands an event to its system.
    fn route(&mut self, event: Event) {
        let Self {
            ctx,
            network,
            server,
            sessions,
            ..
        } = self;
        match event {
            Event::StreamReady {
                connection,
                direction,
            } => {
                if network.is_due(ctx, connection, direction) {
                    self.carry(connection, direction);
                }
            }
            Event::LoseConnection => network.lose_connection(ctx),
            Event::Inject { fault } => network.inject(ctx, fault),
            Event::Heal { connection } => network.heal(ctx, connection),
            Event::Kill => server.kill(ctx, network),
            Event::Start => server.start(ctx),
            Event::Suspend { time } => server.suspend(ctx, time),
            Event::Continue => server.resume(ctx, network),
            Event::Expire => server.expire(ctx, network),
            Event::Terminate => {
                ctx.record_fault();
                server.terminate(ctx, network);
            }
            Event::ServerTick => server.on_tick(ctx, network),
            Event::Session {
                session,
                event: SessionInput::DialCompleted { attempt },
            } => self.complete_dial(session, attempt),
            Event::Session { session, event } => {
                if let Some(session) = sessions.get_mut(session) {
                    session.step(ctx, network, event);
                }
            }
            Event::Check => self.check(),
        }
    }

    /// Hands over what has arrived, and reports the space for more to its sender.
    fn carry(&mut self, connection: ConnectionId, direction: Direction) {
        let (ctx, network, server) = (&mut self.ctx, &mut self.network, &mut self.server);
        let state = network.connection(connection);
        let Some((index, attempt)) = state.map(|it| (it.session, it.attempt)) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        while let Some(chunk) = network.read(ctx, connection, direction) {
            match (direction, chunk) {
                (Direction::ToServer, Chunk::Bytes(bytes)) => {
                    server.read(ctx, network, connection, bytes);
                }
                (Direction::ToServer, Chunk::End(_)) => server.on_end(ctx, network, connection),
                (Direction::ToClient, Chunk::Bytes(bytes)) => {
                    session.read(ctx, network, attempt, &bytes);
                }
                (Direction::ToClient, Chunk::End(end)) => {
                    session.on_end(ctx, network, attempt, end);
                }
            }
        }
        network.refill(ctx, connection, direction);
        if direction == Direction::ToServer {
            session.on_written(ctx, network);
        }
    }

    fn complete_dial(&mut self, index: usize, attempt: Attempt) {
        let (ctx, network) = (&mut self.ctx, &mut self.network);
        let session = self.sessions.get_mut(index);
        let Some(session) = session.filter(|it| it.awaits_dial(attempt)) else {
            return;
        };
        if self.server.accepts() {
            let connection = network.open(ctx, index, attempt);
            let address = ctx.address_of(index);
            self.server.accept(ctx, network, connection, address);
            session.on_dialled(ctx, network, attempt, connection);
        } else {
            session.on_refused(ctx, network, attempt);
        }
    }

    /// Checks whether the next phase of the run begins.
    fn check(&mut self) {
        self.ctx.clock.schedule(CHECK_INTERVAL, Event::Check);
        let now = self.ctx.now();
        let is_settled = self.ctx.ledger.check_settled(now);
        match self.phase {
            Phase::Return => self.check_return(now, is_settled),
            Phase::Certain if is_settled => {
                for session in &mut self.sessions {
                    session.close(&mut self.ctx, &mut self.network);
                }
                self.phase = Phase::Close { since: now };
            }
            Phase::Close { since } => {
                let is_late = now.saturating_since(since) > LATE_TIME_MAX;
                let are_closed = self.sessions.iter().all(Driver::is_closed);
                if is_late && are_closed && self.server.is_idle() {
                    self.phase = Phase::Ended;
                }
            }
            Phase::Certain | Phase::Ended => {}
        }
    }

    fn check_return(&mut self, now: Instant, is_settled: bool) {
        // Until then applications make calls after which the server closes the connection.
        let calls_end = Instant::START + self.ctx.settings.fault_time;
        let since_fault = now.saturating_since(self.ctx.last_fault_at.max(calls_end));
        let is_back = self.sessions.iter().all(|session| {
            let connection = session.connection();
            connection.is_some_and(|it| self.network.is_healthy(&self.ctx, it))
        });
        let is_quiet = since_fault > QUIET && self.server.is_running();
        if is_back && is_quiet && is_settled {
            for session in &mut self.sessions {
                session.call_certain(&mut self.ctx, &mut self.network);
            }
            self.phase = Phase::Certain;
        } else if since_fault > RETURN_TIME_MAX && !is_back {
            let sessions: Vec<String> = self.sessions.iter().map(Driver::describe).collect();
            let since = crate::words::seconds(since_fault);
            let details = format!("{since} after the last fault: {}", sessions.join("; "));
            self.ctx.ledger.report(Invariant::SessionsReturn, details);
        }
    }
}

/// Schedules a fault at a random time.
fn schedule_fault(ctx: &mut Context, event: Event) {
    let first = Duration::from_millis(100);
    let last = ctx.settings.fault_time;
    let time = ctx.generator.between(first, last);
    ctx.clock.schedule(time, event);
}
