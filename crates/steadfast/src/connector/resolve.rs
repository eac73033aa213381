//! Name resolution, by the system, again for each attempt: a changed DNS entry is used by the next attempt.

use std::io;
use std::net::SocketAddr;

use super::{DialErrorReason, race};

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
        .map_err(DialErrorReason::Io)?;
    let mut addresses = race::interleave(found.into_iter());
    let first = round
        .checked_rem(addresses.len())
        .ok_or(DialErrorReason::NoAddress)?;
    addresses.rotate_left(first);
    Ok(addresses)
}
