//! Processes as a backend: faults kill, terminate and pause them.

use std::path::Path;
use std::sync::mpsc::SyncSender;

use steadfast_clock::Clock;
use steadfast_faults::ledger::event::FaultEvent;
use steadfast_faults::scenario::model::FaultAction;
use steadfast_faults::scenario::plan::PlannedFault;
use steadfast_faults::topology::{InstanceId, Topology};
use steadfast_machine::convert;

use super::Backend;
use crate::error::LabError;
use crate::runner::inbox::HarnessMessage;
use crate::service::{Service, ServiceCommand, ServiceSetup, free_port};

/// The programs that are started for the instances of a topology.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Programs<'a> {
    pub(crate) gateway: &'a Path,
    /// Kills the processes when the lab terminates.
    pub(crate) launcher: Option<&'a Path>,
    /// One directory for each instance is created in it.
    pub(crate) folder: &'a Path,
}

/// One process for each instance, each owned by one thread.
#[derive(Debug)]
pub(crate) struct ProcessBackend {
    services: Vec<Service>,
}

impl ProcessBackend {
    /// Writes the configurations and starts the threads; no process is started yet.
    pub(crate) fn new(
        topology: &Topology,
        programs: Programs<'_>,
        clock: Clock,
        inbox: &SyncSender<HarnessMessage>,
    ) -> Result<Self, LabError> {
        let mut ports = Vec::new();
        let mut services = Vec::new();
        for instance in topology.instances() {
            let port = free_port(&ports)?;
            ports.push(port);
            let name = instance.to_string();
            let setup = ServiceSetup {
                id: instance.id,
                folder: programs.folder.join(name.replace(':', "-")),
                name,
                program: programs.gateway.to_owned(),
                launcher: programs.launcher.map(Path::to_owned),
                port,
            };
            services.push(Service::new(setup, clock, inbox.clone())?);
        }
        Ok(Self { services })
    }

    fn send(&self, targets: &[InstanceId], command: ServiceCommand) {
        for target in targets {
            if let Some(service) = self.service(*target) {
                service.send(command);
            }
        }
    }

    fn service(&self, instance: InstanceId) -> Option<&Service> {
        self.services.get(convert::to_usize(instance.0))
    }
}

impl Backend for ProcessBackend {
    fn start(&self) {
        for service in &self.services {
            service.send(ServiceCommand::Start);
        }
    }

    fn output(&self, instance: InstanceId) -> String {
        let service = self.service(instance);
        service.map(Service::output).unwrap_or_default()
    }

    fn url(&self, instance: InstanceId) -> String {
        self.service(instance).map(Service::url).unwrap_or_default()
    }

    fn inject(&self, fault: &PlannedFault) -> Option<FaultEvent> {
        let command = match fault.action {
            FaultAction::Kill => ServiceCommand::Kill(fault.id),
            FaultAction::Term { grace } => ServiceCommand::Term(fault.id, grace),
            FaultAction::Pause => ServiceCommand::Pause(fault.id),
        };
        self.send(&fault.targets, command);
        None
    }

    fn heal(&self, fault: &PlannedFault) -> Option<FaultEvent> {
        self.send(&fault.targets, ServiceCommand::Heal(fault.id));
        None
    }
}
