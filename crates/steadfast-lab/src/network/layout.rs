//! The addresses and devices of all links of a run.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use steadfast_faults::scenario::model::{Network, Scenario, Via};
use steadfast_faults::scenario::routes::Route;
use steadfast_faults::topology::{InstanceId, Topology};

use crate::error::LabError;

/// The most links of a run. Each has four devices, and takes some 10 ms to create.
const LINKS_MAX: usize = 256;

/// A link between the clients of a load, or the lab itself, and an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkPlace {
    /// Its number, from which addresses and devices follow.
    pub(crate) number: u8,
    /// The load; `None` for the link of the lab and of other instances, which has no faults.
    pub(crate) load: Option<String>,
    pub(crate) instance: InstanceId,
    /// The name in messages, for example `chat->gateway:1`.
    pub(crate) name: String,
}

impl LinkPlace {
    /// The address of the clients. 198.18.0.0/15 is reserved for tests of networks (RFC 2544).
    pub(crate) const fn client(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, 2)
    }

    /// The address of the router towards the clients.
    pub(super) const fn client_router(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, 1)
    }

    /// The address of the instance.
    pub(crate) const fn service(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 19, self.number, 2)
    }

    /// The address of the router towards the instance.
    pub(super) const fn service_router(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 19, self.number, 1)
    }

    /// The router's device towards the clients, whose queue is that of the direction to the clients.
    pub(crate) fn client_device(&self) -> String {
        format!("client{}", self.number)
    }

    /// The router's device towards the instance, whose queue is that of the direction to the service.
    pub(crate) fn service_device(&self) -> String {
        format!("service{}", self.number)
    }
}

/// All links of a run that lead into namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    links: Vec<LinkPlace>,
}

impl Layout {
    /// The links of all instances that need a namespace: their own, then one for each load that is routed through it.
    pub(crate) fn new(
        scenario: &Scenario,
        topology: &Topology,
        routes: &[Route],
    ) -> Result<Self, LabError> {
        let is_routed = |service: &str| {
            let mut routes = routes.iter();
            routes.any(|it| it.via == Via::Namespace && it.service == service)
        };
        let is_own = |service: &str| {
            let mut services = scenario.services().iter();
            services.any(|it| it.name == service && it.network == Network::Own)
        };
        let mut ends: Vec<(Option<String>, InstanceId, String)> = Vec::new();
        for instance in topology.instances() {
            let service = instance.service.as_str();
            if !is_routed(service) && !is_own(service) {
                continue;
            }
            ends.push((None, instance.id, instance.to_string()));
            let loads = routes.iter().filter(|it| it.via == Via::Namespace);
            for route in loads.filter(|it| it.service == service) {
                let name = format!("{}->{instance}", route.load);
                ends.push((Some(route.load.clone()), instance.id, name));
            }
        }
        if ends.len() > LINKS_MAX {
            let count = ends.len();
            return Err(LabError::Network(format!(
                "the run would have {count} links in network namespaces; at most {LINKS_MAX} are possible: reduce \
                 `replicas` or the number of loads"
            )));
        }
        let links = ends.into_iter().zip(0_u8..=u8::MAX);
        let links = links.map(|((load, instance, name), number)| LinkPlace {
            number,
            load,
            instance,
            name,
        });
        Ok(Self {
            links: links.collect(),
        })
    }

    pub(crate) fn links(&self) -> &[LinkPlace] {
        &self.links
    }

    /// The instances that are in namespaces of their own.
    pub(crate) fn instances(&self) -> BTreeSet<InstanceId> {
        self.links.iter().map(|link| link.instance).collect()
    }

    /// The link of a load to an instance.
    pub(crate) fn link(&self, load: &str, instance: InstanceId) -> Option<&LinkPlace> {
        let mut links = self.links.iter();
        links.find(|it| it.load.as_deref() == Some(load) && it.instance == instance)
    }

    /// The address at which the lab and other instances reach an instance.
    pub(crate) fn address(&self, instance: InstanceId) -> Option<Ipv4Addr> {
        let mut links = self.links.iter();
        let own = links.find(|it| it.load.is_none() && it.instance == instance)?;
        Some(own.service())
    }
}
