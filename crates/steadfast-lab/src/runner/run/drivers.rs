//! The drivers of a run: which ones it needs, and which of them owns each client.

use std::path::Path;
use std::sync::mpsc::SyncSender;

use serde_json::Value;
use steadfast_clock::Clock;
use steadfast_faults::ledger::event::{HarnessEvent, RunEvent};
use steadfast_faults::scenario::model::{Load, LoadDriver, Scenario};
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::topology::ClientKind;

use super::Run;
use crate::driver::{Driver, DriverId, DriverSetup, NotAccepted};
use crate::error::LabError;
use crate::runner::RunSetup;
use crate::runner::clients::{Client, Clients};
use crate::runner::inbox::HarnessMessage;

/// Starts the drivers, and assigns the clients to them.
pub(super) fn start(
    scenario: &Scenario,
    plan: &Plan,
    setup: &RunSetup,
    clock: Clock,
    sender: &SyncSender<HarnessMessage>,
) -> Result<(Vec<Driver>, Clients), LabError> {
    let mut drivers: Vec<Driver> = Vec::new();
    let mut clients = Clients::default();
    for config in plan.topology().clients() {
        let mut loads = scenario.loads().iter();
        let load = loads.find(|load| load.name == config.load);
        let owns = |driver: &Driver| owns(driver.setup(), config.kind, &config.load);
        let found = drivers.iter().position(owns);
        let id = DriverId(found.unwrap_or(drivers.len()));
        if found.is_none() {
            let driver = driver_setup(config.kind, load, setup)?;
            let folder = &setup.folder;
            drivers.push(Driver::start(id, driver, folder, clock, sender.clone())?);
        }
        let channel = plan.topology().channel(config.channel);
        let channel = channel.map(|it| it.name.clone()).unwrap_or_default();
        clients.add(Client::new(config, channel, load, id));
    }
    Ok((drivers, clients))
}

fn owns(driver: &DriverSetup, kind: ClientKind, load: &str) -> bool {
    driver.kind == kind && driver.load.as_deref().is_none_or(|owned| owned == load)
}

fn driver_setup(
    kind: ClientKind,
    load: Option<&Load>,
    setup: &RunSetup,
) -> Result<DriverSetup, LabError> {
    if let Some(load) = load
        && let LoadDriver::Exec(program) = &load.driver
    {
        let launcher = setup.launcher.as_deref().map(Path::new);
        return Ok(DriverSetup::of_load(&load.name, program, launcher));
    }
    let command = setup.drivers.get(&kind);
    let command = command.ok_or(LabError::DriverMissing(kind))?;
    Ok(DriverSetup::of_kind(kind, command))
}

impl Run<'_> {
    /// Adds an id to a command, sends it, and returns the id.
    pub(super) fn send_to_driver(&mut self, driver: DriverId, mut command: Value) -> u64 {
        let id = self.next_command_id;
        self.next_command_id += 1;
        if let Some(fields) = command.as_object_mut() {
            fields.insert("id".to_owned(), id.into());
        }
        let sent = self.drivers.get(driver.0).map(|it| it.send(&command));
        match sent {
            Some(Err(NotAccepted::Closed)) => self.on_driver_end(driver),
            Some(Err(NotAccepted::Full)) => self.fail_driver(
                driver,
                "does not read its commands: read standard input line by line, also while requests are in flight",
            ),
            Some(Ok(())) | None => {}
        }
        id
    }

    pub(super) fn on_driver_end(&mut self, driver: DriverId) {
        if self.failed_drivers.contains(&driver) {
            return;
        }
        let ending = self.drivers.get_mut(driver.0).map(Driver::ending);
        self.fail_driver(driver, &ending.unwrap_or_default());
    }

    /// Records a failure of a driver, once: what follows it is a consequence.
    pub(super) fn fail_driver(&mut self, driver: DriverId, what: &str) {
        if !self.failed_drivers.insert(driver) {
            return;
        }
        let label = self.drivers.get(driver.0).map(|it| it.setup().label());
        self.fail(format!("{} {what}", label.unwrap_or_default()));
    }

    pub(super) fn fail(&mut self, what: String) {
        self.failure.get_or_insert_with(|| what.clone());
        let event = RunEvent::Harness(HarnessEvent::Failed(what));
        self.record(self.clock.now(), event);
    }
}
