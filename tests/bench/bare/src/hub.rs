//! What all connections share: the read buffer, the subscribers, and the frames of the current turn.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use steadfast_protocol::websocket::{Frame, Opcode};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// One read takes at most so much.
const READ_BYTES: usize = 64 * 1024;

/// A subscriber that owes more than this is dropped.
const UNSENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A connection as others see it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    /// What did not fit into the socket.
    pub(crate) unsent: RefCell<Vec<u8>>,
    /// Wakes the connection's own task to send the rest.
    pub(crate) blocked: Notify,
    /// True once it is too far behind or its socket is broken.
    pub(crate) is_lost: Cell<bool>,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            unsent: RefCell::new(Vec::new()),
            blocked: Notify::new(),
            is_lost: Cell::new(false),
        }
    }

    /// Writes at once what fits and keeps the rest, in order.
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
            self.is_lost.set(true);
        }
        self.blocked.notify_one();
    }

    /// Writes again what did not fit before. True when nothing is left.
    pub(crate) fn send_rest(&self) -> bool {
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
                self.is_lost.set(true);
                0
            }
        }
    }
}

/// The shared state of the one thread.
#[derive(Debug)]
pub(crate) struct Hub {
    /// One read buffer for all connections; borrowed for the length of a turn, never over an await.
    pub(crate) scratch: RefCell<Vec<u8>>,
    subscribers: RefCell<BTreeMap<u64, Rc<Peer>>>,
    next_subscriber: Cell<u64>,
    /// The frames of this turn, ready to be written to every subscriber.
    turn: RefCell<Vec<u8>>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self {
            scratch: RefCell::new(vec![0; READ_BYTES]),
            subscribers: RefCell::default(),
            next_subscriber: Cell::new(0),
            turn: RefCell::default(),
        }
    }

    /// Adds a subscriber and gives the number to remove it by.
    pub(crate) fn subscribe(&self, peer: Rc<Peer>) -> u64 {
        let number = self.next_subscriber.get();
        self.next_subscriber.set(number + 1);
        self.subscribers.borrow_mut().insert(number, peer);
        number
    }

    pub(crate) fn unsubscribe(&self, number: u64) {
        self.subscribers.borrow_mut().remove(&number);
    }

    /// Frames a message, once for all subscribers.
    pub(crate) fn publish(&self, opcode: Opcode, payload: &[u8]) {
        Frame::unfragmented(opcode, payload).append_server(&mut *self.turn.borrow_mut());
    }

    /// Ends the turn: one write per subscriber, whatever the number of messages.
    pub(crate) fn flush(&self) {
        let mut turn = self.turn.borrow_mut();
        if turn.is_empty() {
            return;
        }
        for peer in self.subscribers.borrow().values() {
            peer.send(&turn);
        }
        turn.clear();
    }
}
