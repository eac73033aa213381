//! The network of a run: the connections between clients and gateways, and the faults that hit them.
//!
//! The network transports the bytes of WebSocket frames over the link model of `steadfast-faults`. It knows which client
//! and which node are at the ends of a connection, and nothing about them: the world hands over what arrives. A
//! connection whose two ends are closed is removed, with the bytes that are still in flight.

mod connection;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steadfast_faults::link::{ByteStream, Chunk, Direction, Lane, LinkFault, StreamEnd};
use steadfast_faults::toxic::{CloseMode, Ending};
use steadfast_machine::Instant;

use self::connection::Connection;
use crate::context::Context;
use crate::event::network::NetworkEvent;
use crate::ids::{ClientIndex, ConnectionId, NodeIndex};
use crate::words;

/// What the world does after an event of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkReport {
    /// A stream has bytes to read, or space for more.
    StreamReady {
        connection: ConnectionId,
        direction: Direction,
    },
    /// From now on bytes are dropped: the receiving ends must detect that in time.
    Blackholed {
        connection: ConnectionId,
        directions: &'static [Direction],
    },
}

/// The state of the last fault of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FaultState {
    /// It will be healed.
    Active,
    /// The connection does not recover: bytes are dropped indefinitely, or the network has closed or reset it.
    Final,
    /// It was healed.
    Ended(Instant),
}

/// The connections of a run, and the state of their faults.
#[derive(Debug)]
pub(crate) struct Network {
    connections: BTreeMap<ConnectionId, Connection>,
    next_connection: u64,
    /// The last fault of each connection that had one, also after the connection was removed.
    faults: BTreeMap<ConnectionId, FaultState>,
    /// The number of faults that were not injected yet.
    faults_left: usize,
}

impl Network {
    pub(crate) const fn new(faults: usize) -> Self {
        Self {
            connections: BTreeMap::new(),
            next_connection: 0,
            faults: BTreeMap::new(),
            faults_left: faults,
        }
    }

    /// Handles an event of the network.
    pub(crate) fn step(&mut self, ctx: &mut Context, event: NetworkEvent) -> Option<NetworkReport> {
        match event {
            NetworkEvent::StreamReady {
                connection,
                direction,
            } => {
                let now = ctx.now();
                let link = &mut self.connections.get_mut(&connection)?.link;
                let is_due = link.stream_mut(direction).on_event(now);
                is_due.then_some(NetworkReport::StreamReady {
                    connection,
                    direction,
                })
            }
            NetworkEvent::DropConnection => {
                self.drop_connection(ctx);
                None
            }
            NetworkEvent::InjectFault { fault } => self.inject_fault(ctx, fault),
            NetworkEvent::HealConnection { connection } => {
                self.heal_connection(ctx, connection);
                None
            }
        }
    }

    /// Opens a connection between a client and a node.
    pub(crate) fn open(
        &mut self,
        ctx: &Context,
        client: ClientIndex,
        node: NodeIndex,
    ) -> ConnectionId {
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.connections
            .insert(connection, Connection::new(client, node, ctx.now()));
        connection
    }

    /// Returns a connection, unless both ends have closed it.
    pub(crate) fn connection(&self, connection: ConnectionId) -> Option<&Connection> {
        self.connections.get(&connection)
    }

    /// Returns the client at the end of a connection, unless the client has closed it.
    pub(crate) fn client_end(&self, connection: ConnectionId) -> Option<ClientIndex> {
        self.connections.get(&connection)?.client_end
    }

    /// Whether a fault explains that one end of this connection gives it up: it lasts, or has ended only just.
    pub(crate) fn is_excused(&self, ctx: &Context, connection: ConnectionId) -> bool {
        match self.faults.get(&connection) {
            Some(FaultState::Ended(at)) => ctx.now().saturating_since(*at) < EXCUSE_MAX,
            Some(FaultState::Active | FaultState::Final) => true,
            None => false,
        }
    }

    /// Describes the faults of a connection, as text for the operator.
    pub(crate) fn describe(&self, connection: ConnectionId) -> String {
        match self.faults.get(&connection) {
            None => format!("{connection}, which had no fault,"),
            Some(FaultState::Active) => format!("{connection}, which has a fault,"),
            Some(FaultState::Final) => format!("{connection}, which does not recover,"),
            Some(FaultState::Ended(at)) => {
                format!(
                    "{connection}, whose last fault ended at {},",
                    words::at(*at)
                )
            }
        }
    }

    /// Whether a fault of this connection has ended.
    pub(crate) fn has_recovered(&self, connection: ConnectionId) -> bool {
        matches!(self.faults.get(&connection), Some(FaultState::Ended(_)))
    }

    /// Whether no fault has affected this connection since then.
    pub(crate) fn is_undisturbed_since(&self, connection: ConnectionId, since: Instant) -> bool {
        match self.faults.get(&connection) {
            Some(FaultState::Ended(at)) => *at <= since,
            Some(FaultState::Active | FaultState::Final) => false,
            None => true,
        }
    }

    /// Returns what the client has not read of a connection.
    pub(crate) fn unread_by_client(&self, connection: ConnectionId) -> Vec<Bytes> {
        let state = self.connections.get(&connection);
        let stream = state.map(|state| state.link.stream(Direction::ToClient));
        let unread = stream.into_iter().flat_map(ByteStream::bytes_in_flight);
        unread.cloned().collect()
    }

    /// Whether every fault has been injected and has ended.
    pub(crate) fn is_healthy(&self, ctx: &Context) -> bool {
        let now = ctx.now();
        self.faults_left == 0
            && self
                .connections
                .values()
                .all(|connection| connection.link.is_healthy(now))
    }

    /// Whether both ends of every connection are open.
    pub(crate) fn has_only_open_connections(&self) -> bool {
        self.connections.values().all(Connection::has_both_ends)
    }

    /// Returns all connections of which at least one end is open.
    pub(crate) fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.connections.keys().copied()
    }

    /// Sends a frame.
    pub(crate) fn send(
        &mut self,
        ctx: &mut Context,
        connection: ConnectionId,
        direction: Direction,
        frame: Bytes,
        lane: Lane,
    ) {
        let (now, delay) = (ctx.now(), network_delay(ctx));
        // Occasionally a socket is full for a short time.
        let blocked = ctx.generator.chance(1, 32).then(|| {
            let (low, high) = (Duration::from_millis(1), Duration::from_millis(30));
            now + ctx.between(low, high)
        });
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        let frames = match direction {
            Direction::ToClient => state.alter_frame(ctx, frame),
            Direction::ToServer => [Some(frame), None],
        };
        let stream = state.link.stream_mut(direction);
        if let Some(until) = blocked {
            stream.block_writes(until);
        }
        for frame in frames.into_iter().flatten() {
            stream.send(now, delay, frame, lane);
        }
        self.schedule_stream(ctx, connection, direction);
    }

    /// Schedules the next event of the stream: bytes to read, or space for more.
    fn schedule_stream(
        &mut self,
        ctx: &mut Context,
        connection: ConnectionId,
        direction: Direction,
    ) {
        let now = ctx.now();
        let state = self.connections.get_mut(&connection);
        let next = state.and_then(|state| state.link.stream_mut(direction).schedule(now));
        if let Some(at) = next {
            let event = NetworkEvent::StreamReady {
                connection,
                direction,
            };
            ctx.schedule_network(at, event);
        }
    }

    /// Returns the next chunk that has arrived.
    pub(crate) fn read(
        &mut self,
        ctx: &mut Context,
        connection: ConnectionId,
        direction: Direction,
    ) -> Option<Chunk> {
        let bytes_max = draw_read_size(ctx);
        let state = self.connections.get_mut(&connection)?;
        state.link.stream_mut(direction).read(ctx.now(), bytes_max)
    }

    /// Sends unsent bytes after everything that has arrived was read.
    pub(crate) fn refill(
        &mut self,
        ctx: &mut Context,
        connection: ConnectionId,
        direction: Direction,
    ) {
        let (now, delay) = (ctx.now(), network_delay(ctx));
        if let Some(state) = self.connections.get_mut(&connection) {
            state.link.stream_mut(direction).refill(now, delay);
        }
        self.execute_ending(ctx, connection);
        self.schedule_stream(ctx, connection, direction);
    }

    /// The gateway stops or resumes reading.
    pub(crate) fn set_paused(
        &mut self,
        ctx: &mut Context,
        connection: ConnectionId,
        is_paused: bool,
    ) {
        if let Some(state) = self.connections.get_mut(&connection) {
            let stream = state.link.stream_mut(Direction::ToServer);
            stream.set_paused(is_paused);
            self.schedule_stream(ctx, connection, Direction::ToServer);
        }
    }

    /// Closes the client's end; the gateway reads the end after the bytes in flight, if it is delivered.
    pub(crate) fn close_client_end(
        &mut self,
        ctx: &mut Context,
        connection: ConnectionId,
        end: StreamEnd,
    ) {
        let (now, delay) = (ctx.now(), network_delay(ctx));
        if let Some(state) = self.connections.get_mut(&connection)
            && state.client_end.take().is_some()
        {
            ctx.membership.on_client_left(now, connection);
            let stream = state.link.stream_mut(Direction::ToServer);
            stream.discard_unsent();
            stream.end(now, delay, end);
            self.schedule_stream(ctx, connection, Direction::ToServer);
        }
        self.remove_if_closed(connection);
    }

    /// Discards what the gateway's socket has not accepted.
    pub(crate) fn discard_unsent_to_client(&mut self, connection: ConnectionId) {
        if let Some(state) = self.connections.get_mut(&connection) {
            state.link.stream_mut(Direction::ToClient).discard_unsent();
        }
    }

    /// Closes the gateway's end; the client detects it after the bytes in flight and the unsent ones, if the network
    /// delivers it.
    pub(crate) fn close_gateway_end(&mut self, ctx: &mut Context, connection: ConnectionId) {
        let (now, delay) = (ctx.now(), network_delay(ctx));
        if let Some(state) = self.connections.get_mut(&connection)
            && std::mem::take(&mut state.is_gateway_end_open)
        {
            ctx.membership.on_gateway_closed(now, connection);
            let stream = state.link.stream_mut(Direction::ToClient);
            stream.end(now, delay, StreamEnd::Closed);
            self.schedule_stream(ctx, connection, Direction::ToClient);
        }
        self.remove_if_closed(connection);
    }

    /// The process of a node has ended: its operating system resets the connections.
    pub(crate) fn reset_gateway_ends(&mut self, ctx: &mut Context, node: NodeIndex) {
        let now = ctx.now();
        let of_node = self.connections.iter().filter(|(_, it)| it.node == node);
        let connections: Vec<ConnectionId> = of_node.map(|(id, _)| *id).collect();
        for connection in connections {
            let delay = ctx.between(Duration::from_millis(1), Duration::from_millis(50));
            if let Some(state) = self.connections.get_mut(&connection)
                && std::mem::take(&mut state.is_gateway_end_open)
            {
                ctx.membership.on_gateway_closed(now, connection);
                state.link.stream_mut(Direction::ToClient).reset(now, delay);
                self.schedule_stream(ctx, connection, Direction::ToClient);
            }
            self.remove_if_closed(connection);
        }
    }

    fn remove_if_closed(&mut self, connection: ConnectionId) {
        let state = self.connections.get(&connection);
        if state.is_some_and(Connection::is_closed) {
            self.connections.remove(&connection);
        }
    }
}

impl Network {
    /// Picks a random connection of which both ends are open.
    fn pick_connection(&self, ctx: &mut Context) -> Option<ConnectionId> {
        let open = self.connections.iter().filter(|(_, it)| it.has_both_ends());
        let connections: Vec<ConnectionId> = open.map(|(connection, _)| *connection).collect();
        let pick = ctx.generator.below_len(connections.len());
        connections.get(pick).copied()
    }

    /// Closes or resets a random connection. Each end detects the loss later, if the network delivers the end of the
    /// stream.
    fn drop_connection(&mut self, ctx: &mut Context) {
        let Some(connection) = self.pick_connection(ctx) else {
            return ctx.schedule_network(ctx.now() + FAULT_RETRY, NetworkEvent::DropConnection);
        };
        ctx.record_fault_change();
        self.faults.insert(connection, FaultState::Final);
        let now = ctx.now();
        let is_closed = ctx.generator.chance(1, 2);
        if is_closed {
            ctx.totals.connections_closed += 1;
        } else {
            ctx.totals.connections_reset += 1;
        }
        let delays = (!is_closed).then(|| {
            let soon = Duration::from_millis(1);
            let to_client = ctx.between(soon, Duration::from_millis(50));
            (to_client, ctx.between(soon, Duration::from_secs(2)))
        });
        if let Some(state) = self.connections.get_mut(&connection) {
            match delays {
                Some((to_client, to_server)) => state.link.reset(now, to_client, to_server),
                None => state.link.close(now, Duration::from_millis(1)),
            }
            self.schedule_stream(ctx, connection, Direction::ToClient);
            self.schedule_stream(ctx, connection, Direction::ToServer);
        }
    }

    /// Injects a fault into a random healthy connection.
    fn inject_fault(&mut self, ctx: &mut Context, fault: LinkFault) -> Option<NetworkReport> {
        let now = ctx.now();
        let picked = self.pick_connection(ctx);
        let healthy = picked.filter(|connection| {
            let state = self.connections.get(connection);
            state.is_some_and(|state| state.link.is_healthy(now))
        });
        let Some(connection) = healthy else {
            ctx.schedule_network(now + FAULT_RETRY, NetworkEvent::InjectFault { fault });
            return None;
        };
        self.faults_left -= 1;
        let state = match fault.time() {
            Some(_) => FaultState::Active,
            None => FaultState::Final,
        };
        // The network may have closed or reset it, and one end does not know yet: no end of a fault recovers it.
        let is_lost = self.faults.get(&connection) == Some(&FaultState::Final);
        if !is_lost {
            self.faults.insert(connection, state);
        }
        ctx.record_fault_change();
        count_fault(ctx, fault);
        if let Some(state) = self.connections.get_mut(&connection) {
            state.link.inject(now, fault);
        }
        if matches!(fault, LinkFault::Toxic { .. }) {
            self.schedule_stream(ctx, connection, Direction::ToClient);
            self.schedule_stream(ctx, connection, Direction::ToServer);
        }
        if let Some(time) = fault.time() {
            ctx.schedule_network(now + time, NetworkEvent::HealConnection { connection });
        }
        let directions = fault.blackholes();
        (!directions.is_empty()).then_some(NetworkReport::Blackholed {
            connection,
            directions,
        })
    }

    /// Closes or resets a connection if a toxic requests it.
    fn execute_ending(&mut self, ctx: &mut Context, connection: ConnectionId) {
        let (now, delay) = (ctx.now(), Duration::from_millis(1));
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        match state.link.take_ending() {
            Some(Ending::Close(CloseMode::Rst)) => state.link.reset(now, delay, delay),
            Some(Ending::Close(CloseMode::Fin)) => state.link.close(now, delay),
            // The settings draw no toxic that ends a connection without notice: a black hole does that.
            Some(Ending::Close(CloseMode::Silent) | Ending::Forget) | None => return,
        }
        ctx.record_fault_change();
        self.faults.insert(connection, FaultState::Final);
        self.schedule_stream(ctx, connection, Direction::ToClient);
        self.schedule_stream(ctx, connection, Direction::ToServer);
    }

    /// Ends a temporary fault of a connection.
    fn heal_connection(&mut self, ctx: &mut Context, connection: ConnectionId) {
        ctx.record_fault_change();
        let now = ctx.now();
        // In the meantime the network may have closed or reset it.
        if let Some(state) = self.faults.get_mut(&connection)
            && *state == FaultState::Active
        {
            *state = FaultState::Ended(now);
        }
        if let Some(state) = self.connections.get_mut(&connection) {
            state.on_healed(ctx);
            state.link.heal(now);
        }
        self.schedule_stream(ctx, connection, Direction::ToClient);
        self.schedule_stream(ctx, connection, Direction::ToServer);
    }
}

/// How long the end of a fault explains that a connection is given up: pongs that it delayed arrive within a few network
/// delays.
const EXCUSE_MAX: Duration = Duration::from_millis(250);

/// The time until a fault that found no connection is tried again.
const FAULT_RETRY: Duration = Duration::from_millis(50);

fn network_delay(ctx: &mut Context) -> Duration {
    ctx.between(Duration::from_micros(100), Duration::from_millis(8))
}

/// Draws the size of a read: mostly unlimited.
fn draw_read_size(ctx: &mut Context) -> usize {
    let is_split = ctx.generator.chance(1, 16);
    let bytes = 1 + ctx.generator.below_len(64);
    if is_split { bytes } else { usize::MAX }
}

fn count_fault(ctx: &mut Context, fault: LinkFault) {
    let totals = &mut ctx.totals;
    let count = match fault {
        LinkFault::BlackholeBoth => &mut totals.blackholes,
        LinkFault::Blackhole(Direction::ToServer) => &mut totals.blackholes_to_gateway,
        LinkFault::Blackhole(Direction::ToClient) => &mut totals.blackholes_to_client,
        LinkFault::Freeze(_) => &mut totals.connections_frozen,
        LinkFault::StallUplink(_) => &mut totals.uplinks_stalled,
        LinkFault::SlowReader { .. } => &mut totals.slow_readers,
        LinkFault::Toxic { time: Some(_), .. } => &mut totals.connections_poisoned,
        LinkFault::Toxic { time: None, .. } => &mut totals.connections_ended_by_toxics,
    };
    *count += 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::WorldEvent;
    use crate::variant::Variant;

    const FREEZE: NetworkEvent = NetworkEvent::InjectFault {
        fault: LinkFault::Freeze(Duration::from_millis(100)),
    };

    #[test]
    fn the_end_of_a_fault_explains_a_loss_only_for_a_short_time() {
        let (mut ctx, mut network, connection) = with_connection();
        assert!(!network.is_excused(&ctx, connection));

        network.step(&mut ctx, FREEZE);
        assert!(network.is_excused(&ctx, connection));
        run_for(&mut ctx, &mut network, Duration::from_millis(100));

        assert!(network.has_recovered(connection));
        assert!(network.is_excused(&ctx, connection));
        run_for(&mut ctx, &mut network, EXCUSE_MAX);
        assert!(!network.is_excused(&ctx, connection));
    }

    /// The gateway detects a reset up to 2 s later than the client, and may miss pongs before.
    #[test]
    fn a_fault_that_ends_on_a_lost_connection_does_not_recover_it() {
        let (mut ctx, mut network, connection) = with_connection();

        network.step(&mut ctx, NetworkEvent::DropConnection);
        network.step(&mut ctx, FREEZE);
        run_for(
            &mut ctx,
            &mut network,
            Duration::from_millis(100) + EXCUSE_MAX,
        );

        assert_eq!(network.faults_left, 0);
        assert!(!network.has_recovered(connection));
        assert!(network.is_excused(&ctx, connection));
    }

    fn with_connection() -> (Context, Network, ConnectionId) {
        let ctx = Context::new(0, Variant::default());
        let mut network = Network::new(1);
        let connection = network.open(&ctx, ClientIndex::Simple(0), NodeIndex(0));
        (ctx, network, connection)
    }

    fn run_for(ctx: &mut Context, network: &mut Network, time: Duration) {
        let end = ctx.now() + time;
        ctx.clock.schedule_at(end, WorldEvent::CheckSettled);
        while let Some(event) = ctx.clock.next(end) {
            if let WorldEvent::Network(event) = event {
                network.step(ctx, event);
            }
        }
    }
}
