//! A server on sockets that do not block: it works only when it is polled, and replies as far as its script says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;

use bytes::Bytes;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::idempotent;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    Command, ConnectResult, HistoryResult, Position, PresenceStats, Publication, Push, PushEvent,
    Reply, ReplyResult, Request, SubscribeResult,
};

use super::connection::{self, Connection};
use crate::peer::acknowledgement;

/// The publications that a subscriber receives after its subscription.
pub(super) const PUBLICATIONS: u64 = 3;

/// How far the server replies; each value includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Script {
    /// Closes each connection immediately.
    Refuse,
    /// Accepts connections, and reads nothing.
    Accept,
    /// Accepts the upgrade.
    Upgrade,
    /// Replies to the connect command.
    Connect,
    /// Replies to all commands.
    Serve,
}

/// The server, and what it has received.
#[derive(Debug)]
pub(super) struct ScriptedPeer {
    listener: TcpListener,
    pub(super) script: Script,
    connections: Vec<Client>,
    /// The methods and channels of the calls, in the order in which they arrived.
    pub(super) calls: Vec<String>,
    /// The idempotency keys of the publications, and how often each arrived.
    pub(super) publications: BTreeMap<String, usize>,
    /// The channels that are subscribed.
    pub(super) channels: BTreeSet<String>,
}

/// A connection, and the replies that were not sent yet.
#[derive(Debug)]
struct Client {
    connection: Connection,
    pending: Vec<Pending>,
}

/// The reply to a command.
#[derive(Debug)]
struct Pending {
    to_connect: bool,
    message: Vec<u8>,
}

impl ScriptedPeer {
    pub(super) fn new(script: Script) -> Self {
        Self {
            listener: connection::listen(),
            script,
            connections: Vec::new(),
            calls: Vec::new(),
            publications: BTreeMap::new(),
            channels: BTreeSet::new(),
        }
    }

    pub(super) fn url(&self) -> String {
        format!("ws://{}", self.listener.local_addr().unwrap())
    }

    /// The number of connections that the client has not closed.
    pub(super) fn open_connections(&self) -> usize {
        self.connections.len()
    }

    /// Accepts connections, reads what has arrived, and replies.
    pub(super) fn poll(&mut self) {
        while let Some(connection) = Connection::accept(&self.listener) {
            if self.script > Script::Refuse {
                let pending = Vec::new();
                let client = Client {
                    connection,
                    pending,
                };
                self.connections.push(client);
            }
        }
        let mut connections = std::mem::take(&mut self.connections);
        connections.retain_mut(|it| self.script < Script::Upgrade || self.serve(it));
        self.connections = connections;
    }

    /// Serves one connection; returns whether it is still open.
    fn serve(&mut self, client: &mut Client) -> bool {
        let connection = &mut client.connection;
        let is_open = connection.read();
        if !connection.is_upgraded {
            connection.upgrade();
            return is_open;
        }
        let Some(messages) = connection.messages() else {
            return false;
        };
        for message in messages {
            for command in Encoding::Json.decode_commands(&message, &Limits::DEFAULT) {
                client.pending.push(self.execute(&command.unwrap()));
            }
        }
        let script = self.script;
        let is_due = |it: &mut Pending| {
            script == Script::Serve || (script == Script::Connect && it.to_connect)
        };
        let replies: Vec<Pending> = client.pending.extract_if(.., is_due).collect();
        is_open && replies.iter().all(|it| client.connection.send(&it.message))
    }

    /// Executes a command, and returns its reply; that to a subscription is followed by publications.
    fn execute(&mut self, command: &Command) -> Pending {
        let mut pushes = Vec::new();
        let result = match &command.request {
            Request::Connect(_) => {
                self.channels.clear();
                ReplyResult::Connect(ConnectResult::default())
            }
            Request::Subscribe(it) => {
                self.channels.insert(it.channel.clone());
                pushes.extend((1..=PUBLICATIONS).map(|offset| push(&it.channel, offset)));
                subscribed()
            }
            Request::Unsubscribe(it) => {
                self.channels.remove(&it.channel);
                ReplyResult::Unsubscribe
            }
            Request::Rpc(it) if it.method == idempotent::METHOD => {
                let publish = idempotent::decode_publish(&it.data, &Limits::DEFAULT).unwrap();
                *self
                    .publications
                    .entry(publish.idempotency_key)
                    .or_default() += 1;
                ReplyResult::Rpc(acknowledgement())
            }
            Request::Rpc(it) => {
                self.calls.push(it.method.clone());
                ReplyResult::Rpc(Bytes::from_static(b"1"))
            }
            Request::History(it) => {
                self.calls.push(it.channel.clone());
                ReplyResult::History(HistoryResult::default())
            }
            Request::Presence(it) => {
                self.calls.push(it.channel.clone());
                ReplyResult::Presence(BTreeMap::new())
            }
            Request::PresenceStats(it) => {
                self.calls.push(it.channel.clone());
                ReplyResult::PresenceStats(PresenceStats::default())
            }
            Request::Publish(_)
            | Request::Ping
            | Request::Send(_)
            | Request::Refresh(_)
            | Request::SubRefresh(_)
            | Request::Pong => panic!("unexpected {command:?}"),
        };
        let (id, outcome) = (command.id, Ok(result));
        let mut message = Vec::new();
        Encoding::Json.append_reply(&mut message, &Reply::Response { id, outcome });
        for push in pushes {
            message.extend_from_slice(Encoding::Json.separator());
            Encoding::Json.append_reply(&mut message, &Reply::Push(push));
        }
        Pending {
            to_connect: matches!(command.request, Request::Connect(_)),
            message,
        }
    }
}

fn subscribed() -> ReplyResult {
    ReplyResult::Subscribe(SubscribeResult {
        recoverable: true,
        position: Position {
            epoch: "e".to_owned(),
            offset: 0,
        },
        ..SubscribeResult::default()
    })
}

fn push(channel: &str, offset: u64) -> Push {
    Push {
        channel: channel.into(),
        event: PushEvent::Publication(Publication {
            data: Bytes::from_static(b"1"),
            offset,
            ..Publication::default()
        }),
    }
}
