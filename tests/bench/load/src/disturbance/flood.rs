//! Clients with a number of commands in flight, each sent as soon as an earlier one has its reply.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};

use super::{Done, WAIT_MAX, is_stopped};
use crate::attempt::Connection;
use crate::dialect::{Dialect, Purpose};
use crate::frame;
use crate::join::{self, CONCURRENCY, Target};
use crate::poll::{Interest, Poll};
use crate::socket::{self, Received};

/// Number of flooding clients.
const CLIENTS: usize = 8;

/// Commands in flight of each client, below the default limit of requests.
const IN_FLIGHT: u64 = 32;

/// The channel that clients join and leave.
const LOBBY: &str = "lobby";

/// Subscribers that receive each join and leave.
const LISTENERS: usize = 20;

/// Length of each large publication's data in bytes.
const DATA_BYTES: usize = 60_000;

/// Returns the text of a client's command, with its id above 1.
type Command = fn(client: usize, id: u64) -> String;

/// Subscribes to a channel with listeners and unsubscribes again.
pub(super) fn joins_and_leaves(target: Target, stop: &AtomicBool) -> Result<Done> {
    let listen = r#"{"subscribe":{"channel":"lobby","join_leave":true},"id":2}"#;
    run(target, LISTENERS, listen, stop, |_, id| {
        // The first id is even.
        if id % 2 == 0 {
            format!(r#"{{"subscribe":{{"channel":"{LOBBY}","join_leave":true}},"id":{id}}}"#)
        } else {
            format!(r#"{{"unsubscribe":{{"channel":"{LOBBY}"}},"id":{id}}}"#)
        }
    })
}

/// Publishes to a channel of each client's own.
pub(super) fn large_publications(target: Target, stop: &AtomicBool) -> Result<Done> {
    run(target, 0, "", stop, |client, id| {
        let data = "x".repeat(DATA_BYTES);
        format!(r#"{{"publish":{{"channel":"large-{client}","data":"{data}"}},"id":{id}}}"#)
    })
}

/// A client; listeners send nothing but pongs.
struct Client {
    connection: Connection,
    unsent: Vec<u8>,
    sent: u64,
    replies: u64,
    errors: u64,
}

fn run(
    target: Target,
    listeners: usize,
    listen: &str,
    stop: &AtomicBool,
    command: Command,
) -> Result<Done> {
    let mut poll = Poll::new()?;
    let mut ready = Vec::new();
    let mut clients = Vec::new();
    let all = CLIENTS + listeners;
    for connection in join::open_all(target, all, CONCURRENCY, |_| Purpose::Publish)? {
        poll.add(&connection.fd, clients.len(), Interest::ReadWrite)?;
        let mut unsent = Vec::new();
        if clients.len() >= CLIENTS {
            frame::write(&mut unsent, frame::TEXT, listen.as_bytes());
        }
        clients.push(Client {
            connection,
            unsent,
            sent: 0,
            replies: 0,
            errors: 0,
        });
    }
    let mut scratch = vec![0; 256 * 1024];
    while !is_stopped(stop) {
        for (number, client) in clients.iter_mut().enumerate() {
            while number < CLIENTS && client.sent < client.replies + IN_FLIGHT {
                let text = command(number, client.sent + 2);
                frame::write(&mut client.unsent, frame::TEXT, text.as_bytes());
                client.sent += 1;
            }
            client.flush()?;
        }
        poll.wait(WAIT_MAX, &mut ready)?;
        for number in ready.iter().copied() {
            if let Some(client) = clients.get_mut(number) {
                client.receive(&mut scratch)?;
            }
        }
    }
    let mut done = Done::default();
    for client in clients {
        done.events += client.replies.min(client.sent);
        done.rejected += client.errors;
        socket::reset(client.connection.fd);
    }
    Ok(done)
}

impl Client {
    fn flush(&mut self) -> Result<()> {
        if !self.unsent.is_empty() {
            let sent = socket::transmit(&self.connection.fd, &self.unsent)?;
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    fn receive(&mut self, scratch: &mut [u8]) -> Result<()> {
        loop {
            match socket::receive(&self.connection.fd, scratch)? {
                Received::Bytes(count) => self
                    .connection
                    .rest
                    .extend_from_slice(scratch.get(..count).unwrap_or_default()),
                Received::Nothing => return self.read_frames(),
                Received::Closed => bail!(
                    "a flooding client was disconnected: {}",
                    String::from_utf8_lossy(&self.connection.rest)
                ),
            }
        }
    }

    fn read_frames(&mut self) -> Result<()> {
        let mut used = 0;
        while let Some(frame) = frame::read(self.connection.rest.get(used..).unwrap_or_default())? {
            used += frame.wire_len;
            if frame.opcode == frame::CLOSE {
                bail!(
                    "a flooding client was closed: {}",
                    String::from_utf8_lossy(frame.payload)
                );
            }
            for line in frame.payload.split(|byte| *byte == b'\n') {
                if line == b"{}" {
                    Dialect::Gateway.pong(&mut self.unsent);
                } else if line.starts_with(b"{\"id\":") {
                    self.replies += 1;
                    self.errors += u64::from(line.windows(8).any(|text| text == b"\"error\":"));
                }
            }
        }
        self.connection.rest.drain(..used);
        self.flush()
    }
}
