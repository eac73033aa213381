//! Links between this process and hosts in network namespaces of their own, each through a router, whose queues and routes
//! are the faults of the link.
//!
//! Neither end has the slow queue itself: the kernel does not send what a queue of its own drops, and so accepts several
//! times as much as it would with a link elsewhere. Nor has an end the route that drops packets: its kernel would return an
//! error.
//!
//! The calling program is started again within [`namespaces`] of its own.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::Result;

use crate::namespaces::{self, execute};

/// Where `ip netns` mounts the namespaces that it creates; a folder of this run's mount namespace.
const NAMESPACES: &str = "/run/netns";
/// The default of Linux, so that the result does not depend on the settings of the machine.
const CONGESTION_CONTROL: &str = "cubic";
/// The largest packet, which a link must be able to send at once.
const BURST_BYTES: u32 = 1_600;
/// The queue of a link, as of a modem: four seconds at 16 kbit/s, a quarter of one at 256. It drops some of the ten packets
/// with which a connection begins. With less, two packets in flight could be lost, and no sender could detect that soon;
/// with more, nothing would be dropped, which is the simpler case.
const QUEUE_BYTES: u32 = 8_000;

/// Prepares the namespaces of this process for links.
///
/// # Errors
///
/// When the process is not in namespaces of its own, or a command fails.
pub fn prepare() -> Result<()> {
    namespaces::prepare(&[NAMESPACES])
}

/// A host in a namespace of its own, with a link through a router to the namespace of this process.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    number: u8,
}

impl Link {
    /// Creates the namespace and the link, which is fast until [`Self::slow_down`].
    ///
    /// # Errors
    ///
    /// When a command fails.
    pub fn create(number: u8) -> Result<Self> {
        let link = Self { number };
        let (host, router, near) = (link.namespace(), link.router(), link.device());
        let (here, net) = (link.near_address(), format!("10.98.{number}"));
        for command in [
            format!("netns add {host}"),
            format!("netns add {router}"),
            format!("link add {near} type veth peer name near netns {router}"),
            format!("-netns {router} link add far type veth peer name eth0 netns {host}"),
            format!("address add {here}/24 dev {near}"),
            format!("link set {near} up"),
            format!("-netns {router} address add 10.99.{number}.2/24 dev near"),
            format!("-netns {router} address add {net}.1/24 dev far"),
            format!("-netns {router} link set near up"),
            format!("-netns {router} link set far up"),
            format!("-netns {host} address add {net}.2/24 dev eth0"),
            format!("-netns {host} link set lo up"),
            format!("-netns {host} link set eth0 up"),
            format!("-netns {host} route add default via {net}.1"),
            format!("route add {net}.0/24 via 10.99.{number}.2 congctl {CONGESTION_CONTROL}"),
        ] {
            execute("ip", &command)?;
        }
        let forward = format!("netns exec {router} sysctl -qw net.ipv4.ip_forward=1");
        execute("ip", &forward)?;
        Ok(link)
    }

    /// Limits both directions of the link to a rate.
    ///
    /// # Errors
    ///
    /// When a command fails.
    pub fn slow_down(self, kbit_per_second: u32) -> Result<()> {
        let limit =
            format!("root tbf rate {kbit_per_second}kbit burst {BURST_BYTES} limit {QUEUE_BYTES}");
        let router = self.router();
        for device in ["near", "far"] {
            let command = format!("-netns {router} qdisc add dev {device} {limit}");
            execute("tc", &command)?;
        }
        Ok(())
    }

    /// Drops all packets of both directions without an error at either end.
    ///
    /// # Errors
    ///
    /// When a command fails.
    pub fn black_hole(self) -> Result<()> {
        self.change_routes("add")
    }

    /// Ends [`Self::black_hole`].
    ///
    /// # Errors
    ///
    /// When a command fails.
    pub fn restore(self) -> Result<()> {
        self.change_routes("del")
    }

    fn change_routes(self, action: &str) -> Result<()> {
        let router = self.router();
        for address in [self.near_address(), self.far_address()] {
            let command = format!("-netns {router} route {action} blackhole {address}/32");
            execute("ip", &command)?;
        }
        Ok(())
    }

    /// The address of this process at this link.
    pub const fn near_address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, self.number, 1)
    }

    /// The address of the host.
    pub const fn far_address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 98, self.number, 2)
    }

    /// A command that runs a program on the host.
    pub fn command(self, program: &Command) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace()]);
        command.arg(program.get_program()).args(program.get_args());
        command
    }

    fn namespace(self) -> String {
        format!("host{}", self.number)
    }

    fn router(self) -> String {
        format!("router{}", self.number)
    }

    fn device(self) -> String {
        format!("link{}", self.number)
    }
}
