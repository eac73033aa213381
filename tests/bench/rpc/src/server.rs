//! The server of all clients: tokio-tungstenite and the least JSON that a response needs. It returns the params of a call.

use anyhow::Result;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    params: &'a RawValue,
}

/// Serves until the process is killed. Writes the port first.
pub(crate) fn serve() -> Result<()> {
    crate::client::runtime()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        crate::write_line(&listener.local_addr()?.port().to_string())?;
        loop {
            let (stream, _) = listener.accept().await?;
            // A client ends without a closing handshake.
            tokio::spawn(async move { drop(respond(stream).await) });
        }
    })
}

/// Responds to the calls of a connection. Those that have arrived together share a write.
async fn respond(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    let mut next = socket.next().await;
    while let Some(message) = next {
        queue_response(&mut socket, &message?).await?;
        next = if let Some(next) = socket.next().now_or_never() {
            next
        } else {
            socket.flush().await?;
            socket.next().await
        };
    }
    Ok(())
}

async fn queue_response(socket: &mut WebSocketStream<TcpStream>, message: &Message) -> Result<()> {
    let Message::Text(text) = message else {
        return Ok(());
    };
    let Request { id, params } = serde_json::from_str(text)?;
    let response = format!(r#"{{"jsonrpc":"2.0","result":{params},"id":{id}}}"#);
    Ok(socket.feed(Message::text(response)).await?)
}
