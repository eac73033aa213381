//! Opens a WebSocket to an endpoint: name resolution, TCP, tunnel through a proxy, TLS, readiness check, upgrade, each
//! stage with its own timeout.
//!
//! Reports at which stage and why an attempt failed; the session decides whether and when to retry. Dropping the future
//! of [`Connector::dial`] aborts the attempt and closes its sockets. Redirects are not followed.

mod error;
mod options;
mod plan;
mod proxy;
mod race;
mod readiness;
mod redirect;
mod resolve;
mod response;
mod stage_timeouts;
#[cfg(feature = "tls")]
mod tls;
mod upgrade;
#[cfg(feature = "truenas")]
mod versions;

use std::net::SocketAddr;
use std::time::Duration;

use steadfast_core::event::{DialStage, SessionSnapshot};
use steadfast_core::io::Attempt;
use steadfast_core::secret::Secret;
use steadfast_machine::Instant;
use steadfast_protocol::websocket::handshake::RequestError;
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) use self::error::DialError;
pub(crate) use self::plan::DialPlan;
pub(crate) use self::proxy::Proxy;
pub use self::proxy::ProxyError;
pub use self::readiness::ReadinessCheck;
pub use self::stage_timeouts::StageTimeouts;
#[cfg(feature = "truenas")]
pub(crate) use self::versions::{Rule as VersionRule, Versions};

#[cfg(feature = "tls")]
use self::error::CertificateProblem;
use self::error::DialErrorReason;
use self::options::with_options;
use self::resolve::{Resolver, SystemResolver};
use crate::endpoint::{Endpoint, Security};
use crate::transport::stream::Stream;
use crate::transport::websocket::WebSocket;

/// Opens WebSocket connections.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    timeouts: StageTimeouts,
    /// Additional header fields of the upgrade, for example an authorisation.
    header_fields: Vec<(String, Secret)>,
    /// Offered in the upgrade, the preferred one first.
    subprotocols: Vec<String>,
    message_bytes_max: u32,
    /// The longest message above this limit that is skipped; without it, one above the limit ends the connection.
    skipped_bytes_max: Option<u32>,
    user_timeout: Option<Duration>,
    proxy: Option<Proxy>,
    readiness: Option<ReadinessCheck>,
    #[cfg(feature = "truenas")]
    versions: Option<Versions>,
    #[cfg(feature = "tls")]
    tls: tls::Tls,
}

impl Connector {
    /// Creates a connector with these timeouts, these additional header fields for the upgrade, and the length of the
    /// longest message that a server may send, in bytes.
    pub(crate) fn new(
        timeouts: StageTimeouts,
        header_fields: Vec<(String, Secret)>,
        message_bytes_max: u32,
    ) -> Self {
        Self {
            timeouts,
            header_fields,
            subprotocols: Vec::new(),
            message_bytes_max,
            skipped_bytes_max: None,
            user_timeout: None,
            proxy: None,
            readiness: None,
            #[cfg(feature = "truenas")]
            versions: None,
            #[cfg(feature = "tls")]
            tls: tls::Tls::default(),
        }
    }

    /// Checks the request that [`Self`] will send to an endpoint.
    pub(crate) fn check_request(&self, endpoint: &Endpoint) -> Result<(), RequestError> {
        upgrade::request(endpoint, &self.header_fields, &self.subprotocols, "").map(drop)
    }

    /// Offers these subprotocols in the upgrade, the preferred one first; none without this.
    #[must_use]
    pub(crate) fn with_subprotocols(mut self, subprotocols: Vec<String>) -> Self {
        self.subprotocols = subprotocols;
        self
    }

    /// Skips messages above the limit up to this length in bytes.
    #[must_use]
    pub(crate) const fn with_skipped_bytes_max(mut self, bytes_max: Option<u32>) -> Self {
        self.skipped_bytes_max = bytes_max;
        self
    }

    /// Sets how long sent bytes may stay unacknowledged before the kernel drops the connection (`TCP_USER_TIMEOUT`, on
    /// Linux); the kernel's default without this. At least the longest time that liveness detection allows: it covers
    /// the case that the driver's task does not run.
    #[must_use]
    pub(crate) const fn with_user_timeout(mut self, timeout: Duration) -> Self {
        self.user_timeout = Some(timeout);
        self
    }

    /// Opens all connections through this proxy, or directly.
    #[must_use]
    pub(crate) fn with_proxy(mut self, proxy: Option<Proxy>) -> Self {
        self.proxy = proxy;
        self
    }

    /// Checks the server before first connections, or not.
    #[must_use]
    pub(crate) fn with_readiness(mut self, check: Option<ReadinessCheck>) -> Self {
        self.readiness = check;
        self
    }

    /// Chooses a version of the API before the first connection, or not.
    #[cfg(feature = "truenas")]
    #[must_use]
    pub(crate) fn with_versions(mut self, rule: Option<VersionRule>) -> Self {
        self.versions = rule.map(Versions::new);
        self
    }

    /// Trusts the root certificates of a PEM file in addition to those of the system. Returns `None` when the file
    /// contains no certificate, or an invalid one.
    #[cfg(feature = "tls")]
    #[must_use]
    pub(crate) fn with_root_certificates(mut self, pem: &[u8]) -> Option<Self> {
        self.tls = tls::Tls::with_root_certificates(tls::parse_certificates(pem)?);
        Some(self)
    }

    /// Plans the attempt that a session with this many endpoints starts now.
    pub(crate) fn plan(
        &self,
        attempt: Attempt,
        snapshot: &SessionSnapshot,
        endpoints: usize,
        now: Instant,
    ) -> DialPlan {
        DialPlan::new(attempt, snapshot, endpoints, self.readiness.as_ref(), now)
    }

    /// Opens a WebSocket to this endpoint.
    ///
    /// # Errors
    ///
    /// The stage that failed, and the reason.
    pub(crate) async fn dial(
        &self,
        endpoint: &Endpoint,
        plan: DialPlan,
    ) -> Result<WebSocket, DialError> {
        self.dial_resolved_by(&SystemResolver, endpoint, plan).await
    }

    async fn dial_resolved_by(
        &self,
        resolver: &impl Resolver,
        endpoint: &Endpoint,
        plan: DialPlan,
    ) -> Result<WebSocket, DialError> {
        let (host, port) = self.first_hop(endpoint);
        let error = |stage, reason| self.error(stage, endpoint, reason);
        let resolving = resolve::addresses(resolver, host, port, plan.round);
        let addresses = within(self.timeouts.resolve, resolving)
            .await
            .map_err(|reason| error(DialStage::Resolve, reason))?;
        let mut socket = self.connect(endpoint, &addresses).await?;
        if let Some(check) = self.readiness.as_ref().filter(|_| plan.checks_readiness) {
            // The upgrade follows on a connection to the same address, and not to another one of the name.
            let address = socket
                .peer_addr()
                .map_err(|cause| error(DialStage::Connect, DialErrorReason::Io(cause)))?;
            let mut stream = self.open(endpoint, socket).await?;
            let checking = check.check(&mut stream, endpoint);
            within(self.timeouts.readiness, checking)
                .await
                .map_err(|reason| error(DialStage::Readiness, reason))?;
            socket = self.connect(endpoint, &[address]).await?;
        }
        #[cfg(feature = "truenas")]
        if let Some(versions) = &self.versions {
            return self.dial_versioned(versions, endpoint, socket).await;
        }
        self.upgrade(endpoint, socket).await
    }

    /// Upgrades a connection, with the version of the API that client and server know.
    #[cfg(feature = "truenas")]
    async fn dial_versioned(
        &self,
        versions: &Versions,
        endpoint: &Endpoint,
        mut socket: TcpStream,
    ) -> Result<WebSocket, DialError> {
        let io = |cause| self.error(DialStage::Connect, endpoint, DialErrorReason::Io(cause));
        let address = socket.peer_addr().map_err(io)?;
        if versions.is_due(endpoint) {
            let mut stream = self.open(endpoint, socket).await?;
            let asking = versions.ask(&mut stream, endpoint);
            // Without a list, the endpoint is used as it is.
            if let Err(error) = within(self.timeouts.readiness, asking).await {
                tracing::debug!(url = %endpoint, %error, "versions of the API unknown");
            }
            socket = self.connect(endpoint, &[address]).await?;
        }
        let Some(versioned) = versions.versioned(endpoint) else {
            return self.upgrade(endpoint, socket).await;
        };
        let upgraded = self.upgrade(&versioned, socket).await;
        if !matches!(&upgraded, Err(error) if error.is_path_missing()) {
            return upgraded;
        }
        versions.forget();
        let socket = self.connect(endpoint, &[address]).await?;
        self.upgrade(endpoint, socket).await
    }

    /// Opens the stream to the server on this socket, and upgrades it.
    async fn upgrade(
        &self,
        endpoint: &Endpoint,
        socket: TcpStream,
    ) -> Result<WebSocket, DialError> {
        let error = |stage, reason| self.error(stage, endpoint, reason);
        let mut stream = self.open(endpoint, socket).await?;
        let (fields, subprotocols) = (&self.header_fields, &self.subprotocols);
        let upgrading = upgrade::upgrade(&mut stream, endpoint, fields, subprotocols);
        let unread = within(self.timeouts.upgrade, upgrading)
            .await
            .map_err(|reason| error(DialStage::Upgrade, reason))?;
        Ok(WebSocket::new(
            stream,
            unread,
            self.message_bytes_max,
            self.skipped_bytes_max,
        ))
    }

    /// Host and port to which the TCP connection is opened: those of the proxy, or of the server.
    fn first_hop<'a>(&'a self, endpoint: &'a Endpoint) -> (&'a str, u16) {
        match &self.proxy {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (endpoint.host(), endpoint.port()),
        }
    }

    /// Opens a TCP connection to one of these addresses.
    async fn connect(
        &self,
        endpoint: &Endpoint,
        addresses: &[SocketAddr],
    ) -> Result<TcpStream, DialError> {
        within(self.timeouts.connect, race::connect(addresses))
            .await
            .and_then(|socket| with_options(socket, self.user_timeout))
            .map_err(|reason| self.error(DialStage::Connect, endpoint, reason))
    }

    /// Opens the stream to the server on this socket: the tunnel through the proxy, if there is one, and TLS.
    async fn open(&self, endpoint: &Endpoint, mut socket: TcpStream) -> Result<Stream, DialError> {
        if let Some(proxy) = &self.proxy {
            let opening = proxy.open_tunnel(&mut socket, endpoint);
            within(self.timeouts.proxy, opening)
                .await
                .map_err(|reason| self.error(DialStage::Proxy, endpoint, reason))?;
        }
        let secured = match endpoint.security() {
            Security::Plain => Ok(Stream::Plain(socket)),
            #[cfg(feature = "tls")]
            Security::Tls => {
                let handshake = self.tls.secure(endpoint.host(), socket);
                within(self.timeouts.secure, handshake).await
            }
            #[cfg(not(feature = "tls"))]
            Security::Tls => Err(DialErrorReason::TlsMissing),
        };
        secured.map_err(|reason| self.error(DialStage::Secure, endpoint, reason))
    }

    /// The error of a stage, with the address of its peer: the proxy's up to the tunnel, then the server's.
    fn error(&self, stage: DialStage, endpoint: &Endpoint, reason: DialErrorReason) -> DialError {
        let is_first_hop = matches!(
            stage,
            DialStage::Resolve | DialStage::Connect | DialStage::Proxy
        );
        let peer = match &self.proxy {
            Some(proxy) if is_first_hop => proxy.socket_address(),
            Some(_) | None => endpoint.socket_address(),
        };
        DialError::new(stage, peer, reason)
    }
}

/// Runs one stage with its timeout.
async fn within<T>(
    time_limit: Duration,
    work: impl Future<Output = Result<T, DialErrorReason>>,
) -> Result<T, DialErrorReason> {
    timeout(time_limit, work)
        .await
        .unwrap_or(Err(DialErrorReason::TimedOut(time_limit)))
}

#[cfg(test)]
mod tests;
