//! One HTTP connection: its requests, and how it ends.

use std::error::Error;
use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Uri};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// The header with the key of a request, so that a server can recognize one that is repeated.
const KEY_HEADER: &str = "idempotency-key";
/// The largest body of a response.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Where the requests of a client go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Host and port.
    authority: String,
}

impl Target {
    /// Parses a URL such as `http://127.0.0.1:8080`. Its path does not matter: each request has its own. The URL of a
    /// WebSocket names the same server.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let invalid = || format!("invalid URL `{url}`: must be http://HOST:PORT");
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("{}: {error}", invalid()))?;
        let authority = uri.authority().ok_or_else(invalid)?;
        if !matches!(uri.scheme_str(), Some("http" | "ws")) {
            return Err(invalid());
        }
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self {
            authority: format!("{}:{port}", authority.host()),
        })
    }
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    Fin,
    Reset,
    Timeout,
    Other(String),
}

impl Loss {
    /// The fields of the event that reports it.
    pub(super) fn fields(&self) -> Value {
        match self {
            Self::Fin => json!({"cause": "fin", "reason": "the server closed the connection"}),
            Self::Reset => json!({"cause": "rst", "reason": "the server reset the connection"}),
            Self::Timeout => json!({"cause": "timeout", "reason": "no response in time"}),
            Self::Other(reason) => json!({"cause": "unknown", "reason": reason}),
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A complete response with this status.
    Response(u16),
    /// No byte of it was sent.
    NotSent,
    /// The connection ended before the response was complete.
    Lost,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    ended: oneshot::Receiver<Loss>,
    loss: Option<Loss>,
}

impl Connection {
    pub(super) async fn open(target: &Target) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let stream = TcpStream::connect(&target.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move {
            let loss = match connection.await {
                Ok(()) => Loss::Fin,
                Err(error) => loss(&error),
            };
            // The client has given the connection up.
            let _ = end.send(loss);
        });
        Ok(Self {
            sender,
            ended,
            loss: None,
        })
    }

    /// Waits for the end of the connection.
    pub(super) async fn ended(&mut self) -> Loss {
        if let Some(loss) = &self.loss {
            return loss.clone();
        }
        let loss = (&mut self.ended).await;
        let loss = loss.unwrap_or_else(|_| Loss::Other("its task ended".to_owned()));
        self.loss = Some(loss.clone());
        loss
    }

    /// Sends a request and waits for its complete response.
    pub(super) async fn exchange(
        &mut self,
        target: &Target,
        op: &str,
        key: &str,
        body: String,
    ) -> Outcome {
        if self.sender.ready().await.is_err() {
            return Outcome::NotSent;
        }
        let (method, path) = op.split_once(' ').unwrap_or(("GET", op));
        let has_body = !matches!(method, "GET" | "HEAD");
        let body = if has_body { body } else { String::new() };
        let request = hyper::Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET))
            .uri(path)
            .header(HOST, &target.authority)
            .header(KEY_HEADER, key)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)));
        let Ok(request) = request else {
            return Outcome::NotSent;
        };
        match self.sender.send_request(request).await {
            // It was still in the queue of the connection.
            Err(error) if error.is_canceled() => Outcome::NotSent,
            Err(_) => Outcome::Lost,
            Ok(response) => {
                let status = response.status().as_u16();
                let body = Limited::new(response.into_body(), BODY_BYTES_MAX);
                match body.collect().await {
                    Ok(_) => Outcome::Response(status),
                    Err(_) => Outcome::Lost,
                }
            }
        }
    }
}

fn loss(error: &hyper::Error) -> Loss {
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let kind = error.kind();
            let is_reset = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
            return if is_reset.contains(&kind) {
                Loss::Reset
            } else if kind == io::ErrorKind::UnexpectedEof {
                Loss::Fin
            } else {
                Loss::Other(error.to_string())
            };
        }
        source = error.source();
    }
    if error.is_incomplete_message() {
        Loss::Fin
    } else {
        Loss::Other(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_the_server_of_an_http_or_websocket_url() {
        for (url, authority) in [
            ("http://127.0.0.1:8080/api/", "127.0.0.1:8080"),
            ("ws://127.0.0.1:8080/connection/websocket", "127.0.0.1:8080"),
            ("http://localhost", "localhost:80"),
        ] {
            assert_eq!(Target::parse(url).unwrap().authority, authority);
        }
        for url in ["https://127.0.0.1:1", "127.0.0.1:1", "/status", ""] {
            let error = Target::parse(url).unwrap_err();
            assert!(error.contains("must be http://HOST:PORT"), "{error}");
        }
    }
}
