//! The seam between a plan and what its faults are injected into.
//!
//! The run decides when a fault is injected and healed; a backend knows how. Processes are one backend, network
//! namespaces and proxies are others. A backend also provides the services that clients connect to, because a fault
//! concerns one of them.

mod assemble;
mod command_thread;
mod composite;
mod network;
mod placebo;
pub(crate) mod processes;
mod proxies;

use std::fmt::Debug;
use std::path::PathBuf;

use steadfast_faults::ledger::event::FaultEvent;
use steadfast_faults::scenario::plan::PlannedFault;
use steadfast_faults::scenario::role::RoleSelection;
use steadfast_faults::topology::InstanceId;

use crate::runner::fault_parts::FaultPart;

pub(crate) use assemble::assemble;

/// What the faults of a plan are injected into.
///
/// A backend must not wait: what takes time it does on other threads, and reports to the inbox of the run that a fault
/// is injected, confirmed or ineffective, and healed. What is certain at once it returns.
pub(crate) trait Backend: Debug {
    /// Starts all services. Each reports that it is ready.
    fn start(&self);

    /// The last lines that a service printed, for an error; empty if there is no such service.
    fn output(&self, instance: InstanceId) -> String;

    /// The URL at which the clients of a load reach an instance; empty if there is no such instance.
    fn url(&self, load: &str, instance: InstanceId) -> String;

    /// What an instance waits for until it is ready, and why it is not.
    fn unready(&self, instance: InstanceId) -> String;

    /// Finds the targets of a fault that selects them by role. They are sent to the inbox; then the fault is injected
    /// into them.
    fn resolve(&self, fault: &PlannedFault, selection: RoleSelection);

    /// The number of connections that clients have to each service for which they can be counted.
    fn connections(&self) -> Vec<(InstanceId, u32)>;

    /// The effect log of a service; `None` if it has none.
    fn effects(&self, instance: InstanceId) -> Option<PathBuf>;

    /// The parts of a fault, each of which reports that it is injected, confirmed or ineffective, and healed; none if no part
    /// of it is injected.
    fn parts(&self, fault: &PlannedFault) -> Vec<FaultPart>;

    /// Injects a fault into its targets.
    fn inject(&self, fault: &PlannedFault) -> Option<FaultEvent>;

    /// Heals a fault of its targets.
    fn heal(&self, fault: &PlannedFault) -> Option<FaultEvent>;

    /// Terminates all services at the end of the run.
    fn stop(&self);

    /// Whether all services have been terminated.
    fn has_stopped(&self) -> bool;

    /// Kills processes that services left and that hid from them, after all services have been terminated. Returns what
    /// they were.
    fn kill_remaining(&self) -> Option<String>;
}
