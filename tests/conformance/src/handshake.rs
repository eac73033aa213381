//! The handshake over a socket, for both roles. Reads a head, passes its fields to the codec, sends the response.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use steadfast_protocol::websocket::Role;
use steadfast_protocol::websocket::handshake::{self, UpgradeRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::connection::{Connection, random_bytes};

/// The longest head that is read.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The maximum number of header fields in one head.
const FIELDS_MAX: usize = 64;

/// How long a complete handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Accepts a connection of a client.
///
/// # Errors
///
/// When the request is not a valid upgrade (the response contains the reason), or the socket fails.
pub async fn accept(mut stream: TcpStream) -> Result<Connection> {
    let head = timeout(HANDSHAKE_TIMEOUT, read_head(&mut stream))
        .await
        .context("timed out waiting for the request")??;
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    request.parse(&head.bytes).context("invalid HTTP request")?;
    let method = request.method.unwrap_or_default();
    let minor = request.version.unwrap_or_default();
    let fields = request
        .headers
        .iter()
        .map(|field| (field.name, field.value));
    match handshake::accept(method, minor, fields) {
        Ok(accepted) => {
            stream
                .write_all(&handshake::response(&accepted.accept_key, None))
                .await?;
            Ok(Connection::new(stream, Role::Server, head.early()))
        }
        Err(rejection) => {
            stream.write_all(&rejection.response()).await?;
            bail!(rejection);
        }
    }
}

/// Opens a connection to a server.
///
/// # Errors
///
/// When the server's response is not a valid upgrade, or the socket fails.
pub async fn connect(host: &str, path: &str) -> Result<Connection> {
    let mut stream = TcpStream::connect(host)
        .await
        .with_context(|| format!("failed to connect to {host}"))?;
    stream.set_nodelay(true)?;
    let mut random = [0; 16];
    for chunk in random.as_chunks_mut::<8>().0 {
        *chunk = random_bytes();
    }
    let key = handshake::key(random);
    let request = UpgradeRequest {
        host,
        path,
        key: &key,
        ..UpgradeRequest::default()
    };
    stream.write_all(&handshake::request(&request)?).await?;
    let head = timeout(HANDSHAKE_TIMEOUT, read_head(&mut stream))
        .await
        .context("timed out waiting for the response")??;
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    response
        .parse(&head.bytes)
        .context("invalid HTTP response")?;
    let status = response.code.unwrap_or_default();
    let fields = response
        .headers
        .iter()
        .map(|field| (field.name, field.value));
    handshake::verify_response(status, fields, &key, &[])?;
    Ok(Connection::new(stream, Role::Client, head.early()))
}

/// A head, and the bytes that were read after it.
struct Head {
    bytes: Vec<u8>,
    len: usize,
}

impl Head {
    fn early(&self) -> &[u8] {
        self.bytes.get(self.len..).unwrap_or_default()
    }
}

async fn read_head(stream: &mut TcpStream) -> Result<Head> {
    const END: &[u8] = b"\r\n\r\n";
    let mut bytes = Vec::with_capacity(1024);
    loop {
        ensure!(bytes.len() < HEAD_BYTES_MAX, "the head is too long");
        ensure!(
            stream.read_buf(&mut bytes).await? > 0,
            "the peer disconnected during the handshake"
        );
        if let Some(at) = bytes.windows(END.len()).position(|window| window == END) {
            return Ok(Head {
                bytes,
                len: at + END.len(),
            });
        }
    }
}
