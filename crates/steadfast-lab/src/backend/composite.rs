//! All backends of a run: each fault goes to the one that injects its kind.

use std::collections::BTreeMap;
use std::path::PathBuf;

use steadfast_faults::ledger::event::FaultEvent;
use steadfast_faults::scenario::model::Via;
use steadfast_faults::scenario::plan::PlannedFault;
use steadfast_faults::scenario::role::RoleSelection;
use steadfast_faults::scenario::routes::Route;
use steadfast_faults::topology::InstanceId;

use super::Backend;
use super::network::NetworkBackend;
use super::processes::ProcessBackend;
use super::proxies::ProxyBackend;
use crate::address::{port_of, with_authority};
use crate::network::Layout;
use crate::runner::fault_parts::FaultPart;

/// The processes, and the links to them.
#[derive(Debug)]
pub(crate) struct CompositeBackend {
    /// Ends before the processes, so that its last packets reach them.
    pub(crate) network: Option<NetworkBackend>,
    pub(crate) proxies: Option<ProxyBackend>,
    pub(crate) processes: ProcessBackend,
    pub(crate) layout: Layout,
    /// How each load reaches its service.
    pub(crate) routes: BTreeMap<String, Via>,
}

impl CompositeBackend {
    /// The loads of a fault that are routed in this way.
    fn loads<'a>(&self, fault: &'a PlannedFault, via: Via) -> Vec<&'a str> {
        let loads = fault.loads.iter().map(String::as_str);
        loads
            .filter(|load| self.routes.get(*load) == Some(&via))
            .collect()
    }
}

/// The way of each load.
pub(crate) fn ways(routes: &[Route]) -> BTreeMap<String, Via> {
    let ways = routes.iter().map(|it| (it.load.clone(), it.via));
    ways.collect()
}

impl Backend for CompositeBackend {
    fn start(&self) {
        self.processes.start();
    }

    fn output(&self, instance: InstanceId) -> String {
        self.processes.output(instance)
    }

    fn unready(&self, instance: InstanceId) -> String {
        self.processes.unready(instance)
    }

    fn url(&self, load: &str, instance: InstanceId) -> String {
        let direct = self.processes.url(load, instance);
        match self.routes.get(load) {
            Some(Via::Namespace) => {
                let link = self.layout.link(load, instance);
                let address = link.zip(port_of(&direct));
                let address = address.map(|(link, port)| format!("{}:{port}", link.service()));
                match address {
                    Some(address) => with_authority(&direct, &address),
                    None => direct,
                }
            }
            Some(Via::Proxy) => {
                let proxies = self.proxies.as_ref();
                let address = proxies.and_then(|it| it.address(load, instance));
                match address {
                    Some(address) => with_authority(&direct, &address.to_string()),
                    None => direct,
                }
            }
            Some(Via::Direct) | None => direct,
        }
    }

    fn resolve(&self, fault: &PlannedFault, selection: RoleSelection) {
        self.processes.resolve(fault, selection);
    }

    fn connections(&self) -> Vec<(InstanceId, u32)> {
        self.processes.connections()
    }

    fn effects(&self, instance: InstanceId) -> Option<PathBuf> {
        self.processes.effects(instance)
    }

    fn parts(&self, fault: &PlannedFault) -> Vec<FaultPart> {
        if fault.action.link_fault().is_none() {
            return self.processes.parts(fault);
        }
        let ways = [
            (FaultPart::Network, Via::Namespace, self.network.is_some()),
            (FaultPart::Proxies, Via::Proxy, self.proxies.is_some()),
        ];
        let ways = ways.into_iter().filter(|(_, via, is_used)| {
            // A way without a load of this fault injects nothing.
            *is_used && !self.loads(fault, *via).is_empty()
        });
        ways.map(|(part, ..)| part).collect()
    }

    fn inject(&self, fault: &PlannedFault) -> Option<FaultEvent> {
        let Some(action) = fault.action.link_fault() else {
            return self.processes.inject(fault);
        };
        if let Some(network) = &self.network {
            let loads = self.loads(fault, Via::Namespace);
            if !loads.is_empty() {
                network.inject(fault, action, &loads);
            }
        }
        if let Some(proxies) = &self.proxies {
            let loads = self.loads(fault, Via::Proxy);
            if !loads.is_empty() {
                proxies.inject(fault, action, &loads);
            }
        }
        None
    }

    fn heal(&self, fault: &PlannedFault) -> Option<FaultEvent> {
        if fault.action.link_fault().is_none() {
            return self.processes.heal(fault);
        }
        if let Some(network) = &self.network {
            network.heal(fault.id);
        }
        if let Some(proxies) = &self.proxies {
            proxies.heal(fault.id);
        }
        None
    }

    fn stop(&self) {
        self.processes.stop();
    }

    fn has_stopped(&self) -> bool {
        self.processes.has_stopped()
    }

    fn kill_remaining(&self) -> Option<String> {
        self.processes.kill_remaining()
    }
}
