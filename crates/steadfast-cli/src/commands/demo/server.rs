//! What the page asks for: itself, the picture, the live numbers, and the kill.
//!
//! Only pages of this server, opened by an address of this machine, may do anything: a foreign page must neither see
//! the picture nor kill the gateway, whatever name it gave this address.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, ORIGIN,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::CHANNEL;
use super::board::{COLORS, SIDE};
use super::live::Live;
use super::owner::Canvas;
use super::supervisor::Supervisor;

/// Requests at a time.
const CONNECTIONS_MAX: usize = 256;
/// How long the head of a request may take to arrive.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// How long the gateway of the demo remembers keys.
const DEDUPE_WINDOW_MS: u64 = 120_000;
/// The page loads nothing from elsewhere and talks to this server and the gateway only.
const PAGE_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self' ws://127.0.0.1:* ws://localhost:*; base-uri 'none'; form-action 'none'";

/// The built page: what a browser asks for, and the bytes.
const PAGE: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Everything that requests are about.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) url: String,
    pub(super) may_kill: bool,
    pub(super) canvas: Arc<Canvas>,
    pub(super) live: Arc<Live>,
    pub(super) supervisor: Supervisor,
}

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, site: Arc<Site>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of files, most likely: some are given back before long.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(|request: Request<Incoming>| {
                let response = respond(&request, &site);
                async { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_MAX)
                .serve_connection(TokioIo::new(stream), service);
            // A browser that goes away in the middle is no trouble.
            let _ = connection.await;
        });
    }
}

fn respond(request: &Request<Incoming>, site: &Site) -> Response<Full<Bytes>> {
    if !is_own(request) {
        let error = json!({"error": "only pages of this server are answered"});
        return answer(StatusCode::FORBIDDEN, &error);
    }
    let is_get = request.method() == Method::GET || request.method() == Method::HEAD;
    match request.uri().path() {
        "/demo/config" if is_get => answer(StatusCode::OK, &configuration(site)),
        "/demo/live" if is_get => answer(StatusCode::OK, &site.live.to_json()),
        "/demo/picture" if is_get => picture(site),
        "/demo/kill" if request.method() == Method::POST => kill(site),
        path if is_get => file(if path == "/" { "/index.html" } else { path }),
        _ => answer(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": "not so"})),
    }
}

fn picture(site: &Site) -> Response<Full<Bytes>> {
    if let Some(picture) = site.canvas.picture() {
        return answer(StatusCode::OK, &picture);
    }
    let error = json!({"error": "the canvas has no position yet"});
    answer(StatusCode::SERVICE_UNAVAILABLE, &error)
}

fn configuration(site: &Site) -> Value {
    json!({
        "gateway": site.url,
        "channel": CHANNEL,
        "width": SIDE,
        "height": SIDE,
        "colors": COLORS,
        "kill": site.may_kill,
        "dedupe_window_ms": DEDUPE_WINDOW_MS,
    })
}

fn kill(site: &Site) -> Response<Full<Bytes>> {
    if !site.may_kill {
        let error = json!({"error": "killing is switched off"});
        answer(StatusCode::FORBIDDEN, &error)
    } else if site.supervisor.kill() {
        answer(StatusCode::ACCEPTED, &json!({"killed": true}))
    } else {
        answer(
            StatusCode::CONFLICT,
            &json!({"error": "the gateway is down already"}),
        )
    }
}

/// Whether the request was made to an address of this machine, by a page of this server if by a page at all.
fn is_own(request: &Request<Incoming>) -> bool {
    let text = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let Some(host) = text(HOST) else {
        return false;
    };
    let own_page = format!("http://{host}");
    let has_page = request.headers().contains_key(ORIGIN);
    let has_foreign_page = has_page && text(ORIGIN) != Some(&own_page);
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_here = name == "localhost"
        || name
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    is_here && !has_foreign_page
}

fn answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    build(status, "application/json", Bytes::from(body.to_string()))
}

fn file(path: &str) -> Response<Full<Bytes>> {
    match PAGE.iter().find(|(name, _)| *name == path) {
        Some((_, bytes)) => build(StatusCode::OK, kind(path), Bytes::from_static(bytes)),
        None => answer(StatusCode::NOT_FOUND, &json!({"error": "nothing is here"})),
    }
}

fn kind(path: &str) -> &'static str {
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

fn build(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(PAGE_POLICY),
    );
    response
}
