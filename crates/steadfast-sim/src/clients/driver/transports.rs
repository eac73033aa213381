//! The transports of a session, by attempt: that of the present attempt or connection, that of the connection that is to
//! replace it, and that of one that was replaced and is being closed.

use std::collections::BTreeSet;

use steadfast_core::dialect::centrifuge::ENCODING;
use steadfast_core::io::Attempt;
use steadfast_machine::Instant;
use steadfast_protocol::websocket::{Decoder, Role, WebSocketEndpoint, WebSocketLimits};

use crate::clients::observer::Observer;
use crate::ids::{ConnectionId, NodeIndex};

/// The transport of one attempt.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) attempt: Attempt,
    pub(super) node: NodeIndex,
    /// `None` while the node is dialled.
    pub(super) open: Option<Box<OpenTransport>>,
}

/// An open transport.
#[derive(Debug)]
pub(super) struct OpenTransport {
    pub(super) connection: ConnectionId,
    pub(super) observer: Observer,
    pub(super) decoder: Decoder,
    pub(super) endpoint: WebSocketEndpoint,
    /// The size of the send buffer that was last reported to the session.
    pub(super) reported_send_buffer: u64,
    /// Since when the session is connected; `None` before the reply to its connect command.
    pub(super) connected_at: Option<Instant>,
}

impl OpenTransport {
    pub(super) fn new(
        connection: ConnectionId,
        node: NodeIndex,
        in_doubt: BTreeSet<String>,
    ) -> Self {
        Self {
            connection,
            observer: Observer::new(connection, node, ENCODING, in_doubt),
            decoder: Decoder::new(Role::Client, LIMITS),
            endpoint: WebSocketEndpoint::new(Role::Client),
            reported_send_buffer: 0,
            connected_at: None,
        }
    }
}

/// The transports of a session that have not ended.
#[derive(Debug, Default)]
pub(super) struct Transports {
    all: Vec<Transport>,
    /// The present attempt or connection, or the last one.
    present: Attempt,
    /// The session tries to replace the present connection.
    pub(super) is_migrating: bool,
    /// The attempt that is to replace the present connection.
    standby: Option<Attempt>,
    /// The attempt of the last connection that was replaced while it was open, and when.
    replaced: Option<(Attempt, Instant)>,
}

impl Transports {
    /// An attempt begins.
    pub(super) fn dial(&mut self, attempt: Attempt, node: NodeIndex) {
        if self.is_migrating {
            self.standby = Some(attempt);
        } else {
            self.present = attempt;
        }
        self.all.push(Transport {
            attempt,
            node,
            open: None,
        });
    }

    /// The present attempt or connection, or the last one.
    pub(super) const fn present_attempt(&self) -> Attempt {
        self.present
    }

    /// Whether the attempt is to replace the present connection.
    pub(super) fn is_standby(&self, attempt: Attempt) -> bool {
        self.standby == Some(attempt)
    }

    /// The connection that is to replace the present one.
    pub(super) fn standby(&self) -> Option<&Transport> {
        self.get(self.standby?)
    }

    /// The standby replaces the present connection. Returns the attempt of the former one.
    pub(super) fn switch(&mut self, now: Instant) -> Option<Attempt> {
        self.is_migrating = false;
        let standby = self.standby.take()?;
        let former = std::mem::replace(&mut self.present, standby);
        self.replaced = Some((former, now));
        Some(former)
    }

    /// When this connection was replaced; `None` for the others.
    pub(super) fn replaced_at(&self, connection: ConnectionId) -> Option<Instant> {
        let (former, at) = self.replaced?;
        (self.attempt_of(connection) == Some(former)).then_some(at)
    }

    /// The present connection stays.
    pub(super) const fn keep_present(&mut self) {
        self.is_migrating = false;
        self.standby = None;
    }

    pub(super) fn get(&self, attempt: Attempt) -> Option<&Transport> {
        self.all.iter().find(|it| it.attempt == attempt)
    }

    pub(super) fn open(&self, attempt: Attempt) -> Option<&OpenTransport> {
        self.get(attempt)?.open.as_deref()
    }

    pub(super) fn open_mut(&mut self, attempt: Attempt) -> Option<&mut OpenTransport> {
        let found = self.all.iter_mut().find(|it| it.attempt == attempt);
        found?.open.as_deref_mut()
    }

    /// The open transport of the present attempt.
    pub(super) fn present(&self) -> Option<&OpenTransport> {
        self.open(self.present)
    }

    pub(super) fn present_mut(&mut self) -> Option<&mut OpenTransport> {
        self.open_mut(self.present)
    }

    /// The transport that is being opened: there is one at a time.
    pub(super) fn dialling(&mut self) -> Option<&mut Transport> {
        self.all.iter_mut().find(|it| it.open.is_none())
    }

    /// The attempt of this connection.
    pub(super) fn attempt_of(&self, connection: ConnectionId) -> Option<Attempt> {
        let is_of = |it: &&Transport| {
            let open = it.open.as_ref();
            open.is_some_and(|open| open.connection == connection)
        };
        self.all.iter().find(is_of).map(|it| it.attempt)
    }

    /// The transport of this attempt has ended.
    pub(super) fn remove(&mut self, attempt: Attempt) -> Option<Transport> {
        let index = self.all.iter().position(|it| it.attempt == attempt)?;
        Some(self.all.remove(index))
    }
}

/// The limits of received messages: far above what the simulated gateways send.
const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 1 << 20,
    frame_bytes_max: 1 << 20,
    fragments_max: 1_024,
};
