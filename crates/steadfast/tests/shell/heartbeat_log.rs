//! Pings and pongs are in the log at trace level.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use steadfast::centrifuge::Client;
use steadfast::defaults;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{ConnectResult, Reply, ReplyResult, Request};
use steadfast_protocol::websocket::encoder::encode_server;
use steadfast_protocol::websocket::{Decoder, Opcode, Role, WebSocketEvent, WebSocketLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tracing_subscriber::fmt::MakeWriter;

use crate::peer::upgrade;

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let log = self.0.lock();
        let mut log = log.map_err(|_poisoned| io::Error::other("a writer has panicked"))?;
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}

/// Accepts a client, sends it a ping, and returns after it has replied to this ping and to one of the client.
async fn exchange_heartbeats(listener: TcpListener) -> TcpStream {
    let limits = WebSocketLimits {
        message_bytes_max: 1 << 20,
        frame_bytes_max: 1 << 20,
        fragments_max: 1,
    };
    let (mut socket, _) = listener.accept().await.unwrap();
    upgrade(&mut socket).await.expect("an upgrade request");
    let mut decoder = Decoder::new(Role::Server, limits);
    let (mut has_pong, mut has_ping) = (false, false);
    while !(has_pong && has_ping) {
        let mut received = Vec::new();
        assert!(socket.read_buf(&mut received).await.unwrap() > 0);
        let mut frames = Vec::new();
        let mut reading = decoder.read(&mut received);
        while let Some(event) = reading.next_event().unwrap() {
            match event {
                WebSocketEvent::Message { payload, .. } => {
                    has_pong |= reply(payload, &mut frames);
                }
                WebSocketEvent::Ping(payload) => {
                    frames.extend(encode_server(Opcode::Pong, payload));
                    has_ping = true;
                }
                WebSocketEvent::Pong(_) | WebSocketEvent::Close { .. } => {}
            }
        }
        socket.write_all(&frames).await.unwrap();
    }
    socket
}

/// Replies to the connect command, and sends a ping. Returns whether the message is the pong.
fn reply(message: &[u8], frames: &mut Vec<u8>) -> bool {
    let message = Bytes::copy_from_slice(message);
    let mut commands = Encoding::Json.decode_commands(&message, &Limits::DEFAULT);
    let command = commands.next().unwrap().unwrap();
    if command.request == Request::Pong {
        return true;
    }
    let result = ConnectResult {
        ping: 25,
        pong: true,
        ..ConnectResult::default()
    };
    let (id, outcome) = (command.id, Ok(ReplyResult::Connect(result)));
    for reply in [Reply::Response { id, outcome }, Reply::Ping] {
        let mut message = Vec::new();
        Encoding::Json.append_reply(&mut message, &reply);
        frames.extend(encode_server(Opcode::Text, &message));
    }
    false
}

#[tokio::test]
async fn pings_and_pongs_are_logged_at_trace_level() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let liveness = defaults::LIVENESS.ping_after_idle(Duration::from_millis(20));
    let builder = Client::builder(&url).unwrap().liveness(liveness);
    let (client, driver) = builder.build().unwrap();
    let mut state = client.state();
    tokio::spawn(driver);

    let socket = exchange_heartbeats(listener).await;
    state.wait_for(|it| it.rtt.is_some()).await.unwrap();

    let text = log.text();
    for line in [
        "TRACE steadfast::driver::transport_slot: ping received attempt=1",
        "TRACE steadfast::driver::transport_slot: pong sent attempt=1",
        "TRACE steadfast::driver::transport_slot: WebSocket ping sent attempt=1",
        "TRACE steadfast::driver::transport_slot: WebSocket pong received attempt=1",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    drop(socket);
}
