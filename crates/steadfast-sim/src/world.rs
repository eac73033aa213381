//! The simulated world: it routes the events of a run to its systems, in the order of virtual time.
//!
//! The systems are the network, the nodes and the clients. Each has its own events and state, and the world carries
//! between them: what arrives over the network, and the dials of clients.

use std::time::Duration;

use steadfast_faults::link::{Chunk, Direction};
use steadfast_machine::Instant;

use crate::clients::Clients;
use crate::clients::dial::Dial;
use crate::context::Context;
use crate::event::WorldEvent;
use crate::event::network::NetworkEvent;
use crate::event::node::NodeEvent;
use crate::final_checks;
use crate::ids::{ConnectionId, NodeIndex};
use crate::network::{Network, NetworkReport};
use crate::node::Node;
use crate::reference_model::Invariant;
use crate::seed_result::SeedResult;
use crate::variant::Variant;
use crate::words;

/// The longest virtual time of a run, a multiple of every timeout in it. The run must have settled by then.
const RUN_TIME_MAX: Duration = Duration::from_mins(2);

/// The largest number of events at one instant, far more than occur in a correct run: a state machine whose deadline
/// never moves would stop virtual time.
const EVENTS_PER_INSTANT_MAX: u64 = 10_000;

/// The longest time from the last fault until everything has settled. An application that reads slowly decides it: the
/// slowest of 10,000 seeds of each engine has 1,500 publications to read after a stalled disk and needs more than 36 s.
const SETTLE_TIME_MAX: Duration = Duration::from_mins(1);

/// The entire state of a run.
#[derive(Debug)]
struct World {
    ctx: Context,
    network: Network,
    nodes: Vec<Node>,
    clients: Clients,
    is_settled: bool,
}

/// Runs one seed to its end and returns its counts and the first violations of invariants.
pub fn run(seed: u64, variant: Variant) -> SeedResult {
    let mut world = World::new(seed, variant);
    world.schedule_initial_events();
    world.run_to_end();
    world.check_final_state();
    SeedResult {
        seed,
        engine: variant.engine,
        totals: world.ctx.totals,
        violations: world.ctx.reference_model.violations().to_vec(),
    }
}

impl World {
    fn new(seed: u64, variant: Variant) -> Self {
        let mut ctx = Context::new(seed, variant);
        Self {
            clients: Clients::new(&mut ctx),
            network: Network::new(ctx.settings.connection_faults.len()),
            nodes: (0..ctx.settings.nodes)
                .map(|it| Node::new(NodeIndex(it)))
                .collect(),
            ctx,
            is_settled: false,
        }
    }

    /// Schedules the first events: dials, publications and faults.
    fn schedule_initial_events(&mut self) {
        let Self {
            ctx,
            network,
            nodes,
            clients,
            ..
        } = self;
        for node in nodes {
            node.start(ctx);
        }
        clients.start(ctx, network);
        for _ in 0..ctx.settings.connection_losses {
            let at = ctx.fault_time();
            ctx.schedule_network(at, NetworkEvent::DropConnection);
        }
        for fault in ctx.settings.connection_faults.clone() {
            let at = ctx.fault_time();
            ctx.schedule_network(at, NetworkEvent::InjectFault { fault });
        }
        for _ in 0..ctx.settings.crashes {
            let at = ctx.fault_time();
            ctx.clock.schedule_at(at, WorldEvent::ArmCrash);
        }
        for _ in 0..ctx.settings.clean_shutdowns {
            let (at, node) = (ctx.fault_time(), random_node(ctx));
            ctx.schedule_node(at, node, NodeEvent::RequestShutdown);
        }
        for _ in 0..ctx.settings.full_disks {
            let (at, node) = (ctx.fault_time(), random_node(ctx));
            ctx.schedule_node(at, node, NodeEvent::FillDisk);
        }
        for _ in 0..ctx.settings.stalled_disks {
            let (at, node) = (ctx.fault_time(), random_node(ctx));
            ctx.schedule_node(at, node, NodeEvent::StallDisk);
        }
        for at in ctx.wall_clock.draw_times(ctx.settings.fault_time) {
            ctx.clock.schedule(at, WorldEvent::SetWallClock);
        }
        ctx.clock
            .schedule(ctx.settings.fault_time, WorldEvent::CheckSettled);
    }

    fn run_to_end(&mut self) {
        let end = Instant::START + RUN_TIME_MAX;
        let (mut instant, mut events) = (self.ctx.now(), 0_u64);
        while !self.is_settled && self.ctx.reference_model.violations().is_empty() {
            let Some(event) = self.ctx.clock.next(end) else {
                return;
            };
            let now = self.ctx.now();
            events = if now == instant { events + 1 } else { 0 };
            instant = now;
            if events > EVENTS_PER_INSTANT_MAX {
                let time = words::at(instant);
                let details = format!("virtual time does not advance from {time}");
                self.ctx.report(Invariant::NoBusyLoop, details);
            }
            self.route(event);
            self.fail_processes();
        }
    }

    /// Hands an event to its system.
    fn route(&mut self, event: WorldEvent) {
        let (ctx, network) = (&mut self.ctx, &mut self.network);
        match event {
            WorldEvent::Network(event) => match network.step(ctx, event) {
                Some(NetworkReport::StreamReady {
                    connection,
                    direction,
                }) => self.carry(connection, direction),
                Some(NetworkReport::Blackholed {
                    connection,
                    directions,
                }) => self.expect_detection(connection, directions),
                None => {}
            },
            WorldEvent::Node { node, event } => {
                if let Some(node) = self.nodes.get_mut(node.0) {
                    node.step(ctx, network, event);
                }
            }
            WorldEvent::Client(event) => {
                if let Some(dial) = self.clients.step(ctx, network, event) {
                    self.dial(dial);
                }
            }
            WorldEvent::ArmCrash => ctx.crashes_armed += 1,
            WorldEvent::SetWallClock => {
                ctx.wall_clock.set();
                ctx.totals.wall_jumps += 1;
                ctx.clock
                    .schedule(Duration::ZERO, WorldEvent::ObserveWallClock);
            }
            WorldEvent::ObserveWallClock => {
                for node in &mut self.nodes {
                    node.observe_wall_clock(ctx);
                }
            }
            WorldEvent::CheckSettled => self.check_settled(),
        }
    }

    /// Hands over what has arrived, and reports accepted bytes to their sender.
    fn carry(&mut self, connection: ConnectionId, direction: Direction) {
        let Some(node) = self.network.connection(connection).map(|it| it.node) else {
            return;
        };
        let (ctx, network, clients) = (&mut self.ctx, &mut self.network, &mut self.clients);
        let Some(node) = self.nodes.get_mut(node.0) else {
            return;
        };
        while let Some(chunk) = network.read(ctx, connection, direction) {
            match (direction, chunk) {
                (Direction::ToServer, Chunk::Bytes(bytes)) => {
                    node.read(ctx, network, connection, &bytes);
                }
                (Direction::ToServer, Chunk::End(end)) => {
                    node.on_stream_end(ctx, network, connection, end);
                }
                (Direction::ToClient, Chunk::Bytes(bytes)) => {
                    clients.read(ctx, network, connection, &bytes);
                }
                (Direction::ToClient, Chunk::End(end)) => {
                    clients.on_stream_end(ctx, network, connection, end);
                }
            }
        }
        if network.connection(connection).is_none() {
            return;
        }
        network.refill(ctx, connection, direction);
        match direction {
            Direction::ToClient => node.on_written(ctx, network, connection),
            Direction::ToServer => clients.on_written(ctx, network, connection),
        }
    }

    /// Carries a dial of a client to the node, and its result back.
    fn dial(&mut self, dial: Dial) {
        let Dial { client, node } = dial;
        let (ctx, network) = (&mut self.ctx, &mut self.network);
        if let Some(node) = self.nodes.get_mut(node.0) {
            let encoding = self.clients.encoding(client);
            let connection = node.accept(ctx, network, client, encoding);
            self.clients.on_dialled(ctx, network, client, connection);
        }
    }

    /// Notifies each end that no longer receives: such an end must detect the silence in time. The other end detects the
    /// fault when the silent connection is closed.
    fn expect_detection(&mut self, connection: ConnectionId, directions: &[Direction]) {
        let (ctx, network) = (&mut self.ctx, &self.network);
        let node = network.connection(connection).map(|it| it.node);
        if let Some(node) = node.and_then(|node| self.nodes.get_mut(node.0))
            && directions.contains(&Direction::ToServer)
        {
            node.expect_detection(ctx, connection);
        }
        if directions.contains(&Direction::ToClient) {
            Clients::expect_detection(ctx, network, connection);
        }
    }

    /// Ends processes at moments at which that loses data.
    fn fail_processes(&mut self) {
        for node in &mut self.nodes {
            // While the log is opening, a crash is less likely, so that some crashes hit the later steps of opening.
            let denominator = if node.is_open() { 3 } else { 12 };
            if self.ctx.crashes_armed > 0
                && node.would_lose_data()
                && self.ctx.generator.chance(1, denominator)
            {
                node.fail(&mut self.ctx, &mut self.network);
            }
        }
    }

    fn check_settled(&mut self) {
        self.ctx
            .clock
            .schedule(Duration::from_millis(100), WorldEvent::CheckSettled);
        if self.ctx.quiet_since.is_some() {
            self.is_settled = self.clients.have_exact_presence(&self.ctx);
        } else if self.has_no_faults_left() && self.are_clients_settled() {
            self.ctx.quiet_since = Some(self.ctx.now());
            Clients::query_presence(&mut self.ctx);
        }
        // While a disk is stalled, a log cannot be opened or closed, and a client with too much pending gets no pongs.
        if self.ctx.now() >= self.ctx.disks_stalled_until {
            self.clients.check_connected(&mut self.ctx);
        }
        if !self.is_settled && self.ctx.time_since_fault() > SETTLE_TIME_MAX {
            self.report_unsettled();
        }
    }

    /// Whether nothing is left to do for the clients. Then they query presence, and the run ends when each has a reply
    /// that had to be exact.
    fn are_clients_settled(&mut self) -> bool {
        let Self { ctx, nodes, .. } = self;
        let nodes = nodes.iter_mut();
        let high_watermarks = nodes.map(|node| final_checks::high_watermarks(ctx, node));
        let high_watermarks: Vec<_> = high_watermarks.collect();
        self.clients.are_settled(&self.network, &high_watermarks)
            && self.network.has_only_open_connections()
    }

    /// Whether every fault has been injected and has ended, and every client has made its publications.
    fn has_no_faults_left(&self) -> bool {
        let settings = &self.ctx.settings;
        self.ctx.crashes_armed == 0
            && self.ctx.shutdowns_left == 0
            && self.ctx.totals.connection_losses() >= settings.connection_losses
            && self.network.is_healthy(&self.ctx)
            && self.clients.have_published(settings.publishes)
            && self.nodes.iter().all(Node::is_quiet)
    }

    /// Compares the nodes with the reference model, if everything has settled.
    fn check_final_state(&mut self) {
        if !self.ctx.reference_model.violations().is_empty() {
            return;
        }
        if !self.is_settled {
            return self.report_unsettled();
        }
        for node in &mut self.nodes {
            final_checks::check_node(&mut self.ctx, node);
        }
        self.clients.check_replies(&mut self.ctx);
        self.clients.check_pushes(&mut self.ctx);
        for connection in self.network.connections() {
            final_checks::check_membership(&mut self.ctx, connection);
        }
    }

    /// Reports every client, whether or not it has settled.
    fn report_unsettled(&mut self) {
        self.ctx
            .report(Invariant::SystemSettles, self.clients.describe());
    }
}

fn random_node(ctx: &mut Context) -> NodeIndex {
    let choice = ctx.generator.below_len(ctx.settings.nodes);
    ctx.settings.node_of(choice)
}
