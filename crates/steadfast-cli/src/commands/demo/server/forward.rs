//! Forwards requests to the gateway, which has a port of its own, and the bytes of upgraded connections.
//!
//! Requests and responses are passed on unchanged: `Host` and `Origin` name the page's address, so that the gateway's
//! rule for pages of the same origin holds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Either;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HeaderValue, RETRY_AFTER, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::super::ports::GatewayPort;
use super::copy::{self, End};
use super::response::{Body, respond_json};

/// The maximum number of forwarded WebSocket connections, each of which needs two sockets.
const UPGRADES_MAX: usize = 256;
/// How long the gateway may take to respond.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The paths that the gateway serves.
const PATHS: [&str; 4] = ["/connection/websocket", "/health", "/livez", "/readyz"];

/// Whether requests for this path are forwarded.
pub(super) fn is_of_gateway(path: &str) -> bool {
    PATHS.contains(&path)
}

/// The way to the gateway.
#[derive(Debug)]
pub(in super::super) struct Forwarder {
    gateway: GatewayPort,
    upgrades: Arc<Semaphore>,
}

impl Forwarder {
    pub(in super::super) fn new(gateway: GatewayPort) -> Self {
        Self {
            gateway,
            upgrades: Arc::new(Semaphore::new(UPGRADES_MAX)),
        }
    }

    /// The gateway's own address.
    pub(super) fn gateway(&self) -> SocketAddr {
        self.gateway.address
    }

    /// Returns the gateway's response. If it is an upgrade, the bytes of both connections are forwarded from then on.
    pub(super) async fn forward(&self, mut request: Request<Incoming>) -> Response<Body> {
        let permit = if request.headers().contains_key(UPGRADE) {
            let Ok(permit) = Arc::clone(&self.upgrades).try_acquire_owned() else {
                return unavailable("too many clients are connected through the page's port");
            };
            Some(permit)
        } else {
            None
        };
        let client = hyper::upgrade::on(&mut request);
        let mut response = match timeout(RESPONSE_TIMEOUT, self.send(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => return unavailable("the gateway is down; it is restarted automatically"),
            Err(_) => return unavailable("the gateway does not respond"),
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let gateway = hyper::upgrade::on(&mut response);
            tokio::spawn(forward_bytes(client, gateway, permit));
        }
        response.map(Either::Right)
    }

    async fn send(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Incoming>, Box<dyn std::error::Error>> {
        let stream = TcpStream::connect(self.gateway.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the response, or with the upgrade; an error is also that of the response.
        tokio::spawn(connection.with_upgrades());
        Ok(sender.send_request(request).await?)
    }
}

fn unavailable(error: &str) -> Response<Body> {
    let mut response = respond_json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": error }));
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

async fn forward_bytes(
    client: OnUpgrade,
    gateway: OnUpgrade,
    _permit: Option<OwnedSemaphorePermit>,
) {
    if let (Some(client), Some(gateway)) = tokio::join!(end(client), end(gateway)) {
        copy::both_ways(client, gateway).await;
    }
}

/// Returns the socket of an upgraded connection, or `None` if it was closed before.
async fn end(upgrade: OnUpgrade) -> Option<End> {
    let parts = upgrade.await.ok()?.downcast::<TokioIo<TcpStream>>().ok()?;
    Some(End {
        socket: parts.io.into_inner(),
        received: parts.read_buf,
    })
}
