//! Where the instances of a run are: their addresses, ports and directories, and the texts that name them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use steadfast_faults::scenario::model::{DataDirectory, Port, Scenario, Service};
use steadfast_faults::scenario::template::{Field, Owner, Placeholder, Template};
use steadfast_faults::topology::{InstanceId, Topology};
use steadfast_machine::convert;

use super::ports;
use crate::error::LabError;
use crate::network::Namespaces;

/// Name of the data directory in the directory of an instance.
const DATA: &str = "data";

/// The place of every instance, by id.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    all: Vec<Place>,
}

#[derive(Clone, Debug)]
struct Place {
    service: String,
    number: u32,
    address: IpAddr,
    /// The address to listen on: clients may use other addresses of an instance with a network of its own.
    listen: IpAddr,
    /// The words before its command that let it run in its network namespace.
    enter: Vec<String>,
    ports: BTreeMap<String, u16>,
    folder: PathBuf,
    data: PathBuf,
}

impl Places {
    /// Chooses the ports. `kept` is the parent of data directories that outlast the run; an instance with a network
    /// namespace gets its address there.
    pub(crate) fn assign(
        scenario: &Scenario,
        topology: &Topology,
        folder: &Path,
        kept: &Path,
        namespaces: Option<&Namespaces>,
    ) -> Result<Self, LabError> {
        let mut taken = Vec::new();
        let mut all = Vec::new();
        for instance in topology.instances() {
            let mut services = scenario.services().iter();
            let service = services
                .find(|it| it.name == instance.service)
                .ok_or_else(|| LabError::StartFailed(format!("{instance} has no service")))?;
            let own = namespaces.and_then(|it| it.layout().address(instance.id));
            let name = folder_name(&instance.service, instance.number);
            let folder = folder.join(&name);
            all.push(Place {
                service: instance.service.clone(),
                number: instance.number,
                address: own.unwrap_or(Ipv4Addr::LOCALHOST).into(),
                listen: own
                    .map_or(Ipv4Addr::LOCALHOST, |_| Ipv4Addr::UNSPECIFIED)
                    .into(),
                enter: namespaces.map_or_else(Vec::new, |it| it.enter(instance.id)),
                ports: assign_ports(service, instance.number, &mut taken)?,
                data: match service.data {
                    DataDirectory::Fresh => folder.join(DATA),
                    DataDirectory::Keep => kept.join(&name),
                },
                folder,
            });
        }
        Ok(Self { all })
    }

    /// The directory of an instance.
    pub(super) fn folder(&self, id: InstanceId) -> PathBuf {
        self.place(id)
            .map(|it| it.folder.clone())
            .unwrap_or_default()
    }

    /// The words before the command of an instance that let it run in its network namespace; none without one.
    pub(super) fn enter(&self, id: InstanceId) -> Vec<String> {
        self.place(id)
            .map(|it| it.enter.clone())
            .unwrap_or_default()
    }

    /// The data directory of an instance.
    pub(super) fn data(&self, id: InstanceId) -> PathBuf {
        self.place(id).map(|it| it.data.clone()).unwrap_or_default()
    }

    /// The socket address of a port, of which a valid scenario has only existing names.
    pub(super) fn socket_address(&self, id: InstanceId, port: &str) -> SocketAddr {
        let place = self.place(id);
        let address = place.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |it| it.address);
        let port = place.and_then(|it| it.ports.get(port)).copied();
        SocketAddr::from((address, port.unwrap_or_default()))
    }

    /// A text of an instance with the values of its placeholders.
    pub(super) fn text(&self, this: InstanceId, template: &Template) -> Result<String, LabError> {
        let resolved = template.resolve(|place| self.value(this, place));
        resolved.ok_or_else(|| LabError::StartFailed(format!("`{template}` has no value")))
    }

    /// The same for several texts.
    pub(super) fn texts(
        &self,
        this: InstanceId,
        templates: &[Template],
    ) -> Result<Vec<String>, LabError> {
        templates.iter().map(|it| self.text(this, it)).collect()
    }

    fn place(&self, id: InstanceId) -> Option<&Place> {
        self.all.get(convert::to_usize(id.0))
    }

    fn value(&self, this: InstanceId, placeholder: &Placeholder) -> Option<String> {
        let owner = match &placeholder.owner {
            Owner::This => self.place(this)?,
            Owner::Instance { service, number } => {
                let mut all = self.all.iter();
                all.find(|it| it.service == *service && it.number == *number)?
            }
        };
        match &placeholder.field {
            Field::Address => Some(owner.address.to_string()),
            Field::Data => Some(owner.data.display().to_string()),
            Field::Folder => Some(owner.folder.display().to_string()),
            Field::Listen => Some(owner.listen.to_string()),
            Field::Name => Some(folder_name(&owner.service, owner.number)),
            Field::Number => Some(owner.number.to_string()),
            Field::Port(name) => owner.ports.get(name).map(u16::to_string),
            Field::Endpoints(name) => {
                let all = self.all.iter().filter(|it| it.service == owner.service);
                let endpoints: Option<Vec<String>> = all
                    .map(|it| {
                        Some(SocketAddr::from((it.address, *it.ports.get(name)?)).to_string())
                    })
                    .collect();
                Some(endpoints?.join(","))
            }
        }
    }
}

/// The name of an instance without a colon.
fn folder_name(service: &str, number: u32) -> String {
    format!("{service}-{number}")
}

fn assign_ports(
    service: &Service,
    number: u32,
    taken: &mut Vec<u16>,
) -> Result<BTreeMap<String, u16>, LabError> {
    let mut assigned = BTreeMap::new();
    for (name, port) in &service.ports {
        let port = match *port {
            Port::Auto => ports::free_port(taken)?,
            Port::Number(first) => fixed(service, name, first, number, taken)?,
        };
        taken.push(port);
        assigned.insert(name.clone(), port);
    }
    Ok(assigned)
}

fn fixed(
    service: &Service,
    name: &str,
    first: u16,
    number: u32,
    taken: &[u16],
) -> Result<u16, LabError> {
    let offset = convert::saturating(number.saturating_sub(1));
    let port = first.saturating_add(offset);
    if !taken.contains(&port) && ports::is_free(Ipv4Addr::LOCALHOST.into(), port) {
        return Ok(port);
    }
    Err(LabError::PortInUse {
        port,
        instance: format!("{}:{number}", service.name),
        name: name.to_owned(),
    })
}
