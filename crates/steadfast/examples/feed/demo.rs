//! A server with a feed of trades, on a free port of this machine: two trades happen between two connections.

use std::io;
use std::time::Duration;

use steadfast_protocol::websocket::handshake::{accept_key, response};
use steadfast_protocol::websocket::{Opcode, encoder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The trades of one connection.
const TRADES: u64 = 3;

/// The code of a close frame without a particular reason.
const NORMAL_CLOSURE: u16 = 1000;

/// Starts the server, and returns its URL.
pub(crate) async fn start() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut first = 1;
        while let Ok((socket, _)) = listener.accept().await {
            // A client that disconnects is not an error of the server.
            let _ = serve(socket, first).await;
            first += TRADES + 2;
        }
    });
    Ok(format!("ws://{address}/"))
}

/// Serves one client, then closes the connection.
async fn serve(mut socket: TcpStream, first: u64) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        socket.read_buf(&mut request).await?;
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let mut lines = request.lines();
    let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accepted = response(&accept_key(key.unwrap_or_default()), Some("feed.v1"));
    socket.write_all(&accepted).await?;
    // The subscription, which is the only message of this client.
    socket.read_buf(&mut Vec::with_capacity(1_024)).await?;
    send(&mut socket, r#"{"type":"subscribed","channel":"trades"}"#).await?;
    for number in first..first + TRADES {
        let price = 100 + number % 7;
        let trade = format!(r#"{{"type":"trade","number":{number},"price":{price}}}"#);
        send(&mut socket, &trade).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let close = encoder::encode_server(Opcode::Close, &NORMAL_CLOSURE.to_be_bytes());
    socket.write_all(&close).await
}

async fn send(socket: &mut TcpStream, message: &str) -> io::Result<()> {
    let frame = encoder::encode_server(Opcode::Text, message.as_bytes());
    socket.write_all(&frame).await
}
