//! The connection below `steadfast connect`: address, TCP, upgrade, frames.

use std::time::Duration;

use bytes::Bytes;
use steadfast_protocol::json;
use steadfast_protocol::message::Command;
use steadfast_protocol::websocket::handshake::{self, UpgradeRequest};
use steadfast_protocol::websocket::{Decoder, Event, Frame, Limits, Opcode, Role};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::exit::Failure;

/// The longest message shown; a gateway sends far shorter ones.
const LIMITS: Limits = Limits {
    message_bytes_max: 16 << 20,
    frame_bytes_max: 16 << 20,
    fragments_max: 1024,
};

/// How long the connection may take, upgrade included.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest head of an HTTP answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What came.
pub(super) enum Received {
    Message(Bytes),
    Closed { code: Option<u16>, reason: String },
}

/// An open WebSocket.
pub(super) struct Link {
    stream: TcpStream,
    decoder: Decoder,
    /// Came behind the head of the upgrade, or not looked at yet.
    unread: Vec<u8>,
    /// Decoded and not handed out yet, oldest first.
    ready: std::collections::VecDeque<Received>,
}

/// Where to connect.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    path: String,
}

impl Link {
    pub(super) async fn dial(url: &str) -> Result<Self, Failure> {
        let address = parse(url)?;
        match timeout(DIAL_TIMEOUT, Self::open(&address)).await {
            Ok(link) => link,
            Err(_elapsed) => Err(Failure::failed(
                format!("{} did not answer within 10 s", address.host),
                "Is it the gateway that listens there?",
            )),
        }
    }

    async fn open(address: &Address) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(&address.host).await.map_err(|error| {
            Failure::failed(
                format!("cannot connect to {}: {error}", address.host),
                "Is the gateway running? Start one with: steadfast serve",
            )
        })?;
        let key = handshake::key(random()?);
        let request = handshake::request(&UpgradeRequest {
            host: &address.host,
            path: &address.path,
            key: &key,
            origin: None,
            subprotocols: &[],
            extra_fields: &[],
        })
        .map_err(|error| Failure::usage(error.to_string(), ""))?;
        stream
            .write_all(&request)
            .await
            .map_err(|error| lost(&error))?;
        let mut unread = Vec::new();
        let head = loop {
            if let Some(head) = read_head(&unread, &key)? {
                break head;
            }
            if unread.len() > HEAD_BYTES_MAX {
                return Err(Failure::failed("the answer to the upgrade is too long", ""));
            }
            if stream
                .read_buf(&mut unread)
                .await
                .map_err(|error| lost(&error))?
                == 0
            {
                return Err(Failure::failed(
                    "the connection ended before the upgrade",
                    "",
                ));
            }
        };
        unread.drain(..head);
        Ok(Self {
            stream,
            decoder: Decoder::new(Role::Client, LIMITS),
            unread,
            ready: std::collections::VecDeque::new(),
        })
    }

    pub(super) async fn send(&mut self, command: &Command) -> Result<(), Failure> {
        let mut message = Vec::new();
        json::append_command(&mut message, command);
        self.send_frame(Opcode::Text, &message).await
    }

    async fn send_frame(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Failure> {
        let [a, b, c, d, ..] = random()?;
        let mut frame = Vec::new();
        Frame::whole(opcode, payload).append_client(&mut frame, [a, b, c, d]);
        self.stream
            .write_all(&frame)
            .await
            .map_err(|error| lost(&error))
    }

    /// The next message or the close. Cancel-safe: bytes that were read are kept.
    pub(super) async fn receive(&mut self) -> Result<Received, Failure> {
        loop {
            if let Some(received) = self.ready.pop_front() {
                return Ok(received);
            }
            if self.unread.is_empty()
                && self
                    .stream
                    .read_buf(&mut self.unread)
                    .await
                    .map_err(|error| lost(&error))?
                    == 0
            {
                return Err(Failure::failed(
                    "the connection ended without a close frame",
                    "",
                ));
            }
            for pong in self.decode()? {
                self.send_frame(Opcode::Pong, &pong).await?;
            }
        }
    }

    /// Decodes what was read; returns the payloads of pings.
    fn decode(&mut self) -> Result<Vec<Vec<u8>>, Failure> {
        let mut input = std::mem::take(&mut self.unread);
        let mut pings = Vec::new();
        let mut reading = self.decoder.read(&mut input);
        let broken = |error: steadfast_protocol::websocket::CodecError| {
            Failure::failed(
                format!("the gateway sent an invalid frame: {}", error.reason()),
                "",
            )
        };
        while let Some(event) = reading.next_event().map_err(broken)? {
            match event {
                Event::Message { payload, .. } => {
                    self.ready
                        .push_back(Received::Message(Bytes::copy_from_slice(payload)));
                }
                Event::Ping(payload) => pings.push(payload.to_vec()),
                Event::Pong(_) => {}
                Event::Close { code, reason } => {
                    let reason = reason.to_owned();
                    self.ready.push_back(Received::Closed { code, reason });
                }
            }
        }
        Ok(pings)
    }
}

/// The length of the head once it is whole and agrees to the upgrade.
fn read_head(bytes: &[u8], key: &str) -> Result<Option<usize>, Failure> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    let not_http = |error| Failure::failed(format!("the answer is not HTTP: {error}"), "");
    let httparse::Status::Complete(length) = response.parse(bytes).map_err(not_http)? else {
        return Ok(None);
    };
    let status = response.code.unwrap_or(0);
    let named = response
        .headers
        .iter()
        .map(|field| (field.name, field.value));
    match handshake::verify_response(status, named, key, &[]) {
        Ok(_) => Ok(Some(length)),
        Err(error) => {
            let said = String::from_utf8_lossy(bytes.get(length..).unwrap_or_default())
                .trim()
                .to_owned();
            Err(Failure::failed(
                format!("the upgrade failed: {error}"),
                said,
            ))
        }
    }
}

/// Takes an address apart: `ws://`, `http://` or nothing in front, a port, a path if it is not the usual one.
pub(super) fn parse(url: &str) -> Result<Address, Failure> {
    let wrong = |what: &str| {
        Failure::usage(
            format!("{what}: \"{url}\""),
            "For example: steadfast connect ws://127.0.0.1:8000",
        )
    };
    if url.starts_with("wss://") || url.starts_with("https://") {
        return Err(wrong("TLS is not spoken here yet, only ws://"));
    }
    let rest = url
        .strip_prefix("ws://")
        .or_else(|| url.strip_prefix("http://"))
        .unwrap_or(url);
    if rest.contains("://") {
        return Err(wrong("only ws:// can be connected to"));
    }
    let (host, path) = match rest.split_once('/') {
        Some((host, "")) => (host, "/connection/websocket".to_owned()),
        Some((host, path)) => (host, format!("/{path}")),
        None => (rest, "/connection/websocket".to_owned()),
    };
    if host.is_empty() {
        return Err(wrong("there is no host in the address"));
    }
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if has_port {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    Ok(Address { host, path })
}

/// Sixteen random bytes as text.
pub(super) fn random_text() -> Result<String, Failure> {
    Ok(format!("{:032x}", u128::from_be_bytes(random()?)))
}

fn random() -> Result<[u8; 16], Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::failed(format!("no randomness to be had: {error}"), ""))?;
    Ok(bytes)
}

fn lost(error: &std::io::Error) -> Failure {
    Failure::failed(format!("the connection is lost: {error}"), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_short() {
        let usual = "/connection/websocket";
        for (url, host, path) in [
            ("ws://127.0.0.1:8000", "127.0.0.1:8000", usual),
            ("http://127.0.0.1:8000/", "127.0.0.1:8000", usual),
            ("localhost:9000/other?x=1", "localhost:9000", "/other?x=1"),
            ("ws://[::1]:8000", "[::1]:8000", usual),
            ("ws://example.test", "example.test:80", usual),
        ] {
            let address = parse(url).unwrap();
            assert_eq!(
                (address.host.as_str(), address.path.as_str()),
                (host, path),
                "{url}"
            );
        }
        for url in ["wss://127.0.0.1", "ftp://127.0.0.1", "", "ws:///path"] {
            assert!(parse(url).is_err(), "{url}");
        }
    }
}
