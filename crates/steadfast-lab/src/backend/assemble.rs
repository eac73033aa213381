//! Creates the backends of a run from its routes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use steadfast_clock::Clock;
use steadfast_faults::scenario::model::{Scenario, Via};
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::topology::InstanceId;

use super::Backend;
use super::composite::{CompositeBackend, ways};
use super::network::NetworkBackend;
use super::placebo::PlaceboBackend;
use super::processes::{Folders, ProcessBackend};
use super::proxies::{ProxiedLink, ProxyBackend};
use crate::address::authority_of;
use crate::error::LabError;
use crate::network::{Layout, Namespaces};
use crate::runner::inbox::HarnessMessage;
use crate::runner::{FaultsMode, RunSetup};
use crate::service::Launch;

/// Creates the namespaces and the proxies that the routes need, and the threads of all services.
pub(crate) fn assemble(
    scenario: &Scenario,
    plan: &Plan,
    setup: &RunSetup,
    folders: Folders<'_>,
    clock: Clock,
    inbox: &SyncSender<HarnessMessage>,
) -> Result<Box<dyn Backend>, LabError> {
    let launch = Launch {
        gateway: &setup.gateway,
        launcher: setup.launcher.as_deref(),
        search: &setup.search,
    };
    let topology = plan.topology();
    let layout = Layout::new(scenario, topology, &setup.routes)?;
    let namespaces = if layout.links().is_empty() {
        None
    } else {
        Some(Arc::new(Namespaces::create(layout.clone())?))
    };
    if let (Some(namespaces), Some(journal)) = (&namespaces, &setup.journal) {
        journal.record_namespaces(&namespaces.inodes())?;
    }
    let processes = ProcessBackend::new(
        scenario,
        topology,
        launch,
        folders,
        namespaces.as_deref(),
        clock,
        inbox,
    )?;
    let network = namespaces.map(|namespaces| {
        let ports = processes.client_ports();
        NetworkBackend::start(namespaces, ports, plan, clock, inbox.clone())
    });
    let links = proxied(plan, setup, &processes);
    let proxies = if links.is_empty() {
        None
    } else {
        Some(ProxyBackend::start(
            &links,
            plan.seed(),
            clock,
            inbox.clone(),
        )?)
    };
    let backend = Box::new(CompositeBackend {
        network: network.transpose()?,
        proxies,
        processes,
        layout,
        routes: ways(&setup.routes),
    });
    Ok(match setup.faults {
        FaultsMode::Real => backend,
        FaultsMode::Placebo => Box::new(PlaceboBackend::new(backend)),
    })
}

/// The links that lead through proxies: one for each load and each instance that has clients of the load.
fn proxied(plan: &Plan, setup: &RunSetup, processes: &ProcessBackend) -> Vec<ProxiedLink> {
    let ways = ways(&setup.routes);
    let clients = plan.topology().clients().iter();
    let clients = clients.filter(|it| ways.get(&it.load) == Some(&Via::Proxy));
    let ends: BTreeSet<(&str, InstanceId)> = clients
        .map(|client| (client.load.as_str(), client.instance))
        .collect();
    let links = ends.into_iter().filter_map(|(load, id)| {
        let instance = plan.topology().instance(id)?;
        Some(ProxiedLink {
            load: load.to_owned(),
            instance: id,
            name: format!("{load}->{instance}"),
            upstream: authority_of(&processes.url(load, id))?,
        })
    });
    links.collect()
}
