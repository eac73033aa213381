//! Checks whether a service is ready, and finds a free port for it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::LabError;

/// Longest time to connect, and longest wait for more bytes of the response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Ports below those that the system assigns to outgoing connections: while a service is down, a client that dials the
/// service's port must not be assigned that very port and connect to itself.
const PORTS: RangeInclusive<u16> = 20_000..=31_999;

/// Returns whether `/readyz` responds with 200.
pub(super) fn is_ready(port: u16) -> bool {
    request(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .is_ok_and(|response| response.starts_with(b"HTTP/1.1 200"))
}

fn request(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect_timeout(&address, RESPONSE_TIMEOUT)?;
    socket.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
    write!(
        socket,
        "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut response = Vec::new();
    socket.take(4_096).read_to_end(&mut response)?;
    Ok(response)
}

/// Returns a port that no process listens on and that is not in `taken`. Concurrent runs start their search at
/// different ports.
pub(crate) fn free_port(taken: &[u16]) -> Result<u16, LabError> {
    let (from, to) = (*PORTS.start(), *PORTS.end());
    let count = u32::from(to - from) + 1;
    let first = std::process::id().wrapping_mul(31) % count;
    (0..count)
        .filter_map(|step| u16::try_from((first + step) % count).ok())
        .map(|index| from + index)
        .find(|port| {
            !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
        })
        .ok_or(LabError::NoPort { from, to })
}
