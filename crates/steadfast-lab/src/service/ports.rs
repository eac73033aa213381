//! Ports for services.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;

use crate::error::LabError;

/// Ports below those that the system assigns to outgoing connections: while a service is down, a client that dials the
/// service's port must not be assigned that very port and connect to itself.
const PORTS: RangeInclusive<u16> = 20_000..=31_999;

/// Returns a port that no process listens on and that is not in `taken`. Concurrent runs start their search at
/// different ports.
pub(super) fn free_port(taken: &[u16]) -> Result<u16, LabError> {
    let (from, to) = (*PORTS.start(), *PORTS.end());
    let count = u32::from(to - from) + 1;
    let first = std::process::id().wrapping_mul(31) % count;
    (0..count)
        .filter_map(|step| u16::try_from((first + step) % count).ok())
        .map(|index| from + index)
        .find(|port| !taken.contains(port) && is_free(Ipv4Addr::LOCALHOST.into(), *port))
        .ok_or(LabError::NoPort { from, to })
}

/// Whether a process could listen on this port.
pub(super) fn is_free(address: IpAddr, port: u16) -> bool {
    TcpListener::bind(SocketAddr::from((address, port))).is_ok()
}
