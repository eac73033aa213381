//! A backend whose faults are only reported: a check that passes with it would pass for any system.

use std::path::PathBuf;

use steadfast_faults::ledger::event::FaultEvent;
use steadfast_faults::scenario::plan::PlannedFault;
use steadfast_faults::scenario::role::RoleSelection;
use steadfast_faults::topology::InstanceId;

use super::Backend;
use crate::runner::fault_parts::FaultPart;

/// The services of another backend, without its faults.
#[derive(Debug)]
pub(crate) struct PlaceboBackend {
    services: Box<dyn Backend>,
}

impl PlaceboBackend {
    pub(crate) const fn new(services: Box<dyn Backend>) -> Self {
        Self { services }
    }
}

impl Backend for PlaceboBackend {
    fn start(&self) {
        self.services.start();
    }

    fn output(&self, instance: InstanceId) -> String {
        self.services.output(instance)
    }

    fn url(&self, load: &str, instance: InstanceId) -> String {
        self.services.url(load, instance)
    }

    fn unready(&self, instance: InstanceId) -> String {
        self.services.unready(instance)
    }

    fn resolve(&self, fault: &PlannedFault, selection: RoleSelection) {
        self.services.resolve(fault, selection);
    }

    fn connections(&self) -> Vec<(InstanceId, u32)> {
        self.services.connections()
    }

    fn effects(&self, instance: InstanceId) -> Option<PathBuf> {
        self.services.effects(instance)
    }

    fn parts(&self, _: &PlannedFault) -> Vec<FaultPart> {
        Vec::new()
    }

    fn inject(&self, _: &PlannedFault) -> Option<FaultEvent> {
        Some(FaultEvent::Injected)
    }

    fn heal(&self, _: &PlannedFault) -> Option<FaultEvent> {
        Some(FaultEvent::Healed)
    }

    fn stop(&self) {
        self.services.stop();
    }

    fn has_stopped(&self) -> bool {
        self.services.has_stopped()
    }

    fn kill_remaining(&self) -> Option<String> {
        self.services.kill_remaining()
    }
}
