//! Network namespaces with slow links: one for the gateway and its publisher, and one for each client.
//!
//! The calling program is started again within namespaces of its own, which end with it: whatever happens to it, nothing
//! of its links remains.

use std::path::Path;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, ensure};

/// Where `ip netns` mounts the namespaces that it creates; a folder of this run's mount namespace.
const NAMESPACES: &str = "/run/netns";
/// The largest packet, which a link must be able to send at once.
const BURST_BYTES: u32 = 1_600;
/// The queue of a link, as of a modem: four seconds at 16 kbit/s.
const QUEUE_BYTES: u32 = 8_000;

/// Why namespaces cannot be created here, or `None` if they can be.
pub fn unavailable() -> Option<String> {
    for (program, arguments) in [
        ("unshare", &["--net", "--mount", "true"][..]),
        ("ip", &["-Version"]),
        ("tc", &["-Version"]),
    ] {
        match Command::new(program).args(arguments).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Some(format!("{program} failed: {text}"));
            }
            Err(error) => return Some(format!("{program} cannot be started: {error}")),
        }
    }
    None
}

/// Starts a program in network and mount namespaces of its own, and waits for its end.
///
/// # Errors
///
/// When `unshare` cannot be started.
pub fn run_inside(program: &Path, arguments: &[String]) -> Result<ExitStatus> {
    Command::new("unshare")
        .args(["--net", "--mount"])
        .arg(program)
        .args(arguments)
        .status()
        .context("failed to start unshare")
}

/// Prepares the namespaces of this process for links.
///
/// # Errors
///
/// When the process is not in namespaces of its own, or a command fails.
pub fn prepare() -> Result<()> {
    std::fs::create_dir_all(NAMESPACES).context("failed to create the folder of namespaces")?;
    execute("mount", &format!("-t tmpfs tmpfs {NAMESPACES}"))?;
    execute("ip", "link set lo up")
}

/// A client's namespace, with a link to the namespace of the gateway.
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
        let (namespace, near) = (link.namespace(), link.device());
        execute("ip", &format!("netns add {namespace}"))?;
        execute(
            "ip",
            &format!("link add {near} type veth peer name eth0 netns {namespace}"),
        )?;
        let gateway = link.gateway_address();
        execute("ip", &format!("address add {gateway}/24 dev {near}"))?;
        execute("ip", &format!("link set {near} up"))?;
        let client = format!("10.99.{number}.2");
        execute(
            "ip",
            &format!("-netns {namespace} address add {client}/24 dev eth0"),
        )?;
        execute("ip", &format!("-netns {namespace} link set eth0 up"))?;
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
        execute("tc", &format!("qdisc add dev {} {limit}", self.device()))?;
        let namespace = self.namespace();
        execute(
            "tc",
            &format!("-netns {namespace} qdisc add dev eth0 {limit}"),
        )
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

    fn device(self) -> String {
        format!("link{}", self.number)
    }
}

fn execute(program: &str, arguments: &str) -> Result<()> {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .with_context(|| format!("failed to start {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {arguments}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
