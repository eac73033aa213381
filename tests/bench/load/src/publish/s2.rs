//! S2: an append session, in which each publication is one append of one record.
//!
//! The session is one HTTP/1.1 request whose body and response are streams of S2's frames: a length of three bytes, a
//! byte of flags, and a protobuf message. Only the fields that the benchmark uses are encoded and decoded.

use std::io::Write;
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};

use super::{Read, Wire, line};
use crate::dialect;

/// The basin and the stream, which the server creates at its start from [`RESOURCES`].
const BASIN: &str = "bench-basin";
const STREAM: &str = "durable";

/// The resources that the server must create at its start.
pub const RESOURCES: &str = r#"{"basins":[{"name":"bench-basin","streams":[{"name":"durable"}]}]}"#;

/// The flag of a frame that ends the session.
const TERMINAL: u8 = 0x80;

/// Bits of the flags that say how a frame is compressed.
const COMPRESSION: u8 = 0x60;

/// Tags of the protobuf fields: `AppendInput.records`, `AppendRecord.body`, `AppendAck.start` and `end`, and
/// `StreamPosition.seq_num`.
const RECORDS: u8 = 0x0a;
const BODY: u8 = 0x1a;
const START: u64 = 0x0a;
const END: u64 = 0x12;
const SEQ_NUM: u64 = 0x08;

/// The state of the response.
#[derive(Default)]
pub(super) struct AppendSession {
    has_head: bool,
    /// The frames in the chunks that were read.
    body: Vec<u8>,
    /// The sequence number of the next record to be acknowledged.
    next: u64,
}

/// Sends the head of the request; the response begins with the first acknowledgement.
pub(super) fn connect(stream: &mut TcpStream, port: u16) -> Result<()> {
    let head = format!(
        "POST /v1/streams/{STREAM}/records HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ns2-basin: {BASIN}\r\n\
         authorization: Bearer ignored\r\ncontent-type: s2s/proto\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    Ok(stream.write_all(head.as_bytes())?)
}

impl Wire for AppendSession {
    fn publish(&mut self, sequence: u64, out: &mut Vec<u8>) {
        let data = dialect::payload(sequence);
        let mut record = vec![BODY];
        write_varint(&mut record, data.len());
        record.extend_from_slice(data.as_bytes());
        let mut input = vec![RECORDS];
        write_varint(&mut input, record.len());
        input.extend_from_slice(&record);
        // The length of a frame includes its flags.
        let len = u32::try_from(input.len() + 1).expect("a payload of the benchmark is short");
        let [_, length @ ..] = len.to_be_bytes();
        let chunk = input.len() + length.len() + 1;
        out.extend_from_slice(format!("{chunk:x}\r\n").as_bytes());
        out.extend_from_slice(&length);
        out.push(0);
        out.extend_from_slice(&input);
        out.extend_from_slice(b"\r\n");
    }

    fn read(&mut self, inbox: &[u8], _out: &mut Vec<u8>) -> Result<Read> {
        let mut used = 0;
        if !self.has_head {
            let Some(end) = inbox.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                return Ok(Read::default());
            };
            let head = String::from_utf8_lossy(inbox.get(..end).unwrap_or_default());
            ensure!(
                head.starts_with("HTTP/1.1 200"),
                "session rejected by the server: {}",
                String::from_utf8_lossy(inbox)
            );
            ensure!(
                head.to_ascii_lowercase()
                    .contains("transfer-encoding: chunked"),
                "the response is not a stream: {head}"
            );
            self.has_head = true;
            used = end + 4;
        }
        used += self.read_chunks(inbox.get(used..).unwrap_or_default())?;
        let acknowledged = self.read_frames()?;
        Ok(Read { used, acknowledged })
    }
}

impl AppendSession {
    /// Moves the data of the complete chunks to the body, and returns their length.
    fn read_chunks(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            let Some((size, size_len)) = line(rest) else {
                return Ok(used);
            };
            let size = usize::from_str_radix(std::str::from_utf8(size)?, 16)
                .context("invalid chunk in the response")?;
            ensure!(size > 0, "session ended by the server");
            let Some(data) = rest.get(size_len..size_len + size + 2) else {
                return Ok(used);
            };
            self.body
                .extend_from_slice(data.get(..size).unwrap_or_default());
            used += size_len + data.len();
        }
    }

    /// Reads the complete frames of the body, and returns the number of acknowledged records.
    fn read_frames(&mut self) -> Result<u64> {
        let (mut used, before) = (0, self.next);
        loop {
            let rest = self.body.get(used..).unwrap_or_default();
            let Some([high, middle, low, flags]) = rest.first_chunk().copied() else {
                break;
            };
            let len = usize::try_from(u32::from_be_bytes([0, high, middle, low]))?;
            let Some(message) = rest.get(4..3 + len) else {
                break;
            };
            if flags & TERMINAL != 0 {
                bail!(
                    "session ended by the server: {}",
                    String::from_utf8_lossy(message)
                );
            }
            ensure!(flags & COMPRESSION == 0, "a compressed acknowledgement");
            let (start, end) = acknowledged(message)?;
            ensure!(
                start == self.next && end > start,
                "records {start} to {end} acknowledged instead of record {}",
                self.next
            );
            self.next = end;
            used += 3 + len;
        }
        self.body.drain(..used);
        Ok(self.next - before)
    }
}

/// Returns the sequence numbers of an `AppendAck`: of its first record, and after its last.
fn acknowledged(message: &[u8]) -> Result<(u64, u64)> {
    let (mut start, mut end) = (0, 0);
    let mut rest = message;
    while !rest.is_empty() {
        let tag = read_varint(&mut rest)?;
        let len = usize::try_from(read_varint(&mut rest)?)?;
        let (position, after) = rest
            .split_at_checked(len)
            .context("truncated acknowledgement")?;
        rest = after;
        match tag {
            START => start = seq_num(position)?,
            END => end = seq_num(position)?,
            _ => {}
        }
    }
    Ok((start, end))
}

/// Returns the sequence number of a `StreamPosition`, whose fields are numbers; 0 is not encoded.
fn seq_num(mut position: &[u8]) -> Result<u64> {
    let mut number = 0;
    while !position.is_empty() {
        let tag = read_varint(&mut position)?;
        let value = read_varint(&mut position)?;
        if tag == SEQ_NUM {
            number = value;
        }
    }
    Ok(number)
}

fn write_varint(out: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits fit a byte");
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn read_varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().context("truncated number")?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(number);
        }
    }
    bail!("a number of more than 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_one_chunk_with_one_frame() {
        let mut out = Vec::new();

        AppendSession::default().publish(5, &mut out);

        let (size, used) = line(&out).unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(size).unwrap(), 16).unwrap();
        let frame = &out[used..used + size];
        assert_eq!(out.len(), used + size + 2);
        assert_eq!(usize::from(frame[2]), frame.len() - 3);
        assert!(frame.ends_with(dialect::payload(5).as_bytes()));
    }

    #[test]
    fn acknowledgements_are_read_across_chunks_and_must_be_consecutive() {
        // A frame with the acknowledgement of records `start` to `end`; the first record has the number 0.
        let frame = |start: u8, end: u8| {
            let message = [0x0a, 2, 0x08, start, 0x12, 2, 0x08, end, 0x1a, 2, 0x08, end];
            [&[0, 0, 13, 0], message.as_slice()].concat()
        };
        let chunk = |data: &[u8]| {
            let size = format!("{:x}\r\n", data.len());
            [size.as_bytes(), data, b"\r\n"].concat()
        };
        let first = frame(0, 1);
        let inbox = [
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".as_slice(),
            &chunk(&first[..5]),
            &chunk(&[&first[5..], frame(1, 3).as_slice()].concat()),
        ]
        .concat();
        let mut session = AppendSession::default();

        let read = session.read(&inbox, &mut Vec::new()).unwrap();

        assert_eq!((read.used, read.acknowledged), (inbox.len(), 3));
        assert!(session.read(&chunk(&frame(4, 5)), &mut Vec::new()).is_err());
    }

    #[test]
    fn a_rejected_session_and_a_terminal_frame_end_the_run() {
        let rejected = b"HTTP/1.1 404 Not Found\r\n\r\n";
        let ended = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                      6\r\n\x00\x00\x03\x80\x01\xf4\r\n";

        for inbox in [rejected.as_slice(), ended] {
            let read = AppendSession::default().read(inbox, &mut Vec::new());
            assert!(read.is_err());
        }
    }
}
