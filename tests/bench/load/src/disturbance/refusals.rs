//! Upgrade requests with the origin of a page that may not connect, at a fixed rate.

use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::net::sockopt;

use super::{Done, WAIT_MAX, is_stopped};
use crate::join::Target;
use crate::poll::{Interest, Poll};
use crate::socket::{self, Received};

/// Maximum number of requests without a complete response. A gateway that falls back further limits the rate.
const CONCURRENCY: usize = 512;

/// How every response must begin.
const REFUSED: &[u8] = b"HTTP/1.1 403 ";

#[derive(Debug)]
struct Request {
    fd: OwnedFd,
    is_sent: bool,
    response: Vec<u8>,
}

/// Sends requests until it is stopped, and then waits for the remaining responses.
pub(super) fn run(target: Target, per_second: u32, stop: &AtomicBool) -> Result<Done> {
    let text = format!(
        "GET /connection/websocket HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nOrigin: http://evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        target.port
    );
    let interval = Duration::from_secs(1) / per_second.max(1);
    let mut poll = Poll::new()?;
    let mut ready = Vec::new();
    let mut slots: Vec<Option<Request>> = (0..CONCURRENCY).map(|_| None).collect();
    let mut free: Vec<usize> = (0..CONCURRENCY).collect();
    let (mut due, mut started, mut done) = (Instant::now(), 0, Done::default());
    while !is_stopped(stop) || free.len() < CONCURRENCY {
        while !is_stopped(stop) && due <= Instant::now() {
            let Some(slot) = free.pop() else { break };
            let fd = socket::dial(target.port, started)?;
            poll.add(&fd, slot, Interest::ReadWrite)?;
            let request = Request {
                fd,
                is_sent: false,
                response: Vec::new(),
            };
            if let Some(entry) = slots.get_mut(slot) {
                *entry = Some(request);
            }
            started += 1;
            due += interval;
        }
        let wait = due.saturating_duration_since(Instant::now()).min(WAIT_MAX);
        poll.wait(wait, &mut ready)?;
        for slot in ready.iter().copied() {
            let Some(entry) = slots.get_mut(slot) else {
                continue;
            };
            let is_complete = match entry {
                Some(request) => request.advance(text.as_bytes())?,
                None => false,
            };
            if is_complete && let Some(request) = entry.take() {
                poll.delete(&request.fd)?;
                socket::reset(request.fd);
                free.push(slot);
                done.events += 1;
            }
        }
    }
    Ok(done)
}

impl Request {
    /// Proceeds as far as the socket allows. Returns `true` once the response is complete.
    fn advance(&mut self, text: &[u8]) -> Result<bool> {
        if !self.is_sent {
            sockopt::socket_error(&self.fd)?.context("failed to connect")?;
            if socket::transmit(&self.fd, text)? < text.len() {
                bail!("a new socket did not accept a request in one write");
            }
            self.is_sent = true;
        }
        let mut scratch = [0; 4096];
        loop {
            match socket::receive(&self.fd, &mut scratch)? {
                Received::Bytes(count) => self
                    .response
                    .extend_from_slice(scratch.get(..count).unwrap_or_default()),
                Received::Nothing => return Ok(false),
                Received::Closed if self.response.starts_with(REFUSED) => return Ok(true),
                Received::Closed => bail!(
                    "not refused with 403: {}",
                    String::from_utf8_lossy(&self.response)
                ),
            }
        }
    }
}
