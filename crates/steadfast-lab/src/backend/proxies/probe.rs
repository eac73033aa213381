//! Probes: connections of the lab through a proxy, in addition to those of the clients.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use steadfast_proxy::{CloseMode, ConnectionInfo, Proxy};

use super::{Link, Worker};

/// Longest time of a probe over a link that works.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Interval at which its passage is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

impl Worker {
    /// Waits until a byte has passed over a new connection to the instance. Also passes if the instance does not listen,
    /// and if another fault is in effect on the link: then nothing has to pass.
    pub(super) fn probe(&self, link: &Link) -> Result<(), String> {
        let Some(proxy) = self.proxies.get(link) else {
            return Ok(());
        };
        if !proxy.toxics().is_empty() {
            return Ok(());
        }
        let failed = |reason: String| format!("no probe passed over {}: {reason}", proxy.name());
        let (mut connection, own) = connect(proxy).map_err(|error| failed(error.to_string()))?;
        let deadline = self.clock.now() + TIMEOUT;
        while !has_ended(&mut connection) && !has_passed(proxy, own) {
            if self.clock.now() >= deadline {
                return Err(failed(format!("nothing passed within {TIMEOUT:?}")));
            }
            thread::park_timeout(POLL_INTERVAL);
        }
        // A probe that is still open would count as a connection that the next fault hits.
        while let Some(probe) = of_probe(proxy, own) {
            if self.clock.now() >= deadline {
                return Err(failed("it cannot be closed".to_owned()));
            }
            // It may have ended in the meantime.
            drop(proxy.close_connection(probe.id, CloseMode::Rst));
            thread::park_timeout(POLL_INTERVAL);
        }
        Ok(())
    }
}

/// A connection that has sent a byte, and its own address.
fn connect(proxy: &Proxy) -> io::Result<(TcpStream, SocketAddr)> {
    let mut connection = TcpStream::connect_timeout(&proxy.local_addr(), TIMEOUT)?;
    let own = connection.local_addr()?;
    connection.set_nonblocking(true)?;
    // The instance may have refused the connection already; that is noticed on reading.
    drop(connection.write(b"G"));
    Ok((connection, own))
}

/// Whether the proxy has closed the connection, since the instance does not listen, or the instance has replied.
fn has_ended(connection: &mut TcpStream) -> bool {
    let outcome = connection.read(&mut [0]);
    !matches!(outcome, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn has_passed(proxy: &Proxy, own: SocketAddr) -> bool {
    of_probe(proxy, own).is_some_and(|it| it.to_server.sent_bytes > 0)
}

fn of_probe(proxy: &Proxy, own: SocketAddr) -> Option<ConnectionInfo> {
    let mut connections = proxy.connections().into_iter();
    connections.find(|it| it.peer == own)
}
