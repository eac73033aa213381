//! Addresses as operators write them.

use std::borrow::Cow;
use std::net::SocketAddr;

use crate::error::Error;

/// Checks that an upstream has a host and a port.
pub(crate) fn validate_upstream(upstream: &str) -> Result<(), Error> {
    let port = upstream.rsplit_once(':').map(|(_, port)| port);
    match port.and_then(|port| port.parse::<u16>().ok()) {
        Some(1..) => Ok(()),
        Some(0) | None => Err(Error::Address {
            address: upstream.to_owned(),
            help: "write the host and the port of the server, such as 127.0.0.1:5432",
        }),
    }
}

/// An upstream without a host, such as `:5432`, is on this machine.
pub(crate) fn to_dial(upstream: &str) -> Cow<'_, str> {
    if upstream.starts_with(':') {
        Cow::Owned(format!("127.0.0.1{upstream}"))
    } else {
        Cow::Borrowed(upstream)
    }
}

/// Returns the addresses to listen on, of which the first that can be bound is used. Without a host, these are all
/// addresses of the machine; without a port, a free one.
pub(crate) async fn to_listen(listen: &str) -> Result<Vec<SocketAddr>, Error> {
    let failed = |source| Error::Listen {
        listen: listen.to_owned(),
        source,
    };
    let port = match listen.strip_prefix(':') {
        Some(port) => Some(port),
        None if listen.is_empty() => Some("0"),
        None => None,
    };
    if let Some(port) = port {
        let port: u16 = port.parse().map_err(|_invalid| invalid(listen))?;
        return Ok(vec![
            SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port)),
            SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, port)),
        ]);
    }
    if listen
        .rsplit_once(':')
        .is_none_or(|(_, port)| port.parse::<u16>().is_err())
    {
        return Err(invalid(listen));
    }
    let addresses = tokio::net::lookup_host(listen).await.map_err(failed)?;
    // As Toxiproxy, prefer version 4 for a name such as `localhost`: its clients split the address at the colon.
    let (mut first, second): (Vec<_>, Vec<_>) = addresses.partition(SocketAddr::is_ipv4);
    first.extend(second);
    Ok(first)
}

fn invalid(listen: &str) -> Error {
    Error::Address {
        address: listen.to_owned(),
        help: "write a host and a port such as 127.0.0.1:8000; port 0 is a free one",
    }
}
