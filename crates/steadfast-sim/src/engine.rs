//! The engine of a simulated gateway process: the log on the simulated disk, or the memory engine.
//!
//! Both receive the same requests and deliver commits and responses to the same shards. The memory engine has no disk:
//! its history ends with the process.

use steadfast_engine::io as engine_io;
use steadfast_engine::memory::MemoryEngine;
use steadfast_engine::order::Delivery;
use steadfast_engine::{ChannelEpoch, RequestId, Response};
use steadfast_log::Log;
use steadfast_log::identity::{DirectoryId, SegmentSecret, StartValues};
use steadfast_log::io as log_io;
use steadfast_machine::{Instant, Machine};

use crate::gateway::Gateway;
use crate::world::World;

/// The kind of engine that the gateways of a run have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// The log, on a disk that loses unsynced writes.
    #[default]
    Log,
    /// The memory engine: the history ends with the process, and every channel has another epoch in the next process.
    Memory,
}

impl EngineKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 2] = [Self::Log, Self::Memory];

    /// Returns the name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Memory => "memory",
        }
    }

    /// Returns the kind with this name on the command line.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == name)
    }
}

/// The engine of one process.
#[derive(Debug)]
pub(crate) enum GatewayEngine {
    Log(Box<Log>),
    Memory(Box<MemoryEngine>),
}

impl GatewayEngine {
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Log(log) => log.poll_timeout(),
            Self::Memory(engine) => engine.poll_timeout(),
        }
    }

    pub(crate) const fn log_mut(&mut self) -> Option<&mut Log> {
        match self {
            Self::Log(log) => Some(log),
            Self::Memory(_) => None,
        }
    }

    /// Whether the end of the process loses publications.
    pub(crate) fn has_history_in_memory(&self) -> bool {
        match self {
            Self::Log(_) => false,
            Self::Memory(engine) => engine.channels() > 0,
        }
    }
}

impl World {
    /// Creates the engine of a new process.
    pub(crate) fn new_engine(&mut self) -> GatewayEngine {
        let now = self.clock.now();
        match self.settings.engine {
            EngineKind::Log => GatewayEngine::Log(Box::new(Log::new(self.settings.log, now))),
            EngineKind::Memory => {
                let incarnation = self.generator.next_u64();
                self.epoch_in_memory = Some(ChannelEpoch::new(incarnation, 0));
                let engine = MemoryEngine::new(self.settings.memory, incarnation, now);
                GatewayEngine::Memory(Box::new(engine))
            }
        }
    }

    /// Opens the engine of a new process: the log reads the disk, and the memory engine accepts requests at once.
    pub(crate) fn open_engine(&mut self) {
        match self.settings.engine {
            EngineKind::Log => {
                let values = StartValues {
                    incarnation: self.generator.next_u64(),
                    directory: DirectoryId(self.draw()),
                    secret: SegmentSecret::new(self.draw()),
                };
                let found = log_io::Input::Found {
                    segments: self.disk.list(),
                    values,
                    at: self.wall(),
                };
                self.drive_log(found);
            }
            EngineKind::Memory => {
                self.on_engine_opened();
                self.load_high_watermarks();
            }
        }
    }

    pub(crate) fn on_engine_opened(&mut self) {
        if let Some(gateway) = &mut self.gateway {
            gateway.is_open = true;
        }
        self.last_fault_change_at = self.clock.now();
    }

    /// Feeds an input that every engine has to the engine.
    pub(crate) fn drive_engine(&mut self, input: engine_io::Input) {
        let now = self.clock.now();
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        let GatewayEngine::Memory(engine) = &mut gateway.engine else {
            return self.drive_log(match input {
                engine_io::Input::Requested { requests, at } => {
                    log_io::Input::Requested { requests, at }
                }
                engine_io::Input::CloseRequested { at } => log_io::Input::CloseRequested { at },
                engine_io::Input::Tick { at } => log_io::Input::Tick { at },
            });
        };
        engine.handle(now, input);
        let outputs: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
        for output in outputs {
            self.execute_memory_output(output);
        }
        self.schedule_shard_iterations();
        self.schedule_tick();
    }

    fn execute_memory_output(&mut self, output: engine_io::Output) {
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        match output {
            engine_io::Output::Commit(committed) => gateway.commit(committed),
            engine_io::Output::Respond {
                request_id,
                response,
            } => gateway.respond(request_id, response),
            engine_io::Output::Notify(_) => {}
            engine_io::Output::Closed => self.schedule_exit(),
        }
    }
}

impl Gateway {
    /// Delivers a response to the shard that sent the request.
    pub(crate) fn respond(&mut self, request_id: RequestId, response: Response) {
        self.order.push(Delivery::Response {
            request_id,
            response,
        });
    }
}
