//! A client of one shard, for tests: a socket whose other end is read when the test is over.

use std::future::poll_fn;
use std::io::Read as _;
use std::time::Duration;

use steadfast_hub::Hub;
use steadfast_hub::io::{Access, ClientId, PeerId};
use steadfast_machine::{Instant, Seed};
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::inbound::Inbound;
use steadfast_protocol::websocket::{
    Decoder, Frame, Opcode, Role, WebSocketEvent, WebSocketLimits,
};
use tokio::net::tcp::OwnedReadHalf;
use tokio::runtime;

use super::Shard;
use crate::config::Config;
use crate::config::load::LoadedConfig;
use crate::config::policy::Policies;
use crate::diagnostics::ShardLog;
use crate::shard_bus::{self, INBOX_LIMITS, ShardBus};

/// More than any message of these tests needs.
const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 1_000_000,
    frame_bytes_max: 1_000_000,
    fragments_max: 1,
};

/// What a client has received.
pub(super) struct Received(Vec<String>);

impl Received {
    /// Checks the messages, which must be as many as the closure takes.
    pub(super) fn check<const N: usize>(self, check: impl FnOnce([String; N])) {
        check(<[String; N]>::try_from(self.0).unwrap_or_else(|all| panic!("{all:?}")));
    }
}

/// A client of a shard with its socket.
pub(super) struct OpenClient {
    pub(super) peer: PeerId,
    /// The reading half of the gateway's end, which keeps the connection open.
    pub(super) reading: OwnedReadHalf,
    /// The client's end.
    pub(super) far: std::net::TcpStream,
}

/// Connects a client that has sent nothing yet.
fn open_client(shard: &mut Shard) -> OpenClient {
    let (near, far) = pair();
    let (reading, writing) = near.into_split();
    let (start, access) = (Instant::START, Access::Anonymous);
    let peer = shard.open_client(start, writing, b"", ClientId(1), access, Encoding::Json);
    OpenClient { peer, reading, far }
}

/// Runs a test of a shard with one client that has sent nothing yet.
pub(super) fn run<T>(mut shard: Shard, test: impl AsyncFnOnce(Shard, OpenClient) -> T) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let client = open_client(&mut shard);
        test(shard, client).await
    })
}

/// Runs a step with one client, and returns all messages and pongs that the client receives.
pub(super) fn with_client(step: impl FnOnce(&mut Shard, PeerId)) -> Received {
    run(shard(), async |mut shard, client| {
        let OpenClient { peer, reading, far } = client;
        let start = Instant::START;
        step(&mut shard, peer);
        shard.finish_iteration(start);
        // The runtime has not seen yet that the socket accepts bytes.
        poll_fn(|context| shard.connection(peer).unwrap().poll_drain(context, start))
            .await
            .unwrap();
        read_all(shard, reading, far)
    })
}

/// Closes the connection, and decodes what was sent on it.
fn read_all(shard: Shard, reading: OwnedReadHalf, mut far: std::net::TcpStream) -> Received {
    drop((shard, reading));
    let mut input = Vec::new();
    far.read_to_end(&mut input).unwrap();
    let mut decoder = Decoder::new(Role::Client, LIMITS);
    let mut reading = decoder.read(&mut input);
    let mut messages = Vec::new();
    while let Some(event) = reading.next_event().unwrap() {
        match event {
            WebSocketEvent::Message { payload, .. } => {
                messages.push(String::from_utf8(payload.to_vec()).unwrap());
            }
            WebSocketEvent::Pong(payload) => messages.push(format!("pong {payload:?}")),
            WebSocketEvent::Ping(_) | WebSocketEvent::Close { .. } => {}
        }
    }
    Received(messages)
}

/// Passes a message to the shard, which must not pause the client before its end.
pub(super) fn handle_message(shard: &mut Shard, peer: PeerId, message: &[u8]) {
    let mut inbound = Inbound::new(Encoding::Json);
    let mut read = Vec::new();
    Frame::unfragmented(Opcode::Text, message).append_client(&mut read, [1, 2, 3, 4]);
    shard.receive(Instant::START, peer, &mut inbound, &mut read);
    assert!(!inbound.has_unhandled());
}

pub(super) fn shard() -> Shard {
    shard_on(shard_bus::open(1, INBOX_LIMITS).0)
}

pub(super) fn shard_on(bus: ShardBus) -> Shard {
    let mut config = Config::default();
    config.server.shards = 1;
    let policies = Policies::try_from(&LoadedConfig::from(config)).unwrap();
    let hub = Hub::new(policies.hubs[0].clone(), Seed::new(1), Instant::START);
    let log = ShardLog::new(policies.peers_max_source);
    Shard::new(hub, bus, Duration::from_secs(5), log)
}

/// Returns both ends of a connection: the gateway's and the client's.
fn pair() -> (tokio::net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (near, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    (tokio::net::TcpStream::from_std(near).unwrap(), far)
}
