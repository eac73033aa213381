//! Our client against our server over real sockets: the shell that carries the conformance suites works at all.

use anyhow::Result;
use steadfast_conformance::LIMITS;
use steadfast_conformance::connection::Answer;
use steadfast_conformance::opening;
use steadfast_protocol::websocket::handshake::{self, UpgradeRequest};
use steadfast_protocol::websocket::{Decoder, Frame, MessageKind, Opcode, Role, WebSocketEvent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

#[test]
fn a_message_of_a_megabyte_in_many_writes_comes_back_and_the_close_is_answered() {
    block_on(async {
        let host = echo_server().await?;
        let payload = vec![b'x'; 1 << 20];
        let mut sent = Vec::new();
        Frame::unfragmented(Opcode::Text, &payload).append_client(&mut sent, [1, 2, 3, 4]);
        Frame::unfragmented(Opcode::Close, &1000_u16.to_be_bytes())
            .append_client(&mut sent, [5, 6, 7, 8]);

        let heard = talk(&host, &sent).await?;

        assert_eq!(heard.len(), 2);
        assert_eq!(
            heard[0],
            format!("{:?} {}", MessageKind::Text, payload.len())
        );
        assert_eq!(heard[1], "close Some(1000)");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_violation_is_answered_with_its_code() {
    block_on(async {
        let host = echo_server().await?;

        let heard = talk(&host, b"\x81\x01x").await?;

        assert_eq!(heard, ["close Some(1002)"]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_request_that_is_no_upgrade_gets_an_http_status() {
    block_on(async {
        let host = echo_server().await?;
        let mut stream = TcpStream::connect(&host).await?;

        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;

        assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_client_collects_what_a_server_says() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let host = listener.local_addr()?.to_string();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            opening::accept(stream).await?.run(Answer::Collect).await
        });

        let mut stream = raw_client(&host).await?;
        let mut sent = Vec::new();
        Frame::unfragmented(Opcode::Text, b"one").append_client(&mut sent, [1, 2, 3, 4]);
        Frame::unfragmented(Opcode::Binary, b"two").append_client(&mut sent, [1, 2, 3, 4]);
        Frame::unfragmented(Opcode::Close, b"").append_client(&mut sent, [1, 2, 3, 4]);
        stream.write_all(&sent).await?;
        drop(stream);

        assert_eq!(server.await??, [b"one", b"two"]);
        Ok(())
    })
    .unwrap();
}

fn block_on(test: impl Future<Output = Result<()>>) -> Result<()> {
    Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(test)
}

async fn echo_server() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let host = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async { opening::accept(stream).await?.run(Answer::Echo).await });
        }
    });
    Ok(host)
}

/// A stream whose handshake is done, without the client under test.
async fn raw_client(host: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(host).await?;
    let key = handshake::key(*b"sixteen bytes ..");
    let request = UpgradeRequest {
        host,
        path: "/",
        key: &key,
        ..UpgradeRequest::default()
    };
    stream.write_all(&handshake::request(&request)?).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(stream)
}

/// Sends bytes and lists what comes back until the server closes the socket.
async fn talk(host: &str, sent: &[u8]) -> Result<Vec<String>> {
    let mut stream = raw_client(host).await?;
    stream.write_all(sent).await?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await?;
    let mut decoder = Decoder::new(Role::Client, LIMITS);
    let mut reading = decoder.read(&mut received);
    let mut heard = Vec::new();
    while let Some(event) = reading.next_event()? {
        heard.push(match event {
            WebSocketEvent::Message { kind, payload } => format!("{kind:?} {}", payload.len()),
            WebSocketEvent::Ping(_) => "ping".to_owned(),
            WebSocketEvent::Pong(_) => "pong".to_owned(),
            WebSocketEvent::Close { code, reason: _ } => format!("close {code:?}"),
        });
    }
    Ok(heard)
}
