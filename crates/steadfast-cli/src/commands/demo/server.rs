//! The HTTP server of the page: its files, the settings, the picture, the live report, and the kill request.
//!
//! What belongs to the gateway (the WebSocket endpoint and the probes) is forwarded to it, so that the page, its socket
//! and other clients need one port, and the gateway applies its own rules of access.

mod copy;
pub(super) mod forward;
mod permission;
mod response;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use self::forward::Forwarder;
use self::response::{Body, file, method_not_allowed, respond_json};
use super::CHANNEL;
use super::board::{COLOR_NAMES, COLORS, SIDE};
use super::live::LiveStats;
use super::owner::Canvas;
use super::supervisor::Supervisor;

/// The maximum number of connections with HTTP requests; further connections wait. Forwarded WebSocket connections are
/// limited separately.
const CONNECTIONS_MAX: usize = 256;
/// The timeout for receiving the header of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The gateway's `dedup_window`, which has its default in the demo.
const DEDUP_WINDOW_MS: u64 = 120_000;

/// The state that requests read and change.
#[derive(Debug)]
pub(super) struct Site {
    /// The port of the page.
    pub(super) port: u16,
    pub(super) forwarder: Forwarder,
    pub(super) is_kill_allowed: bool,
    pub(super) canvas: Canvas,
    pub(super) stats: Arc<LiveStats>,
    pub(super) supervisor: Supervisor,
}

/// Accepts connections indefinitely.
pub(super) async fn serve(listener: TcpListener, site: Arc<Site>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let Ok((stream, from)) = listener.accept().await else {
            // Most likely the limit of open files is reached, until other connections close.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // A failure only delays small messages.
        let _ = stream.set_nodelay(true);
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let _permit = permit;
            let service = service_fn(|request: Request<Incoming>| {
                let site = Arc::clone(&site);
                async move { Ok::<_, Infallible>(respond(request, from.ip(), &site).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            // An error means that the browser closed the connection early.
            let _ = connection.await;
        });
    }
}

async fn respond(request: Request<Incoming>, client: IpAddr, site: &Site) -> Response<Body> {
    if forward::is_of_gateway(request.uri().path()) {
        return site.forwarder.forward(request).await;
    }
    let host = match permission::permitted_host(&request, client) {
        Ok(host) => host,
        Err(refusal) => return refusal.respond(&request, site.port),
    };
    let is_get = request.method() == Method::GET || request.method() == Method::HEAD;
    match request.uri().path() {
        "/demo/config" if is_get => respond_json(StatusCode::OK, &configuration(site, host)),
        "/demo/live" if is_get => respond_json(StatusCode::OK, &site.stats.to_json()),
        "/demo/picture" if is_get => picture(site),
        "/demo/kill" if request.method() == Method::POST => kill(site),
        path if is_get => file(if path == "/" { "/index.html" } else { path }),
        "/demo/kill" => method_not_allowed("POST"),
        _ => method_not_allowed("GET, HEAD"),
    }
}

fn picture(site: &Site) -> Response<Body> {
    if let Some(picture) = site.canvas.picture() {
        return respond_json(StatusCode::OK, &picture);
    }
    let error = json!({"error": "the picture has no position yet"});
    respond_json(StatusCode::SERVICE_UNAVAILABLE, &error)
}

/// The settings of the page, which was opened at this host and connects to it: the port in the host may be a forwarded
/// one, and `port` is the demo's own.
fn configuration(site: &Site, host: &str) -> Value {
    json!({
        "gateway": format!("ws://{host}/connection/websocket"),
        "port": site.port,
        "gateway_address": site.forwarder.gateway().to_string(),
        "channel": CHANNEL,
        "width": SIDE,
        "height": SIDE,
        "colors": COLORS,
        "color_names": COLOR_NAMES,
        "is_kill_allowed": site.is_kill_allowed,
        "dedup_window_ms": DEDUP_WINDOW_MS,
    })
}

fn kill(site: &Site) -> Response<Body> {
    if !site.is_kill_allowed {
        let error = json!({"error": "killing the gateway is disabled"});
        respond_json(StatusCode::FORBIDDEN, &error)
    } else if site.supervisor.kill() {
        respond_json(StatusCode::ACCEPTED, &json!({"killed": true}))
    } else {
        respond_json(
            StatusCode::CONFLICT,
            &json!({"error": "the gateway is already down"}),
        )
    }
}
