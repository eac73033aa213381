//! The HTTP server of the page: its files, the settings, the picture, the live report, and the kill request.
//!
//! Only pages of this server that were opened with a loopback address may send requests: a page of another origin must
//! neither read the picture nor kill the gateway, even if its host name resolves to this address (DNS rebinding).

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
    ORIGIN, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use steadfast_gateway::access;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::CHANNEL;
use super::board::{COLORS, SIDE};
use super::live::LiveStats;
use super::owner::Canvas;
use super::supervisor::Supervisor;

/// The maximum number of open connections; further connections wait.
const CONNECTIONS_MAX: usize = 256;
/// The timeout for receiving the header of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The gateway's `dedup_window`, which has its default in the demo.
const DEDUP_WINDOW_MS: u64 = 120_000;
/// The page loads resources from this server only, and connects to this server and the gateway only.
const PAGE_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self' ws://127.0.0.1:* ws://localhost:*; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'";

/// The files of the built page: path and content.
const PAGE: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// The state that requests read and change.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) url: String,
    pub(super) is_kill_allowed: bool,
    pub(super) canvas: Arc<Canvas>,
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
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let _permit = permit;
            let service = service_fn(|request: Request<Incoming>| {
                let response = respond(&request, from.ip(), &site);
                async { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // An error means that the browser closed the connection early.
            let _ = connection.await;
        });
    }
}

fn respond(request: &Request<Incoming>, client: IpAddr, site: &Site) -> Response<Full<Bytes>> {
    if !is_permitted(request, client) {
        let error =
            json!({"error": "only pages of this server, without a proxy, may send requests"});
        return respond_json(StatusCode::FORBIDDEN, &error);
    }
    let is_get = request.method() == Method::GET || request.method() == Method::HEAD;
    match request.uri().path() {
        "/demo/config" if is_get => respond_json(StatusCode::OK, &configuration(site)),
        "/demo/live" if is_get => respond_json(StatusCode::OK, &site.stats.to_json()),
        "/demo/picture" if is_get => picture(site),
        "/demo/kill" if request.method() == Method::POST => kill(site),
        path if is_get => file(if path == "/" { "/index.html" } else { path }),
        path => method_not_allowed(path),
    }
}

fn method_not_allowed(path: &str) -> Response<Full<Bytes>> {
    let error = json!({"error": "method not allowed"});
    let mut response = respond_json(StatusCode::METHOD_NOT_ALLOWED, &error);
    let allowed = if path == "/demo/kill" {
        "POST"
    } else {
        "GET, HEAD"
    };
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn picture(site: &Site) -> Response<Full<Bytes>> {
    if let Some(picture) = site.canvas.picture() {
        return respond_json(StatusCode::OK, &picture);
    }
    let error = json!({"error": "the picture has no position yet"});
    respond_json(StatusCode::SERVICE_UNAVAILABLE, &error)
}

fn configuration(site: &Site) -> Value {
    json!({
        "gateway": site.url,
        "channel": CHANNEL,
        "width": SIDE,
        "height": SIDE,
        "colors": COLORS,
        "is_kill_allowed": site.is_kill_allowed,
        "dedup_window_ms": DEDUP_WINDOW_MS,
    })
}

fn kill(site: &Site) -> Response<Full<Bytes>> {
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

/// Whether the request comes from this machine, by the rule of the gateway, and its `Origin`, if present, is this server.
fn is_permitted(request: &Request<Incoming>, client: IpAddr) -> bool {
    let headers = request.headers();
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    // An absolute target takes precedence over the field (RFC 9112, section 3.2.2).
    let target = request.uri().authority().map(Authority::as_str);
    let Some(host) = target.or_else(|| host.to_str().ok()) else {
        return false;
    };
    let names = headers.keys().map(HeaderName::as_str);
    let is_own_origin = |origin: &HeaderValue| {
        origin
            .to_str()
            .is_ok_and(|origin| access::is_same_origin(origin, host))
    };
    access::is_local(client, host, names) && headers.get_all(ORIGIN).iter().all(is_own_origin)
}

fn respond_json(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    build(status, "application/json", Bytes::from(body.to_string()))
}

fn file(path: &str) -> Response<Full<Bytes>> {
    match PAGE.iter().find(|(name, _)| *name == path) {
        Some((_, bytes)) => build(
            StatusCode::OK,
            content_type(path),
            Bytes::from_static(bytes),
        ),
        None => respond_json(StatusCode::NOT_FOUND, &json!({"error": "not found"})),
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webmanifest" | "json" => "application/json",
        _ => "application/octet-stream",
    }
}

fn build(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(PAGE_POLICY),
    );
    response
}
