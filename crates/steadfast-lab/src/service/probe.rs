//! Whether a service is ready, and which port it may have.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::LabError;

/// How long one question may take.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Ports below those that the system hands to outgoing connections: while a service is down, a client that dials its
/// port must not be given that very port and talk to itself.
const PORTS: RangeInclusive<u16> = 20_000..=31_999;

/// Asks `/readyz`.
pub(super) fn is_ready(port: u16) -> bool {
    ask(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
}

fn ask(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    socket.set_read_timeout(Some(ANSWER_MAX))?;
    write!(
        socket,
        "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    socket.take(4_096).read_to_end(&mut answer)?;
    Ok(answer)
}

/// A port that nobody listens on and that is not in `taken`. Runs at the same time begin their search at different
/// places.
pub(crate) fn free_port(taken: &[u16]) -> Result<u16, LabError> {
    let (from, to) = (*PORTS.start(), *PORTS.end());
    let count = u32::from(to - from) + 1;
    let first = std::process::id().wrapping_mul(31) % count;
    (0..count)
        .filter_map(|step| u16::try_from((first + step) % count).ok())
        .map(|place| from + place)
        .find(|port| {
            !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
        })
        .ok_or(LabError::NoPort { from, to })
}
