//! The simulated world: clients, connections, one gateway and its disk, and the faults of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_core::Session;
use steadfast_core::io::{Attempt, Input, PublicationId};
use steadfast_engine::ChannelEpoch;
use steadfast_machine::{Generator, Instant, Seed, Timestamp, convert};
use steadfast_protocol::codec::Encoding;

use crate::client::Client;
use crate::clock::Clock;
use crate::connections::{Connection, ConnectionId, Direction};
use crate::disk::Disk;
use crate::driver::Driver;
use crate::engine::EngineKind;
use crate::explore::SeedResult;
use crate::faults::ConnectionFault;
use crate::gateway::Gateway;
use crate::log_thread::DiskOperation;
use crate::planted_bug::PlantedBug;
use crate::reference_model::{Invariant, ReferenceModel};
use crate::settings::RunSettings;
use crate::totals::Totals;

/// The wall clock at the start of every run.
const WALL_START_MS: u64 = 1_700_000_000_000;

/// The longest virtual time of a run, a multiple of every timeout in it. The run must have settled by then.
const RUN_TIME_MAX: Duration = Duration::from_mins(2);

/// The largest number of events at one instant, far more than occur in a correct run: a state machine whose deadline
/// never moves would stop virtual time.
const EVENTS_PER_INSTANT_MAX: u64 = 10_000;

/// An event of the simulation. `process_number` identifies the gateway process to which it belongs.
#[derive(Debug)]
pub(crate) enum WorldEvent {
    Dial {
        client: usize,
    },
    /// A stream has bytes to read, or space for more.
    StreamReady {
        connection: ConnectionId,
        direction: Direction,
    },
    /// A simple client has received no ping for too long.
    PingTimeout {
        client: usize,
        connection: ConnectionId,
    },
    /// A dial of a session succeeds or fails.
    DialCompleted {
        session: usize,
        attempt: Attempt,
    },
    SessionTick {
        session: usize,
    },
    /// The end of a loop iteration in which a client sent a frame.
    ReportClientSendBuffer {
        connection: ConnectionId,
    },
    SessionPublish {
        session: usize,
    },
    CloseSession {
        session: usize,
    },
    /// The deadline by which a session that was closed must have ended.
    CheckClose {
        session: usize,
    },
    OpenSession {
        session: usize,
    },
    /// The time to live of a publication has passed.
    CheckExpiry {
        session: usize,
        publication: PublicationId,
    },
    /// An application reads its buffered events.
    ApplicationReads {
        session: usize,
    },
    Publish {
        client: usize,
    },
    Resend {
        client: usize,
    },
    LogIteration {
        process_number: u64,
    },
    DiskCompleted {
        process_number: u64,
        operation: DiskOperation,
    },
    ShardIteration {
        process_number: u64,
        shard: u16,
    },
    /// A shard takes messages from its inbox.
    DeliverMessages {
        process_number: u64,
        shard: usize,
    },
    Tick {
        process_number: u64,
    },
    /// The end of a loop iteration in which a socket did not accept all bytes.
    ReportGatewaySendBuffer {
        connection: ConnectionId,
    },
    /// The deadline by which these bytes must have been written.
    CheckSendBuffer {
        connection: ConnectionId,
        /// The number of bytes that had been sent up to and including them.
        sent: u64,
    },
    /// The deadline by which the gateway must have detected that this connection is dead.
    CheckGatewayTimeout {
        connection: ConnectionId,
    },
    /// The deadline by which this session must have detected that this connection is dead.
    CheckSessionTimeout {
        session: usize,
        connection: ConnectionId,
    },
    DropConnection,
    InjectFault {
        fault: ConnectionFault,
    },
    HealConnection {
        connection: ConnectionId,
    },
    ArmCrash,
    /// The gateway process receives a shutdown request.
    RequestShutdown,
    /// The gateway process exits after its log has closed.
    ProcessExit {
        process_number: u64,
    },
    FillDisk,
    FreeDisk,
    Restart,
    CheckSettled,
}

/// The entire state of a run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: RunSettings,
    pub(crate) planted_bug: Option<PlantedBug>,
    pub(crate) clock: Clock<WorldEvent>,
    pub(crate) generator: Generator,
    pub(crate) disk: Disk,
    pub(crate) gateway: Option<Gateway>,
    pub(crate) process_number: u64,
    pub(crate) reference_model: ReferenceModel,
    pub(crate) totals: Totals,
    /// The simple clients, which do not use the client library.
    pub(crate) clients: Vec<Client>,
    /// The connection of each simple client, as the client sees it.
    pub(crate) client_connections: Vec<Option<ConnectionId>>,
    pub(crate) drivers: Vec<Driver>,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    pub(crate) next_connection: u64,
    /// Connections into which a fault was injected at any time.
    pub(crate) faulted: BTreeSet<ConnectionId>,
    pub(crate) crashes_armed: u64,
    pub(crate) connection_faults_left: usize,
    /// The time at which a fault last began or ended.
    pub(crate) last_fault_change_at: Instant,
    /// Whether the log of the previous process was closed cleanly.
    pub(crate) was_log_closed_cleanly: bool,
    /// The epoch of every channel in the current process, if its engine is the memory engine.
    pub(crate) epoch_in_memory: Option<ChannelEpoch>,
    pub(crate) is_settled: bool,
}

/// What a run simulates in addition to its seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    /// The engine of the gateways.
    pub engine: EngineKind,
    /// A guarantee that the run breaks deliberately.
    pub planted_bug: Option<PlantedBug>,
}

/// Runs one seed to its end and returns its counts and the first violations of invariants.
pub fn run(seed: u64, variant: Variant) -> SeedResult {
    let mut world = World::new(seed, variant);
    world.schedule_initial_events();
    world.run_to_end();
    world.check_final_state();
    let violations = world.reference_model.violations().to_vec();
    SeedResult {
        seed,
        engine: variant.engine,
        totals: world.totals,
        violations,
    }
}

impl World {
    fn new(seed: u64, variant: Variant) -> Self {
        let planted_bug = variant.planted_bug;
        let mut generator = Seed::new(seed).generator();
        let settings = RunSettings::draw(&mut generator, variant);
        let drivers = (settings.sessions.iter().enumerate())
            .map(|(index, parameters)| {
                let policy = parameters.policy(planted_bug);
                let session = Session::new(policy, generator.split(), Instant::START);
                Driver::new(index, session, parameters, &settings)
            })
            .collect();
        let clients: Vec<Client> = (0..settings.clients)
            .zip(Encoding::ALL.into_iter().cycle())
            .map(|(index, encoding)| {
                Client::new(index, encoding, &settings.channels, settings.padding)
            })
            .collect();
        Self {
            client_connections: vec![None; clients.len()],
            clients,
            drivers,
            connection_faults_left: settings.connection_faults.len(),
            last_fault_change_at: Instant::START,
            planted_bug,
            clock: Clock::new(),
            generator,
            disk: Disk::default(),
            gateway: None,
            process_number: 0,
            reference_model: ReferenceModel::default(),
            totals: Totals {
                seeds: 1,
                sessions: convert::to_u64(settings.sessions.len()),
                simple_clients: convert::to_u64(settings.clients),
                ..Totals::default()
            },
            settings,
            connections: BTreeMap::new(),
            next_connection: 0,
            faulted: BTreeSet::new(),
            crashes_armed: 0,
            was_log_closed_cleanly: false,
            epoch_in_memory: None,
            is_settled: false,
        }
    }

    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp::from_millis(WALL_START_MS + self.clock.now().as_nanos() / 1_000_000)
    }

    /// Schedules the first events: dials, publications and faults.
    fn schedule_initial_events(&mut self) {
        self.start_gateway();
        for client in 0..self.clients.len() {
            let delay = self.start_delay();
            self.clock.schedule(delay, WorldEvent::Dial { client });
            self.clock.schedule(delay, WorldEvent::Publish { client });
        }
        for session in 0..self.drivers.len() {
            self.open_session(session);
            let delay = self.start_delay();
            self.clock
                .schedule(delay, WorldEvent::SessionPublish { session });
            if self
                .settings
                .sessions
                .get(session)
                .is_some_and(|parameters| parameters.is_closed_during_run)
            {
                self.schedule_fault(WorldEvent::CloseSession { session });
            }
        }
        for _ in 0..self.settings.connection_losses {
            self.schedule_fault(WorldEvent::DropConnection);
        }
        for fault in self.settings.connection_faults.clone() {
            self.schedule_fault(WorldEvent::InjectFault { fault });
        }
        for _ in 0..self.settings.crashes {
            self.schedule_fault(WorldEvent::ArmCrash);
        }
        for _ in 0..self.settings.clean_shutdowns {
            self.schedule_fault(WorldEvent::RequestShutdown);
        }
        for _ in 0..self.settings.full_disks {
            self.schedule_fault(WorldEvent::FillDisk);
        }
        self.clock
            .schedule(self.settings.fault_time, WorldEvent::CheckSettled);
    }

    fn start_delay(&mut self) -> Duration {
        self.generator
            .between(Duration::from_millis(1), Duration::from_millis(100))
    }

    fn schedule_fault(&mut self, fault: WorldEvent) {
        let (first, last) = (Duration::from_millis(100), self.settings.fault_time);
        let delay = self.generator.between(first, last);
        self.clock.schedule(delay, fault);
    }

    fn run_to_end(&mut self) {
        let end = Instant::START + RUN_TIME_MAX;
        let (mut instant, mut events) = (self.clock.now(), 0_u64);
        while !self.is_settled && self.reference_model.violations().is_empty() {
            let Some(event) = self.clock.next(end) else {
                return;
            };
            events = if self.clock.now() == instant {
                events + 1
            } else {
                0
            };
            instant = self.clock.now();
            if events > EVENTS_PER_INSTANT_MAX {
                let details =
                    format!("virtual time does not advance from {instant:?} because of {event:?}");
                self.reference_model
                    .report_violation(Invariant::NoBusyLoop, details);
            }
            self.handle_event(event);
            // While the log is opening, a crash is less likely, so that some crashes hit the later steps of opening.
            let is_open = self.gateway.as_ref().is_some_and(|it| it.is_open);
            let denominator = if is_open { 3 } else { 12 };
            if self.crashes_armed > 0
                && self.would_lose_data()
                && self.generator.chance(1, denominator)
            {
                if self.settings.engine == EngineKind::Memory {
                    self.lose_history();
                } else if self.generator.chance(1, 4) {
                    self.kill();
                } else {
                    self.crash();
                }
            }
        }
    }

    fn handle_event(&mut self, event: WorldEvent) {
        match event {
            WorldEvent::Dial { client } => self.dial(client),
            WorldEvent::StreamReady {
                connection,
                direction,
            } => self.poll_stream(connection, direction),
            WorldEvent::PingTimeout { client, connection } => {
                self.on_ping_timeout(client, connection);
            }
            WorldEvent::DialCompleted { session, attempt } => {
                self.on_dial_completed(session, attempt);
            }
            WorldEvent::SessionTick { session } => self.session_tick(session),
            WorldEvent::ReportClientSendBuffer { connection } => {
                self.report_client_send_buffer(connection);
            }
            WorldEvent::SessionPublish { session } => self.publish_as_session(session),
            WorldEvent::CloseSession { session } => self.close_session(session),
            WorldEvent::CheckClose { session } => self.check_close(session),
            WorldEvent::CheckExpiry {
                session,
                publication,
            } => self.check_expiry(session, publication),
            WorldEvent::OpenSession { session } => {
                self.record_fault_change();
                self.drive_session(session, Input::OpenRequested);
            }
            WorldEvent::ApplicationReads { session } => self.application_reads(session),
            WorldEvent::Publish { client } => self.publish_as_client(client),
            WorldEvent::Resend { client } => self.resend(client),
            WorldEvent::LogIteration { process_number }
            | WorldEvent::DiskCompleted { process_number, .. }
            | WorldEvent::ShardIteration { process_number, .. }
            | WorldEvent::DeliverMessages { process_number, .. }
            | WorldEvent::Tick { process_number }
            | WorldEvent::ProcessExit { process_number }
                if process_number != self.process_number => {}
            WorldEvent::LogIteration { .. } => self.run_log_iteration(),
            WorldEvent::DiskCompleted { operation, .. } => self.on_disk_completed(operation),
            WorldEvent::ShardIteration { shard, .. } => self.run_shard_iteration(shard),
            WorldEvent::DeliverMessages { shard, .. } => self.deliver_messages(shard),
            WorldEvent::Tick { .. } => self.tick(),
            WorldEvent::ProcessExit { .. } => self.exit_process(),
            WorldEvent::ReportGatewaySendBuffer { connection } => {
                self.report_gateway_send_buffer(connection);
            }
            WorldEvent::CheckSendBuffer { connection, sent } => {
                self.check_send_buffer(connection, sent);
            }
            WorldEvent::CheckGatewayTimeout { connection } => {
                self.check_gateway_timeout(connection);
            }
            WorldEvent::CheckSessionTimeout {
                session,
                connection,
            } => self.check_session_timeout(session, connection),
            WorldEvent::DropConnection => self.drop_connection(),
            WorldEvent::InjectFault { fault } => self.inject_fault(fault),
            WorldEvent::HealConnection { connection } => self.heal_connection(connection),
            WorldEvent::ArmCrash => self.crashes_armed += 1,
            WorldEvent::RequestShutdown => self.request_shutdown(),
            WorldEvent::FillDisk => self.fill_disk(),
            WorldEvent::FreeDisk => self.free_disk(),
            WorldEvent::Restart => self.start_gateway(),
            WorldEvent::CheckSettled => self.check_settled(),
        }
    }

    /// Whether faults may still be injected; while this holds, all clients continue to publish.
    pub(crate) fn may_inject_faults(&self) -> bool {
        self.clock.now() < Instant::START + self.settings.fault_time || self.crashes_armed > 0
    }

    pub(crate) fn publish_interval(&mut self) -> Duration {
        self.generator
            .between(Duration::from_millis(5), Duration::from_millis(120))
    }

    /// Whether a crash now would lose bytes that the log has written, even during its opening, or the history of a
    /// memory engine.
    fn would_lose_data(&self) -> bool {
        self.gateway.as_ref().is_some_and(|gateway| {
            self.disk.has_unsynced() || gateway.engine.has_history_in_memory()
        })
    }

    /// The process ends, and with it the history of its memory engine.
    fn lose_history(&mut self) {
        if self.gateway.take().is_some() {
            self.crashes_armed -= 1;
            self.totals.histories_lost += 1;
            self.on_process_ended();
        }
    }

    /// Kills the process only. What it had written can still be read, but the next power failure may lose it.
    fn kill(&mut self) {
        let Some(gateway) = self.gateway.take() else {
            return;
        };
        if let Some(DiskOperation::Write { segment, at, bytes }) = gateway.write_in_progress
            && self.generator.chance(1, 2)
        {
            self.disk.write(segment, at, &bytes);
        }
        self.totals.kills += 1;
        self.was_log_closed_cleanly = false;
        self.on_process_ended();
    }

    /// The power fails: the process ends, and unsynced sectors may be lost.
    fn crash(&mut self) {
        let Some(gateway) = self.gateway.take() else {
            return;
        };
        self.crashes_armed -= 1;
        if let Some(DiskOperation::Write { segment, at, bytes }) = gateway.write_in_progress {
            self.disk.write(segment, at, &bytes);
        }
        let outcome = self.disk.crash(&mut self.generator);
        self.totals.crashes += 1;
        self.totals.crashes_while_opening += u64::from(!gateway.is_open);
        self.totals.sectors_dropped += outcome.dropped;
        self.totals.sectors_torn += outcome.torn;
        self.totals.sectors_kept += outcome.kept;
        self.was_log_closed_cleanly = false;
        self.on_process_ended();
    }

    /// The process has ended, for any reason: its connections are reset, and a restart is scheduled.
    pub(crate) fn on_process_ended(&mut self) {
        self.record_fault_change();
        let now = self.clock.now();
        let connections: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for connection in connections {
            let (soon, late) = (Duration::from_millis(1), Duration::from_millis(50));
            let delay = self.generator.between(soon, late);
            if let Some(state) = self.connections.get_mut(&connection)
                && state.socket.take().is_some()
            {
                state.to_client.reset(now, delay);
                self.schedule_stream(connection, Direction::ToClient);
            }
            self.remove_if_closed(connection);
        }
        // Events that were scheduled for the previous process must not reach the next one.
        self.process_number += 1;
        let delay = self
            .generator
            .between(Duration::from_millis(10), Duration::from_millis(500));
        self.clock.schedule(delay, WorldEvent::Restart);
    }
}
