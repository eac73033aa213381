//! The first request of a connection: from bytes to a request, and the responses that are no upgrade.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use steadfast_protocol::websocket::handshake::{self, UpgradeRejection};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

/// The longest head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most header fields.
const FIELDS_MAX: usize = 100;
/// How long a head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The field with which nginx hands the address of the client to the middleware.
const REAL_ADDRESS: &str = "X-Real-Remote-Addr";

/// A first request.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    /// The address of the client, if a proxy sent it.
    pub(super) real_address: Option<IpAddr>,
    /// The response that opens a WebSocket, or why it cannot be opened.
    pub(super) upgrade: Result<Vec<u8>, UpgradeRejection>,
    /// What was received after the head.
    pub(super) rest: BytesMut,
}

/// Reads a head.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Head> {
    timeout(HEAD_TIMEOUT, read_bytes(stream)).await?
}

async fn read_bytes(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Head> {
    let mut bytes = BytesMut::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((len, mut head)) = parse(&bytes)? {
            head.rest = bytes.split_off(len);
            return Ok(head);
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// Returns the length of the head and the head; `None` if it is incomplete.
fn parse(bytes: &[u8]) -> io::Result<Option<(usize, Head)>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(status) = request.parse(bytes) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let httparse::Status::Complete(len) = status else {
        return Ok(None);
    };
    let method = request.method.unwrap_or_default();
    let path = request.path.unwrap_or_default();
    let fields = request.headers.iter().map(|it| (it.name, it.value));
    let upgrade = handshake::accept(method, request.version.unwrap_or_default(), fields);
    let mut fields = request.headers.iter();
    let real = fields.find(|it| it.name.eq_ignore_ascii_case(REAL_ADDRESS));
    let real = real.and_then(|it| str::from_utf8(it.value).ok());
    let head = Head {
        method: method.to_owned(),
        path: path.split('?').next().unwrap_or_default().to_owned(),
        real_address: real.and_then(|text| text.trim().parse().ok()),
        upgrade: upgrade.map(|accept| handshake::response(&accept.accept_key, None)),
        rest: BytesMut::new(),
    };
    Ok(Some((len, head)))
}

/// A complete response; the server closes the connection after it.
pub(super) fn response(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}
