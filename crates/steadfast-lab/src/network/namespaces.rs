//! Creates the namespaces of a layout, and runs programs in them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use steadfast_faults::topology::InstanceId;

use super::command;
use super::holder::Holder;
use super::layout::{Layout, LinkPlace};
use crate::error::LabError;
use crate::heal;

/// All addresses of links. The router discards what it has no device for, so that a link without a carrier is silent.
const ALL_LINKS: &str = "198.18.0.0/15";

/// The namespaces of a run. The clients are in that of this process.
#[derive(Debug)]
pub(crate) struct Namespaces {
    layout: Layout,
    router: Holder,
    instances: BTreeMap<InstanceId, Holder>,
}

impl Namespaces {
    /// Creates all namespaces and links. This process must be in a network namespace of its own.
    pub(crate) fn create(layout: Layout) -> Result<Self, LabError> {
        let failed = |reason: String| {
            LabError::Network(format!("failed to create network namespaces: {reason}"))
        };
        let router = Holder::create().map_err(failed)?;
        let mut instances = BTreeMap::new();
        for instance in layout.instances() {
            instances.insert(instance, Holder::create().map_err(failed)?);
        }
        let namespaces = Self {
            layout,
            router,
            instances,
        };
        namespaces.connect().map_err(failed)?;
        Ok(namespaces)
    }

    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The numbers of all namespaces, which identify them on the machine.
    pub(crate) fn inodes(&self) -> Vec<u64> {
        let all = self.instances.values().chain([&self.router]);
        all.filter_map(|holder| heal::inode(&holder.path()))
            .collect()
    }

    /// Runs a program in the namespace of an instance, and returns its output.
    pub(crate) fn in_instance(
        &self,
        instance: InstanceId,
        words: &[&str],
        input: &str,
    ) -> Result<String, String> {
        let holder = self.instances.get(&instance);
        let holder = holder.ok_or_else(|| "the instance has no namespace".to_owned())?;
        holder.run(words, input)
    }

    /// Runs a program in the namespace of the router, and returns its output.
    pub(crate) fn in_router(&self, words: &[&str]) -> Result<String, String> {
        self.router.run(words, "")
    }

    /// The words before a command that is to run in the namespace of an instance; none if it has no namespace.
    pub(crate) fn enter(&self, instance: InstanceId) -> Vec<String> {
        let holder = self.instances.get(&instance);
        holder.map(Holder::enter).map_or_else(Vec::new, Vec::from)
    }

    /// One call of `ip` for each namespace, because a call for each device would take seconds.
    fn connect(&self) -> Result<(), String> {
        let mut here = "link set lo up\n".to_owned();
        let mut router = format!("link set lo up\nroute add blackhole {ALL_LINKS}\n");
        for link in self.layout.links() {
            self.write_client_end(link, &mut here, &mut router);
        }
        command::run(&["ip", "-batch", "-"], &here)?;
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        self.router.run(&["sh", "-c", forward], "")?;
        self.router.run(&["ip", "-batch", "-"], &router)?;
        for (instance, holder) in &self.instances {
            let links = self.layout.links().iter();
            let links: Vec<&LinkPlace> = links.filter(|it| it.instance == *instance).collect();
            holder.run(&["ip", "-batch", "-"], &service_ends(&links))?;
        }
        Ok(())
    }

    fn write_client_end(&self, link: &LinkPlace, here: &mut String, router: &mut String) {
        let LinkPlace {
            number, instance, ..
        } = link;
        let (client, service) = (link.client_device(), link.service_device());
        let host = self.instances.get(instance).map_or(0, Holder::id);
        let routed = link.service();
        let via = link.client_router();
        // Writing to a string cannot fail.
        let _ = write!(
            here,
            "link add link{number} type veth peer name {client} netns {}\n\
             addr add {}/30 dev link{number}\nlink set link{number} up\n\
             route add {routed}/32 via {via}\n",
            self.router.id(),
            link.client(),
        );
        let _ = write!(
            router,
            "addr add {via}/30 dev {client}\nlink set {client} up\n\
             link add {service} type veth peer name link{number} netns {host}\n\
             addr add {}/30 dev {service}\nlink set {service} up\n",
            link.service_router(),
        );
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // The kernel removes devices some time after their namespace, and the next run needs the same names.
        let links = self.layout.links().iter();
        let removed: Vec<String> = links
            .map(|it| format!("link del link{}\n", it.number))
            .collect();
        drop(command::run(
            &["ip", "-force", "-batch", "-"],
            &removed.concat(),
        ));
    }
}

/// The first link is that of the instance itself, over which it reaches other instances.
fn service_ends(links: &[&LinkPlace]) -> String {
    let mut text = "link set lo up\n".to_owned();
    for link in links {
        let (number, router) = (link.number, link.service_router());
        let _ = write!(
            text,
            "addr add {}/30 dev link{number}\nlink set link{number} up\n",
            link.service()
        );
        let to = match link.load {
            Some(_) => format!("{}/32", link.client()),
            None => "default".to_owned(),
        };
        let _ = writeln!(text, "route add {to} via {router}");
    }
    text
}
