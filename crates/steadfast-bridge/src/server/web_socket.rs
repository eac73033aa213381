//! A program that speaks WebSocket: one JSON object per text message, as to the server itself.

use std::io;

use bytes::{Bytes, BytesMut};
use steadfast_machine::convert;
use steadfast_protocol::websocket::{
    ControlFrame, Decoder, EndpointEvent, MessageKind, Role, WebSocketEndpoint, WebSocketLimits,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadHalf};
use tokio::sync::mpsc;

use super::outbox::{Extra, Form, Outbox};
use crate::io::{Input, ProgramId};
use crate::policy::MESSAGE_BYTES_MAX;

/// Control frames that are not written yet; further pongs are dropped.
const EXTRAS_MAX: usize = 8;
/// The server accepts no binary messages.
const UNSUPPORTED_DATA: u16 = 1003;
/// The bridge ends the connection.
const GOING_AWAY: u16 = 1001;

/// Serves the program until its connection ends. `input` is what was read after the head.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite,
    input: BytesMut,
    outbox: Outbox,
) -> io::Result<()> {
    let bytes_max = convert::saturating(MESSAGE_BYTES_MAX);
    let limits = WebSocketLimits {
        message_bytes_max: bytes_max,
        frame_bytes_max: bytes_max,
        fragments_max: 1_024,
    };
    let (reader, mut writer) = tokio::io::split(stream);
    let (extras, required) = mpsc::channel(EXTRAS_MAX);
    let mut socket = Socket {
        decoder: Decoder::new(Role::Server, limits),
        endpoint: WebSocketEndpoint::new(Role::Server),
        program: outbox.program,
        driver: outbox.driver.clone(),
        extras,
    };
    let closing = bytes_of(WebSocketEndpoint::new(Role::Server).close(GOING_AWAY, ""));
    tokio::select! {
        outcome = socket.read(reader, input) => outcome,
        outcome = outbox.write_to(&mut writer, Form::WebSocket, required, &closing) => outcome,
    }
}

/// What a read requires.
enum Step {
    Message(Bytes),
    Pong(Vec<u8>),
    End(Vec<u8>),
}

struct Socket {
    decoder: Decoder,
    endpoint: WebSocketEndpoint,
    program: ProgramId,
    driver: mpsc::Sender<Input>,
    extras: mpsc::Sender<Extra>,
}

impl Socket {
    async fn read<S: AsyncRead>(
        &mut self,
        mut reader: ReadHalf<S>,
        mut input: BytesMut,
    ) -> io::Result<()> {
        loop {
            for step in self.steps(&mut input) {
                match step {
                    Step::Message(text) => {
                        let program = self.program;
                        let received = Input::Received { program, text };
                        // Without a driver, the bridge has ended.
                        let _ = self.driver.send(received).await;
                    }
                    Step::Pong(bytes) => drop(self.extras.try_send(Extra::Raw(bytes))),
                    Step::End(bytes) => {
                        let _ = self.extras.send(Extra::End(bytes)).await;
                        // The writing half ends the connection.
                        return std::future::pending().await;
                    }
                }
            }
            input.clear();
            if reader.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
        }
    }

    fn steps(&mut self, input: &mut [u8]) -> Vec<Step> {
        let mut reading = self.decoder.read(input);
        let mut steps = Vec::new();
        while let Some(event) = self.endpoint.next_event(&mut reading) {
            let step = match event {
                EndpointEvent::Message {
                    kind: MessageKind::Text,
                    payload,
                } => Step::Message(Bytes::copy_from_slice(payload)),
                EndpointEvent::Message {
                    kind: MessageKind::Binary,
                    ..
                } => {
                    let close = self.endpoint.close(UNSUPPORTED_DATA, "");
                    steps.push(Step::End(bytes_of(close)));
                    break;
                }
                EndpointEvent::Ping { reply } => Step::Pong(bytes_of(Some(reply))),
                EndpointEvent::Pong(_) | EndpointEvent::Dropped => continue,
                EndpointEvent::Closed { reply, .. } => Step::End(bytes_of(reply)),
                EndpointEvent::Failed { error, close } => {
                    tracing::warn!(program = self.program.0, %error, "program disconnected: invalid WebSocket");
                    Step::End(bytes_of(close))
                }
            };
            steps.push(step);
        }
        steps
    }
}

fn bytes_of(frame: Option<ControlFrame>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(frame) = frame {
        frame.as_frame().append_server(&mut bytes);
    }
    bytes
}
