//! The options of a client's socket. Some systems lack two of them; the session detects a dead peer without them.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
mod without_linux;

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::DialErrorReason;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use without_linux as system;

/// Idle time before the kernel sends a keepalive probe.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
/// Interval between two keepalive probes.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// Number of unacknowledged probes after which the connection is dropped.
const KEEPALIVE_COUNT: u32 = 2;

/// Sets the options of one system.
type SetOfSystem = fn(&SockRef<'_>, Option<Duration>) -> io::Result<()>;

/// Sets the options of a socket, and returns it.
pub(super) fn with_options(
    socket: TcpStream,
    user_timeout: Option<Duration>,
) -> Result<TcpStream, DialErrorReason> {
    set_options(&socket, user_timeout, system::set).map_err(DialErrorReason::Io)?;
    Ok(socket)
}

fn set_options(
    socket: &TcpStream,
    user_timeout: Option<Duration>,
    set_of_system: SetOfSystem,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_COUNT);
    socket.set_tcp_keepalive(&keepalive)?;
    set_of_system(&socket, user_timeout)
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    /// A connection within this machine.
    pub(super) async fn connect() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        TcpStream::connect(address).await.unwrap()
    }
}
