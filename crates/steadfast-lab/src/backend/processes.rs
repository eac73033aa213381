//! Processes as a backend: faults kill, terminate and pause them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use steadfast_clock::Clock;
use steadfast_faults::ledger::event::FaultEvent;
use steadfast_faults::scenario::model::{FaultAction, Scenario};
use steadfast_faults::scenario::plan::PlannedFault;
use steadfast_faults::scenario::role::RoleSelection;
use steadfast_faults::topology::{InstanceId, Topology};
use steadfast_machine::convert;

use super::Backend;
use crate::address::port_of;
use crate::error::LabError;
use crate::network::Namespaces;
use crate::runner::fault_parts::FaultPart;
use crate::runner::inbox::HarnessMessage;
use crate::service::{
    self, Launch, Places, Service, ServiceCommand, Sockets, adopt_orphans, kill_orphans, setup,
};

/// One process for each instance, each owned by one thread.
#[derive(Debug)]
pub(crate) struct ProcessBackend {
    services: Vec<Service>,
    clock: Clock,
    inbox: SyncSender<HarnessMessage>,
}

/// The directories of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Folders<'a> {
    /// One directory for each instance is created in it.
    pub(crate) run: &'a Path,
    /// Parent of the data directories that outlast the run.
    pub(crate) kept: &'a Path,
}

impl ProcessBackend {
    /// Writes the files and starts the threads; no process is started yet.
    pub(crate) fn new(
        scenario: &Scenario,
        topology: &Topology,
        launch: Launch<'_>,
        folders: Folders<'_>,
        namespaces: Option<&Namespaces>,
        clock: Clock,
        inbox: &SyncSender<HarnessMessage>,
    ) -> Result<Self, LabError> {
        adopt_orphans();
        let places = Places::assign(scenario, topology, folders.run, folders.kept, namespaces)?;
        let mut setups = Vec::new();
        for instance in topology.instances() {
            let mut services = scenario.services().iter();
            if let Some(service) = services.find(|it| it.name == instance.service) {
                setups.push(setup(service, instance, &places, launch)?);
            }
        }
        let services = setups
            .into_iter()
            .map(|setup| Service::new(setup, clock, inbox.clone()));
        Ok(Self {
            services: services.collect::<Result<_, _>>()?,
            clock,
            inbox: inbox.clone(),
        })
    }

    /// The port of each instance to which clients connect.
    pub(crate) fn client_ports(&self) -> BTreeMap<InstanceId, u16> {
        let services = self.services.iter().zip(0_u32..);
        let ports =
            services.filter_map(|(service, id)| Some((InstanceId(id), port_of(&service.url())?)));
        ports.collect()
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

    fn unready(&self, instance: InstanceId) -> String {
        let service = self.service(instance);
        service.map(Service::unready).unwrap_or_default()
    }

    fn url(&self, _: &str, instance: InstanceId) -> String {
        self.service(instance).map(Service::url).unwrap_or_default()
    }

    fn resolve(&self, fault: &PlannedFault, selection: RoleSelection) {
        let services: Vec<(InstanceId, &Service)> = fault
            .targets
            .iter()
            .filter_map(|id| Some((*id, self.service(*id)?)))
            .collect();
        service::resolve(fault, selection, &services, self.clock, &self.inbox);
    }

    fn connections(&self) -> Vec<(InstanceId, u32)> {
        let mut sockets = Sockets::default();
        let services = self.services.iter().zip(0_u32..);
        let counted = services.filter_map(|(service, id)| {
            let count = service.connections(&mut sockets)?;
            Some((InstanceId(id), count))
        });
        counted.collect()
    }

    fn effects(&self, instance: InstanceId) -> Option<PathBuf> {
        self.service(instance)?.effects().map(Path::to_owned)
    }

    fn parts(&self, fault: &PlannedFault) -> Vec<FaultPart> {
        let targets = fault.targets.iter().copied();
        targets.map(FaultPart::Instance).collect()
    }

    fn inject(&self, fault: &PlannedFault) -> Option<FaultEvent> {
        let command = match fault.action {
            FaultAction::Kill => ServiceCommand::Kill(fault.id),
            FaultAction::Term { grace } => ServiceCommand::Term(fault.id, grace),
            FaultAction::Pause => ServiceCommand::Pause(fault.id),
            FaultAction::Link(_) => return None,
        };
        self.send(&fault.targets, command);
        None
    }

    fn heal(&self, fault: &PlannedFault) -> Option<FaultEvent> {
        self.send(&fault.targets, ServiceCommand::Heal(fault.id));
        None
    }

    fn stop(&self) {
        for service in &self.services {
            service.send(ServiceCommand::Stop);
        }
    }

    fn has_stopped(&self) -> bool {
        self.services.iter().all(Service::has_stopped)
    }

    fn kill_remaining(&self) -> Option<String> {
        let killed = kill_orphans();
        let names: Vec<&str> = killed.iter().map(|it| it.name.as_str()).collect();
        (!names.is_empty()).then(|| {
            format!(
                "killed processes that hid from their service: {}",
                names.join(", ")
            )
        })
    }
}

impl Drop for ProcessBackend {
    fn drop(&mut self) {
        self.stop();
        // Each handle waits for its thread.
        self.services.clear();
        self.kill_remaining();
    }
}
