//! Published clients of Toxiproxy drive `steadfast proxy` through all their calls and all toxics.
//!
//! The drivers in `tests/third-party` execute the calls. What a toxic does is measured here, by a plain socket on each side
//! of the proxy.

mod calls;
mod driver;
mod faults;
mod link;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;

use self::driver::ProxyClient;
pub use self::driver::ProxyClientKind;
use crate::namespaces;

/// The port of the client for Python.
const PORT: u16 = 8_474;

/// Runs all calls and faults with the client for Node.
///
/// # Errors
///
/// When a call or a fault does not do what it should.
pub fn run_node(program: &Path) -> Result<()> {
    run(program, ProxyClientKind::Node, 0)
}

/// Runs all calls and faults with the client for Python; this process must be in namespaces of its own, because that
/// client has a fixed port.
///
/// # Errors
///
/// When a call or a fault does not do what it should.
pub fn run_python(program: &Path) -> Result<()> {
    namespaces::prepare(&[])?;
    run(program, ProxyClientKind::Python, PORT)
}

fn run(program: &Path, kind: ProxyClientKind, port: u16) -> Result<()> {
    let server = ProxyServer::start(program, port)?;
    let mut client = ProxyClient::start(kind, server.address)?;
    calls::run(&mut client).context("calls")?;
    faults::run(&mut client).context("faults")
}

/// A running `steadfast proxy serve`, which ends when it is dropped.
#[derive(Debug)]
pub struct ProxyServer {
    child: Child,
    /// The address of its API.
    pub address: SocketAddr,
}

impl ProxyServer {
    /// Starts it on this port of loopback; 0 selects a free port.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start(program: &Path, port: u16) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["proxy", "serve", "--json", "--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the proxy server")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let line = driver::first_line(stdout)?;
        let banner: Value = serde_json::from_str(&line).context(line)?;
        let address = banner.get("address").and_then(Value::as_str);
        let address = address.context("no address")?.parse()?;
        Ok(Self { child, address })
    }
}

impl Drop for ProxyServer {
    fn drop(&mut self) {
        // An error means that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
