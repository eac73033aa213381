//! Network namespaces with slow links: one for the gateway and its publisher, and for each client one of its own and one
//! of a router, whose two queues are the slow link.
//!
//! Neither end has the slow queue itself: the kernel does not send what a queue of its own drops, and so accepts several
//! times as much as it would with a link elsewhere.
//!
//! The calling program is started again within [`namespaces`] of its own.

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

/// A client's namespace, with a link through a router to the namespace of the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    number: u8,
    kbit_per_second: u32,
}

impl Link {
    /// Creates the namespace and the link, which is fast until [`Self::slow_down`].
    ///
    /// # Errors
    ///
    /// When a command fails.
    pub fn create(number: u8, kbit_per_second: u32) -> Result<Self> {
        let link = Self {
            number,
            kbit_per_second,
        };
        let (client, router, near) = (link.namespace(), link.router(), link.device());
        let (gateway, net) = (link.gateway_address(), format!("10.98.{number}"));
        for command in [
            format!("netns add {client}"),
            format!("netns add {router}"),
            format!("link add {near} type veth peer name near netns {router}"),
            format!("-netns {router} link add far type veth peer name eth0 netns {client}"),
            format!("address add {gateway}/24 dev {near}"),
            format!("link set {near} up"),
            format!("-netns {router} address add 10.99.{number}.2/24 dev near"),
            format!("-netns {router} address add {net}.1/24 dev far"),
            format!("-netns {router} link set near up"),
            format!("-netns {router} link set far up"),
            format!("-netns {client} address add {net}.2/24 dev eth0"),
            format!("-netns {client} link set eth0 up"),
            format!("-netns {client} route add default via {net}.1"),
            format!("route add {net}.0/24 via 10.99.{number}.2 congctl {CONGESTION_CONTROL}"),
        ] {
            execute("ip", &command)?;
        }
        let forward = format!("netns exec {router} sysctl -qw net.ipv4.ip_forward=1");
        execute("ip", &forward)?;
        Ok(link)
    }

    /// Limits both directions of the link to its rate.
    ///
    /// # Errors
    ///
    /// When a command fails.
    pub fn slow_down(self) -> Result<()> {
        let rate = self.kbit_per_second;
        let limit = format!("root tbf rate {rate}kbit burst {BURST_BYTES} limit {QUEUE_BYTES}");
        let router = self.router();
        for device in ["near", "far"] {
            let command = format!("-netns {router} qdisc add dev {device} {limit}");
            execute("tc", &command)?;
        }
        Ok(())
    }

    /// The address of the gateway at this link.
    pub fn gateway_address(self) -> String {
        format!("10.99.{}.1", self.number)
    }

    /// A command that runs a program in the client's namespace.
    pub fn command(self, program: &Command) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace()]);
        command.arg(program.get_program()).args(program.get_args());
        command
    }

    fn namespace(self) -> String {
        format!("client{}", self.number)
    }

    fn router(self) -> String {
        format!("router{}", self.number)
    }

    fn device(self) -> String {
        format!("link{}", self.number)
    }
}
