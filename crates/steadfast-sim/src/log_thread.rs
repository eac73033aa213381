//! The thread of the engine in the world: its loop iterations, and the disk operations of a log with their results.

use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::io::Input as EngineInput;
use steadfast_log::identity::SegmentSecret;
use steadfast_log::io::{self as log_io, SegmentNumber};
use steadfast_machine::Machine;

use crate::planted_bug::{PlantedBug, alter_log_request};
use crate::world::{World, WorldEvent};

/// An operation of the log on the disk.
#[derive(Clone, Debug)]
pub(crate) enum DiskOperation {
    Reserve {
        segment: SegmentNumber,
        bytes: u64,
        first: Bytes,
        last: Bytes,
    },
    Write {
        segment: SegmentNumber,
        at: u64,
        bytes: Bytes,
    },
    Sync {
        segment: SegmentNumber,
    },
    Read {
        read: u64,
        segment: SegmentNumber,
        at: u64,
        len: usize,
    },
}

impl World {
    pub(crate) fn schedule_log_iteration(&mut self) {
        let Some(gateway) = self
            .gateway
            .as_mut()
            .filter(|g| g.is_open && !g.log_queue.is_empty())
        else {
            return;
        };
        if !gateway.is_log_iteration_scheduled {
            gateway.is_log_iteration_scheduled = true;
            let delay = self
                .generator
                .between(Duration::from_micros(5), Duration::from_micros(300));
            self.clock.schedule(
                delay,
                WorldEvent::LogIteration {
                    process_number: self.process_number,
                },
            );
        }
    }

    /// The engine's thread handles all queued requests.
    pub(crate) fn run_log_iteration(&mut self) {
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        gateway.is_log_iteration_scheduled = false;
        let requests = std::mem::take(&mut gateway.log_queue)
            .into_iter()
            .map(|request| alter_log_request(request, self.planted_bug, &gateway.high_watermarks))
            .collect();
        let at = self.wall();
        self.drive_engine(EngineInput::Requested { requests, at });
        self.schedule_shard_iterations();
    }

    /// Feeds an input to the log and executes the outputs.
    pub(crate) fn drive_log(&mut self, input: log_io::Input) {
        let now = self.clock.now();
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        let was_open = gateway.is_open;
        let Some(log) = gateway.engine.log_mut() else {
            return;
        };
        log.handle(now, input);
        while let Some(output) = self
            .gateway
            .as_mut()
            .and_then(|gateway| gateway.engine.log_mut()?.poll_output())
        {
            self.execute_log_output(output);
        }
        if !was_open && self.gateway.as_ref().is_some_and(|gateway| gateway.is_open) {
            self.load_high_watermarks();
        }
        self.schedule_shard_iterations();
        self.schedule_tick();
    }

    fn execute_log_output(&mut self, output: log_io::Output) {
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        match output {
            log_io::Output::Reserve {
                segment,
                bytes,
                first,
                last,
            } => {
                let operation = DiskOperation::Reserve {
                    segment,
                    bytes,
                    first,
                    last,
                };
                self.start_operation(operation, Duration::from_millis(20));
            }
            log_io::Output::Write { segment, at, bytes } => {
                let operation = DiskOperation::Write { segment, at, bytes };
                gateway.write_in_progress = Some(operation.clone());
                self.start_operation(operation, Duration::from_micros(200));
            }
            log_io::Output::Sync { segment } => {
                self.start_operation(DiskOperation::Sync { segment }, Duration::from_millis(2));
            }
            log_io::Output::Read {
                read,
                segment,
                at,
                len,
            } => {
                self.start_operation(
                    DiskOperation::Read {
                        read,
                        segment,
                        at,
                        len,
                    },
                    Duration::from_micros(300),
                );
            }
            log_io::Output::Remove { segment } => self.disk.remove(segment),
            log_io::Output::Opened(report) => {
                self.on_engine_opened();
                self.check_clean_shutdown(&report);
                self.totals.torn_writes_truncated += u64::from(report.torn_write.is_some());
            }
            log_io::Output::Corrupt(corruption) => self.on_open_failed(corruption),
            log_io::Output::Commit(committed) => {
                gateway.commit(committed);
            }
            log_io::Output::Respond {
                request_id,
                response,
            } => gateway.respond(request_id, response),
            log_io::Output::Notify(event) => self.on_log_event(event),
            log_io::Output::Closed => self.schedule_exit(),
        }
    }

    /// Starts a disk operation, which takes up to `longest`.
    fn start_operation(&mut self, operation: DiskOperation, longest: Duration) {
        if let Some(gateway) = &mut self.gateway {
            gateway.pending_operations += 1;
        }
        let delay = self.generator.between(Duration::from_micros(10), longest);
        self.clock.schedule(
            delay,
            WorldEvent::DiskCompleted {
                process_number: self.process_number,
                operation,
            },
        );
    }

    /// Random bytes, which the shell draws from the operating system.
    pub(crate) fn draw<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for word in bytes.chunks_mut(8) {
            let random = self.generator.next_u64().to_le_bytes();
            word.copy_from_slice(random.get(..word.len()).unwrap_or_default());
        }
        bytes
    }

    /// The disk has completed an operation.
    pub(crate) fn on_disk_completed(&mut self, operation: DiskOperation) {
        if let Some(gateway) = &mut self.gateway {
            gateway.pending_operations -= 1;
        }
        if let Some(input) = self.fail_if_disk_full(&operation) {
            self.drive_log(input);
            return self.schedule_log_iteration();
        }
        let input = match operation {
            DiskOperation::Reserve {
                segment,
                bytes,
                first,
                last,
            } => {
                self.disk.reserve(segment, bytes, &first, &last);
                log_io::Input::Reserved {
                    segment,
                    next_secret: SegmentSecret::new(self.draw()),
                }
            }
            DiskOperation::Write { segment, at, bytes } => {
                self.disk.write(segment, at, &bytes);
                if let Some(gateway) = &mut self.gateway {
                    gateway.write_in_progress = None;
                }
                log_io::Input::Written
            }
            DiskOperation::Sync { segment } => {
                if self.planted_bug != Some(PlantedBug::NoSync) {
                    self.disk.sync(segment);
                }
                log_io::Input::Synced
            }
            DiskOperation::Read {
                read,
                segment,
                at,
                len,
            } => log_io::Input::ReadDone {
                read,
                bytes: self.disk.read(segment, at, len),
            },
        };
        self.drive_log(input);
        self.schedule_log_iteration();
    }
}
