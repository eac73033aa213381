//! All HTTP that is not an upgrade: the start page and the probes. One request per connection.
//!
//! Hyper implements the protocol; it first reads the bytes that the accept path has already received.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::admin::{Admin, Readiness};

/// The start page; self-contained.
const START_PAGE: &[u8] = include_bytes!("http/start.html");
/// The page loads nothing from other hosts: its script and style are inline, and it connects to this server only.
const START_PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                                 connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'; \
                                 frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Serves one request, whose head is in `read` and has at most `fields_max` header fields.
pub(crate) async fn serve(stream: TcpStream, read: Vec<u8>, fields_max: usize, admin: Arc<Admin>) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = respond(request.method(), request.uri().path(), &admin);
        async { Ok::<_, Infallible>(response) }
    });
    let stream = Prefixed {
        read,
        taken: 0,
        stream,
    };
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_headers(fields_max)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "HTTP request failed");
    }
}

fn respond(method: &Method, path: &str, admin: &Admin) -> Response<Full<Bytes>> {
    let body = match path {
        "/" => (StatusCode::OK, HTML, Bytes::from_static(START_PAGE)),
        "/health" => (StatusCode::OK, JSON, Bytes::from_static(b"{}")),
        "/livez" => (StatusCode::OK, TEXT, Bytes::from_static(b"alive\n")),
        "/readyz" => readiness(admin),
        _ => (
            StatusCode::NOT_FOUND,
            TEXT,
            Bytes::from_static(b"not found; clients connect to /connection/websocket\n"),
        ),
    };
    if body.0 != StatusCode::NOT_FOUND && method != Method::GET && method != Method::HEAD {
        let mut response = build((
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            Bytes::from_static(b"unsupported method; use GET or HEAD\n"),
        ));
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    build(body)
}

/// Returns whether the gateway is ready, and what its log lacks: a log that is not written cannot report that.
fn readiness(admin: &Admin) -> (StatusCode, &'static str, Bytes) {
    let (status, mut text) = match admin.readiness() {
        Readiness::Ready => (StatusCode::OK, "ready\n".to_owned()),
        Readiness::NotReady(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    };
    let dropped = admin.dropped_lines();
    if dropped > 0 {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{dropped} log lines dropped: standard error did not accept them"
        );
    }
    (status, TEXT, text.into())
}

fn build((status, kind, body): (StatusCode, &'static str, Bytes)) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if kind == HTML {
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(START_PAGE_POLICY),
        );
    }
    response
}

/// A stream of which some bytes have already been read.
struct Prefixed {
    read: Vec<u8>,
    taken: usize,
    stream: TcpStream,
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let rest = this.read.get(this.taken..).unwrap_or_default();
        if rest.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let (now, _) = rest.split_at(rest.len().min(buffer.remaining()));
        buffer.put_slice(now);
        this.taken += now.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
