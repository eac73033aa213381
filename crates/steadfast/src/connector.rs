//! From an address to an open WebSocket: names, TCP, TLS, upgrade, each stage with a deadline of its own.
//!
//! Says at which stage and why an attempt failed; whether and when there is another one is the session's decision.
//! Dropping the future of [`Connector::dial`] ends the attempt and closes what it had opened.

mod error;
mod race;
#[cfg(feature = "tls")]
mod tls;
mod upgrade;

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub use error::{CertificateProblem, DialError, Failure, Stage};

use crate::endpoint::{Endpoint, Security};
use crate::transport::stream::Stream;
use crate::transport::websocket::WebSocket;

/// How long sent bytes may stay without an answer of the peer's kernel: the longest silence that liveness allows
/// (15 s without a byte, then 10 s of probing). The net below liveness for the case that its task does not run.
pub const USER_TIMEOUT: Duration = Duration::from_secs(25);
/// How long the socket may be idle before the kernel asks the peer's kernel.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
/// Between two such questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// Questions without an answer that end the connection.
const KEEPALIVE_COUNT: u32 = 2;
/// Unsent bytes that the kernel takes: a ping is never stuck behind more than this, 128 KiB.
const UNSENT_BYTES_MAX: u32 = 128 << 10;

/// How long each stage of an attempt may take. The attempt as a whole has a deadline too, which the session sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageLimits {
    /// Looking the name up.
    pub resolve: Duration,
    /// TCP, over all addresses of the name.
    pub connect: Duration,
    /// TLS.
    pub secure: Duration,
    /// The HTTP upgrade.
    pub upgrade: Duration,
}

impl StageLimits {
    /// 5 s each: half of the usual deadline of a whole attempt, so that the stage that hangs can be named.
    pub const DEFAULT: Self = Self {
        resolve: Duration::from_secs(5),
        connect: Duration::from_secs(5),
        secure: Duration::from_secs(5),
        upgrade: Duration::from_secs(5),
    };
}

impl Default for StageLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Opens WebSockets.
#[derive(Clone, Debug)]
pub struct Connector {
    limits: StageLimits,
    /// More fields for the upgrade, for example an authorisation; never logged.
    fields: Vec<(String, String)>,
    message_bytes_max: u32,
    #[cfg(feature = "tls")]
    tls: tls::Tls,
}

impl Connector {
    /// A connector with these limits, these extra fields for the upgrade, and this longest message that a server may
    /// send, in bytes.
    pub fn new(limits: StageLimits, fields: Vec<(String, String)>, message_bytes_max: u32) -> Self {
        Self {
            limits,
            fields,
            message_bytes_max,
            #[cfg(feature = "tls")]
            tls: tls::Tls::default(),
        }
    }

    /// Trusts the authorities of a PEM file beside those of the system. `None` when there is no certificate in it.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn trusting(mut self, pem: &[u8]) -> Option<Self> {
        self.tls = tls::Tls::trusting(tls::authorities(pem)?);
        Some(self)
    }

    /// Opens a WebSocket there.
    ///
    /// # Errors
    ///
    /// The stage that failed, and why.
    pub async fn dial(&self, endpoint: &Endpoint) -> Result<WebSocket, DialError> {
        let limits = self.limits;
        let addresses = within(Stage::Resolve, limits.resolve, resolve(endpoint)).await?;
        let socket = within(Stage::Connect, limits.connect, race::connect(&addresses)).await?;
        prepare(&socket).map_err(|error| DialError::new(Stage::Connect, Failure::Io(error)))?;
        let mut stream = match endpoint.security() {
            Security::Plain => Stream::Plain(socket),
            #[cfg(feature = "tls")]
            Security::Tls => {
                let securing = self.tls.secure(endpoint.host(), socket);
                within(Stage::Secure, limits.secure, securing).await?
            }
            #[cfg(not(feature = "tls"))]
            Security::Tls => return Err(DialError::new(Stage::Secure, Failure::TlsMissing)),
        };
        let opening = upgrade::upgrade(&mut stream, endpoint, &self.fields);
        let unread = within(Stage::Upgrade, limits.upgrade, opening).await?;
        Ok(WebSocket::new(stream, unread, self.message_bytes_max))
    }
}

/// The addresses behind the name, in the order in which they are tried.
async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Failure> {
    let found = tokio::net::lookup_host((endpoint.host(), endpoint.port()))
        .await
        .map_err(Failure::Io)?;
    let addresses = race::interleave(found);
    if addresses.is_empty() {
        return Err(Failure::NoAddress);
    }
    Ok(addresses)
}

/// What every socket of ours has set.
fn prepare(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_COUNT);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
}

/// One stage with its deadline.
async fn within<T>(
    stage: Stage,
    limit: Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, DialError> {
    match timeout(limit, work).await {
        Ok(outcome) => outcome.map_err(|failure| DialError::new(stage, failure)),
        Err(_elapsed) => Err(DialError::new(stage, Failure::TimedOut(limit))),
    }
}
