//! The baseline of the client rows: a loop on tokio-tungstenite with minimal JSON.
//!
//! It has no reconnection, recovery, limits or timeouts. It parses each reply, finds the call by its id, and sends the
//! pongs of the client protocol.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::calls::{Argument, CallCounter, METHOD, check};

/// A WebSocket connection to the gateway.
pub(crate) type Socket = WebSocketStream<TcpStream>;

/// One line of a frame from the gateway.
#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(default)]
    id: u32,
    #[serde(borrow)]
    rpc: Option<Rpc<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Rpc<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Opens a connection, sends connect and, if a channel is given, subscribe, and waits for the replies.
pub(crate) async fn open(port: u16, channel: Option<&str>) -> Result<Socket> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut socket, _) = tokio_tungstenite::client_async(crate::url(port), stream).await?;
    let mut commands = r#"{"connect":{},"id":1}"#.to_owned();
    if let Some(channel) = channel {
        let subscribe = format!(
            r#"{{"subscribe":{{"channel":"{channel}","recoverable":true,"positioned":true}},"id":2}}"#
        );
        commands.push('\n');
        commands.push_str(&subscribe);
    }
    let mut pending = 1 + usize::from(channel.is_some());
    socket.send(Message::text(commands)).await?;
    while pending > 0 {
        let message = next(&mut socket).await?;
        for line in message.lines() {
            let reply: Reply<'_> = serde_json::from_str(line)?;
            if let Some(error) = reply.error {
                bail!("command rejected: {error}");
            }
            pending -= usize::from(reply.id > 0);
        }
    }
    Ok(socket)
}

/// Waits for the next text message.
async fn next(socket: &mut Socket) -> Result<Utf8Bytes> {
    loop {
        match socket
            .next()
            .await
            .context("connection closed by the gateway")??
        {
            Message::Text(text) => return Ok(text),
            Message::Close(frame) => bail!("connection closed by the gateway: {frame:?}"),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// Sends pongs of the client protocol until the connection ends.
pub(crate) async fn send_pongs(mut socket: Socket) -> Result<()> {
    loop {
        if next(&mut socket).await?.as_str() == "{}" {
            socket.send(Message::text("{}")).await?;
        }
    }
}

/// Keeps `in_flight` calls in flight: each reply is followed by the next call. One flush sends the calls of one read.
pub(crate) async fn run_calls(
    mut socket: Socket,
    in_flight: u32,
    counter: &CallCounter,
) -> Result<()> {
    let mut pending = HashMap::new();
    let mut last_id = 1;
    for _ in 0..in_flight {
        queue_call(&mut socket, &mut pending, &mut last_id, counter).await?;
    }
    socket.flush().await?;
    loop {
        let message = next(&mut socket).await?;
        for line in message.lines() {
            if line == "{}" {
                socket.feed(Message::text("{}")).await?;
                continue;
            }
            let reply: Reply<'_> = serde_json::from_str(line)?;
            if let Some(error) = reply.error {
                bail!("command rejected: {error}");
            }
            let data = reply.rpc.context("reply without a result")?.data;
            check(data.get().as_bytes())?;
            pending
                .remove(&reply.id)
                .with_context(|| format!("reply to an unknown call {}", reply.id))?;
            counter.completed();
            queue_call(&mut socket, &mut pending, &mut last_id, counter).await?;
        }
        socket.flush().await?;
    }
}

async fn queue_call(
    socket: &mut Socket,
    pending: &mut HashMap<u32, u64>,
    last_id: &mut u32,
    counter: &CallCounter,
) -> Result<()> {
    let number = counter.next_number();
    let key = counter.key(number);
    let data = serde_json::to_string(&Argument::new(&key))?;
    *last_id += 1;
    let command = format!(r#"{{"rpc":{{"method":"{METHOD}","data":{data}}},"id":{last_id}}}"#);
    pending.insert(*last_id, number);
    Ok(socket.feed(Message::text(command)).await?)
}
