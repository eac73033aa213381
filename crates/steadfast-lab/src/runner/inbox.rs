//! Messages from the threads of a run to the thread that executes it.

use steadfast_faults::ledger::event::{FaultEvent, RunEvent};
use steadfast_faults::topology::{FaultId, InstanceId};
use steadfast_machine::Instant;

use crate::driver::DriverId;
use crate::driver::line::DriverLine;
use crate::runner::fault_parts::FaultPart;

/// Capacity of the inbox. When it is full, threads block and their input waits in pipes; the delay then shows
/// in the lag of the harness.
pub(crate) const MESSAGES_MAX: usize = 1 << 16;

/// What a thread observed, and when.
#[derive(Clone, Debug)]
pub(crate) struct HarnessMessage {
    pub(crate) at: Instant,
    pub(crate) payload: MessagePayload,
}

#[derive(Clone, Debug)]
pub(crate) enum MessagePayload {
    /// A driver wrote a line.
    Driver(DriverId, DriverLine),
    /// A process changed its state.
    RunEvent(RunEvent),
    /// A part of a fault was injected, confirmed or healed.
    Fault(FaultId, FaultPart, FaultEvent),
    /// The instances that have the role which a fault selects, or why there are none.
    Targets(FaultId, Result<Vec<InstanceId>, String>),
    /// Something that the operator should know and that does not change the result.
    Notice(String),
    /// A thread failed to do its task; the run proves nothing.
    Failure(String),
}
