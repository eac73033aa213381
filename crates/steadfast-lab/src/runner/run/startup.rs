//! The start of a run: starts the services, then connects all clients, and subscribes those that subscribe.
//!
//! A process that exits fails the start at once, with its output; one that is not ready in time is named.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_faults::ledger::event::{ClientEvent, RunEvent};
use steadfast_faults::topology::{Client as ClientConfig, InstanceId};
use steadfast_machine::Instant;

use super::{LAG_SAMPLE_INTERVAL, PROGRESS_INTERVAL, Run};
use crate::driver::{Driver, DriverId, commands};
use crate::error::LabError;
use crate::progress::Progress;

/// Names that are listed before the others are only counted.
const NAMES_SHOWN: usize = 4;

/// What the start waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// Every driver reads commands.
    Drivers,
    /// The readiness probe of every service succeeds.
    Services,
    /// Every client is connected and subscribed.
    Clients,
}

impl Run<'_> {
    /// Starts the services, then connects and subscribes all clients.
    pub(super) fn start_participants(
        &mut self,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<(), LabError> {
        let limit = self.scenario.run().ready_timeout;
        let deadline = self.clock.now() + limit;
        self.backend.start();
        self.wait_for(Awaited::Drivers, deadline, limit, watch)?;
        self.wait_for(Awaited::Services, deadline, limit, watch)?;
        self.connect_clients(deadline);
        self.wait_for(Awaited::Clients, deadline, limit, watch)
    }

    /// Requests the connection of each client, at the rate of its load. A rate that is too low for the time limit ends
    /// with the time limit.
    fn connect_clients(&mut self, deadline: Instant) {
        let topology = self.plan.topology();
        let begin = self.clock.now();
        let mut of_load: BTreeMap<&str, u32> = BTreeMap::new();
        let mut due: Vec<(Instant, &ClientConfig)> = Vec::new();
        for config in topology.clients() {
            let number = of_load.entry(&config.load).or_default();
            let rate = self.load_of(config.id).and_then(|load| load.connect_rate);
            let delay = rate.map_or(Duration::ZERO, |rate| {
                Duration::from_secs(1).saturating_mul(*number) / rate.max(1)
            });
            *number += 1;
            due.push((begin + delay, config));
        }
        due.sort_by_key(|(at, config)| (*at, config.id));
        for (at, config) in due {
            if at > self.clock.now() {
                self.receive_until(Some(at.min(deadline)));
            }
            if self.clock.now() >= deadline || self.interrupt.is_requested() {
                return;
            }
            self.connect_client(config);
        }
    }

    fn connect_client(&mut self, config: &ClientConfig) {
        let url = self.backend.url(&config.load, config.instance);
        let load = self.load_of(config.id);
        let Some(client) = self.clients.get_mut(config.id) else {
            return;
        };
        let (name, channel, driver) = (client.name.clone(), client.channel.clone(), client.driver);
        let (timers, options) = load
            .map(|load| (load.timers, load.options.clone()))
            .unwrap_or_default();
        let event = ClientEvent::Opened;
        let client = config.id;
        self.record(self.clock.now(), RunEvent::Client { client, event });
        self.send_to_driver(driver, commands::open(&name, &url, &timers, &options));
        if config.kind.is_library() {
            self.send_to_driver(driver, commands::subscribe(&name, &channel));
        }
    }

    fn wait_for(
        &mut self,
        awaited: Awaited,
        deadline: Instant,
        limit: Duration,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<(), LabError> {
        let mut next_report = self.clock.now();
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(LabError::StartFailed(failure));
            }
            if self.interrupt.is_requested() {
                return Err(LabError::Interrupted);
            }
            let missing = self.missing(awaited);
            if missing.is_empty() {
                return Ok(());
            }
            let now = self.clock.now();
            if now >= deadline {
                return Err(LabError::NotReady {
                    seconds: limit.as_secs(),
                    missing: format!("{}{}", listed(&missing), self.details(awaited)),
                    help: self.help(awaited),
                });
            }
            if now >= next_report {
                next_report = now + PROGRESS_INTERVAL;
                self.report_progress(listed(&missing), watch);
            }
            self.receive_until(Some((now + LAG_SAMPLE_INTERVAL).min(deadline)));
        }
    }

    fn unready_drivers(&self) -> impl Iterator<Item = &Driver> {
        let drivers = self.drivers.iter().enumerate();
        drivers
            .filter(|(index, _)| !self.ready_drivers.contains(&DriverId(*index)))
            .map(|(_, driver)| driver)
    }

    fn unready_services(&self) -> impl Iterator<Item = InstanceId> {
        let instances = self.plan.topology().instances().iter();
        instances
            .map(|instance| instance.id)
            .filter(|id| !self.ready.contains(id))
    }

    fn missing(&self, awaited: Awaited) -> Vec<String> {
        match awaited {
            Awaited::Drivers => self
                .unready_drivers()
                .map(|driver| driver.setup().label())
                .collect(),
            Awaited::Services => self
                .unready_services()
                .map(|id| self.names(&[id]))
                .collect(),
            Awaited::Clients => {
                let clients = self.clients.all().iter().filter(|client| !client.is_up());
                clients
                    .map(|client| format!("{} ({})", client.name, client.kind.name()))
                    .collect()
            }
        }
    }

    /// Why it may not be ready.
    fn details(&self, awaited: Awaited) -> String {
        match awaited {
            Awaited::Drivers => {
                let output = self.unready_drivers().next().map(Driver::output);
                let output = output.unwrap_or_default();
                format!(": its first line must be {{\"event\": \"ready\"}}; {output}")
            }
            Awaited::Services => {
                let first = self.unready_services().next();
                let first = first.map(|id| (self.backend.unready(id), self.backend.output(id)));
                let (waiting, output) = first.unwrap_or_default();
                format!(": {waiting}; {output}")
            }
            Awaited::Clients => {
                let mut clients = self.clients.all().iter();
                let subscribes = clients.any(|it| !it.is_up() && it.kind.is_library());
                let and = if subscribes { " and subscribe" } else { "" };
                let message = match self.last_message.as_str() {
                    "" => String::new(),
                    message => format!("; {message}"),
                };
                let url = self.url_of_missing().unwrap_or_default();
                format!(" to connect{and}; their URL is {url:?}{message}")
            }
        }
    }

    /// The URL of the first client that is not connected.
    fn url_of_missing(&self) -> Option<String> {
        let mut clients = self.clients.all().iter();
        let missing = clients.find(|client| !client.is_up())?;
        let config = self.plan.topology().client(missing.id)?;
        Some(self.backend.url(&config.load, config.instance))
    }

    /// What the operator can do.
    fn help(&self, awaited: Awaited) -> String {
        let correct = match awaited {
            Awaited::Drivers => "the driver",
            Awaited::Services => "`ready` of the service",
            Awaited::Clients if self.url_of_missing().is_some_and(|url| url.is_empty()) => {
                let help = "Write `url` in the table of the service, for example url = \"ws://${self.address}:${self.port.client}\"";
                return help.to_owned();
            }
            Awaited::Clients => "`url` of the service or the clients",
        };
        format!("Correct {correct}, or increase `ready_timeout` in [run]")
    }
}

/// The first names, and how many follow.
fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_names_is_cut_short_and_counted() {
        let names: Vec<String> = (1..=6).map(|number| format!("chat-{number}")).collect();

        assert_eq!(listed(&names), "chat-1, chat-2, chat-3, chat-4 and 2 more");
        assert_eq!(listed(&names[..1]), "chat-1");
    }
}
