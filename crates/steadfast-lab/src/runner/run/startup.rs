//! The start of a run: starts the services, then connects and subscribes all clients.
//!
//! A process that exits fails the start at once, with its output; one that is not ready in time is named.

use std::time::Duration;

use steadfast_faults::topology::{ClientKind, InstanceId};
use steadfast_machine::Instant;

use super::{LAG_SAMPLE_INTERVAL, PROGRESS_INTERVAL, Run};
use crate::driver;
use crate::error::LabError;
use crate::progress::Progress;

/// Names that are listed before the others are only counted.
const NAMES_SHOWN: usize = 4;

/// What the start waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The readiness probe of every service succeeds.
    Services,
    /// Every client is connected and subscribed.
    Clients,
}

/// The name, the channel, the kind and the URL of a client.
type Participant = (String, String, ClientKind, String);

impl Run<'_> {
    /// Starts the services, then connects and subscribes all clients.
    pub(super) fn start_participants(
        &mut self,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<(), LabError> {
        let limit = self.scenario.run().ready_timeout;
        let deadline = self.clock.now() + limit;
        self.backend.start();
        self.wait_for(Awaited::Services, deadline, limit, watch)?;
        self.connect_clients();
        self.wait_for(Awaited::Clients, deadline, limit, watch)
    }

    fn connect_clients(&mut self) {
        let participants: Vec<Participant> = self
            .plan
            .topology()
            .clients()
            .iter()
            .zip(self.clients.all())
            .map(|(config, client)| {
                let url = self.backend.url(&config.load, config.instance);
                (
                    client.name.clone(),
                    client.channel.clone(),
                    client.kind,
                    url,
                )
            })
            .collect();
        for (name, channel, kind, url) in participants {
            self.send_to_driver(kind, driver::open(&name, &url));
            self.send_to_driver(kind, driver::subscribe(&name, &channel));
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
            let missing = self.missing(awaited);
            if missing.is_empty() {
                return Ok(());
            }
            let now = self.clock.now();
            if now >= deadline {
                return Err(LabError::NotReady {
                    seconds: limit.as_secs(),
                    missing: format!("{}{}", listed(&missing), self.details(awaited)),
                });
            }
            if now >= next_report {
                next_report = now + PROGRESS_INTERVAL;
                self.report_progress(listed(&missing), watch);
            }
            self.receive_until(Some((now + LAG_SAMPLE_INTERVAL).min(deadline)));
        }
    }

    fn unready_services(&self) -> impl Iterator<Item = InstanceId> {
        let instances = self.plan.topology().instances().iter();
        instances
            .map(|instance| instance.id)
            .filter(|id| !self.ready.contains(id))
    }

    fn missing(&self, awaited: Awaited) -> Vec<String> {
        match awaited {
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
            Awaited::Services => {
                let first = self.unready_services().next();
                let first = first.map(|id| (self.backend.unready(id), self.backend.output(id)));
                let (waiting, output) = first.unwrap_or_default();
                format!(": {waiting}; {output}")
            }
            Awaited::Clients if self.last_message.is_empty() => {
                " to connect and subscribe".to_owned()
            }
            Awaited::Clients => format!(" to connect and subscribe; {}", self.last_message),
        }
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
