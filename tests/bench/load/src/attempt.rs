//! One attempt to establish a connection: dial, upgrade, first frame, replies.
//!
//! It does not use epoll; `join` calls [`Attempt::advance`] whenever the socket is ready.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use rustix::net::sockopt;

use crate::dialect::{Dialect, Inbound, Position, Purpose};
use crate::frame;
use crate::socket::{self, Received};

/// The example key of RFC 6455 and its accept value. A fixed key costs the server the same as a random one.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A live connection.
#[derive(Debug)]
pub struct Connection {
    /// The non-blocking socket.
    pub fd: OwnedFd,
    /// The position at which its subscription begins; the default without a subscription.
    pub position: Position,
    /// Bytes read after the last reply.
    pub rest: Vec<u8>,
}

/// A connection that is not live yet.
#[derive(Debug)]
pub struct Attempt {
    fd: OwnedFd,
    dialect: Dialect,
    purpose: Purpose,
    phase: Phase,
    inbox: Vec<u8>,
    position: Position,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Dialling,
    Upgrading,
    AwaitingReplies { replies_left: usize },
    CatchingUp { next: u64 },
    Live,
}

impl Attempt {
    /// Starts to dial; `number` selects the source address.
    pub fn dial(port: u16, number: usize, dialect: Dialect, purpose: Purpose) -> Result<Self> {
        let fd = socket::dial(port, number)?;
        Ok(Self {
            fd,
            dialect,
            purpose,
            phase: Phase::Dialling,
            inbox: Vec::new(),
            position: Position::default(),
        })
    }

    /// Returns the socket, for registration with epoll.
    #[must_use]
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Proceeds as far as the socket allows. Returns `true` once the connection is live.
    pub fn advance(&mut self, port: u16, scratch: &mut [u8]) -> Result<bool> {
        if self.phase == Phase::Dialling {
            sockopt::socket_error(&self.fd)?.context("failed to connect")?;
            self.send_upgrade(port)?;
            self.phase = Phase::Upgrading;
        }
        loop {
            match socket::receive(&self.fd, scratch)? {
                Received::Bytes(count) => self
                    .inbox
                    .extend_from_slice(scratch.get(..count).unwrap_or_default()),
                Received::Nothing => return Ok(false),
                Received::Closed => bail!("connection closed by the server while {:?}", self.phase),
            }
            self.read_inbox()?;
            if self.phase == Phase::Live {
                return Ok(true);
            }
        }
    }

    /// Returns the live connection.
    #[must_use]
    pub fn into_connection(self) -> Connection {
        Connection {
            fd: self.fd,
            position: self.position,
            rest: self.inbox,
        }
    }

    fn send_upgrade(&self, port: u16) -> Result<()> {
        let path = self.dialect.path(&self.purpose);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        self.send(request.as_bytes())
    }

    /// Sends all bytes in one write. A new socket accepts a few hundred bytes at once.
    fn send(&self, bytes: &[u8]) -> Result<()> {
        if socket::transmit(&self.fd, bytes)? < bytes.len() {
            bail!(
                "a new socket did not accept {} bytes in one write",
                bytes.len()
            );
        }
        Ok(())
    }

    fn read_inbox(&mut self) -> Result<()> {
        if self.phase == Phase::Upgrading {
            let Some(end) = self
                .inbox
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            else {
                return Ok(());
            };
            let head: Vec<u8> = self.inbox.drain(..end + 4).collect();
            check_upgrade(std::str::from_utf8(&head)?)?;
            let mut first = Vec::new();
            let replies_left = self.dialect.first_frame(&self.purpose, &mut first);
            if replies_left > 0 {
                self.send(&first)?;
            }
            self.phase = if replies_left == 0 {
                Phase::Live
            } else {
                Phase::AwaitingReplies { replies_left }
            };
        }
        let mut read = 0;
        while !matches!(self.phase, Phase::Live) {
            let inbox = std::mem::take(&mut self.inbox);
            let outcome = self.read_frame(inbox.get(read..).unwrap_or_default());
            self.inbox = inbox;
            match outcome? {
                Some(wire_len) => read += wire_len,
                None => break,
            }
        }
        self.inbox.drain(..read);
        Ok(())
    }

    fn read_frame(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(frame) = frame::read(bytes)? else {
            return Ok(None);
        };
        if frame.opcode != frame::TEXT {
            bail!(
                "unexpected frame with opcode {} before the connection was live: {}",
                frame.opcode,
                String::from_utf8_lossy(frame.payload)
            );
        }
        let channel = match &self.purpose {
            Purpose::Publish => String::new(),
            Purpose::Subscribe { channel } | Purpose::Resume { channel, .. } => channel.clone(),
        };
        for line in frame
            .payload
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let inbound = self.dialect.inspect(line, &channel)?;
            self.on_message(inbound)?;
        }
        Ok(Some(frame.wire_len))
    }

    fn on_message(&mut self, inbound: Inbound) -> Result<()> {
        match (&self.phase, inbound) {
            (Phase::AwaitingReplies { replies_left: 1 }, Inbound::Connected) => {
                self.phase = Phase::Live
            }
            (Phase::AwaitingReplies { replies_left }, Inbound::Connected) => {
                self.phase = Phase::AwaitingReplies {
                    replies_left: replies_left - 1,
                };
            }
            (
                Phase::AwaitingReplies { replies_left: 1 },
                Inbound::Subscribed {
                    position,
                    missed,
                    recovered,
                },
            ) => {
                self.phase = Phase::Live;
                self.position = position;
                if let Purpose::Resume {
                    from,
                    high_watermark,
                    ..
                } = &self.purpose
                {
                    if !recovered {
                        bail!("subscription resumed without recovery");
                    }
                    let (from, high_watermark) = (from.offset, *high_watermark);
                    self.catch_up(from, high_watermark, &missed)?;
                }
            }
            (Phase::CatchingUp { next }, Inbound::Delivery { offset, .. }) => {
                let next = *next;
                let Purpose::Resume { high_watermark, .. } = self.purpose else {
                    bail!("only a resumed subscription catches up")
                };
                self.catch_up(next - 1, high_watermark, &[offset])?;
            }
            (phase, inbound) => bail!("unexpected {inbound:?} while {phase:?}"),
        }
        Ok(())
    }

    fn catch_up(&mut self, seen: u64, high_watermark: u64, offsets: &[u64]) -> Result<()> {
        let mut seen = seen;
        for offset in offsets {
            if *offset != seen + 1 {
                bail!("offset {offset} recovered directly after {seen}");
            }
            seen = *offset;
        }
        self.position.offset = seen;
        self.phase = if seen == high_watermark {
            Phase::Live
        } else {
            Phase::CatchingUp { next: seen + 1 }
        };
        Ok(())
    }
}

fn check_upgrade(head: &str) -> Result<()> {
    let status = head.lines().next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 101") {
        bail!("upgrade rejected: {status}");
    }
    let accepted = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == ACCEPT
        });
    if !accepted {
        bail!("missing or invalid Sec-WebSocket-Accept header");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_requires_the_status_and_the_accept_header() {
        let good =
            format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {ACCEPT}\r\n\r\n");

        assert!(check_upgrade(&good).is_ok());
        assert!(check_upgrade("HTTP/1.1 101 Switching Protocols\r\n\r\n").is_err());
        assert!(check_upgrade("HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
    }
}
