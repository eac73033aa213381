//! The connections of a run, each over the link model of `steadfast-faults`, and their faults. It moves bytes and knows
//! nothing of them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::io::Attempt;
use steadfast_faults::link::{Chunk, Direction, Lane, Link, LinkFault, StreamEnd};
use steadfast_faults::toxic::{CloseMode, Ending};

use super::counts::Count;
use super::event::{Context, Event};
use crate::ids::ConnectionId;

/// The time until a fault that found no connection is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// A connection between a session and the server.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) session: usize,
    pub(super) attempt: Attempt,
    link: Link,
    is_client_open: bool,
    is_server_open: bool,
}

/// The connections of a run.
#[derive(Debug, Default)]
pub(super) struct Network {
    connections: BTreeMap<ConnectionId, Connection>,
    next: u64,
}

impl Network {
    /// Opens a connection.
    pub(super) fn open(&mut self, ctx: &Context, session: usize, attempt: Attempt) -> ConnectionId {
        let connection = ConnectionId(self.next);
        self.next += 1;
        let state = Connection {
            session,
            attempt,
            link: Link::new(ctx.now()),
            is_client_open: true,
            is_server_open: true,
        };
        self.connections.insert(connection, state);
        connection
    }

    /// Returns a connection, unless both ends have closed it.
    pub(super) fn connection(&self, connection: ConnectionId) -> Option<&Connection> {
        self.connections.get(&connection)
    }

    /// Whether both ends are open, and no fault affects what is between.
    pub(super) fn is_healthy(&self, ctx: &Context, connection: ConnectionId) -> bool {
        let state = self.connections.get(&connection);
        state.is_some_and(|it| it.has_both_ends() && it.link.is_healthy(ctx.now()))
    }

    /// Returns how many bytes of a direction its sender's socket has not accepted.
    pub(super) fn unsent_bytes(&self, connection: ConnectionId, direction: Direction) -> usize {
        let state = self.connections.get(&connection);
        state.map_or(0, |it| it.link.stream(direction).unsent_bytes())
    }

    /// A scheduled event of a stream; returns whether there may be something to read.
    pub(super) fn is_due(
        &mut self,
        ctx: &Context,
        connection: ConnectionId,
        direction: Direction,
    ) -> bool {
        let state = self.connections.get_mut(&connection);
        state.is_some_and(|it| it.link.stream_mut(direction).on_event(ctx.now()))
    }

    /// Sends a frame.
    pub(super) fn send(
        &mut self,
        ctx: &mut Context,
        connection: ConnectionId,
        direction: Direction,
        frame: Bytes,
        lane: Lane,
    ) {
        let (now, delay) = (ctx.now(), delay(ctx));
        if let Some(state) = self.connections.get_mut(&connection) {
            let stream = state.link.stream_mut(direction);
            stream.send(now, delay, frame, lane);
        }
        self.schedule(ctx, connection, direction);
    }

    /// Returns the next chunk that has arrived; now and then a part of a frame.
    pub(super) fn read(
        &mut self,
        ctx: &mut Context,
        connection: ConnectionId,
        direction: Direction,
    ) -> Option<Chunk> {
        let bytes_max = if ctx.generator.chance(1, 16) {
            1 + ctx.generator.below_len(64)
        } else {
            usize::MAX
        };
        let state = self.connections.get_mut(&connection)?;
        state.link.stream_mut(direction).read(ctx.now(), bytes_max)
    }

    /// Sends unsent bytes after everything that has arrived was read, and ends the connection if a toxic requests it.
    pub(super) fn refill(
        &mut self,
        ctx: &mut Context,
        connection: ConnectionId,
        direction: Direction,
    ) {
        let (now, delay) = (ctx.now(), delay(ctx));
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        state.link.stream_mut(direction).refill(now, delay);
        if let Some(Ending::Close(mode)) = state.link.take_ending() {
            let soon = Duration::from_millis(1);
            match mode {
                CloseMode::Rst => state.link.reset(now, soon, soon),
                CloseMode::Fin | CloseMode::Silent => state.link.close(now, soon),
            }
            ctx.record_fault();
            self.schedule(ctx, connection, direction.opposite());
        }
        self.schedule(ctx, connection, direction);
    }

    /// Closes the end of the client: the server reads what is in flight, and then the end.
    pub(super) fn close_client(
        &mut self,
        ctx: &mut Context,
        connection: ConnectionId,
        end: StreamEnd,
    ) {
        let (now, delay) = (ctx.now(), delay(ctx));
        if let Some(state) = self.connections.get_mut(&connection)
            && std::mem::take(&mut state.is_client_open)
        {
            let stream = state.link.stream_mut(Direction::ToServer);
            stream.discard_unsent();
            stream.end(now, delay, end);
            self.schedule(ctx, connection, Direction::ToServer);
        }
        self.remove_if_closed(connection);
    }

    /// Closes the end of the server: the client reads what was sent, and then the end.
    pub(super) fn close_server(&mut self, ctx: &mut Context, connection: ConnectionId) {
        let (now, delay) = (ctx.now(), delay(ctx));
        if let Some(state) = self.connections.get_mut(&connection)
            && std::mem::take(&mut state.is_server_open)
        {
            let stream = state.link.stream_mut(Direction::ToClient);
            stream.end(now, delay, StreamEnd::Closed);
            self.schedule(ctx, connection, Direction::ToClient);
        }
        self.remove_if_closed(connection);
    }

    /// The process of the server has ended: its system resets all connections, and replies in flight are lost.
    pub(super) fn reset_server(&mut self, ctx: &mut Context) {
        let all: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for connection in all {
            let (now, delay) = (ctx.now(), ctx.between_millis(1, 50));
            if let Some(state) = self.connections.get_mut(&connection)
                && std::mem::take(&mut state.is_server_open)
            {
                state.link.stream_mut(Direction::ToClient).reset(now, delay);
                self.schedule(ctx, connection, Direction::ToClient);
            }
            self.remove_if_closed(connection);
        }
    }

    /// The network closes or resets a random connection. Each end notices it later.
    pub(super) fn lose_connection(&mut self, ctx: &mut Context) {
        let Some(connection) = self.pick(ctx) else {
            return try_again(ctx, Event::LoseConnection);
        };
        let (now, is_closed) = (ctx.now(), ctx.generator.chance(1, 2));
        let soon = Duration::from_millis(1);
        let (to_client, to_server) = (ctx.between_millis(1, 50), ctx.between_millis(1, 2_000));
        if let Some(state) = self.connections.get_mut(&connection) {
            if is_closed {
                ctx.counts.add(Count::Closed);
                state.link.close(now, soon);
            } else {
                ctx.counts.add(Count::Reset);
                state.link.reset(now, to_client, to_server);
            }
        }
        ctx.record_fault();
        self.schedule(ctx, connection, Direction::ToClient);
        self.schedule(ctx, connection, Direction::ToServer);
    }

    /// A fault hits a random connection without one.
    pub(super) fn inject(&mut self, ctx: &mut Context, fault: LinkFault) {
        let healthy = self.pick(ctx).filter(|it| self.is_healthy(ctx, *it));
        let Some(connection) = healthy else {
            return try_again(ctx, Event::Inject { fault });
        };
        ctx.counts.add(count_of(fault));
        ctx.record_fault();
        if let Some(state) = self.connections.get_mut(&connection) {
            state.link.inject(ctx.now(), fault);
        }
        if let Some(time) = fault.time() {
            let at = ctx.now() + time;
            ctx.clock.schedule_at(at, Event::Heal { connection });
        }
        self.schedule(ctx, connection, Direction::ToClient);
        self.schedule(ctx, connection, Direction::ToServer);
    }

    /// The fault of a connection ends.
    pub(super) fn heal(&mut self, ctx: &mut Context, connection: ConnectionId) {
        ctx.record_fault();
        if let Some(state) = self.connections.get_mut(&connection) {
            state.link.heal(ctx.now());
        }
        self.schedule(ctx, connection, Direction::ToClient);
        self.schedule(ctx, connection, Direction::ToServer);
    }

    fn pick(&self, ctx: &mut Context) -> Option<ConnectionId> {
        let open = self.connections.iter().filter(|(_, it)| it.has_both_ends());
        let open: Vec<ConnectionId> = open.map(|(connection, _)| *connection).collect();
        let pick = ctx.generator.below_len(open.len());
        open.get(pick).copied()
    }

    fn schedule(&mut self, ctx: &mut Context, connection: ConnectionId, direction: Direction) {
        let now = ctx.now();
        let state = self.connections.get_mut(&connection);
        let next = state.and_then(|it| it.link.stream_mut(direction).schedule(now));
        if let Some(at) = next {
            let event = Event::StreamReady {
                connection,
                direction,
            };
            ctx.clock.schedule_at(at, event);
        }
    }

    fn remove_if_closed(&mut self, connection: ConnectionId) {
        let state = self.connections.get(&connection);
        // What the client has sent may still arrive: the server learns of the end by its own stream.
        if state.is_some_and(|it| !it.is_client_open && !it.is_server_open) {
            self.connections.remove(&connection);
        }
    }
}

impl Connection {
    const fn has_both_ends(&self) -> bool {
        self.is_client_open && self.is_server_open
    }
}

fn delay(ctx: &mut Context) -> Duration {
    let (low, high) = (Duration::from_micros(100), Duration::from_millis(8));
    ctx.generator.between(low, high)
}

/// Tries a fault again that found no connection, as long as faults may begin.
fn try_again(ctx: &mut Context, event: Event) {
    if ctx.may_inject_faults() {
        ctx.clock.schedule(RETRY, event);
    }
}

const fn count_of(fault: LinkFault) -> Count {
    match fault {
        LinkFault::BlackholeBoth => Count::Blackholes,
        LinkFault::Blackhole(Direction::ToServer) => Count::BlackholesToServer,
        LinkFault::Blackhole(Direction::ToClient) => Count::BlackholesToClient,
        LinkFault::Freeze(_) => Count::Frozen,
        LinkFault::StallUplink(_) => Count::Stalled,
        LinkFault::SlowReader { .. } => Count::SlowReaders,
        LinkFault::Toxic { .. } => Count::Toxics,
    }
}
