//! A program that sends one JSON object per line, and receives one per line.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use steadfast_protocol::jsonrpc::codes;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::outbox::{Extra, Form, Outbox};
use crate::io::{Input, ProgramId};
use crate::policy::MESSAGE_BYTES_MAX;
use crate::reply;

/// How often it is checked whether a program that sends no more has ended.
const END_CHECK: Duration = Duration::from_millis(200);

/// Serves the program until its connection ends. `input` is what was read.
pub(super) async fn serve(stream: UnixStream, input: BytesMut, outbox: Outbox) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let (extras, required) = mpsc::channel(1);
    let mut lines = Lines {
        reader,
        input,
        searched: 0,
        program: outbox.program,
        driver: outbox.driver.clone(),
    };
    let reading = async {
        if lines.run(&extras).await? == End::OfInput {
            let finished = Input::Finished {
                program: lines.program,
            };
            let _ = lines.driver.send(finished).await;
            until_gone(&lines.reader).await
        } else {
            // The writing half ends the connection.
            std::future::pending().await
        }
    };
    tokio::select! {
        outcome = reading => outcome,
        outcome = write(outbox, &mut writer, required) => outcome,
    }
}

async fn write(
    outbox: Outbox,
    writer: &mut OwnedWriteHalf,
    required: mpsc::Receiver<Extra>,
) -> io::Result<()> {
    outbox.write_to(writer, Form::Lines, required, &[]).await
}

/// Completes when the program has closed its socket: then nothing can be written either.
async fn until_gone(reader: &OwnedReadHalf) -> io::Result<()> {
    while !reader
        .ready(Interest::WRITABLE.add(Interest::READABLE))
        .await?
        .is_write_closed()
    {
        sleep(END_CHECK).await;
    }
    Ok(())
}

/// Why no further line is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The program sends no more.
    OfInput,
    /// A line is too long.
    TooLong,
}

struct Lines {
    reader: OwnedReadHalf,
    input: BytesMut,
    /// The bytes of the input that contain no line break.
    searched: usize,
    program: ProgramId,
    driver: mpsc::Sender<Input>,
}

/// A line without what ends it. A carriage return may be followed by the line break that has not arrived.
fn without_break(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl Lines {
    async fn run(&mut self, extras: &mpsc::Sender<Extra>) -> io::Result<End> {
        loop {
            while let Some(line) = self.next_line() {
                if without_break(&line).len() > MESSAGE_BYTES_MAX {
                    return Ok(self.reject(extras).await);
                }
                self.hand_on(line).await;
            }
            if without_break(&self.input).len() > MESSAGE_BYTES_MAX {
                return Ok(self.reject(extras).await);
            }
            if self.reader.read_buf(&mut self.input).await? == 0 {
                // The last line may have no line break.
                let rest = self.input.split().freeze();
                self.hand_on(rest).await;
                return Ok(End::OfInput);
            }
        }
    }

    fn next_line(&mut self) -> Option<Bytes> {
        let rest = self.input.get(self.searched..).unwrap_or_default();
        let Some(at) = rest.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.input.len();
            return None;
        };
        let line = self.input.split_to(self.searched + at + 1);
        self.searched = 0;
        Some(line.freeze())
    }

    /// Empty lines are ignored.
    async fn hand_on(&self, line: Bytes) {
        let text = line.trim_ascii();
        if text.is_empty() {
            return;
        }
        let received = Input::Received {
            program: self.program,
            // A copy, since a part would keep the memory of all that was read.
            text: Bytes::copy_from_slice(text),
        };
        // Without a driver, the bridge has ended.
        let _ = self.driver.send(received).await;
    }

    async fn reject(&self, extras: &mpsc::Sender<Extra>) -> End {
        tracing::warn!(
            program = self.program.0,
            "program disconnected: a line is longer than 64 KiB"
        );
        let text = "A message has at most 65536 bytes";
        let error = reply::outcome(codes::PARSE_ERROR, text, "rejected", false);
        let mut bytes = reply::error(b"null", &error).to_vec();
        bytes.push(b'\n');
        let _ = extras.send(Extra::End(bytes)).await;
        End::TooLong
    }
}
