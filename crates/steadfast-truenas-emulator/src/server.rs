//! The shell: a TCP port for the API and for the requests of tests.
//!
//! `driver` owns the state machine and its clock, `connection` one socket, `head` the first request of a connection,
//! `tls` the certificate.

mod connection;
mod driver;
mod head;
mod socket;
mod tls;

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::driver::Driver;
pub use self::tls::{Tls, TlsError};
use crate::policy::Policy;

/// The most open connections; further clients wait in the backlog.
const CONNECTIONS_MAX: usize = 1_000;
/// Inputs of all connections that the driver has not handled yet; at the limit, sockets are not read.
const INPUTS_MAX: usize = 1_024;
/// The pause after a failed accept: most likely the limit of open files is reached.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The emulator on a TCP port, without TLS unless it has a certificate. The port is bound; [`Server::serve`] serves it.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    policy: Policy,
    tls: Option<Tls>,
    effects: Option<File>,
}

/// Why the port cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    /// The requested address.
    pub address: SocketAddr,
    /// The error of the operating system.
    pub source: io::Error,
}

impl Server {
    /// Binds the port; port 0 selects a free one.
    ///
    /// # Errors
    ///
    /// When the port cannot be bound.
    pub async fn bind(address: SocketAddr, policy: Policy) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        Ok(Self {
            address: listener.local_addr().map_err(failed)?,
            listener,
            policy,
            tls: None,
            effects: None,
        })
    }

    /// Requires TLS with this certificate, on all paths. A client can bind SCRAM to it.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.policy.certificate_hash = Some(tls.certificate_hash());
        self.tls = Some(tls);
        self
    }

    /// Appends a line with its key to this file for each dataset `tank/KEY` that a client creates, before the reply.
    #[must_use]
    pub fn with_effects(mut self, file: File) -> Self {
        self.effects = Some(file);
        self
    }

    /// The address of the port.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves clients until `shutdown` completes, which ends all connections without a close frame.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let release = self.policy.release;
        let acceptor = self.tls.as_ref().map(|tls| tls.acceptor().clone());
        let (inputs, received) = mpsc::channel(INPUTS_MAX);
        let driver = Driver::new(self.policy, self.effects).run(received);
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown, driver);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                () = &mut driver => return,
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                    if let Ok((stream, peer)) = accepted {
                        let inputs = inputs.clone();
                        connections.spawn(connection::accept(stream, peer, inputs, (release, acceptor.clone())));
                    } else {
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
                // Forgets what has ended.
                Some(_) = connections.join_next() => {}
            }
        }
    }
}
