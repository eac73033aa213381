//! The echo endpoint of the test configuration: sends every message of a connection back.
//!
//! It has the codec and the WebSocket endpoint in common with the connections of clients, and neither a hub nor a place
//! in a shard: each connection is one future with its own buffers, which counts as a handshake until it ends.
//! [`crate::accept`] calls it; conformance suites connect to it.

use std::io;
use std::time::Duration;

use steadfast_protocol::websocket::{
    Decoder, EndpointEvent, Frame, Role, WebSocketEndpoint, WebSocketLimits, WrittenAction,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time;

use crate::accept;

/// The maximum number of bytes that one read returns.
const READ_BYTES: usize = 64 << 10;

/// The settings of all echo connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EchoSettings {
    pub(crate) limits: WebSocketLimits,
    /// How long a closing connection may take to write what is left and to end the stream.
    pub(crate) close_timeout: Duration,
}

/// Sends the response to the upgrade, and serves the connection until it is closed.
pub(crate) async fn serve(
    mut stream: TcpStream,
    response: &[u8],
    early_bytes: &mut [u8],
    settings: EchoSettings,
) {
    let mut echo = Echo {
        decoder: Decoder::new(Role::Server, settings.limits),
        endpoint: WebSocketEndpoint::new(Role::Server),
        output: response.to_vec(),
    };
    echo.decode(early_bytes);
    if let Ok(Served::Closing) = echo.exchange(&mut stream).await {
        // The connection is closed in any case, so it does not matter how the stream ends.
        drop(time::timeout(settings.close_timeout, echo.finish(&mut stream)).await);
    }
}

/// One connection of the echo endpoint.
struct Echo {
    decoder: Decoder,
    endpoint: WebSocketEndpoint,
    /// The frames that are written before the next read.
    output: Vec<u8>,
}

/// Why messages are not exchanged any more.
enum Served {
    /// The client has ended the stream.
    EndOfStream,
    /// The last frames are in the output.
    Closing,
}

impl Echo {
    /// Exchanges messages until the connection is closing. All replies to one read are sent with one write.
    async fn exchange(&mut self, stream: &mut TcpStream) -> io::Result<Served> {
        let mut input = vec![0; READ_BYTES];
        while self.endpoint.is_open() {
            stream.write_all(&self.output).await?;
            self.output.clear();
            let len = stream.read(&mut input).await?;
            if len == 0 {
                return Ok(Served::EndOfStream);
            }
            self.decode(input.get_mut(..len).unwrap_or_default());
        }
        Ok(Served::Closing)
    }

    fn decode(&mut self, input: &mut [u8]) {
        let mut reading = self.decoder.read(input);
        while let Some(event) = self.endpoint.next_event(&mut reading) {
            let reply = match event {
                EndpointEvent::Message { kind, payload } => {
                    Frame::unfragmented(kind.into(), payload).append_server(&mut self.output);
                    None
                }
                EndpointEvent::Ping { reply } => Some(reply),
                EndpointEvent::Pong(_) | EndpointEvent::Dropped => None,
                EndpointEvent::Closed { reply, .. } => reply,
                EndpointEvent::Failed { close, .. } => close,
            };
            if let Some(frame) = reply {
                frame.as_frame().append_server(&mut self.output);
            }
        }
    }

    /// Writes what is left, and lets the client read it.
    async fn finish(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(&self.output).await?;
        match self.endpoint.written_action() {
            WrittenAction::KeepOpen | WrittenAction::CloseStream => Ok(()),
            WrittenAction::ShutDownSending => {
                stream.shutdown().await?;
                accept::drain(stream).await
            }
        }
    }
}
