//! What makes the first gateway unavailable, and its end.

use std::fmt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::gateway::Gateway;
use crate::namespaces::link::Link;

/// A fault of the first gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL, so that its port refuses connections.
    Killed,
    /// SIGSTOP: its kernel accepts connections and data, and nothing replies.
    Frozen,
    /// A router drops all packets to and from its host.
    BlackHoled,
    /// It was never started when the client begins.
    Refusing,
    /// Killed, and the response to every request at its port is 503 with `Retry-After`.
    Unavailable,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Killed => "is killed",
            Self::Frozen => "is frozen",
            Self::BlackHoled => "is black-holed",
            Self::Refusing => "is not started",
            Self::Unavailable => "responds with 503",
        })
    }
}

impl Fault {
    /// In the order of their numbers: each has two hosts.
    pub const ALL: [Self; 5] = [
        Self::Killed,
        Self::Frozen,
        Self::BlackHoled,
        Self::Refusing,
        Self::Unavailable,
    ];

    /// Whether the client connects to the first gateway before the fault.
    pub(super) fn begins_connected(self) -> bool {
        self != Self::Refusing
    }

    /// From the fault to the detection of the loss: of a silent peer, the time that `LIVENESS_FAST` guarantees.
    pub(super) const fn detection_max(self) -> Duration {
        match self {
            Self::Frozen | Self::BlackHoled => Duration::from_secs(5),
            Self::Killed | Self::Refusing | Self::Unavailable => Duration::ZERO,
        }
    }
}

/// The first gateway, with its fault.
#[derive(Debug)]
pub(super) struct FaultyServer {
    pub(super) gateway: Gateway,
    fault: Fault,
    link: Link,
    /// The HTTP server in the place of the gateway.
    replacement: Option<Child>,
}

impl FaultyServer {
    /// Starts the gateway, unless that is the fault.
    pub(super) fn start(mut gateway: Gateway, fault: Fault, link: Link) -> Result<Self> {
        if fault.begins_connected() {
            gateway.start()?;
        }
        Ok(Self {
            gateway,
            fault,
            link,
            replacement: None,
        })
    }

    pub(super) fn inject(&mut self) -> Result<()> {
        match self.fault {
            Fault::Killed => self.gateway.kill(),
            Fault::Frozen => self.gateway.freeze(),
            Fault::BlackHoled => self.link.black_hole(),
            Fault::Refusing => Ok(()),
            Fault::Unavailable => {
                self.gateway.kill()?;
                self.replacement = Some(self.replace()?);
                Ok(())
            }
        }
    }

    pub(super) fn heal(&mut self) -> Result<()> {
        match self.fault {
            Fault::Killed | Fault::Refusing => self.gateway.start(),
            Fault::Frozen => self.gateway.thaw(),
            Fault::BlackHoled => self.link.restore(),
            Fault::Unavailable => {
                self.end_replacement()?;
                self.gateway.start()
            }
        }
    }

    /// Removes the folder of the gateway.
    pub(super) fn clean_up(&mut self) -> Result<()> {
        self.gateway.clean_up()
    }

    /// Starts this program as an HTTP server on the host of the gateway.
    fn replace(&self) -> Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("unavailable");
        command.arg(self.gateway.address().to_string());
        let mut command = self.link.command(&command);
        command.stdin(Stdio::null());
        command.spawn().context("failed to start the HTTP server")
    }

    fn end_replacement(&mut self) -> Result<()> {
        if let Some(mut child) = self.replacement.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for FaultyServer {
    fn drop(&mut self) {
        // An error would hide that of the run.
        drop(self.end_replacement());
    }
}
