//! The responses of the page's server, with the header fields that all of them have.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// A body of this server, or one of the gateway.
pub(super) type Body = Either<Full<Bytes>, Incoming>;

/// The page loads resources from this server only, and connects to this server only. Browsers that do not count the
/// WebSocket of the same host and port as `'self'` need its loopback names.
const PAGE_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self' ws://127.0.0.1:* ws://localhost:*; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";

/// The files of the built page: path and content.
const PAGE: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

pub(super) fn respond_json(status: StatusCode, body: &Value) -> Response<Body> {
    build(status, "application/json", Bytes::from(body.to_string()))
}

pub(super) fn respond_html(status: StatusCode, body: String) -> Response<Body> {
    build(status, HTML, Bytes::from(body))
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Response<Body> {
    let error = json!({"error": "method not allowed"});
    let mut response = respond_json(StatusCode::METHOD_NOT_ALLOWED, &error);
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// A file of the page.
pub(super) fn file(path: &str) -> Response<Body> {
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
        "html" => HTML,
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webmanifest" | "json" => "application/json",
        _ => "application/octet-stream",
    }
}

fn build(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body)));
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
