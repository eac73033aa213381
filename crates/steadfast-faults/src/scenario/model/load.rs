//! `[load.X]`: the simulated clients of a scenario.

use std::time::Duration;

use steadfast_machine::convert;

use crate::topology::ClientKind;

/// `[load.X]`: simulated clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The X of `[load.X]`.
    pub name: String,
    /// The behaviour of the clients.
    pub driver: LoadDriver,
    /// What the clients do.
    pub traffic: Traffic,
    /// The client libraries; clients are assigned to them round-robin.
    pub kinds: Vec<ClientKind>,
    /// The number of clients, all kinds together.
    pub clients: u32,
    /// The clients of a chat that publish, spread evenly over its channels; the others only receive. 0: an idle load.
    pub publishers: u32,
    /// The service to which they connect; clients are assigned to its instances round-robin.
    pub to: String,
    /// Clients that begin to connect in one second at the start of a run; `None`: all at once.
    pub connect_rate: Option<u32>,
    /// The rate, size and channels of what they send, or the rate at which they expect messages.
    pub send: Publishing,
    /// What the clients guarantee about their requests, or the server about its messages.
    pub guarantee: Guarantee,
    /// The timers of the clients; `None`: those of the driver.
    pub timers: ClientTimers,
    /// What the adapters of the lab must know of the server's messages.
    pub options: AdapterOptions,
    /// Publications of one publisher must be delivered in the order in which it sent them.
    pub is_ordered: bool,
    /// The minimum rate in the baseline, in percent of the planned rate.
    pub min_rate_percent: u32,
}

/// The behaviour of simulated clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadDriver {
    /// Subscribe to a channel and publish to it with `gw.publish`, each publication with its own idempotency key.
    /// Resend with the same key until the outcome is known.
    GatewayChat,
    /// Send messages to a WebSocket server, which returns them.
    WebsocketEcho,
    /// Receive the numbered messages of a WebSocket server.
    WebsocketSubscribe,
    /// Send HTTP requests over a connection that stays open.
    HttpPoll,
    /// Make JSON-RPC 2.0 calls over a WebSocket.
    Jsonrpc,
    /// Log in to a TrueNAS and call its methods.
    Truenas,
    /// A program that owns the clients and exchanges lines of JSON.
    Exec(DriverProgram),
}

impl LoadDriver {
    /// The name in scenarios.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::GatewayChat => "gateway-chat",
            Self::WebsocketEcho => "websocket-echo",
            Self::WebsocketSubscribe => "websocket-subscribe",
            Self::HttpPoll => "http-poll",
            Self::Jsonrpc => "jsonrpc",
            Self::Truenas => "truenas",
            Self::Exec(_) => "exec",
        }
    }

    /// The kind of its clients; `None` if these are libraries that the load selects.
    pub const fn kind(&self) -> Option<ClientKind> {
        match self {
            Self::GatewayChat => None,
            Self::WebsocketEcho => Some(ClientKind::WebsocketEcho),
            Self::WebsocketSubscribe => Some(ClientKind::WebsocketSubscribe),
            Self::HttpPoll => Some(ClientKind::HttpPoll),
            Self::Jsonrpc => Some(ClientKind::Jsonrpc),
            Self::Truenas => Some(ClientKind::Truenas),
            Self::Exec(_) => Some(ClientKind::Exec),
        }
    }
}

/// The program of the driver `exec`, which is started once for all clients of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverProgram {
    /// The program: a path, or a name that is searched in `PATH`.
    pub cmd: String,
    /// The arguments of the program, in order.
    pub args: Vec<String>,
    /// Variables that are added to its environment, by name.
    pub env: Vec<(String, String)>,
}

/// What the clients of a load do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// They publish to a channel and receive its publications.
    Publications,
    /// They send requests, each of which has one outcome.
    Requests,
    /// They only receive the numbered messages of streams.
    Streams,
}

/// What holds for each request of a client, or for each message of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// Requests are sent once, and nothing is expected of their effects; messages are expected while connected.
    BestEffort,
    /// Requests are sent once, and none may be executed twice; messages are expected while connected.
    AtMostOnce,
    /// Requests are resent with the same key until their outcome is known; messages are expected after a reconnect too.
    AtLeastOnce,
    /// As for at least once, and nothing may be executed twice.
    ExactlyOnce,
}

impl Guarantee {
    /// All guarantees, weakest first.
    pub const ALL: [Self; 4] = [
        Self::BestEffort,
        Self::AtMostOnce,
        Self::AtLeastOnce,
        Self::ExactlyOnce,
    ];

    /// The name in scenarios.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BestEffort => "best-effort",
            Self::AtMostOnce => "at-most-once",
            Self::AtLeastOnce => "at-least-once",
            Self::ExactlyOnce => "exactly-once",
        }
    }

    /// Whether a request without a final outcome is sent again, and a message that was missed is expected later.
    pub const fn is_repeated(self) -> bool {
        match self {
            Self::BestEffort | Self::AtMostOnce => false,
            Self::AtLeastOnce | Self::ExactlyOnce => true,
        }
    }
}

/// The timers of clients, for the drivers that know them; `None` leaves the default of the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientTimers {
    /// The time limit of one connection attempt.
    pub connect: Option<Duration>,
    /// The time without received data until a ping is sent.
    pub ping: Option<Duration>,
    /// The time from this ping until the connection is given up.
    pub pong: Option<Duration>,
}

/// What the adapters of the lab must know of the messages of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterOptions {
    /// The JSON-RPC method that is called first on each connection; the client is connected with its result.
    pub login: Option<String>,
    /// The message that is sent first on each connection, for example a subscription.
    pub first_message: Option<String>,
    /// The field of a message with its sequence; `None`: `sequence`.
    pub sequence: Option<String>,
    /// The field of a message with the name of its stream; `None`: `stream`. A message without it belongs to the only
    /// stream of the server.
    pub stream: Option<String>,
    /// The field of a message with the epoch of its stream, in which sequences count; `None`: `epoch`.
    pub epoch: Option<String>,
}

/// What each client sends, on a schedule that does not wait for replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publishing {
    /// The period of one client; for streams, that of the messages that it expects.
    pub every: Duration,
    /// The maximum jitter of each instant, in percent of the period, earlier or later, drawn from the seed.
    pub jitter_percent: u32,
    /// The length of the payload in bytes.
    pub payload_bytes: u32,
    /// The number of channels of each instance.
    pub channels: u32,
    /// The number of unacknowledged publications or requests that a client keeps; above it, what is due is counted as
    /// unsent.
    pub queue_len_max: u32,
    /// The operations of requests, in turn: a method, or a request line. The driver gives them their meaning.
    pub ops: Vec<String>,
    /// The time limit of each request.
    pub timeout: Duration,
}

impl Publishing {
    /// The operation of the request with this sequence; empty if the load names none.
    pub fn op(&self, sequence: u64) -> &str {
        let len = convert::to_u64(self.ops.len());
        let index = sequence.saturating_sub(1).checked_rem(len);
        // The index is less than the length of a list.
        let op = index.and_then(|index| self.ops.get(usize::try_from(index).ok()?));
        op.map_or("", String::as_str)
    }
}
