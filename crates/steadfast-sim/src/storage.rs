//! Events of the log other than crashes: a disk that is temporarily full, and shutdowns.

use std::time::Duration;

use steadfast_engine::io::Input as EngineInput;
use steadfast_hub::io::Input as HubInput;
use steadfast_log::event::Event as LogEvent;
use steadfast_log::io::{FailedOperation, Input, StorageError};
use steadfast_log::open::{Corruption, CorruptionKind, OpenReport};

use crate::gateway::ShutdownPhase;
use crate::log_thread::DiskOperation;
use crate::reference_model::Invariant;
use crate::settings::SHARDS;
use crate::world::{World, WorldEvent};

impl World {
    /// Fills the disk temporarily.
    pub(crate) fn fill_disk(&mut self) {
        self.disk.is_full = true;
        self.record_fault_change();
        let delay = self
            .generator
            .between(Duration::from_millis(20), Duration::from_millis(400));
        self.clock.schedule(delay, WorldEvent::FreeDisk);
    }

    /// Frees space on the disk.
    pub(crate) fn free_disk(&mut self) {
        self.disk.is_full = false;
        self.record_fault_change();
    }

    /// Returns the failure of an operation if the disk is full. A failed write may be on disk in part.
    pub(crate) fn fail_if_disk_full(&mut self, operation: &DiskOperation) -> Option<Input> {
        if !self.disk.is_full {
            return None;
        }
        let failed_operation = match operation {
            DiskOperation::Reserve { segment, .. } => FailedOperation::Reserve(*segment),
            // Half of the writes succeed, because their space is reserved.
            DiskOperation::Write { .. } if self.generator.chance(1, 2) => return None,
            DiskOperation::Write { segment, at, bytes } => {
                let written = bytes.get(..self.generator.below_len(bytes.len()));
                self.disk.write(*segment, *at, written.unwrap_or_default());
                FailedOperation::Write
            }
            DiskOperation::Sync { .. } | DiskOperation::Read { .. } => return None,
        };
        if let Some(gateway) = &mut self.gateway
            && failed_operation == FailedOperation::Write
        {
            gateway.write_in_progress = None;
        }
        self.totals.operations_without_space += 1;
        Some(Input::Failed {
            operation: failed_operation,
            error: StorageError::NoSpace,
        })
    }

    /// The log cannot be opened. If the reason is lack of space, the process exits and is restarted later; any other
    /// reason is a violation.
    pub(crate) fn on_open_failed(&mut self, corruption: Corruption) {
        let no_space = CorruptionKind::StorageFailed {
            error: StorageError::NoSpace,
        };
        if corruption.kind == no_space && self.totals.operations_without_space > 0 {
            self.totals.starts_without_space += 1;
            self.schedule_exit();
        } else {
            self.reference_model
                .report_violation(Invariant::LogOpens, format!("{corruption:?}"));
        }
    }

    /// Handles an event that the log reports to the operator.
    pub(crate) fn on_log_event(&mut self, event: LogEvent) {
        match event {
            LogEvent::SegmentRemoved { .. } => self.totals.segments_removed += 1,
            LogEvent::UncleanShutdown => {
                if let Some(gateway) = &mut self.gateway {
                    gateway.shutdown_phase = ShutdownPhase::Unclean;
                }
            }
            LogEvent::WriteFailed { .. } | LogEvent::RecordUnreadable { .. } => {
                let details = format!("unexpected event with an intact disk: {event:?}");
                self.reference_model
                    .report_violation(Invariant::NoAcknowledgedLoss, details);
            }
            LogEvent::SegmentCreated { .. }
            | LogEvent::DiskFull { .. }
            | LogEvent::DiskRecovered
            | LogEvent::RemoveFailed { .. }
            | LogEvent::LimitReached { .. }
            | LogEvent::ChannelsExpired { .. } => {}
        }
    }

    /// Requests a shutdown of the process, if it is running.
    pub(crate) fn request_shutdown(&mut self) {
        let at = self.wall();
        let Some(gateway) = self
            .gateway
            .as_mut()
            .filter(|gateway| gateway.is_open && gateway.shutdown_phase == ShutdownPhase::Running)
        else {
            self.clock
                .schedule(Duration::from_millis(50), WorldEvent::RequestShutdown);
            return;
        };
        gateway.shutdown_phase = ShutdownPhase::Requested;
        self.record_fault_change();
        // In half of the shutdowns the clients are disconnected first; otherwise their connections are reset.
        if self.generator.chance(1, 2) {
            for shard in 0..usize::from(SHARDS) {
                self.drive_hub(shard, HubInput::ShutdownRequested);
            }
        }
        self.drive_engine(EngineInput::CloseRequested { at });
    }

    /// Schedules the exit of the process after its log has closed.
    pub(crate) fn schedule_exit(&mut self) {
        self.clock.schedule(
            Duration::ZERO,
            WorldEvent::ProcessExit {
                process_number: self.process_number,
            },
        );
    }

    /// The process has exited. The power fails at once, which a clean shutdown survives.
    pub(crate) fn exit_process(&mut self) {
        let Some(gateway) = self.gateway.take() else {
            return;
        };
        self.was_log_closed_cleanly = gateway.shutdown_phase == ShutdownPhase::Requested;
        self.totals.clean_restarts += u64::from(self.was_log_closed_cleanly);
        self.totals.histories_lost += u64::from(gateway.engine.has_history_in_memory());
        if self.was_log_closed_cleanly && self.disk.has_unsynced() {
            self.reference_model.report_violation(
                Invariant::CleanShutdownDetected,
                "unsynced sectors after a clean shutdown".to_owned(),
            );
        }
        self.disk.crash(&mut self.generator);
        self.on_process_ended();
    }

    /// Checks that a start after a clean shutdown detects the clean shutdown.
    pub(crate) fn check_clean_shutdown(&mut self, report: &OpenReport) {
        if self.was_log_closed_cleanly && (!report.is_clean || report.has_new_epochs) {
            self.reference_model
                .report_violation(Invariant::CleanShutdownDetected, format!("{report:?}"));
        }
        self.was_log_closed_cleanly = false;
    }
}
