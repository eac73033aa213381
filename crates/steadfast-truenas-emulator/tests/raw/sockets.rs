//! The shell: raw WebSockets and HTTP requests to a real port.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use serde_json::{Value, json};
use steadfast_protocol::websocket::{
    Decoder, Frame, MessageKind, Opcode, Role, WebSocketEvent, WebSocketLimits,
};
use steadfast_truenas_emulator::{ApiVersion, Server};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::rig::{KEY, policy};

const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 1 << 20,
    frame_bytes_max: 1 << 20,
    fragments_max: 16,
};

/// After this time a test fails instead of waiting.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with calls that take no time, which ends with the runtime of the test.
async fn server() -> SocketAddr {
    let mut policy = policy(ApiVersion::V26_0_0);
    policy.call_time = Duration::ZERO;
    let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), policy)
        .await
        .unwrap();
    let address = server.local_addr();
    tokio::spawn(server.serve(std::future::pending()));
    address
}

/// What a server sends on an open WebSocket.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    Message(Value),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    /// The end without a close frame.
    End,
}

pub(crate) struct Socket<S> {
    stream: S,
    decoder: Decoder,
}

impl Socket<TcpStream> {
    async fn open(address: SocketAddr, path: &str) -> Self {
        Self::upgrade(TcpStream::connect(address).await.unwrap(), path).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(crate) async fn upgrade(mut stream: S, path: &str) -> Self {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: nas\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{head:?}");
        let decoder = Decoder::new(Role::Client, LIMITS);
        Self { stream, decoder }
    }

    async fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut bytes = Vec::new();
        let key = [1, 2, 3, 4];
        Frame::unfragmented(opcode, payload).append_client(&mut bytes, key);
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn receive(&mut self) -> Received {
        let received = timeout(PATIENCE, self.receive_any()).await;
        received.expect("something arrives in time")
    }

    async fn receive_any(&mut self) -> Received {
        let mut input = BytesMut::new();
        loop {
            input.clear();
            // One byte at a time, so that nothing after the first event is lost.
            let Ok(byte) = self.stream.read_u8().await else {
                return Received::End;
            };
            input.extend_from_slice(&[byte]);
            let mut reading = self.decoder.read(&mut input);
            match reading.next_event().unwrap() {
                None => {}
                Some(WebSocketEvent::Message { kind, payload }) => {
                    assert_eq!(kind, MessageKind::Text);
                    return Received::Message(serde_json::from_slice(payload).unwrap());
                }
                Some(WebSocketEvent::Pong(payload)) => return Received::Pong(payload.to_vec()),
                Some(WebSocketEvent::Ping(_)) => panic!("the server never pings"),
                Some(WebSocketEvent::Close { code, reason }) => {
                    return Received::Close(code, reason.to_owned());
                }
            }
        }
    }

    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.send(Opcode::Text, request.to_string().as_bytes())
            .await;
        let received = self.receive().await;
        let Received::Message(message) = received else {
            panic!("{received:?}")
        };
        message
    }

    async fn log_in(&mut self) {
        let reply = self.call("auth.login_with_api_key", json!([KEY])).await;
        assert_eq!(reply["result"], true);
    }
}

/// Sends a request, and returns the status line and the body.
async fn http(address: SocketAddr, method: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: nas\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn calls_and_pings_have_replies_on_both_paths() {
    let address = server().await;
    for path in ["/api/current", "/api/v25.10.0"] {
        let mut socket = Socket::open(address, path).await;

        let reply = socket.call("core.ping", json!([])).await;
        socket.send(Opcode::Ping, b"are you there").await;

        assert_eq!(reply["result"], "pong");
        assert_eq!(
            socket.receive().await,
            Received::Pong(b"are you there".to_vec())
        );
    }
}

#[tokio::test]
async fn a_close_by_the_server_has_its_code_and_its_reason() {
    let address = server().await;
    let mut long = Socket::open(address, "/api/current").await;
    let mut binary = Socket::open(address, "/api/current").await;

    long.send(Opcode::Text, &vec![b'x'; 8_193]).await;
    binary.send(Opcode::Binary, b"{}").await;

    let reason = "Anonymous connection max message length is 8 kB".to_owned();
    assert_eq!(long.receive().await, Received::Close(Some(1007), reason));
    assert!(matches!(
        binary.receive().await,
        Received::Close(Some(1003), _)
    ));
}

#[tokio::test]
async fn a_restart_ends_sockets_without_a_close_frame() {
    let address = server().await;
    let mut socket = Socket::open(address, "/api/current").await;
    socket.log_in().await;

    let (status, _) = http(address, "POST", "/_emulator/restart").await;

    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(socket.receive().await, Received::End);
}

#[tokio::test]
async fn the_versions_the_boot_and_the_journal_are_served_by_http() {
    let address = server().await;
    let mut socket = Socket::open(address, "/api/current").await;
    socket.log_in().await;
    socket.call("pool.query", json!([])).await;

    let (status, versions) = http(address, "GET", "/api/versions").await;
    let (_, boot) = http(address, "GET", "/api/boot_id").await;
    let (_, journal) = http(address, "GET", "/_emulator/journal").await;
    let (missing, _) = http(address, "GET", "/api/none").await;

    assert_eq!(status, "HTTP/1.1 200 OK");
    let versions: Vec<String> = serde_json::from_str(&versions).unwrap();
    assert_eq!(versions.last().unwrap(), "v26.0.0");
    assert_eq!(serde_json::from_str::<String>(&boot).unwrap().len(), 36);
    let journal: Value = serde_json::from_str(&journal).unwrap();
    assert_eq!(journal[1]["method"], "pool.query");
    assert_eq!(journal[1]["reply_sent"], true);
    assert_eq!(missing, "HTTP/1.1 404 Not Found");
}

#[tokio::test]
async fn the_server_acknowledges_a_close_of_the_client() {
    let address = server().await;
    let mut socket = Socket::open(address, "/api/current").await;

    socket.send(Opcode::Close, &1000_u16.to_be_bytes()).await;

    assert_eq!(
        socket.receive().await,
        Received::Close(Some(1000), String::new())
    );
    assert_eq!(socket.receive().await, Received::End);
}
