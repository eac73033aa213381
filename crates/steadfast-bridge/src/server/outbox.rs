//! The half of a program's connection that writes: messages of the bridge in order, and what the reading half requires.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use steadfast_protocol::websocket::{Frame, Opcode};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::io::{Input, ProgramId};

/// How long a program may read nothing of what is written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Messages up to this size together are written at once.
const BATCH_BYTES: usize = 64 << 10;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A line each.
    Lines,
    /// A text message of a WebSocket each.
    WebSocket,
}

impl Form {
    fn append(self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Lines => {
                // Outside of strings, where JSON permits none, a line break is as good as a blank.
                let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
                out.extend(text.iter().map(|it| if is_break(it) { b' ' } else { *it }));
                out.push(b'\n');
            }
            Self::WebSocket => Frame::unfragmented(Opcode::Text, text).append_server(out),
        }
    }
}

/// What the reading half requires of the writing half.
#[derive(Debug)]
pub(super) enum Extra {
    /// Write these bytes as they are.
    Raw(Vec<u8>),
    /// Write these bytes as they are, and end the connection.
    End(Vec<u8>),
}

/// The messages for one program.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) program: ProgramId,
    /// Its end means that the bridge ends the connection.
    pub(super) messages: mpsc::Receiver<Bytes>,
    pub(super) driver: mpsc::Sender<Input>,
}

impl Outbox {
    /// Writes until the connection ends. `closing` is written last.
    pub(super) async fn write_to(
        mut self,
        socket: &mut (impl AsyncWrite + Unpin),
        form: Form,
        mut extras: mpsc::Receiver<Extra>,
        closing: &[u8],
    ) -> io::Result<()> {
        loop {
            tokio::select! {
                Some(extra) = extras.recv() => match extra {
                    Extra::Raw(bytes) => write(socket, &bytes).await?,
                    Extra::End(bytes) => {
                        write(socket, &bytes).await?;
                        return socket.shutdown().await;
                    }
                },
                message = self.messages.recv() => {
                    let Some(message) = message else {
                        write(socket, closing).await?;
                        return socket.shutdown().await;
                    };
                    self.write_batch(message, socket, form).await?;
                }
            }
        }
    }

    async fn write_batch(
        &mut self,
        first: Bytes,
        socket: &mut (impl AsyncWrite + Unpin),
        form: Form,
    ) -> io::Result<()> {
        let mut out = Vec::with_capacity(first.len().saturating_add(16));
        let mut messages = 1;
        form.append(&first, &mut out);
        while out.len() < BATCH_BYTES
            && let Ok(next) = self.messages.try_recv()
        {
            messages += 1;
            form.append(&next, &mut out);
        }
        write(socket, &out).await?;
        let written = Input::Written {
            program: self.program,
            messages,
        };
        // Without a driver, the bridge has ended.
        let _ = self.driver.send(written).await;
        Ok(())
    }
}

/// Writes all bytes, as long as the peer reads some of them now and then.
async fn write(socket: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = timeout(WRITE_TIMEOUT, socket.write(bytes)).await??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}
