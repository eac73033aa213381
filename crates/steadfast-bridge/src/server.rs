//! The shell: a Unix socket, and optionally a loopback port, for local programs.
//!
//! `driver` owns the state machine and its clock, `socket_file` the file of the socket, `acceptor` the listeners, `access` who
//! may open a WebSocket, `handshakes` connections without a token, `connection` one program, with its two forms `lines` and
//! `web_socket`, `feeds` the subscriptions at the server.

mod acceptor;
mod access;
mod connection;
mod driver;
mod feeds;
mod handshakes;
mod lines;
mod outbox;
mod socket_file;
mod web_socket;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::{TcpListener, UnixListener};

use self::access::Access;
use self::driver::Driver;
use self::socket_file::SocketFile;
use crate::policy::Policy;
use crate::upstream::Upstream;

pub use self::access::Token;

/// Where programs connect, and their limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The path of the Unix socket. It is created with mode 0600.
    pub socket: PathBuf,
    /// A loopback address for programs that cannot use a Unix socket, with the token that they need; port 0 selects a free
    /// one.
    pub listen: Option<(SocketAddr, Token)>,
    /// The limits of programs and calls.
    pub policy: Policy,
}

/// Why a bridge cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another bridge, or another program, uses the socket.
    #[error("another bridge or program uses the socket {}", path.display())]
    InUse {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The path of the socket is another file.
    #[error("{} exists and is not a socket", path.display())]
    NotASocket {
        /// The path of that file.
        path: PathBuf,
    },
    /// An operation on the socket file or its lock failed.
    #[error("failed to {operation} the socket {}", path.display())]
    Socket {
        /// What was tried.
        operation: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The address of the port is not one of this machine alone.
    #[error("{0} is not a loopback address")]
    NotLoopback(SocketAddr),
    /// The port cannot be bound.
    #[error("cannot listen on {address}")]
    Port {
        /// The requested address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// Why a bridge ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The session to the server has failed for a reason that no further attempt changes.
    #[error("the session to the server has failed: {0}")]
    SessionFailed(String),
}

/// A bridge whose sockets are bound; [`Server::serve`] serves them.
#[derive(Debug)]
pub struct Server {
    socket: UnixListener,
    port: Option<(TcpListener, Access)>,
    address: Option<SocketAddr>,
    policy: Policy,
    /// Removes the file of the socket.
    file: SocketFile,
}

impl Server {
    /// Binds the sockets, in a tokio runtime. The socket file of a bridge that was killed is replaced.
    ///
    /// # Errors
    ///
    /// Another bridge, or another program, uses the socket; the path is another file, the address is not loopback, or the
    /// operating system refuses.
    pub async fn bind(settings: Settings) -> Result<Self, BindError> {
        let (file, socket) = SocketFile::bind(&settings.socket)?;
        let (mut port, mut address) = (None, None);
        if let Some((requested, token)) = settings.listen {
            if !requested.ip().is_loopback() {
                return Err(BindError::NotLoopback(requested));
            }
            let failed = |source| BindError::Port {
                address: requested,
                source,
            };
            let listener = TcpListener::bind(requested).await.map_err(failed)?;
            address = Some(listener.local_addr().map_err(failed)?);
            port = Some((listener, Access::Token(token)));
        }
        Ok(Self {
            socket,
            port,
            address,
            policy: settings.policy,
            file,
        })
    }

    /// The address of the loopback port, if there is one.
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Serves programs until `shutdown` completes: then calls that were not sent are rejected, those in flight may take
    /// [`Policy::drain`], and the socket file is removed.
    ///
    /// # Errors
    ///
    /// The session to the server has failed, for example because the API key is wrong. Programs get that reason before.
    pub async fn serve(
        self,
        upstream: Upstream,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let driver = Driver::new(upstream, self.policy, self.socket, self.port);
        let outcome = driver.run(shutdown).await;
        drop(self.file);
        outcome
    }
}
