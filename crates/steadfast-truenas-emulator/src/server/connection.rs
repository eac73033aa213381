//! One connection: its first request, then a response or a WebSocket.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::driver::Request;
use super::head::{self, Head};
use super::socket;
use crate::route::{Route, route};
use crate::version::ApiVersion;

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// How long a TLS handshake may take.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a connection until its end, over TLS if there is an acceptor.
pub(super) async fn accept(
    stream: TcpStream,
    peer: SocketAddr,
    driver: mpsc::Sender<Request>,
    (release, acceptor): (ApiVersion, Option<TlsAcceptor>),
) {
    // A failure only delays small messages.
    let _ = stream.set_nodelay(true);
    match acceptor {
        None => serve(stream, peer, driver, release).await,
        Some(acceptor) => {
            // A failed handshake ends the connection.
            if let Ok(Ok(stream)) = timeout(TLS_TIMEOUT, acceptor.accept(stream)).await {
                serve(stream, peer, driver, release).await;
            }
        }
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    driver: mpsc::Sender<Request>,
    release: ApiVersion,
) {
    let Ok(head) = head::read(&mut stream).await else {
        return;
    };
    let response = match route(&head.method, &head.path, release) {
        Route::Api(version) => {
            let address = head.real_address.unwrap_or_else(|| peer.ip());
            match open(&mut stream, &head, &driver, address, version).await {
                Ok(Some(opened)) => {
                    socket::serve(stream, head.rest, opened, driver).await;
                    return;
                }
                Ok(None) => return,
                Err(response) => response,
            }
        }
        Route::Versions => {
            let names: Value = release.offered().map(ApiVersion::name).collect();
            head::response("200 OK", JSON, &names.to_string())
        }
        Route::BootId => {
            let id = ask(&driver, Request::BootId).await.unwrap_or_default();
            head::response("200 OK", JSON, &Value::from(id).to_string())
        }
        Route::Journal => {
            let journal = ask(&driver, Request::Journal).await.unwrap_or_default();
            head::response("200 OK", JSON, &journal)
        }
        Route::Control(control) => {
            ask(&driver, |done| Request::Control(control, done)).await;
            head::response("200 OK", TEXT, "")
        }
        Route::NotFound => head::response("404 Not Found", TEXT, "404: Not Found"),
        Route::WrongMethod => {
            head::response("405 Method Not Allowed", TEXT, "405: Method Not Allowed")
        }
    };
    // A client that has left needs no response.
    let _ = stream.write_all(&response).await;
    let _ = stream.shutdown().await;
}

/// Completes the upgrade; an error is the response to send instead.
async fn open(
    stream: &mut (impl AsyncWrite + Unpin),
    head: &Head,
    driver: &mpsc::Sender<Request>,
    address: std::net::IpAddr,
    version: ApiVersion,
) -> Result<Option<super::driver::Opened>, Vec<u8>> {
    match &head.upgrade {
        Err(rejection) => return Err(rejection.response()),
        Ok(response) if stream.write_all(response).await.is_err() => return Ok(None),
        Ok(_) => {}
    }
    let opened = |opened| Request::Open {
        address,
        version,
        opened,
    };
    Ok(ask(driver, opened).await)
}

/// Sends a request to the driver, and waits for its response; `None` if the server ends.
async fn ask<T>(
    driver: &mpsc::Sender<Request>,
    request: impl FnOnce(oneshot::Sender<T>) -> Request,
) -> Option<T> {
    let (sender, response) = oneshot::channel();
    driver.send(request(sender)).await.ok()?;
    response.await.ok()
}
