//! Links through proxies of the lab as a backend: one proxy for each load and instance.
//!
//! The proxies run in this process, on a thread of their own. A fault of a link becomes toxics, whose victims depend on the
//! seed and the names alone. It counts when the proxy affected an open connection of each link; a heal counts when a probe
//! passes again.

mod probe;
#[cfg(test)]
mod tests;
mod toxics;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_faults::counted::counted_len;
use steadfast_faults::ledger::event::FaultEvent;
use steadfast_faults::scenario::model::LinkFault;
use steadfast_faults::scenario::plan::PlannedFault;
use steadfast_faults::topology::{FaultId, InstanceId};
use steadfast_proxy::{BlockingProxy, CloseMode, Proxy, Traffic};

use super::command_thread::CommandThread;
use crate::error::LabError;
use crate::runner::fault_parts::FaultPart;
use crate::runner::inbox::{HarnessMessage, MessagePayload};

/// Interval at which the counters of faults in effect are read.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A load and an instance.
type Link = (String, InstanceId);

/// A link that leads through a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxiedLink {
    pub(crate) load: String,
    pub(crate) instance: InstanceId,
    /// The name in messages and in draws, for example `chat->gateway:1`.
    pub(crate) name: String,
    /// The address of the instance.
    pub(crate) upstream: String,
}

#[derive(Clone, Debug)]
enum ProxyCommand {
    /// Injects a fault of this step into these links.
    Inject(FaultId, String, Box<LinkFault>, Vec<Link>),
    /// Reports that a fault misses this number of its targets, to which no link leads.
    Miss(FaultId, usize),
    Heal(FaultId),
}

/// Handle of the thread.
#[derive(Debug)]
pub(crate) struct ProxyBackend {
    addresses: BTreeMap<Link, SocketAddr>,
    thread: CommandThread<ProxyCommand>,
}

impl ProxyBackend {
    /// Starts the proxies and the thread. All ports are bound when it returns.
    pub(crate) fn start(
        links: &[ProxiedLink],
        seed: u64,
        clock: Clock,
        inbox: SyncSender<HarnessMessage>,
    ) -> Result<Self, LabError> {
        let mut proxies = BTreeMap::new();
        for link in links {
            let builder = Proxy::to(&link.upstream).name(&link.name).seed(seed);
            let proxy = builder.start_blocking().map_err(|error| {
                LabError::Network(format!(
                    "failed to start the proxy of {}: {error}",
                    link.name
                ))
            })?;
            proxies.insert((link.load.clone(), link.instance), proxy);
        }
        let addresses = proxies.iter();
        let addresses = addresses.map(|(link, proxy)| (link.clone(), proxy.local_addr()));
        let addresses = addresses.collect();
        let worker = Worker {
            proxies,
            clock,
            inbox,
            active: BTreeMap::new(),
        };
        let thread = CommandThread::start("proxies", move |commands| worker.run(commands))?;
        Ok(Self { addresses, thread })
    }

    /// The address at which a load reaches an instance.
    pub(crate) fn address(&self, load: &str, instance: InstanceId) -> Option<SocketAddr> {
        self.addresses.get(&(load.to_owned(), instance)).copied()
    }

    /// Injects a fault into the links of these loads to its targets.
    pub(crate) fn inject(&self, fault: &PlannedFault, action: &LinkFault, loads: &[&str]) {
        let ends = loads.iter().flat_map(|load| {
            fault
                .targets
                .iter()
                .map(|target| ((*load).to_owned(), *target))
        });
        let links: Vec<Link> = ends
            .filter(|link| self.addresses.contains_key(link))
            .collect();
        let is_missed = |target: &&InstanceId| links.iter().all(|(_, end)| end != *target);
        let missed = fault.targets.iter().filter(is_missed).count();
        self.thread.send(ProxyCommand::Inject(
            fault.id,
            format!("{}-{}", fault.step, fault.occurrence),
            Box::new(action.clone()),
            links,
        ));
        // A way that reaches a target for another load does its part.
        if missed > 0 && loads.len() == fault.loads.len() {
            self.thread.send(ProxyCommand::Miss(fault.id, missed));
        }
    }

    /// Heals a fault in all links.
    pub(crate) fn heal(&self, fault: FaultId) {
        self.thread.send(ProxyCommand::Heal(fault));
    }
}

/// A fault in effect.
#[derive(Debug)]
struct ActiveFault {
    action: LinkFault,
    /// Each link with the counters from before the fault.
    links: Vec<(Link, Traffic, Traffic)>,
    /// The names of its toxics.
    toxics: Vec<String>,
    is_confirmed: bool,
}

/// The state of the thread.
#[derive(Debug)]
struct Worker {
    proxies: BTreeMap<Link, BlockingProxy>,
    clock: Clock,
    inbox: SyncSender<HarnessMessage>,
    active: BTreeMap<FaultId, ActiveFault>,
}

impl Worker {
    fn run(mut self, commands: &Receiver<ProxyCommand>) {
        loop {
            match commands.recv_timeout(POLL_INTERVAL) {
                Ok(ProxyCommand::Inject(id, name, action, links)) => {
                    self.inject(id, &name, *action, links);
                }
                Ok(ProxyCommand::Miss(id, missed)) => {
                    let targets = counted_len(missed, "target", "targets");
                    let reason = format!("{targets} without a client of its loads");
                    self.send(id, FaultEvent::Ineffective(reason));
                }
                Ok(ProxyCommand::Heal(id)) => self.heal(id),
                Err(RecvTimeoutError::Timeout) => self.poll(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn inject(&mut self, id: FaultId, name: &str, action: LinkFault, links: Vec<Link>) {
        // A link that is broken already would make the fault look effective.
        let broken = links.iter().find_map(|link| self.probe(link).err());
        if let Some(reason) = broken {
            let reason = format!("before the fault {reason}");
            return self.send(id, FaultEvent::Ineffective(reason));
        }
        self.send(id, FaultEvent::Injected);
        if action.is_instantaneous() {
            let event = match self.reset(&links) {
                Ok(evidence) => FaultEvent::Confirmed(evidence),
                Err(reason) => FaultEvent::Ineffective(reason),
            };
            self.send(id, event);
            return self.send(id, FaultEvent::Healed);
        }
        let toxics = toxics::of(&action, name);
        let mut affected = Vec::new();
        for link in links {
            let Some(proxy) = self.proxies.get(&link) else {
                continue;
            };
            let counters = proxy.counters();
            for toxic in &toxics {
                if let Err(error) = proxy.add_toxic(toxic.clone()) {
                    self.send(id, FaultEvent::Ineffective(error.to_string()));
                }
            }
            affected.push((link, counters.to_server, counters.to_client));
        }
        self.active.insert(
            id,
            ActiveFault {
                action,
                links: affected,
                toxics: toxics.into_iter().map(|toxic| toxic.name).collect(),
                is_confirmed: false,
            },
        );
        self.poll();
    }

    /// Resets all open connections of these links; each link must have one.
    fn reset(&self, links: &[Link]) -> Result<String, String> {
        let mut reset = 0;
        let mut without = Vec::new();
        for proxy in links.iter().filter_map(|link| self.proxies.get(link)) {
            let connections = proxy.connections().into_iter();
            let closed =
                connections.filter(|it| proxy.close_connection(it.id, CloseMode::Rst).is_ok());
            match closed.count() {
                0 => without.push(proxy.name()),
                count => reset += count,
            }
        }
        if reset == 0 || !without.is_empty() {
            return Err(format!("no connection is open over {}", without.join(", ")));
        }
        let connections = counted_len(reset, "connection", "connections");
        Ok(format!("reset {connections}"))
    }

    fn heal(&mut self, id: FaultId) {
        self.poll();
        let Some(fault) = self.active.remove(&id) else {
            return;
        };
        let evidence = self.evidence(&fault).filter(|_| fault.is_confirmed);
        if let Some(evidence) = evidence {
            self.send(id, FaultEvent::Confirmed(evidence));
        }
        for (link, ..) in &fault.links {
            let Some(proxy) = self.proxies.get(link) else {
                continue;
            };
            for toxic in &fault.toxics {
                // A fault that was never confirmed does not count anyway.
                if let Err(error) = proxy.remove_toxic(toxic)
                    && fault.is_confirmed
                {
                    self.send(
                        id,
                        FaultEvent::Ineffective(format!("before its heal {error}")),
                    );
                }
            }
        }
        let mut broken = fault.links.iter();
        let broken = broken.find_map(|(link, ..)| self.probe(link).err());
        match broken {
            Some(reason) => self.report_failure(format!("after the heal {reason}")),
            None => self.send(id, FaultEvent::Healed),
        }
    }

    /// Confirms the faults that have affected connections.
    fn poll(&mut self) {
        let waiting = self.active.iter().filter(|(_, fault)| !fault.is_confirmed);
        let confirmed: Vec<(FaultId, String)> = waiting
            .filter_map(|(id, fault)| Some((*id, self.evidence(fault)?)))
            .collect();
        for (id, evidence) in confirmed {
            if let Some(fault) = self.active.get_mut(&id) {
                fault.is_confirmed = true;
            }
            self.send(id, FaultEvent::Confirmed(evidence));
        }
    }

    /// What shows that a fault has an effect on each of its links; `None` if nothing does yet.
    fn evidence(&self, fault: &ActiveFault) -> Option<String> {
        if fault.links.is_empty() {
            return None;
        }
        let mut total = toxics::Effect::default();
        for (link, to_server, to_client) in &fault.links {
            let proxy = self.proxies.get(link)?;
            let effect = toxics::effect(proxy, &fault.toxics, *to_server, *to_client);
            if !effect.is_visible(&fault.action) {
                return None;
            }
            total.add(effect);
        }
        Some(total.describe(&fault.action))
    }

    fn send(&self, fault: FaultId, event: FaultEvent) {
        self.message(MessagePayload::Fault(fault, FaultPart::Proxies, event));
    }

    fn report_failure(&self, what: String) {
        self.message(MessagePayload::Failure(what));
    }

    fn message(&self, payload: MessagePayload) {
        let at = self.clock.now();
        // The inbox is closed once the run has ended.
        drop(self.inbox.send(HarnessMessage { at, payload }));
    }
}
