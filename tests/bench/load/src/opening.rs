//! One connection on its way from the dial to live: upgrade, first frame, replies.
//!
//! Knows no epoll; `join` calls [`Opening::advance`] whenever its socket is ready.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use rustix::net::sockopt;

use crate::dialect::{Dialect, Inbound, Purpose, Standing};
use crate::frame;
use crate::socket::{self, Received};

/// The example key of RFC 6455 and the answer it must get. A fixed key costs the server the same as a random one.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A live connection.
#[derive(Debug)]
pub struct Opened {
    /// Its socket, non-blocking.
    pub fd: OwnedFd,
    /// Where its subscription begins; the default without one.
    pub at: Standing,
    /// What was read behind the last reply.
    pub rest: Vec<u8>,
}

/// A connection that is not live yet.
#[derive(Debug)]
pub struct Opening {
    fd: OwnedFd,
    dialect: Dialect,
    purpose: Purpose,
    stage: Stage,
    inbox: Vec<u8>,
    at: Standing,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Dialling,
    Upgrading,
    Greeting { replies_left: usize },
    CatchingUp { next: u64 },
    Live,
}

impl Opening {
    /// Begins to dial; `number` picks the source address.
    pub fn dial(port: u16, number: usize, dialect: Dialect, purpose: Purpose) -> Result<Self> {
        let fd = socket::dial(port, number)?;
        Ok(Self {
            fd,
            dialect,
            purpose,
            stage: Stage::Dialling,
            inbox: Vec::new(),
            at: Standing::default(),
        })
    }

    /// The socket, for registration.
    #[must_use]
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Goes as far as the socket allows. True once the connection is live.
    pub fn advance(&mut self, port: u16, scratch: &mut [u8]) -> Result<bool> {
        if self.stage == Stage::Dialling {
            sockopt::socket_error(&self.fd)?.context("the dial failed")?;
            self.send_upgrade(port)?;
            self.stage = Stage::Upgrading;
        }
        loop {
            match socket::receive(&self.fd, scratch)? {
                Received::Bytes(count) => self
                    .inbox
                    .extend_from_slice(scratch.get(..count).unwrap_or_default()),
                Received::Nothing => return Ok(false),
                Received::Closed => bail!(
                    "the server closed a connection that was not live yet ({:?})",
                    self.stage
                ),
            }
            self.read_inbox()?;
            if self.stage == Stage::Live {
                return Ok(true);
            }
        }
    }

    /// Hands over the live connection.
    #[must_use]
    pub fn into_opened(self) -> Opened {
        Opened {
            fd: self.fd,
            at: self.at,
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

    /// A fresh socket takes a few hundred bytes at once; one that does not is broken.
    fn send(&self, bytes: &[u8]) -> Result<()> {
        if socket::transmit(&self.fd, bytes)? < bytes.len() {
            bail!("a fresh socket did not take {} bytes", bytes.len());
        }
        Ok(())
    }

    fn read_inbox(&mut self) -> Result<()> {
        if self.stage == Stage::Upgrading {
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
            let replies_left = self.dialect.greet(&self.purpose, &mut first);
            if replies_left > 0 {
                self.send(&first)?;
            }
            self.stage = if replies_left == 0 {
                Stage::Live
            } else {
                Stage::Greeting { replies_left }
            };
        }
        let mut read = 0;
        while !matches!(self.stage, Stage::Live) {
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
                "a frame of kind {} before the connection was live: {}",
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
            self.take(inbound)?;
        }
        Ok(Some(frame.wire_len))
    }

    fn take(&mut self, inbound: Inbound) -> Result<()> {
        match (&self.stage, inbound) {
            (Stage::Greeting { replies_left: 1 }, Inbound::Connected) => self.stage = Stage::Live,
            (Stage::Greeting { replies_left }, Inbound::Connected) => {
                self.stage = Stage::Greeting {
                    replies_left: replies_left - 1,
                };
            }
            (
                Stage::Greeting { replies_left: 1 },
                Inbound::Subscribed {
                    at,
                    missed,
                    recovered,
                },
            ) => {
                self.stage = Stage::Live;
                self.at = at;
                if let Purpose::Resume { from, top, .. } = &self.purpose {
                    if !recovered {
                        bail!("a resume was not recovered");
                    }
                    let (from, top) = (from.offset, *top);
                    self.catch_up(from, top, &missed)?;
                }
            }
            (Stage::CatchingUp { next }, Inbound::Delivery { offset, .. }) => {
                let next = *next;
                let Purpose::Resume { top, .. } = self.purpose else {
                    bail!("only a resume catches up")
                };
                self.catch_up(next - 1, top, &[offset])?;
            }
            (stage, inbound) => bail!("{inbound:?} while {stage:?}"),
        }
        Ok(())
    }

    fn catch_up(&mut self, seen: u64, top: u64, offsets: &[u64]) -> Result<()> {
        let mut seen = seen;
        for offset in offsets {
            if *offset != seen + 1 {
                bail!("recovery jumped from {seen} to {offset}");
            }
            seen = *offset;
        }
        self.at.offset = seen;
        self.stage = if seen == top {
            Stage::Live
        } else {
            Stage::CatchingUp { next: seen + 1 }
        };
        Ok(())
    }
}

fn check_upgrade(head: &str) -> Result<()> {
    let status = head.lines().next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 101") {
        bail!("the upgrade was refused: {status}");
    }
    let accepted = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == ACCEPT
        });
    if !accepted {
        bail!("the upgrade's answer does not match its key");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_needs_status_and_key() {
        let good =
            format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {ACCEPT}\r\n\r\n");

        assert!(check_upgrade(&good).is_ok());
        assert!(check_upgrade("HTTP/1.1 101 Switching Protocols\r\n\r\n").is_err());
        assert!(check_upgrade("HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
    }
}
