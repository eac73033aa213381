//! One connection: the upgrade, then its frames.

use std::rc::Rc;

use anyhow::{Context, Result, bail};
use steadfast_protocol::websocket::{
    Decoder, EndpointEvent, Frame, Role, WebSocketEndpoint, WebSocketLimits, handshake,
};
use tokio::net::TcpStream;

use crate::hub::{Hub, Peer};

/// Maximum size of the upgrade request.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// The same limits as in the gateway.
const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 65_536,
    frame_bytes_max: 65_536,
    fragments_max: 1024,
};

/// The endpoint of a connection, selected by the path of the upgrade request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Publisher,
    Subscriber,
    Echo,
}

/// Serves a connection until it ends. A protocol error of the client closes the connection without a close frame:
/// the client of the benchmark causes no such errors.
pub(crate) async fn serve(stream: TcpStream, hub: Rc<Hub>) {
    let Ok((endpoint, rest)) = upgrade(&stream).await else {
        return;
    };
    let peer = Rc::new(Peer::new(stream));
    let number = (endpoint == Endpoint::Subscriber).then(|| hub.subscribe(Rc::clone(&peer)));
    // Any error ends the connection; the cause does not matter.
    let _ = serve_frames(endpoint, &peer, &hub, rest).await;
    if let Some(number) = number {
        hub.unsubscribe(number);
    }
}

/// Reads the upgrade request and sends the response. Returns the endpoint and the bytes after the request.
async fn upgrade(stream: &TcpStream) -> Result<(Endpoint, Vec<u8>)> {
    let mut head = Vec::new();
    let end = loop {
        stream.readable().await?;
        let mut chunk = [0; 1024];
        match stream.try_read(&mut chunk) {
            Ok(0) => bail!("connection closed before the upgrade"),
            Ok(count) => head.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if head.len() > HEAD_BYTES_MAX {
            bail!("upgrade request too large");
        }
    };
    let rest = head.split_off(end);
    let (endpoint, response) = respond(&head)?;
    // A new socket accepts two hundred bytes in one write.
    if stream.try_write(&response)? < response.len() {
        bail!("the socket did not accept the upgrade response in one write");
    }
    Ok((endpoint, rest))
}

fn respond(head: &[u8]) -> Result<(Endpoint, Vec<u8>)> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.lines();
    let request = lines.next().context("missing request line")?;
    let mut words = request.split(' ');
    let method = words.next().context("missing method")?;
    let endpoint = match words.next() {
        Some("/pub") => Endpoint::Publisher,
        Some("/sub") => Endpoint::Subscriber,
        Some("/echo") => Endpoint::Echo,
        _ => bail!("path not found"),
    };
    let fields = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim().as_bytes()));
    let accept = handshake::accept(method, 1, fields)
        .map_err(|rejection| anyhow::anyhow!("{}", rejection.text()))?;
    Ok((endpoint, handshake::response(&accept.accept_key, None)))
}

/// The receiving half of a connection, and its closing handshake.
struct Socket {
    decoder: Decoder,
    endpoint: WebSocketEndpoint,
}

/// Handles frames until the connection ends.
async fn serve_frames(endpoint: Endpoint, peer: &Peer, hub: &Hub, mut rest: Vec<u8>) -> Result<()> {
    let mut socket = Socket {
        decoder: Decoder::new(Role::Server, LIMITS),
        endpoint: WebSocketEndpoint::new(Role::Server),
    };
    if !rest.is_empty() {
        decode(endpoint, peer, hub, &mut socket, &mut rest)?;
        hub.flush();
    }
    drop(rest);
    loop {
        tokio::select! {
            readable = peer.stream.readable() => {
                readable?;
                read_available(endpoint, peer, hub, &mut socket)?;
            }
            () = peer.blocked.notified() => {
                while !peer.has_failed.get() && !peer.send_unsent() {
                    peer.stream.writable().await?;
                }
            }
        }
        if peer.has_failed.get() {
            bail!("the send buffer is full or the socket failed");
        }
    }
}

/// One loop iteration: reads everything that is available, then writes once to each socket with queued bytes.
fn read_available(endpoint: Endpoint, peer: &Peer, hub: &Hub, socket: &mut Socket) -> Result<()> {
    let mut scratch = hub.scratch.borrow_mut();
    loop {
        match peer.stream.try_read(&mut scratch) {
            Ok(0) => bail!("connection closed"),
            Ok(count) => {
                decode(
                    endpoint,
                    peer,
                    hub,
                    socket,
                    scratch.get_mut(..count).unwrap_or_default(),
                )?;
                if count < scratch.len() {
                    break;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    hub.flush();
    Ok(())
}

/// Decodes the bytes of one read and handles each message according to the connection's endpoint.
fn decode(
    endpoint: Endpoint,
    peer: &Peer,
    hub: &Hub,
    socket: &mut Socket,
    input: &mut [u8],
) -> Result<()> {
    let mut replies = Vec::new();
    let mut reading = socket.decoder.read(input);
    let mut is_closing = false;
    while let Some(event) = socket.endpoint.next_event(&mut reading) {
        let reply = match event {
            EndpointEvent::Message { kind, payload } => {
                match endpoint {
                    Endpoint::Publisher => hub.publish(kind.into(), payload),
                    Endpoint::Echo => {
                        Frame::unfragmented(kind.into(), payload).append_server(&mut replies);
                    }
                    Endpoint::Subscriber => {}
                }
                None
            }
            EndpointEvent::Ping { reply } => Some(reply),
            EndpointEvent::Pong(_) | EndpointEvent::Dropped => None,
            EndpointEvent::Closed { reply, .. } => {
                is_closing = true;
                reply
            }
            EndpointEvent::Failed { error, .. } => return Err(error.into()),
        };
        if let Some(frame) = reply {
            frame.as_frame().append_server(&mut replies);
        }
    }
    if !replies.is_empty() {
        peer.send(&replies);
    }
    if is_closing {
        bail!("connection closed by the client");
    }
    Ok(())
}
