//! The HTTP server: accepts connections, limits requests, and hands each to its operation.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use steadfast_machine::{Seed, convert};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Settings;
use super::config::{self, ConfigError};
use super::error::ApiError;
use super::events::EventBody;
use super::operations::{Operations, rejection};
use super::response::{Reply, ReplyBody, TEXT};
use super::route::{self, Unroutable};
use crate::set::ProxySet;

/// The greatest number of connections; further ones wait in the backlog. With the limit of a body, the memory of requests
/// is bounded.
const CONNECTIONS_MAX: usize = 128;
/// The greatest body of a request.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a connection may have no request, and how long the head of one may take.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long an operation may take; it is completed even if its response comes too late.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(25);
/// How long requests in progress may take after a shutdown began.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after a failed accept: most likely the limit of open files is reached.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-toxiproxy-request-id");

type Body = Either<Full<Bytes>, EventBody>;

/// The HTTP API of a set of proxies. Its port is bound; [`ApiServer::serve`] serves it.
#[derive(Debug)]
pub struct ApiServer {
    listener: TcpListener,
    address: SocketAddr,
    operations: Arc<Operations>,
}

/// Why the HTTP API cannot be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum ApiListenError {
    /// The host has no address.
    #[error("no address found for the host `{host}`")]
    Host { host: String, source: io::Error },
    /// Another process listens on the port.
    #[error("cannot listen on {address}: another process is listening there")]
    PortInUse { address: SocketAddr },
    /// Any other failure.
    #[error("cannot listen on {address}")]
    Other {
        address: SocketAddr,
        source: io::Error,
    },
}

impl ApiServer {
    /// Binds the port. A host name with addresses of both families is bound to the first one of IPv4, which clients that
    /// know only one family expect.
    ///
    /// # Errors
    ///
    /// When the host is unknown, or the port cannot be bound.
    pub async fn bind(host: &str, port: u16, settings: Settings) -> Result<Self, ApiListenError> {
        let unknown = |source| ApiListenError::Host {
            host: host.to_owned(),
            source,
        };
        let addresses = lookup_host((host, port)).await.map_err(unknown)?;
        let address = addresses.min_by_key(SocketAddr::is_ipv6);
        let address = address.ok_or_else(|| unknown(io::ErrorKind::NotFound.into()))?;
        let failed = |source: io::Error| {
            if source.kind() == io::ErrorKind::AddrInUse {
                ApiListenError::PortInUse { address }
            } else {
                ApiListenError::Other { address, source }
            }
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        Ok(Self {
            address: listener.local_addr().map_err(failed)?,
            listener,
            operations: Arc::new(Operations::new(ProxySet::new(settings.seed), settings)),
        })
    }

    /// The address of the API.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The seed of all random choices.
    pub fn seed(&self) -> Seed {
        self.operations.set.seed()
    }

    /// Creates the proxies of a file, and returns their number.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is invalid, or a proxy cannot be started.
    pub async fn populate(&self, path: &Path) -> Result<usize, ConfigError> {
        config::populate(&self.operations, path).await
    }

    /// Serves requests until `shutdown` completes; requests in progress then have 30 s to end. All proxies end with the
    /// server.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let (stop, is_stopping) = watch::channel(false);
        let shared = Arc::new(Shared {
            operations: self.operations,
            requests: AtomicU64::new(0),
            is_stopping,
        });
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = accept(&self.listener, &permits) => {
                    if let Some((stream, permit)) = accepted {
                        let connection = serve_connection(stream, Arc::clone(&shared));
                        connections.spawn(async move {
                            connection.await;
                            drop(permit);
                        });
                    }
                }
                // Forgets what has ended.
                Some(_) = connections.join_next() => {}
            }
        }
        drop(self.listener);
        // The receivers are in `shared`.
        stop.send_replace(true);
        let ended = async { while connections.join_next().await.is_some() {} };
        // What has not ended by then is dropped with the set of connections.
        let _ = timeout(SHUTDOWN_TIMEOUT, ended).await;
    }
}

/// Waits for a permit, then for a client; `None` if the client is gone or cannot be accepted now.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    let Ok((stream, _)) = listener.accept().await else {
        sleep(ACCEPT_PAUSE).await;
        return None;
    };
    // A failure only delays small messages.
    let _ = stream.set_nodelay(true);
    Some((stream, permit))
}

/// What the connections share.
#[derive(Debug)]
struct Shared {
    operations: Arc<Operations>,
    /// The number of requests with a path and a method of the API.
    requests: AtomicU64,
    is_stopping: watch::Receiver<bool>,
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    let mut is_stopping = shared.is_stopping.clone();
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.respond(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // An error means that the client closed the connection early.
        _ = &mut connection => return,
        _ = is_stopping.wait_for(|is_stopping| *is_stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

impl Shared {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        let operation = match route::operation(request.method().as_str(), path) {
            Ok(operation) => operation,
            Err(Unroutable::Path) => return self.response(Reply::not_found()),
            Err(Unroutable::Method) => return self.response(Reply::wrong_method()),
        };
        let query = request.uri().query().unwrap_or_default().to_owned();
        let reply = if is_browser(&request) {
            Reply::browser()
        } else {
            match read_body(request).await {
                Ok(body) => self.execute(operation, query, body).await,
                Err(rejected) => rejected,
            }
        };
        let mut response = self.response(reply);
        if let Ok(id) = HeaderValue::try_from(self.request_id()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }

    /// Executes an operation in a task of its own: a client that leaves does not interrupt it.
    async fn execute(&self, operation: route::Operation, query: String, body: String) -> Reply {
        let operations = Arc::clone(&self.operations);
        let task = tokio::spawn(async move { operations.execute(operation, &query, &body).await });
        match timeout(OPERATION_TIMEOUT, task).await {
            Ok(Ok(Ok(reply))) => reply,
            Ok(Ok(Err(error))) => rejection(&error),
            Ok(Err(error)) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            Err(_) => Reply::too_slow(),
        }
    }

    /// Twenty characters, different for each request.
    fn request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}{number:012x}", std::process::id())
    }

    fn response(&self, reply: Reply) -> Response<Body> {
        let body = match reply.body {
            ReplyBody::Complete(body) => Either::Left(Full::new(body)),
            ReplyBody::Events { first, events } => {
                Either::Right(EventBody::new(first, events, self.is_stopping.clone()))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = reply.status;
        let headers = response.headers_mut();
        if let Some(content_type) = reply.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if reply.content_type == Some(TEXT) {
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        response
    }
}

/// A page in a browser could otherwise call the API of the machine on which it is shown.
fn is_browser(request: &Request<Incoming>) -> bool {
    let agent = request.headers().get(USER_AGENT);
    agent.is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"))
}

/// Reads a body within its limits. A length that is announced is checked before anything is read.
async fn read_body(request: Request<Incoming>) -> Result<String, Reply> {
    let rejected = |status, problem: &str| {
        let text = format!("bad request body: {problem}");
        rejection(&ApiError::new(status, text))
    };
    let too_long = || rejected(StatusCode::PAYLOAD_TOO_LARGE, "longer than 1 MiB");
    let body = request.into_body();
    if body.size_hint().lower() > convert::to_u64(BODY_BYTES_MAX) {
        return Err(too_long());
    }
    let collected = Limited::new(body, BODY_BYTES_MAX).collect();
    match timeout(BODY_TIMEOUT, collected).await {
        Ok(Ok(body)) => String::from_utf8(body.to_bytes().into())
            .map_err(|_error| rejected(StatusCode::BAD_REQUEST, "it is not UTF-8")),
        // The client has closed the connection otherwise, so that nothing receives the response.
        Ok(Err(_)) => Err(too_long()),
        Err(_) => {
            let problem = format!("it did not arrive within {} s", BODY_TIMEOUT.as_secs());
            Err(rejected(StatusCode::REQUEST_TIMEOUT, &problem))
        }
    }
}
