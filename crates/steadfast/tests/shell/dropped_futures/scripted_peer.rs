//! A server on sockets that do not block: it works only when it is polled, and replies as far as its script says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use bytes::Bytes;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::idempotent;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    Command, ConnectResult, HistoryResult, Position, PresenceStats, Publication, Push, PushEvent,
    Reply, ReplyResult, Request, SubscribeResult,
};
use steadfast_protocol::websocket::handshake::{accept_key, response};
use steadfast_protocol::websocket::{self, Decoder, Opcode, Role};

use crate::peer::{LIMITS, acknowledgement};

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
    connections: Vec<Connection>,
    /// The methods and channels of the calls, in the order in which they arrived.
    pub(super) calls: Vec<String>,
    /// The idempotency keys of the publications, and how often each arrived.
    pub(super) publications: BTreeMap<String, usize>,
    /// The channels that are subscribed.
    pub(super) channels: BTreeSet<String>,
}

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    is_upgraded: bool,
    received: Vec<u8>,
    decoder: Decoder,
    /// The replies that were not sent yet.
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
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self {
            listener,
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
        while let Ok((socket, _)) = self.listener.accept() {
            if self.script == Script::Refuse {
                continue;
            }
            socket.set_nonblocking(true).unwrap();
            socket.set_nodelay(true).unwrap();
            self.connections.push(Connection {
                socket,
                is_upgraded: false,
                received: Vec::new(),
                decoder: Decoder::new(Role::Server, LIMITS),
                pending: Vec::new(),
            });
        }
        let mut connections = std::mem::take(&mut self.connections);
        connections.retain_mut(|it| self.script < Script::Upgrade || self.serve(it));
        self.connections = connections;
    }

    /// Serves one connection; returns whether it is still open.
    fn serve(&mut self, connection: &mut Connection) -> bool {
        let is_open = connection.read();
        if !connection.is_upgraded {
            connection.upgrade();
            return is_open;
        }
        let mut received = std::mem::take(&mut connection.received);
        let mut reading = connection.decoder.read(&mut received);
        while let Some(event) = reading.next_event().unwrap() {
            match event {
                websocket::WebSocketEvent::Message { payload, .. } => {
                    let message = Bytes::copy_from_slice(payload);
                    for command in Encoding::Json.decode_commands(&message, &Limits::DEFAULT) {
                        connection.pending.push(self.execute(&command.unwrap()));
                    }
                }
                websocket::WebSocketEvent::Close { .. } => return false,
                websocket::WebSocketEvent::Ping(_) | websocket::WebSocketEvent::Pong(_) => {}
            }
        }
        let script = self.script;
        let is_due = |it: &mut Pending| {
            script == Script::Serve || (script == Script::Connect && it.to_connect)
        };
        let replies: Vec<Pending> = connection.pending.extract_if(.., is_due).collect();
        is_open && replies.iter().all(|it| connection.reply(it))
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

impl Connection {
    /// Reads what has arrived; returns `false` at the end of the stream.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4_096];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => self.received.extend(bytes.iter().take(count)),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    fn upgrade(&mut self) {
        if !self.received.ends_with(b"\r\n\r\n") {
            return;
        }
        let text = String::from_utf8(std::mem::take(&mut self.received)).unwrap();
        let mut lines = text.lines();
        let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        self.is_upgraded = self.write(&response(&accept_key(key.expect("a key")), None));
    }

    /// Sends a reply; returns `false` if the client has closed the connection.
    fn reply(&mut self, reply: &Pending) -> bool {
        self.write(&websocket::encoder::encode_server(
            Opcode::Text,
            &reply.message,
        ))
    }

    /// Writes a few bytes, for which the kernel has space.
    fn write(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
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
