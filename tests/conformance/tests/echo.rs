//! The client against the server over real sockets: checks the shell that the conformance suites use.

use anyhow::Result;
use steadfast_conformance::LIMITS;
use steadfast_conformance::connection::MessageHandling;
use steadfast_conformance::handshake;
use steadfast_protocol::websocket::handshake::{self as codec, UpgradeRequest};
use steadfast_protocol::websocket::{Decoder, Frame, MessageKind, Opcode, Role, WebSocketEvent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

#[test]
fn a_message_of_a_megabyte_in_many_writes_is_echoed_and_the_close_frame_is_returned() {
    block_on(async {
        let host = echo_server().await?;
        let payload = vec![b'x'; 1 << 20];
        let mut sent = Vec::new();
        Frame::unfragmented(Opcode::Text, &payload).append_client(&mut sent, [1, 2, 3, 4]);
        Frame::unfragmented(Opcode::Close, &1000_u16.to_be_bytes())
            .append_client(&mut sent, [5, 6, 7, 8]);

        let received = talk(&host, &sent).await?;

        assert_eq!(received.len(), 2);
        assert_eq!(
            received[0],
            format!("{:?} {}", MessageKind::Text, payload.len())
        );
        assert_eq!(received[1], "close Some(1000)");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_protocol_violation_gets_a_close_frame_with_its_code() {
    block_on(async {
        let host = echo_server().await?;

        let received = talk(&host, b"\x81\x01x").await?;

        assert_eq!(received, ["close Some(1002)"]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_request_that_is_not_an_upgrade_gets_an_http_status() {
    block_on(async {
        let host = echo_server().await?;
        let mut stream = TcpStream::connect(&host).await?;

        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;

        assert!(response.starts_with("HTTP/1.1 426 "), "{response}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_server_collects_the_messages_of_a_client() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let host = listener.local_addr()?.to_string();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            handshake::accept(stream)
                .await?
                .run(MessageHandling::Collect)
                .await
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
            tokio::spawn(async {
                handshake::accept(stream)
                    .await?
                    .run(MessageHandling::Echo)
                    .await
            });
        }
    });
    Ok(host)
}

/// Returns a stream after its handshake, without the client under test.
async fn raw_client(host: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(host).await?;
    let key = codec::key(*b"sixteen bytes ..");
    let request = UpgradeRequest {
        host,
        path: "/",
        key: &key,
        ..UpgradeRequest::default()
    };
    stream.write_all(&codec::request(&request)?).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(stream)
}

/// Sends bytes and lists what is received until the server closes the socket.
async fn talk(host: &str, sent: &[u8]) -> Result<Vec<String>> {
    let mut stream = raw_client(host).await?;
    stream.write_all(sent).await?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await?;
    let mut decoder = Decoder::new(Role::Client, LIMITS);
    let mut reading = decoder.read(&mut received);
    let mut received = Vec::new();
    while let Some(event) = reading.next_event()? {
        received.push(match event {
            WebSocketEvent::Message { kind, payload } => format!("{kind:?} {}", payload.len()),
            WebSocketEvent::Ping(_) => "ping".to_owned(),
            WebSocketEvent::Pong(_) => "pong".to_owned(),
            WebSocketEvent::Close { code, reason: _ } => format!("close {code:?}"),
        });
    }
    Ok(received)
}
