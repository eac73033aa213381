//! One gateway process: its configuration, its start, the wait until it serves, its pause and its kill.
//!
//! The wait polls `/readyz` instead of sleeping for a guessed time. This module does not evaluate the gateway.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::http;
use crate::namespaces::link::Link;

/// How long a start may take, opening the log included.
const START_MAX: Duration = Duration::from_secs(20);

/// Interval at which a starting gateway is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Ports below those that the system assigns to outgoing connections: while the gateway is down, a client that dials
/// its port must not be assigned that same port and connect to itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The port on a host of its own.
const PORT: u16 = 8000;

/// Where a gateway listens.
#[derive(Clone, Copy, Debug)]
enum Access {
    Loopback,
    AllAddresses,
    /// On the host at the end of this link.
    Host(Link),
}

/// A gateway that can be killed and started again on the same port and data.
#[derive(Debug)]
pub struct Gateway {
    program: PathBuf,
    folder: PathBuf,
    /// The host on which it runs; `None` for that of this process.
    link: Option<Link>,
    address: SocketAddr,
    child: Option<Child>,
}

impl Gateway {
    /// Chooses a free port and writes the configuration into the folder; does not start the gateway.
    ///
    /// # Errors
    ///
    /// When no port is free, or the folder cannot be written.
    pub fn new(program: PathBuf, folder: PathBuf) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        Self::at(program, folder, address, Access::Loopback)
    }

    /// A gateway that clients of other network namespaces reach at every address of this one. Writes the configuration
    /// into the folder; does not start the gateway.
    ///
    /// # Errors
    ///
    /// When no port is free, or the folder cannot be written.
    pub fn on_all_addresses(program: PathBuf, folder: PathBuf) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        Self::at(program, folder, address, Access::AllAddresses)
    }

    /// A gateway on the host at the end of a link, open to all clients. Writes the configuration into the folder; does not
    /// start the gateway.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub fn on_host(program: PathBuf, folder: PathBuf, link: Link) -> Result<Self> {
        let address = SocketAddr::from((link.far_address(), PORT));
        Self::at(program, folder, address, Access::Host(link))
    }

    fn at(program: PathBuf, folder: PathBuf, address: SocketAddr, access: Access) -> Result<Self> {
        let (link, listen) = match access {
            Access::Loopback => (None, address.ip()),
            Access::AllAddresses => (None, Ipv4Addr::UNSPECIFIED.into()),
            Access::Host(link) => (Some(link), address.ip()),
        };
        let clients = if listen.is_loopback() {
            ""
        } else {
            "[client]\nanonymous = \"all\"\n\n"
        };
        let port = address.port();
        // Small segments roll several times in a run; segments of the default size would not.
        let config = format!(
            "{clients}[server]\naddress = \"{listen}\"\nport = {port}\n\n\
             [store]\ndirectory = \"data\"\nsegment_bytes = \"1MiB\"\n"
        );
        fs::write(folder.join("steadfast.toml"), config)?;
        Ok(Self {
            program,
            folder,
            link,
            address,
            child: None,
        })
    }

    /// Starts the gateway and waits until it serves.
    ///
    /// # Errors
    ///
    /// When the gateway exits or is not ready in time; the message contains the end of its log.
    pub fn start(&mut self) -> Result<()> {
        let log = self.log()?;
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--config");
        command.arg(self.folder.join("steadfast.toml"));
        if let Some(link) = self.link {
            command = link.command(&command);
        }
        let child = command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start {}", self.program.display()))?;
        self.child = Some(child);
        let deadline = Instant::now() + START_MAX;
        while !self.is_ready() {
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?;
            if let Some(Some(status)) = ended {
                self.child = None;
                bail!("the gateway exited with {status}:\n{}", self.log_tail());
            }
            if Instant::now() > deadline {
                bail!(
                    "timed out after {START_MAX:?} waiting for the gateway:\n{}",
                    self.log_tail()
                );
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Kills the gateway with SIGKILL and waits until it has exited.
    ///
    /// # Errors
    ///
    /// When the gateway was not running.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            bail!("the gateway is not running");
        };
        if let Some(status) = child.try_wait()? {
            bail!(
                "the gateway had already exited with {status}:\n{}",
                self.log_tail()
            );
        }
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Stops the process, whose kernel still accepts connections and data.
    ///
    /// # Errors
    ///
    /// When the gateway is not running.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Ends [`Self::freeze`].
    ///
    /// # Errors
    ///
    /// When the gateway is not running.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("the gateway is not running")?;
        Ok(kill_process(Pid::from_child(child), signal)?)
    }

    /// The URL to which clients connect.
    pub fn url(&self) -> String {
        format!("ws://{}/connection/websocket", self.address)
    }

    /// The address on which it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills the process and removes the folder; for runs that need no investigation.
    ///
    /// # Errors
    ///
    /// When the folder cannot be removed.
    pub fn clean_up(&mut self) -> Result<()> {
        self.end();
        fs::remove_dir_all(&self.folder)?;
        Ok(())
    }

    /// The folder of configuration, data and log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn is_ready(&self) -> bool {
        http::request("GET", self.address, "/readyz", Duration::from_secs(1))
            .is_ok_and(|response| response.starts_with("HTTP/1.1 200"))
    }

    fn log(&self) -> Result<File> {
        let path = self.folder.join("gateway.log");
        Ok(OpenOptions::new().create(true).append(true).open(path)?)
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.folder.join("gateway.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Kills the process at the end of a run, when it may already have exited.
    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
    }
}

/// A free port. Concurrent runs begin their search at different ports.
fn free_port() -> Result<u16> {
    let count = u32::from(PORTS.end - PORTS.start);
    let first = std::process::id().wrapping_mul(31) % count;
    for step in 0..count {
        let port = PORTS.start + u16::try_from((first + step) % count)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {PORTS:?} is free")
}
