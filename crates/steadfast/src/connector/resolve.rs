//! Name resolution, by the system, again for each attempt: a changed DNS entry is used by the next attempt.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::{DialErrorReason, race};

/// Of RFC 5737.
const DOCUMENTATION_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// Of RFC 3849.
const DOCUMENTATION_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// Resolves names; only tests use another resolver than that of the system.
pub(super) trait Resolver: Sync {
    /// Returns the addresses of a host, in the order in which they are preferred.
    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// The resolver of the operating system, which may have a cache.
#[derive(Debug)]
pub(super) struct SystemResolver;

impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Returns the addresses of a host in the order in which they are tried, beginning with another one in each round.
pub(super) async fn addresses(
    resolver: &impl Resolver,
    host: &str,
    port: u16,
    round: usize,
) -> Result<Vec<SocketAddr>, DialErrorReason> {
    let found = resolver
        .resolve(host, port)
        .await
        .map_err(|error| DialErrorReason::Io(name_error(error)))?;
    let mut addresses = race::interleave(found.into_iter());
    let first = round
        .checked_rem(addresses.len())
        .ok_or(DialErrorReason::NoAddress)?;
    addresses.rotate_left(first);
    Ok(addresses)
}

/// The error of a resolver, which does not say whether it was reached. Without a network it was not.
fn name_error(error: io::Error) -> io::Error {
    if has_default_route() {
        return error;
    }
    let text = format!("{error}; this machine has no route to the Internet");
    io::Error::new(io::ErrorKind::NetworkUnreachable, text)
}

/// Whether this machine has a route to other networks. Nothing is sent: to connect a UDP socket is to select a route. The
/// addresses are reserved for documentation, so that only a default route leads to them.
fn has_default_route() -> bool {
    let v4 = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.connect((DOCUMENTATION_V4, 9));
    let v6 = || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?.connect((DOCUMENTATION_V6, 9));
    v4().is_ok() || v6().is_ok()
}
