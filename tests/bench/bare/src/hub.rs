//! The shared state of all connections: the read buffer, the subscribers, and the frames of the current loop iteration.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use steadfast_protocol::websocket::{Frame, Opcode};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Maximum size of one read.
const READ_BYTES: usize = 64 * 1024;

/// A subscriber with more unsent bytes than this is disconnected.
const UNSENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The shared part of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    /// Bytes that the socket has not accepted yet.
    pub(crate) unsent: RefCell<Vec<u8>>,
    /// Wakes the connection's task to send the unsent bytes.
    pub(crate) blocked: Notify,
    /// True once the unsent bytes exceed their limit or a write failed.
    pub(crate) has_failed: Cell<bool>,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            unsent: RefCell::new(Vec::new()),
            blocked: Notify::new(),
            has_failed: Cell::new(false),
        }
    }

    /// Writes what the socket accepts immediately and buffers the remaining bytes in order.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let mut unsent = self.unsent.borrow_mut();
        let sent = if unsent.is_empty() {
            self.write(bytes)
        } else {
            0
        };
        let rest = bytes.get(sent..).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        unsent.extend_from_slice(rest);
        if unsent.len() > UNSENT_BYTES_MAX {
            self.has_failed.set(true);
        }
        self.blocked.notify_one();
    }

    /// Writes buffered bytes. Returns `true` if none are left.
    pub(crate) fn send_unsent(&self) -> bool {
        let mut unsent = self.unsent.borrow_mut();
        let sent = self.write(&unsent);
        unsent.drain(..sent);
        if unsent.is_empty() {
            *unsent = Vec::new();
        }
        unsent.is_empty()
    }

    fn write(&self, bytes: &[u8]) -> usize {
        match self.stream.try_write(bytes) {
            Ok(sent) => sent,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.has_failed.set(true);
                0
            }
        }
    }
}

/// The shared state of the only thread.
#[derive(Debug)]
pub(crate) struct Hub {
    /// One read buffer for all connections; borrowed during one loop iteration, never across an await point.
    pub(crate) scratch: RefCell<Vec<u8>>,
    subscribers: RefCell<BTreeMap<u64, Rc<Peer>>>,
    next_subscriber: Cell<u64>,
    /// The frames of this loop iteration, to be written to every subscriber.
    write_batch: RefCell<Vec<u8>>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self {
            scratch: RefCell::new(vec![0; READ_BYTES]),
            subscribers: RefCell::default(),
            next_subscriber: Cell::new(0),
            write_batch: RefCell::default(),
        }
    }

    /// Adds a subscriber and returns the number by which it is removed.
    pub(crate) fn subscribe(&self, peer: Rc<Peer>) -> u64 {
        let number = self.next_subscriber.get();
        self.next_subscriber.set(number + 1);
        self.subscribers.borrow_mut().insert(number, peer);
        number
    }

    pub(crate) fn unsubscribe(&self, number: u64) {
        self.subscribers.borrow_mut().remove(&number);
    }

    /// Encodes a message once for all subscribers.
    pub(crate) fn publish(&self, opcode: Opcode, payload: &[u8]) {
        Frame::unfragmented(opcode, payload).append_server(&mut *self.write_batch.borrow_mut());
    }

    /// Ends the loop iteration with one write per subscriber, regardless of the number of messages.
    pub(crate) fn flush(&self) {
        let mut write_batch = self.write_batch.borrow_mut();
        if write_batch.is_empty() {
            return;
        }
        for peer in self.subscribers.borrow().values() {
            peer.send(&write_batch);
        }
        write_batch.clear();
    }
}
