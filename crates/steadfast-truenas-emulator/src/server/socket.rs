//! An open WebSocket: moves messages between the socket and the driver, and replies to pings. The server sends no pings.

use std::time::Duration;

use bytes::BytesMut;
use steadfast_protocol::websocket::{
    ControlFrame, Decoder, EndpointEvent, Frame, MessageKind, Opcode, Role, WebSocketEndpoint,
    WebSocketLimits,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::driver::{Opened, Outgoing, Request};
use crate::io::{ConnectionId, Input};

/// The limits of the server's library; those of the API are in the state machine.
const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 4 << 20,
    frame_bytes_max: 4 << 20,
    fragments_max: 10_000,
};
/// How long a client may take to accept what is sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the server waits for the close frame of the client.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a read requires.
enum Step {
    /// Hand it to the driver.
    Input(Input),
    /// Send a pong.
    Pong(ControlFrame),
    /// Send a close frame if there is one, and end.
    End(Option<ControlFrame>),
}

/// Serves a WebSocket until its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    rest: BytesMut,
    opened: Opened,
    driver: mpsc::Sender<Request>,
) {
    let Opened { id, mut outbox } = opened;
    let mut socket = Socket {
        stream,
        decoder: Decoder::new(Role::Server, LIMITS),
        endpoint: WebSocketEndpoint::new(Role::Server),
        id,
    };
    // `None` is the end of the connection, which the driver learns below.
    let _ = socket.run(rest, &mut outbox, &driver).await;
    let closed = Input::Closed { connection: id };
    let _ = driver.send(Request::Input(closed)).await;
}

struct Socket<S> {
    stream: S,
    decoder: Decoder,
    endpoint: WebSocketEndpoint,
    id: ConnectionId,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Runs until the connection ends, which is `None`.
    async fn run(
        &mut self,
        mut input: BytesMut,
        outbox: &mut mpsc::Receiver<Outgoing>,
        driver: &mpsc::Sender<Request>,
    ) -> Option<()> {
        loop {
            for step in self.steps(&mut input) {
                match step {
                    Step::Input(input) => driver.send(Request::Input(input)).await.ok()?,
                    Step::Pong(pong) => {
                        self.write(pong.as_frame()).await?;
                        let sent = Input::PongSent {
                            connection: self.id,
                        };
                        driver.send(Request::Input(sent)).await.ok()?;
                    }
                    Step::End(close) => {
                        if let Some(close) = close {
                            self.write(close.as_frame()).await?;
                        }
                        return None;
                    }
                }
            }
            input.clear();
            tokio::select! {
                read = self.stream.read_buf(&mut input) => {
                    if read.ok()? == 0 {
                        return None;
                    }
                }
                outgoing = outbox.recv() => match outgoing? {
                    Outgoing::Text(text) => {
                        self.write(Frame::unfragmented(Opcode::Text, text.as_bytes())).await?;
                    }
                    Outgoing::Close(code, reason) => return self.close(code, &reason).await,
                }
            }
        }
    }

    /// Decodes what was read.
    fn steps(&mut self, input: &mut [u8]) -> Vec<Step> {
        let mut reading = self.decoder.read(input);
        let mut steps = Vec::new();
        let connection = self.id;
        while let Some(event) = self.endpoint.next_event(&mut reading) {
            steps.push(match event {
                EndpointEvent::Message {
                    kind: MessageKind::Text,
                    payload,
                } => Step::Input(Input::ReceivedText {
                    connection,
                    text: String::from_utf8_lossy(payload).into_owned(),
                }),
                EndpointEvent::Message {
                    kind: MessageKind::Binary,
                    ..
                } => Step::Input(Input::ReceivedBinary { connection }),
                EndpointEvent::Ping { reply } => Step::Pong(reply),
                EndpointEvent::Pong(_) | EndpointEvent::Dropped => continue,
                EndpointEvent::Closed { reply, .. } => Step::End(reply),
                EndpointEvent::Failed { close, .. } => Step::End(close),
            });
        }
        steps
    }

    /// Sends a close frame, and waits for that of the client.
    async fn close(&mut self, code: u16, reason: &str) -> Option<()> {
        let close = self.endpoint.close(code, reason)?;
        self.write(close.as_frame()).await?;
        let peer = async {
            let mut input = BytesMut::new();
            loop {
                input.clear();
                if self.stream.read_buf(&mut input).await.ok()? == 0 {
                    return None;
                }
                let steps = self.steps(&mut input);
                if steps.iter().any(|step| matches!(step, Step::End(_))) {
                    return None;
                }
            }
        };
        timeout(CLOSE_TIMEOUT, peer).await.ok()?
    }

    async fn write(&mut self, frame: Frame<'_>) -> Option<()> {
        let mut bytes = Vec::new();
        frame.append_server(&mut bytes);
        let written = async {
            self.stream.write_all(&bytes).await?;
            // TLS keeps what the socket has not accepted.
            self.stream.flush().await
        };
        timeout(WRITE_TIMEOUT, written).await.ok()?.ok()
    }
}
