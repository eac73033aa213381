//! NATS `JetStream`: publications with a reply subject, whose replies are the acknowledgements of a stream on files.
//!
//! Uses the text protocol of NATS on one connection, without headers.

use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::{Read, Wire, line};
use crate::dialect;

/// The subject of the publications.
const SUBJECT: &str = "durable";

/// The prefix of the subjects of acknowledgements; the rest is the publication's number.
const INBOX: &str = "_INBOX.bench";

/// A stream on files without limits, with the server's defaults otherwise.
const STREAM: &str = r#"{"name":"DURABLE","subjects":["durable"],"storage":"file","retention":"limits","discard":"old","num_replicas":1}"#;

/// The publications of one connection.
#[derive(Default)]
pub(super) struct Publications {
    /// The number of the next publication to be acknowledged.
    next: u64,
}

/// The reply of a stream.
#[derive(Deserialize)]
struct Acknowledgement {
    #[serde(default)]
    seq: u64,
    error: Option<serde_json::Value>,
}

/// Connects, creates the stream and subscribes to its acknowledgements.
pub(super) fn connect(stream: &mut TcpStream) -> Result<()> {
    let request = format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\",\"version\":\"0\",\"protocol\":1}}\r\n\
         SUB {INBOX}.* 1\r\n\
         PUB $JS.API.STREAM.CREATE.DURABLE {INBOX}.create {}\r\n{STREAM}\r\n",
        STREAM.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut input = BufReader::new(&*stream);
    let mut text = String::new();
    loop {
        text.clear();
        ensure!(
            input.read_line(&mut text)? > 0,
            "connection closed by the server"
        );
        match text.split_ascii_whitespace().next() {
            Some("MSG") => break,
            Some("INFO" | "+OK") => {}
            _ => bail!("unexpected message: {text}"),
        }
    }
    let length = text
        .split_ascii_whitespace()
        .last()
        .context("a message without a length")?;
    let mut reply = vec![0; length.parse::<usize>()? + 2];
    input.read_exact(&mut reply)?;
    ensure!(
        input.buffer().is_empty(),
        "unexpected message after the reply to the creation of the stream"
    );
    let reply = String::from_utf8_lossy(&reply);
    ensure!(
        !reply.contains("\"error\""),
        "failed to create the stream: {reply}"
    );
    Ok(())
}

impl Wire for Publications {
    fn publish(&mut self, sequence: u64, out: &mut Vec<u8>) {
        let data = dialect::payload(sequence);
        let text = format!(
            "PUB {SUBJECT} {INBOX}.{sequence} {}\r\n{data}\r\n",
            data.len()
        );
        out.extend_from_slice(text.as_bytes());
    }

    fn read(&mut self, inbox: &[u8], out: &mut Vec<u8>) -> Result<Read> {
        let mut read = Read::default();
        loop {
            let rest = inbox.get(read.used..).unwrap_or_default();
            let Some((head, head_len)) = line(rest) else {
                return Ok(read);
            };
            let head = std::str::from_utf8(head)?;
            let mut words = head.split_ascii_whitespace();
            match words.next() {
                Some("PING") => out.extend_from_slice(b"PONG\r\n"),
                Some("INFO" | "PONG" | "+OK") => {}
                Some("MSG") => {
                    let subject = words.next().unwrap_or_default();
                    let len: usize = words.last().unwrap_or_default().parse()?;
                    let Some(body) = rest.get(head_len..head_len + len + 2) else {
                        return Ok(read);
                    };
                    self.check(subject, body.get(..len).unwrap_or_default())?;
                    read.used += len + 2;
                    read.acknowledged += 1;
                }
                _ => bail!("unexpected message: {head}"),
            }
            read.used += head_len;
        }
    }
}

impl Publications {
    /// Checks that this is the acknowledgement of the next publication.
    fn check(&mut self, subject: &str, body: &[u8]) -> Result<()> {
        let next = self.next;
        let reply: Acknowledgement = serde_json::from_slice(body)
            .with_context(|| format!("invalid reply: {}", String::from_utf8_lossy(body)))?;
        if let Some(error) = reply.error {
            bail!("publication {next} was rejected: {error}");
        }
        let number = subject
            .strip_prefix(INBOX)
            .and_then(|rest| rest.strip_prefix('.'));
        ensure!(
            number.and_then(|number| number.parse().ok()) == Some(next) && reply.seq == next + 1,
            "{subject} has sequence {} instead of publication {next}",
            reply.seq
        );
        self.next += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_read_in_order_and_only_when_they_are_complete() {
        let message = |number: u64, seq: u64| {
            let body = format!(r#"{{"stream":"DURABLE","seq":{seq}}}"#);
            format!("MSG _INBOX.bench.{number} 1 {}\r\n{body}\r\n", body.len())
        };
        let complete = format!("{}PING\r\n{}", message(0, 1), message(1, 2));
        let inbox = format!("{complete}{}", &message(2, 3)[..30]);
        let mut publications = Publications::default();
        let mut out = Vec::new();

        let read = publications.read(inbox.as_bytes(), &mut out).unwrap();

        assert_eq!((read.used, read.acknowledged), (complete.len(), 2));
        assert_eq!(out, b"PONG\r\n");
        assert!(
            publications
                .read(message(3, 4).as_bytes(), &mut out)
                .is_err()
        );
    }

    #[test]
    fn a_rejected_publication_and_an_error_end_the_run() {
        let body = r#"{"error":{"code":503},"seq":0}"#;
        let rejected = format!("MSG _INBOX.bench.0 1 {}\r\n{body}\r\n", body.len());
        let mut out = Vec::new();

        for inbox in [rejected.as_str(), "-ERR 'Stale Connection'\r\n"] {
            let read = Publications::default().read(inbox.as_bytes(), &mut out);
            assert!(read.is_err(), "{inbox}");
        }
    }
}
