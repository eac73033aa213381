//! The transports of a session: each is dialled, and then is one end of a connection.

use std::collections::BTreeMap;

use steadfast_core::io::Attempt;
use steadfast_protocol::websocket::Role;

use super::link_end::LinkEnd;
use crate::ids::ConnectionId;

/// A transport from its dial to its end.
#[derive(Debug)]
pub(super) enum Transport {
    /// The dial waits until its login is permitted.
    Queued,
    /// What its login needs is reserved.
    Dialling,
    Open(Box<OpenTransport>),
}

/// The end of the client of a connection.
#[derive(Debug)]
pub(super) struct OpenTransport {
    pub(super) connection: ConnectionId,
    pub(super) end: LinkEnd,
    /// The unsent bytes that the session knows of.
    pub(super) reported_unsent: u64,
}

/// All transports of a session: one, or two while one replaces the other.
#[derive(Debug, Default)]
pub(super) struct Transports(BTreeMap<Attempt, Transport>);

impl Transports {
    pub(super) fn get(&self, attempt: Attempt) -> Option<&Transport> {
        self.0.get(&attempt)
    }

    pub(super) fn set(&mut self, attempt: Attempt, transport: Transport) {
        self.0.insert(attempt, transport);
    }

    pub(super) fn open(&mut self, attempt: Attempt, connection: ConnectionId) {
        let open = OpenTransport {
            connection,
            end: LinkEnd::new(Role::Client),
            reported_unsent: 0,
        };
        self.set(attempt, Transport::Open(Box::new(open)));
    }

    pub(super) fn remove(&mut self, attempt: Attempt) -> Option<Transport> {
        self.0.remove(&attempt)
    }

    /// Returns the end of the connection of this attempt, if it is open.
    pub(super) fn open_mut(&mut self, attempt: Attempt) -> Option<&mut OpenTransport> {
        match self.0.get_mut(&attempt)? {
            Transport::Open(open) => Some(open),
            Transport::Queued | Transport::Dialling => None,
        }
    }

    /// Returns the connections that are open, with their attempts.
    pub(super) fn all_open(&mut self) -> impl Iterator<Item = (Attempt, &mut OpenTransport)> {
        self.0
            .iter_mut()
            .filter_map(|(attempt, transport)| match transport {
                Transport::Open(open) => Some((*attempt, open.as_mut())),
                Transport::Queued | Transport::Dialling => None,
            })
    }

    /// Returns the only connection.
    pub(super) fn only_connection(&self) -> Option<ConnectionId> {
        let mut all = self.0.values();
        match (all.next(), all.next()) {
            (Some(Transport::Open(open)), None) => Some(open.connection),
            (Some(Transport::Open(_) | Transport::Queued | Transport::Dialling) | None, _) => None,
        }
    }
}
