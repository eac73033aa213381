//! A client of the proxy's HTTP API: one request per connection, with a limit for its duration and its response.

use std::fmt;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::time::timeout;

use crate::args::proxy::{Api, URL_DEFAULT};
use crate::env::Environment;
use crate::exit::Failure;

/// The limit of one request: the server ends each of its own within 25 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The limit of a response: some thousand proxies.
const RESPONSE_BYTES_MAX: usize = 16 << 20;
/// The port of a URL without one.
const PORT_DEFAULT: u16 = 80;

/// Calls the HTTP API at one URL.
#[derive(Debug)]
pub(super) struct ApiClient {
    runtime: runtime::Runtime,
    url: String,
    host: String,
    port: u16,
}

/// Why a request has no useful response.
#[derive(Debug)]
pub(super) enum CallError {
    /// The server rejected it; the text is the server's, or the status if it has none.
    Rejected(String),
    /// There is no server, or it did not respond.
    NoResponse {
        /// The URL of the server.
        url: String,
        /// Why not, in words.
        reason: String,
    },
}

impl CallError {
    /// The failure of a command; `context` is what failed.
    pub(super) fn failure(self, context: &str) -> Failure {
        match self {
            Self::Rejected(text) => Failure::failed(format!("{context}: {text}"), ""),
            Self::NoResponse { url, reason } => Failure::failed(
                format!("{context}: no response from {url}: {reason}"),
                "Start the server with `steadfast proxy serve`, or name another one with --host URL or TOXIPROXY_URL.",
            ),
        }
    }
}

impl ApiClient {
    /// A client of the URL of the command line, of the environment, or else of the default.
    ///
    /// # Errors
    ///
    /// When the URL is invalid.
    pub(super) fn new(api: &Api, environment: &Environment) -> Result<Self, Failure> {
        let of_environment = environment.toxiproxy_url.as_deref();
        let of_environment = of_environment.map(|url| url.to_string_lossy().into_owned());
        let url = api.host.clone().or(of_environment);
        let url = url.unwrap_or_else(|| URL_DEFAULT.to_owned());
        let invalid = |reason: &str| {
            Failure::usage(
                format!("invalid URL of the HTTP API `{url}`: {reason}"),
                format!("Write a URL such as {URL_DEFAULT}"),
            )
        };
        let uri: Uri = url.parse().map_err(|error| invalid(&format!("{error}")))?;
        if uri.scheme_str() != Some("http") {
            return Err(invalid("it must begin with http://"));
        }
        if uri.path().len() > 1 || uri.query().is_some() {
            return Err(invalid("it must have no path"));
        }
        let host = uri.host().ok_or_else(|| invalid("it has no host"))?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| {
                Failure::failed(format!("failed to start the async runtime: {error}"), "")
            })?;
        Ok(Self {
            runtime,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(PORT_DEFAULT),
            url: url.trim_end_matches('/').to_owned(),
        })
    }

    pub(super) fn get(&self, path: &[&str]) -> Result<Value, CallError> {
        self.call(&Method::GET, path, None)
    }

    pub(super) fn post(&self, path: &[&str], body: &Value) -> Result<Value, CallError> {
        self.call(&Method::POST, path, Some(body))
    }

    pub(super) fn patch(&self, path: &[&str], body: &Value) -> Result<Value, CallError> {
        self.call(&Method::PATCH, path, Some(body))
    }

    pub(super) fn delete(&self, path: &[&str]) -> Result<Value, CallError> {
        self.call(&Method::DELETE, path, None)
    }

    /// Sends a request; a response without a body is `null`.
    fn call(
        &self,
        method: &Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Value, CallError> {
        let no_response = |reason: String| CallError::NoResponse {
            url: self.url.clone(),
            reason,
        };
        let exchange = self.exchange(method, path, body);
        let (status, body) = self
            .runtime
            // The timer belongs to the runtime.
            .block_on(async { timeout(REQUEST_TIMEOUT, exchange).await })
            .map_err(|_elapsed| {
                no_response(format!("timed out after {} s", REQUEST_TIMEOUT.as_secs()))
            })?
            .map_err(|error| no_response(error.to_string()))?;
        let value = if body.is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_slice(&body)
        };
        match value {
            Ok(value) if status.is_success() => Ok(value),
            Ok(value) => Err(CallError::Rejected(rejection(status, &value))),
            Err(_) if !status.is_success() => Err(CallError::Rejected(status.to_string())),
            Err(error) => Err(no_response(format!("the response is no JSON: {error}"))),
        }
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the response, whose error it shares.
        tokio::spawn(connection);
        let (os, machine) = (std::env::consts::OS, std::env::consts::ARCH);
        let request = Request::builder()
            .method(method)
            .uri(Path(path).to_string())
            .header(HOST, format!("{}:{}", self.host, self.port))
            .header(
                USER_AGENT,
                format!(
                    "steadfast-proxy/{} {os}/{machine}",
                    env!("CARGO_PKG_VERSION")
                ),
            )
            .header(CONNECTION, "close");
        let request: Request<Full<Bytes>> = match body {
            None => request.body(Full::default())?,
            Some(body) => request
                .header(CONTENT_TYPE, "application/json")
                .body(Full::from(body.to_string()))?,
        };
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), RESPONSE_BYTES_MAX);
        Ok((status, body.collect().await?.to_bytes()))
    }
}

/// The text of an error of the server, with its status.
fn rejection(status: StatusCode, body: &Value) -> String {
    let text = body.get("error").and_then(Value::as_str);
    text.map_or_else(
        || status.to_string(),
        |text| format!("HTTP {}: {text}", status.as_u16()),
    )
}

/// The segments of a path, each of which may contain any character.
struct Path<'a>(&'a [&'a str]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in self.0 {
            f.write_str("/")?;
            for byte in segment.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    write!(f, "{}", char::from(byte))?;
                } else {
                    write!(f, "%{byte:02X}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_cannot_change_the_path() {
        let path = Path(&["proxies", "a/b c?ü"]).to_string();

        assert_eq!(path, "/proxies/a%2Fb%20c%3F%C3%BC");
    }
}
