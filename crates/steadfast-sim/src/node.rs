//! A node: one gateway process at a time, and the disk that outlives it.
//!
//! The process has hubs with their sockets, a bus between them, and the thread of its engine. It ends by a crash of the
//! machine, by a kill, or by a shutdown, and the next one starts after a delay. The node feeds its events to the parts of
//! the process that they concern.

mod disk;
mod engine;
mod engine_thread;
mod hubs;
mod peers;
mod reader;
mod requests;
mod shard_bus;
mod sockets;

use std::time::Duration;

use steadfast_engine::io::Input as EngineInput;
use steadfast_engine::memory::MemoryEngine;
use steadfast_engine::{ChannelEpoch, ReadFrom};
use steadfast_faults::link::StreamEnd;
use steadfast_hub::io::Input as HubInput;
use steadfast_log::Log;
use steadfast_log::clock::{BootId, BootTime, Clocks};
use steadfast_log::identity::{DirectoryId, SegmentSecret, StartValues};
use steadfast_log::io as log_io;
use steadfast_machine::Instant;
use steadfast_protocol::codec::Encoding;

use self::disk::Disk;
use self::engine::GatewayEngine;
use self::engine_thread::{EngineThread, ShutdownPhase};
use self::hubs::{Hubs, Ports};
use self::reader::ReadOutcome;
use crate::context::Context;
use crate::engine_kind::EngineKind;
use crate::event::WorldEvent;
use crate::event::node::{DiskOperation, NodeEvent, ProcessEvent};
use crate::ids::{ClientIndex, ConnectionId, NodeIndex, ProcessId};
use crate::network::Network;
use crate::planted_bug::PlantedBug;
use crate::reference_model::Invariant;
use crate::wall_clock;

/// One process of the gateway.
#[derive(Debug)]
struct Process {
    hubs: Hubs,
    engine: EngineThread,
    tick_at: Option<Instant>,
}

/// A gateway process and its disk.
#[derive(Debug)]
pub(crate) struct Node {
    index: NodeIndex,
    disk: Disk,
    process: Option<Process>,
    /// The number of the current process, or of the next one.
    process_number: u64,
    /// Whether the log of the previous process was closed cleanly.
    was_log_closed_cleanly: bool,
    /// The number of the current boot of the machine.
    boot: u8,
    /// When the current boot began.
    booted_at: Instant,
    /// Whether the next process is the first one of its boot; the wall clock may be wrong then.
    has_rebooted: bool,
    /// The epoch of every channel in the current process, if its engine is the memory engine.
    pub(crate) epoch_in_memory: Option<ChannelEpoch>,
}

impl Node {
    pub(crate) fn new(index: NodeIndex) -> Self {
        Self {
            index,
            disk: Disk::default(),
            process: None,
            process_number: 0,
            was_log_closed_cleanly: false,
            boot: 0,
            booted_at: Instant::START,
            has_rebooted: false,
            epoch_in_memory: None,
        }
    }

    /// Handles an event of this node.
    pub(crate) fn step(&mut self, ctx: &mut Context, network: &mut Network, event: NodeEvent) {
        match event {
            NodeEvent::Process { number, event } => {
                if number == self.process_number {
                    self.step_process(ctx, network, event);
                }
            }
            NodeEvent::ReportSendBuffer { connection } => {
                self.with_hubs(ctx, network, |hubs, ports| {
                    hubs.report_send_buffer(ports, connection);
                });
            }
            NodeEvent::CheckSendBuffer {
                connection,
                accepted,
            } => {
                if let Some(process) = &mut self.process {
                    let sockets = process.hubs.sockets();
                    sockets.check_send_buffer(ctx, network, connection, accepted);
                }
            }
            NodeEvent::CheckSilence { connection } => {
                if let Some(process) = &mut self.process {
                    process.hubs.sockets().check_silence(ctx, connection);
                }
            }
            NodeEvent::RequestShutdown => self.request_shutdown(ctx, network),
            NodeEvent::FillDisk => self.fill_disk(ctx),
            NodeEvent::FreeDisk => {
                self.disk.is_full = false;
                ctx.record_fault_change();
            }
            NodeEvent::StallDisk => self.stall_disk(ctx),
            NodeEvent::ContinueDisk => ctx.record_fault_change(),
            NodeEvent::Restart => self.start(ctx),
        }
        self.schedule_tick(ctx);
    }

    fn step_process(&mut self, ctx: &mut Context, network: &mut Network, event: ProcessEvent) {
        let Some(process) = &mut self.process else {
            return;
        };
        match event {
            ProcessEvent::EngineIteration => process.engine.run_iteration(ctx, &mut self.disk),
            ProcessEvent::DiskCompleted {
                operation,
                started_at,
            } => {
                let (engine, disk) = (&mut process.engine, &mut self.disk);
                engine.on_disk_completed(ctx, disk, operation, started_at);
            }
            ProcessEvent::ShardIteration { shard } => {
                let events = process.engine.take_events(shard);
                self.with_hubs(ctx, network, |hubs, ports| {
                    hubs.drive_with_events(ports, shard, events);
                });
                if let Some(process) = &mut self.process {
                    process.engine.schedule_shard_iterations(ctx);
                }
            }
            ProcessEvent::DeliverMessages { shard } => {
                self.with_hubs(ctx, network, |hubs, ports| {
                    hubs.deliver_messages(ports, shard);
                });
            }
            ProcessEvent::ResumeReading { connection } => {
                self.with_hubs(ctx, network, |hubs, ports| {
                    hubs.resume_reading(ports, connection);
                });
            }
            ProcessEvent::Tick => self.tick(ctx, network),
            ProcessEvent::Exit => self.exit(ctx, network),
        }
    }

    /// Opens a connection of a client to a random shard, if the process accepts connections.
    pub(crate) fn accept(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        client: ClientIndex,
        encoding: Encoding,
    ) -> Option<ConnectionId> {
        let mut connection = None;
        self.drive_hubs(ctx, network, |hubs, ports| {
            connection = hubs.accept(ports, client, encoding);
        });
        connection
    }

    /// Bytes of a client have arrived.
    pub(crate) fn read(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        bytes: &[u8],
    ) {
        self.drive_hubs(ctx, network, |hubs, ports| {
            hubs.read(ports, connection, bytes);
        });
    }

    /// The end of a stream has arrived.
    pub(crate) fn on_stream_end(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        end: StreamEnd,
    ) {
        self.drive_hubs(ctx, network, |hubs, ports| {
            hubs.on_stream_end(ports, connection, end);
        });
    }

    /// The network may have accepted bytes for a client.
    pub(crate) fn on_written(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
    ) {
        self.drive_hubs(ctx, network, |hubs, ports| {
            hubs.on_written(ports, connection);
        });
    }

    /// Nothing arrives from a client any more, which must be detected in time.
    pub(crate) fn expect_detection(&mut self, ctx: &mut Context, connection: ConnectionId) {
        if let Some(process) = &mut self.process {
            process.hubs.sockets().expect_detection(ctx, connection);
        }
    }

    fn with_hubs(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        act: impl FnOnce(&mut Hubs, &mut Ports<'_>),
    ) {
        let Some(process) = &mut self.process else {
            return;
        };
        let mut ports = Ports {
            ctx: &mut *ctx,
            network,
            requests: &mut process.engine.requests,
        };
        act(&mut process.hubs, &mut ports);
    }

    /// As `with_hubs`, outside of an event of this node.
    fn drive_hubs(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        act: impl FnOnce(&mut Hubs, &mut Ports<'_>),
    ) {
        self.with_hubs(ctx, network, act);
        self.schedule_tick(ctx);
    }

    fn schedule_tick(&mut self, ctx: &mut Context) {
        let Some(process) = &mut self.process else {
            return;
        };
        let deadlines = [
            process.hubs.next_deadline(),
            process.engine.next_deadline(ctx),
        ];
        let Some(next) = deadlines.into_iter().flatten().min() else {
            return;
        };
        if process.tick_at.is_none_or(|scheduled| next < scheduled) {
            process.tick_at = Some(next);
            let process = ProcessId {
                node: self.index,
                number: self.process_number,
            };
            ctx.schedule_process(next, process, ProcessEvent::Tick);
        }
    }

    /// The engine notices the time of the wall clock, as with the next request.
    pub(crate) fn observe_wall_clock(&mut self, ctx: &mut Context) {
        if let Some(process) = &mut self.process {
            process.engine.observe_wall_clock(ctx, &mut self.disk);
        }
        self.schedule_tick(ctx);
    }

    /// Feeds a tick to all hubs and the engine.
    fn tick(&mut self, ctx: &mut Context, network: &mut Network) {
        let at = ctx.wall();
        if let Some(process) = &mut self.process {
            process.tick_at = None;
        }
        self.with_hubs(ctx, network, |hubs, ports| {
            hubs.drive_all(ports, &HubInput::Tick);
        });
        if let Some(process) = &mut self.process {
            let tick = EngineInput::Tick { at };
            process.engine.drive(ctx, &mut self.disk, tick);
        }
    }
}

/// Starts and ends of the process.
impl Node {
    /// Starts the process; a log finds the segments on the disk.
    pub(crate) fn start(&mut self, ctx: &mut Context) {
        if std::mem::take(&mut self.has_rebooted) {
            ctx.totals.wrong_starts += u64::from(ctx.wall_clock.restart());
            // The other nodes share the clock.
            ctx.clock
                .schedule(Duration::ZERO, WorldEvent::ObserveWallClock);
        }
        let process = ProcessId {
            node: self.index,
            number: self.process_number,
        };
        let engine = self.new_engine(ctx);
        let must_be_clean = std::mem::take(&mut self.was_log_closed_cleanly);
        self.process = Some(Process {
            hubs: Hubs::new(ctx, process),
            engine: EngineThread::new(ctx, process, engine, must_be_clean),
            tick_at: None,
        });
        self.open_engine(ctx);
        self.schedule_tick(ctx);
    }

    fn new_engine(&mut self, ctx: &mut Context) -> GatewayEngine {
        let now = EngineThread::time(ctx);
        match ctx.settings.engine {
            EngineKind::Log => GatewayEngine::Log(Box::new(Log::new(ctx.settings.log, now))),
            EngineKind::Memory => {
                let incarnation = self.draw_incarnation(ctx);
                self.epoch_in_memory = Some(ChannelEpoch::new(incarnation, 0));
                let engine = MemoryEngine::new(ctx.settings.memory, incarnation, now);
                GatewayEngine::Memory(Box::new(engine))
            }
        }
    }

    /// The number that distinguishes this start from all others, which the shell draws from the operating system.
    fn draw_incarnation(&self, ctx: &mut Context) -> u64 {
        let incarnation = ctx.generator.next_u64();
        match ctx.planted_bug {
            Some(PlantedBug::SameIncarnation) => 1 + self.process_number,
            Some(_) | None => incarnation,
        }
    }

    /// Opens the engine of a new process: the log reads the disk, and the memory engine accepts requests at once.
    fn open_engine(&mut self, ctx: &mut Context) {
        let incarnation = match ctx.settings.engine {
            EngineKind::Log => self.draw_incarnation(ctx),
            EngineKind::Memory => 0,
        };
        let boot = BootTime {
            id: BootId([self.boot; BootId::BYTES]),
            millis: wall_clock::millis(ctx.now()) - wall_clock::millis(self.booted_at),
        };
        let Some(Process { engine, .. }) = &mut self.process else {
            return;
        };
        match ctx.settings.engine {
            EngineKind::Log => {
                let values = StartValues {
                    incarnation,
                    directory: DirectoryId(ctx.random_bytes()),
                    secret: SegmentSecret::new(ctx.random_bytes()),
                };
                let found = log_io::Input::Found {
                    segments: self.disk.list(),
                    place: if self.disk.is_claimed {
                        log_io::Place::Known
                    } else {
                        log_io::Place::New
                    },
                    values,
                    clocks: Clocks {
                        wall: ctx.wall(),
                        boot: Some(boot),
                    },
                };
                engine.drive_log(ctx, &mut self.disk, found);
            }
            EngineKind::Memory => {
                engine.open(ctx);
                engine.load_high_watermarks(ctx, &self.disk);
            }
        }
    }

    /// Fills the disk temporarily.
    fn fill_disk(&mut self, ctx: &mut Context) {
        self.disk.is_full = true;
        ctx.record_fault_change();
        let time = ctx.between(Duration::from_millis(20), Duration::from_millis(400));
        ctx.schedule_node(ctx.now() + time, self.index, NodeEvent::FreeDisk);
    }

    /// Stalls the disk: usually for some seconds, and sometimes so long that the log is not ready.
    fn stall_disk(&mut self, ctx: &mut Context) {
        let (shortest, longest) = if ctx.generator.chance(1, 3) {
            (10_500, 12_000)
        } else {
            (1_500, 4_000)
        };
        let time = ctx.between(
            Duration::from_millis(shortest),
            Duration::from_millis(longest),
        );
        self.disk.stalled_until = ctx.now() + time;
        ctx.disks_stalled_until = ctx.disks_stalled_until.max(self.disk.stalled_until);
        ctx.totals.disks_stalled += 1;
        ctx.record_fault_change();
        ctx.schedule_node(ctx.now() + time, self.index, NodeEvent::ContinueDisk);
    }

    /// Requests a shutdown of the process, if it is running.
    fn request_shutdown(&mut self, ctx: &mut Context, network: &mut Network) {
        let running = self.process.as_mut().map(|process| &mut process.engine);
        let running = running.filter(|engine| {
            engine.requests.is_open && engine.shutdown_phase == ShutdownPhase::Running
        });
        let Some(engine) = running else {
            let later = ctx.now() + Duration::from_millis(50);
            return ctx.schedule_node(later, self.index, NodeEvent::RequestShutdown);
        };
        engine.shutdown_phase = ShutdownPhase::Requested;
        ctx.shutdowns_left -= 1;
        ctx.record_fault_change();
        // In half of the shutdowns the clients are disconnected first; otherwise their connections are reset.
        if ctx.generator.chance(1, 2) {
            self.with_hubs(ctx, network, |hubs, ports| {
                hubs.drive_all(ports, &HubInput::ShutdownRequested);
            });
        }
        if let Some(process) = &mut self.process {
            let close = EngineInput::CloseRequested;
            process.engine.drive(ctx, &mut self.disk, close);
        }
    }

    /// The process has exited. The power fails at once, which a clean shutdown survives.
    fn exit(&mut self, ctx: &mut Context, network: &mut Network) {
        let Some(process) = self.process.take() else {
            return;
        };
        self.was_log_closed_cleanly = process.engine.shutdown_phase == ShutdownPhase::Requested;
        ctx.totals.clean_restarts += u64::from(self.was_log_closed_cleanly);
        ctx.totals.histories_lost += u64::from(process.engine.has_history_in_memory());
        if self.was_log_closed_cleanly && self.disk.has_unsynced() {
            ctx.report(
                Invariant::CleanShutdownDetected,
                "unsynced sectors after a clean shutdown".to_owned(),
            );
        }
        self.disk.crash(&mut ctx.generator);
        self.reboot(ctx);
        self.on_process_ended(ctx, network);
    }

    /// Whether the end of the process now would lose bytes that the log has written, even during its opening, or the
    /// history of a memory engine.
    pub(crate) fn would_lose_data(&self) -> bool {
        self.process.as_ref().is_some_and(|process| {
            self.disk.has_unsynced() || process.engine.has_history_in_memory()
        })
    }

    /// The process ends without notice: with the power, or alone.
    pub(crate) fn fail(&mut self, ctx: &mut Context, network: &mut Network) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let write = process.engine.take_write_in_progress();
        match ctx.settings.engine {
            EngineKind::Memory => {
                ctx.crashes_armed -= 1;
                ctx.totals.histories_lost += 1;
            }
            EngineKind::Log if ctx.generator.chance(1, 4) => self.kill(ctx, write),
            EngineKind::Log => self.crash(ctx, write, process.engine.requests.is_open),
        }
        self.on_process_ended(ctx, network);
    }

    /// Kills the process only. What it had written can still be read, but the next power failure may lose it.
    fn kill(&mut self, ctx: &mut Context, write: Option<DiskOperation>) {
        if let Some(DiskOperation::Write {
            segment, at, bytes, ..
        }) = write
            && ctx.generator.chance(1, 2)
        {
            self.disk.write(segment, at, &bytes);
        }
        ctx.totals.kills += 1;
        self.was_log_closed_cleanly = false;
    }

    /// The power fails: unsynced sectors may be lost.
    fn crash(&mut self, ctx: &mut Context, write: Option<DiskOperation>, was_open: bool) {
        ctx.crashes_armed -= 1;
        if let Some(DiskOperation::Write {
            segment, at, bytes, ..
        }) = write
        {
            self.disk.write(segment, at, &bytes);
        }
        let outcome = self.disk.crash(&mut ctx.generator);
        ctx.totals.crashes += 1;
        ctx.totals.crashes_while_opening += u64::from(!was_open);
        ctx.totals.sectors_dropped += outcome.dropped;
        ctx.totals.sectors_torn += outcome.torn;
        ctx.totals.sectors_kept += outcome.kept;
        self.was_log_closed_cleanly = false;
        self.reboot(ctx);
    }

    /// The machine starts again.
    fn reboot(&mut self, ctx: &mut Context) {
        self.boot = self.boot.wrapping_add(1);
        self.booted_at = ctx.now();
        self.has_rebooted = true;
        ctx.totals.reboots += 1;
    }

    /// The process has ended, for any reason: its connections are reset, and a restart is scheduled.
    fn on_process_ended(&mut self, ctx: &mut Context, network: &mut Network) {
        ctx.record_fault_change();
        network.reset_gateway_ends(ctx, self.index);
        // Events that were scheduled for the previous process must not reach the next one.
        self.process_number += 1;
        let delay = ctx.between(Duration::from_millis(10), Duration::from_millis(500));
        ctx.schedule_node(ctx.now() + delay, self.index, NodeEvent::Restart);
    }
}

/// The state of the node, for the checks.
impl Node {
    pub(crate) const fn index(&self) -> NodeIndex {
        self.index
    }

    /// Whether the process accepts connections.
    pub(crate) fn is_open(&self) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| process.engine.requests.is_open)
    }

    /// Whether the process accepts connections and nothing is in progress in it.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_open()
            && self
                .process
                .as_ref()
                .is_some_and(|process| process.hubs.is_quiet() && process.engine.is_quiet())
    }

    /// Reads a page of a channel at once; the node must be quiet.
    pub(crate) fn read_page(
        &mut self,
        ctx: &Context,
        channel: &str,
        from: ReadFrom,
        limit: usize,
    ) -> Option<ReadOutcome> {
        let process = self.process.as_mut()?;
        process
            .engine
            .read_page(ctx, &self.disk, channel, from, limit)
    }
}
