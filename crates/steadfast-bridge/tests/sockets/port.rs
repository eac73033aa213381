//! The loopback port for programs that cannot use a Unix socket.

use std::time::Duration;

use serde_json::json;
use steadfast_bridge::{BindError, Key, Policy, Server, Settings, Token};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::lab::{KEY, Lab, PATIENCE, secret};
use super::wire::Wire;

const TOKEN: &str = "a-token-of-sixteen";
/// Shorter than the 10 s that a connection may take to send the token, and longer than anything else takes.
const BEFORE_ITS_TIME_LIMIT: Duration = Duration::from_secs(8);
const FIELD: &str = "Authorization: Bearer a-token-of-sixteen";

async fn lab() -> Lab {
    with(Policy::DEFAULT).await
}

async fn with(policy: Policy) -> Lab {
    let token = Token::new(TOKEN).unwrap();
    Lab::with(policy, Some(token), Key::Fixed(secret(KEY))).await
}

async fn wire(lab: &Lab) -> Wire<TcpStream> {
    Wire::new(TcpStream::connect(lab.port.unwrap()).await.unwrap())
}

#[tokio::test]
async fn a_program_with_the_token_is_served_and_one_without_or_a_web_page_is_not() {
    let lab = lab().await;
    assert_eq!(wire(&lab).await.upgrade(&[]).await, 401);
    let page = ["Origin: http://localhost", FIELD];
    assert_eq!(wire(&lab).await.upgrade(&page).await, 403);
    let bound = ["Host: evil.example", FIELD];
    assert_eq!(wire(&lab).await.upgrade(&bound).await, 403);

    let mut wire = wire(&lab).await;
    assert_eq!(wire.upgrade(&[FIELD]).await, 101);
    wire.text(&json!({"jsonrpc": "2.0", "id": 1, "method": "pool.query"}))
        .await;

    assert_eq!(wire.message().await.unwrap()["result"][0]["name"], "tank");
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn the_port_accepts_no_lines() {
    let lab = lab().await;
    let mut stream = TcpStream::connect(lab.port.unwrap()).await.unwrap();
    let line = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"bridge.status\"}\n";
    stream.write_all(line).await.unwrap();

    let mut received = Vec::new();
    // It may also be reset.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut received))
        .await
        .unwrap();

    assert_eq!(received, b"");
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn connections_without_the_token_are_no_programs_and_the_oldest_of_many_is_closed() {
    let policy = Policy {
        programs_max: 2,
        ..Policy::DEFAULT
    };
    let lab = with(policy).await;
    let mut oldest = TcpStream::connect(lab.port.unwrap()).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(lab.port.unwrap()).await.unwrap());
    }

    let mut end = Vec::new();
    // It may also be reset.
    let closed = timeout(BEFORE_ITS_TIME_LIMIT, oldest.read_to_end(&mut end)).await;
    assert!(closed.is_ok() && end.is_empty(), "{closed:?} {end:?}");
    let mut local = lab.program().await;
    let mut wire = wire(&lab).await;
    assert_eq!(wire.upgrade(&[FIELD]).await, 101);
    local.until(|it| it["programs"] == 2).await;

    wire.text(&json!({"jsonrpc": "2.0", "id": 1, "method": "core.ping"}))
        .await;
    assert_eq!(wire.message().await.unwrap()["result"], "pong");
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn an_address_that_other_machines_reach_is_refused() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("bridge.sock");
    let token = Token::new(TOKEN).unwrap();
    let address = "0.0.0.0:0".parse().unwrap();

    let bound = Server::bind(Settings {
        socket,
        listen: Some((address, token)),
        policy: Policy::DEFAULT,
    });

    let error = bound.await.unwrap_err();
    assert!(matches!(error, BindError::NotLoopback(_)), "{error}");
}
