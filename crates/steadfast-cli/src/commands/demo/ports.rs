//! The ports of a demo: the page's, which clients use too, and the gateway's own.

use std::net::{Ipv4Addr, SocketAddr};

use steadfast_gateway::error::ServeError;
use steadfast_gateway::listen::{self, ListenError};
use tokio::net::{TcpListener, TcpSocket};

use crate::env::Environment;
use crate::exit::Failure;

/// The default port of the page.
const PORT_DEFAULT: u16 = 8000;
/// How many ports after a used one are tried to suggest a free one.
const SUGGESTIONS_MAX: u16 = 100;

/// The configured port of the page; 0 selects a free one.
pub(super) fn configured(argument: Option<u16>, environment: &Environment) -> Result<u16, Failure> {
    if let Some(port) = argument {
        return Ok(port);
    }
    let Some(text) = &environment.port else {
        return Ok(PORT_DEFAULT);
    };
    let text = text.to_string_lossy();
    text.trim().parse().map_err(|_not_a_port| {
        Failure::usage(
            format!("invalid environment variable PORT=\"{text}\": must be a port from 0 to 65535"),
            "Set it to a valid port, or remove it: unset PORT",
        )
    })
}

/// Listens on the port of the page.
///
/// # Errors
///
/// Fails when the port is in use or not permitted.
pub(super) async fn listen(port: u16) -> Result<(TcpListener, SocketAddr), Failure> {
    let address = match listen::probe(Ipv4Addr::LOCALHOST.into(), port) {
        Ok(address) => address,
        Err(ListenError::PortInUse { address }) => return Err(in_use(address)),
        Err(error) => return Err(ServeError::from(error).into()),
    };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok((listener, address)),
        Err(error) => Err(Failure::failed(
            format!("failed to listen on {address}: {error}"),
            "",
        )),
    }
}

fn in_use(address: SocketAddr) -> Failure {
    let later = (1..=SUGGESTIONS_MAX).filter_map(|step| address.port().checked_add(step));
    // Port 0: any free port.
    let free = later
        .chain([0])
        .find_map(|port| listen::probe(address.ip(), port).ok());
    let hint = free.map_or_else(
        || "Stop the other process.".to_owned(),
        |free| {
            let port = free.port();
            format!(
                "Stop the other process, or choose another port: PORT={port} make run, or steadfast demo --port {port}"
            )
        },
    );
    Failure::port_in_use(ListenError::PortInUse { address }.to_string(), hint)
}

/// A port that belongs to the gateway while the demo runs, also while the gateway is down.
#[derive(Debug)]
pub(super) struct GatewayPort {
    pub(super) address: SocketAddr,
    /// Bound, and never listening: connections are refused, and the kernel assigns the port to no outgoing connection, so
    /// that a client that dials the port of a dead gateway cannot connect to itself. The gateway can listen on it,
    /// because both sockets have `SO_REUSEADDR`.
    _reservation: TcpSocket,
}

impl GatewayPort {
    /// Reserves a free port.
    pub(super) fn reserve() -> Result<Self, Failure> {
        let reserve = || {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            Ok(Self {
                address: socket.local_addr()?,
                _reservation: socket,
            })
        };
        reserve().map_err(|error: std::io::Error| {
            Failure::failed(
                format!("failed to reserve a port for the gateway: {error}"),
                "",
            )
        })
    }

    /// The URL for clients that connect to the gateway directly.
    pub(super) fn url(&self) -> String {
        format!("ws://{}/connection/websocket", self.address)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_reserved_port_refuses_connections_until_the_gateway_listens_on_it_each_time() {
        let port = GatewayPort::reserve().unwrap();
        for _ in 0..2 {
            let refused = TcpStream::connect(port.address).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

            let gateway = TcpListener::bind(port.address).await.unwrap();
            let client = TcpStream::connect(port.address).await.unwrap();
            assert_eq!(client.peer_addr().unwrap(), port.address);
            drop(gateway);
        }
    }
}
