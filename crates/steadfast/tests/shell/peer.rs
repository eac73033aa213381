//! The server side of a connection, as all tests need it.

use steadfast_protocol::websocket::handshake::{accept_key, response};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Accepts the upgrade of a client. Returns `None` when the client disconnects before it sends a request.
pub(crate) async fn upgrade(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    let text = String::from_utf8(request).unwrap();
    let mut lines = text.lines();
    let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let response = response(&accept_key(key.expect("a key")), None);
    stream.write_all(&response).await.unwrap();
    Some(())
}
