//! The port: checks that it is free, then opens one listener per shard.
//!
//! Listeners that share a port could silently share it with another process, so an exclusive bind comes first.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

/// The listen backlog of one shard: connections that are not accepted yet; the system may allow fewer.
const BACKLOG: i32 = 4096;

/// How many bytes the kernel accepts of a connection beyond what it may send now. Without this limit it accepts some
/// 100 KiB, which nothing can overtake: on a slow link a ping would arrive minutes late. The kernel takes one write above
/// it, which keeps a link busy until the event loop is woken.
pub(crate) const NOT_SENT_BYTES: u32 = 1 << 10;

/// Why the gateway cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum ListenError {
    /// Another process is listening on the address.
    #[error("cannot listen on {address}: another process is listening there")]
    PortInUse { address: SocketAddr },
    /// No interface of this machine has the address.
    #[error("cannot listen on {address}: this machine does not have the address {}", address.ip())]
    AddressNotAvailable { address: SocketAddr },
    /// The user may not listen on the address.
    #[error("cannot listen on {address}: permission denied")]
    PermissionDenied { address: SocketAddr },
    /// Any other error of the operating system.
    #[error("cannot listen on {address}")]
    Failed {
        address: SocketAddr,
        source: io::Error,
    },
}

impl ListenError {
    /// Returns what to do about it, as complete sentences.
    pub fn help(&self) -> String {
        match self {
            Self::PortInUse { address } => {
                let other = if address.port() == u16::MAX { 8000 } else { address.port() + 1 };
                format!("Stop the other process, or choose another port: PORT={other} steadfast serve")
            }
            Self::AddressNotAvailable { .. } => {
                "Choose an address of this machine, 127.0.0.1 for local clients, or 0.0.0.0 for all.".to_owned()
            }
            Self::PermissionDenied { .. } => "Ports below 1024 require a privilege; choose a higher one: PORT=8000 steadfast serve.".to_owned(),
            Self::Failed { .. } => "Check the address and the port.".to_owned(),
        }
    }

    fn from_io(address: SocketAddr, source: io::Error) -> Self {
        let kind = source.kind();
        if kind == io::ErrorKind::AddrInUse {
            Self::PortInUse { address }
        } else if kind == io::ErrorKind::AddrNotAvailable {
            Self::AddressNotAvailable { address }
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::PermissionDenied { address }
        } else {
            Self::Failed { address, source }
        }
    }
}

/// Checks that a port is free; port 0 is replaced by a free port. The port is released again.
///
/// # Errors
///
/// When it is not possible to listen on that address now.
pub fn probe(address: IpAddr, port: u16) -> Result<SocketAddr, ListenError> {
    let requested = SocketAddr::new(address, port);
    let probe = || {
        let socket = socket(requested)?;
        socket.listen(1)?;
        local_address(&socket)
    };
    probe().map_err(|source| ListenError::from_io(requested, source))
}

/// Opens one listener per shard, on the same port.
///
/// # Errors
///
/// When another process has bound the port since it was probed.
pub(crate) fn listeners(address: SocketAddr, shards: u16) -> Result<Vec<TcpListener>, ListenError> {
    let listen = || {
        let socket = socket_of(address)?;
        socket.set_reuse_port(true)?;
        // Accepted sockets inherit these options, which saves system calls for each.
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(NOT_SENT_BYTES)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(TcpListener::from(socket))
    };
    (0..shards)
        .map(|_| listen().map_err(|source| ListenError::from_io(address, source)))
        .collect()
}

/// Raises the limit of open files to its hard limit; returns the limit.
pub(crate) fn raise_files_max() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, "failed to raise the limit of open files");
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
    // With this option, connections of an earlier process that are still closing do not block the port; a listener
    // still blocks it.
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("the socket has no internet address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_another_listener_shares_is_detected() {
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
            error.help().contains(&format!("PORT={}", port + 1)),
            "{}",
            error.help()
        );
    }

    #[test]
    fn every_shard_listens_on_the_probed_port() {
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
    fn accepted_connections_send_without_delay_and_hold_little_in_the_kernel() {
        let address = probe(loopback(), 0).unwrap();
        let listeners = listeners(address, 1).unwrap();
        listeners[0].set_nonblocking(false).unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();

        let (accepted, _) = listeners[0].accept().unwrap();

        assert!(accepted.nodelay().unwrap());
        assert_eq!(
            socket2::SockRef::from(&accepted)
                .tcp_notsent_lowat()
                .unwrap(),
            NOT_SENT_BYTES
        );
    }

    #[test]
    fn an_address_of_another_machine_is_reported() {
        // TEST-NET-1 of RFC 5737 is not assigned to any machine.
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
