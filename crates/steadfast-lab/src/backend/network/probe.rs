//! Probes: connections of the lab over a link, in addition to those of the clients.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::Worker;
use crate::network::LinkPlace;

/// Longest time of a connection over a link that works.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a probe waits that is expected to be lost. A kernel repeats the first packet after a second.
const LOSS_TIMEOUT: Duration = Duration::from_millis(500);
/// Longest time from the heal until a probe passes: the kernel may have to resolve an address again.
const HEAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between two probes after a heal.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// A connection that was established before a fault.
#[derive(Debug)]
pub(super) struct Probe {
    /// `None` when the instance does not listen: then only new connections are probes.
    connection: Option<TcpStream>,
    address: SocketAddr,
}

impl Probe {
    fn connect(address: SocketAddr, timeout: Duration) -> io::Result<Self> {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(connection) => {
                // The probe must not wait for the reply to an earlier one.
                drop(connection.set_nodelay(true));
                drop(connection.set_nonblocking(true));
                Ok(Self {
                    connection: Some(connection),
                    address,
                })
            }
            // The packets passed, and nothing listens there.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Self {
                connection: None,
                address,
            }),
            Err(error) => Err(error),
        }
    }

    /// Sends a packet over the open connection, to which the other kernel replies.
    pub(super) fn send(&self) {
        if let Some(mut connection) = self.connection.as_ref() {
            // The packet may be rejected: then the connection ends.
            drop(connection.write(b"G"));
        }
    }

    /// Begins a new connection; returns whether its packets were lost.
    pub(super) fn is_lost(&self) -> bool {
        match TcpStream::connect_timeout(&self.address, LOSS_TIMEOUT) {
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::TimedOut,
        }
    }
}

impl Worker {
    /// A probe over a link that works.
    pub(super) fn probe(&self, link: &LinkPlace) -> Result<Probe, String> {
        let failed = |error| format!("no probe passed over {}: {error}", link.name);
        Probe::connect(self.address(link), CONNECT_TIMEOUT).map_err(failed)
    }

    /// Waits until a probe passes over each of these links.
    pub(super) fn await_passage(&self, links: &[LinkPlace]) -> Result<(), String> {
        let deadline = self.clock.now() + HEAL_TIMEOUT;
        for link in links {
            loop {
                match Probe::connect(self.address(link), LOSS_TIMEOUT) {
                    Ok(_) => break,
                    Err(error) if self.clock.now() >= deadline => {
                        return Err(format!("no probe passed over {}: {error}", link.name));
                    }
                    Err(_) => thread::park_timeout(RETRY_INTERVAL),
                }
            }
        }
        Ok(())
    }

    fn address(&self, link: &LinkPlace) -> SocketAddr {
        let port = self.ports.get(&link.instance).copied().unwrap_or_default();
        SocketAddr::from((link.service(), port))
    }
}
