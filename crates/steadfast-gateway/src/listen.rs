//! The port: found out to be free, then one listener for each core.
//!
//! Listeners that share a port would take it beside another process in silence, so a plain bind goes first.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted by one core; the system may allow fewer.
const BACKLOG: i32 = 4096;

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Another process is listening there.
    #[error("cannot listen on {address}: another process is listening there")]
    PortInUse {
        /// Where.
        address: SocketAddr,
    },
    /// No interface of this machine has the address.
    #[error("cannot listen on {address}: this machine does not have the address {}", address.ip())]
    AddressNotAvailable {
        /// Where.
        address: SocketAddr,
    },
    /// The user may not listen there.
    #[error("cannot listen on {address}: permission denied")]
    Denied {
        /// Where.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}")]
    Failed {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl ListenError {
    /// What to do about it, as whole sentences.
    pub fn advice(&self) -> String {
        match self {
            Self::PortInUse { address } => {
                let other = if address.port() == u16::MAX { 8000 } else { address.port() + 1 };
                format!("Stop the other process, or choose another port: PORT={other} steadfast serve")
            }
            Self::AddressNotAvailable { .. } => {
                "Choose an address of this machine, 127.0.0.1 for clients on it, or 0.0.0.0 for all.".to_owned()
            }
            Self::Denied { .. } => "Ports below 1024 need a privilege; choose a higher one: PORT=8000.".to_owned(),
            Self::Failed { .. } => "Check address and port.".to_owned(),
        }
    }

    fn from_io(address: SocketAddr, source: io::Error) -> Self {
        let kind = source.kind();
        if kind == io::ErrorKind::AddrInUse {
            Self::PortInUse { address }
        } else if kind == io::ErrorKind::AddrNotAvailable {
            Self::AddressNotAvailable { address }
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::Denied { address }
        } else {
            Self::Failed { address, source }
        }
    }
}

/// Finds out that a port is free; port 0 becomes a free one. The port is released again.
///
/// # Errors
///
/// When nobody could listen there now.
pub fn probe(address: IpAddr, port: u16) -> Result<SocketAddr, ListenError> {
    let wanted = SocketAddr::new(address, port);
    let probe = || {
        let socket = socket(wanted)?;
        socket.listen(1)?;
        bound(&socket)
    };
    probe().map_err(|source| ListenError::from_io(wanted, source))
}

/// One listener for each core, on the same port.
///
/// # Errors
///
/// When the port was taken since it was probed.
pub(crate) fn listeners(address: SocketAddr, cores: u16) -> Result<Vec<TcpListener>, ListenError> {
    let listen = || {
        let socket = socket_of(address)?;
        socket.set_reuse_port(true)?;
        // Accepted sockets inherit it, which saves a call for each.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(TcpListener::from(socket))
    };
    (0..cores)
        .map(|_| listen().map_err(|source| ListenError::from_io(address, source)))
        .collect()
}

/// Lets the process open as many files as the system allows at all; returns how many that is.
pub(crate) fn raise_files_max() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files");
            limit.current.unwrap_or(u64::MAX)
        }
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = socket_of(address)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn socket_of(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Connections of a predecessor that are still winding down do not hold the port; a listener does.
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn bound(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("the socket has no internet address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_another_listener_shares_is_noticed() {
        let first = listeners(probe(loopback(), 0).unwrap(), 1).unwrap();
        let port = first[0].local_addr().unwrap().port();

        let second = probe(loopback(), port);

        let error = second.unwrap_err();
        assert!(matches!(error, ListenError::PortInUse { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!("cannot listen on 127.0.0.1:{port}: another process is listening there")
        );
        assert!(
            error.advice().contains(&format!("PORT={}", port + 1)),
            "{}",
            error.advice()
        );
    }

    #[test]
    fn every_core_listens_on_the_port_that_was_found() {
        let address = probe(loopback(), 0).unwrap();

        let listeners = listeners(address, 3).unwrap();

        assert_ne!(address.port(), 0);
        assert!(
            listeners
                .iter()
                .all(|listener| listener.local_addr().unwrap() == address)
        );
    }

    #[test]
    fn accepted_connections_send_without_delay() {
        let address = probe(loopback(), 0).unwrap();
        let listeners = listeners(address, 1).unwrap();
        listeners[0].set_nonblocking(false).unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();

        let (accepted, _) = listeners[0].accept().unwrap();

        assert!(accepted.nodelay().unwrap());
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        // TEST-NET-1 of RFC 5737 belongs to nobody.
        let error = probe("192.0.2.1".parse().unwrap(), 0).unwrap_err();

        assert!(
            matches!(error, ListenError::AddressNotAvailable { .. }),
            "{error:?}"
        );
        assert!(
            error
                .to_string()
                .contains("does not have the address 192.0.2.1"),
            "{error}"
        );
    }

    fn loopback() -> IpAddr {
        "127.0.0.1".parse().unwrap()
    }
}
