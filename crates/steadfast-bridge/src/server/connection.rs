//! One connection of a program, from its first byte: lines of JSON, or a WebSocket.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use steadfast_protocol::websocket::handshake;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::access::Access;
use super::outbox::Outbox;
use super::{lines, web_socket};
use crate::io::Input;

/// How long a program may take until its first byte.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The most header fields.
const FIELDS_MAX: usize = 100;

/// Serves a program on the Unix socket until its connection ends.
pub(super) async fn serve_local(stream: UnixStream, outbox: Outbox) {
    let (program, driver) = (outbox.program, outbox.driver.clone());
    if let Err(error) = local(stream, outbox).await {
        tracing::debug!(program = program.0, %error, "connection of a program failed");
    }
    // Without a driver, the bridge has ended.
    let _ = driver.send(Input::Left { program }).await;
}

/// A program on the loopback port that has shown the token.
#[derive(Debug)]
pub(super) struct Admitted {
    stream: TcpStream,
    /// What was read after the head.
    input: BytesMut,
    /// What opens the WebSocket.
    response: Vec<u8>,
}

/// Reads the request of a connection to the loopback port, and refuses it without the token.
pub(super) async fn admit(mut stream: TcpStream, access: Access) -> Option<Admitted> {
    // A failure only delays small messages.
    let _ = stream.set_nodelay(true);
    let mut input = BytesMut::new();
    let read = async {
        match head(&mut stream, &mut input, &access).await? {
            Ok(response) => Ok(Some(response)),
            Err(response) => refuse(&mut stream, &response).await.map(|()| None),
        }
    };
    let response: io::Result<Option<Vec<u8>>> = timeout(HEAD_TIMEOUT, read).await.ok()?;
    let response = response.ok()??;
    Some(Admitted {
        stream,
        input,
        response,
    })
}

/// Serves a program on the loopback port until its connection ends.
pub(super) async fn serve_port(admitted: Admitted, outbox: Outbox) {
    let (program, driver) = (outbox.program, outbox.driver.clone());
    let Admitted {
        mut stream,
        input,
        response,
    } = admitted;
    let served = async {
        stream.write_all(&response).await?;
        web_socket::serve(stream, input, outbox).await
    };
    if let Err(error) = served.await {
        tracing::debug!(program = program.0, %error, "connection of a program failed");
    }
    let _ = driver.send(Input::Left { program }).await;
}

async fn local(mut stream: UnixStream, mut outbox: Outbox) -> io::Result<()> {
    let mut input = BytesMut::new();
    let first = tokio::select! {
        biased;
        // A program without a request receives only the reason why it is not served.
        message = outbox.messages.recv() => {
            let reason = message.map(|it| [&it[..], b"\n"].concat());
            return refuse(&mut stream, &reason.unwrap_or_default()).await;
        }
        first = timeout(FIRST_BYTE_TIMEOUT, first_byte(&mut stream, &mut input)) => first??,
    };
    match first {
        None => Ok(()),
        Some(b'G') => upgrade(stream, input, outbox).await,
        Some(_) => lines::serve(stream, input, outbox).await,
    }
}

/// Writes a few bytes, and ends the connection.
async fn refuse(stream: &mut (impl AsyncWrite + Unpin), response: &[u8]) -> io::Result<()> {
    timeout(HEAD_TIMEOUT, stream.write_all(response)).await??;
    stream.shutdown().await
}

/// Reads to the first byte that is not white space; `None` at the end of the stream.
async fn first_byte(stream: &mut UnixStream, input: &mut BytesMut) -> io::Result<Option<u8>> {
    loop {
        if let Some(first) = input.iter().find(|byte| !byte.is_ascii_whitespace()) {
            return Ok(Some(*first));
        }
        input.clear();
        if stream.read_buf(input).await? == 0 {
            return Ok(None);
        }
    }
}

/// Completes the upgrade, and serves the WebSocket.
async fn upgrade(mut stream: UnixStream, mut input: BytesMut, outbox: Outbox) -> io::Result<()> {
    let access = Access::SocketFile;
    let head = timeout(HEAD_TIMEOUT, head(&mut stream, &mut input, &access)).await??;
    match head {
        Ok(response) => {
            stream.write_all(&response).await?;
            web_socket::serve(stream, input, outbox).await
        }
        Err(response) => refuse(&mut stream, &response).await,
    }
}

/// Reads a head and removes it from the input. Returns the response that opens the WebSocket, or the one that refuses it.
async fn head(
    stream: &mut (impl AsyncRead + Unpin),
    input: &mut BytesMut,
    access: &Access,
) -> io::Result<Result<Vec<u8>, Vec<u8>>> {
    loop {
        if let Some((len, response)) = parse(input, access)? {
            drop(input.split_to(len));
            return Ok(response);
        }
        if input.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if stream.read_buf(input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

type Head = (usize, Result<Vec<u8>, Vec<u8>>);

/// Returns the length of the head and the response; `None` if it is incomplete.
fn parse(input: &[u8], access: &Access) -> io::Result<Option<Head>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let status = request.parse(input);
    let status = status.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let httparse::Status::Complete(len) = status else {
        return Ok(None);
    };
    if let Err(response) = access.check(request.headers) {
        return Ok(Some((len, Err(response.to_vec()))));
    }
    let fields = request.headers.iter().map(|it| (it.name, it.value));
    let method = request.method.unwrap_or_default();
    let accepted = handshake::accept(method, request.version.unwrap_or_default(), fields);
    let response = accepted
        .map(|accept| handshake::response(&accept.accept_key, None))
        .map_err(handshake::UpgradeRejection::response);
    Ok(Some((len, response)))
}
