//! The floor: tokio-tungstenite by hand, with the JSON that is needed and nothing else.
//!
//! It reconnects, recovers, limits and times out nothing. It parses each reply, finds the call by its id, and answers
//! pings of the protocol.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::calls::{Argument, METHOD, Pace, check};

/// An open connection.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// One line of the gateway.
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

/// Opens a connection and a session, with a subscription if a channel is given.
pub(crate) async fn open(port: u16, channel: Option<&str>) -> Result<Socket> {
    let (mut socket, _) = tokio_tungstenite::connect_async(crate::url(port)).await?;
    let mut commands = r#"{"connect":{},"id":1}"#.to_owned();
    if let Some(channel) = channel {
        let subscribe = format!(
            r#"{{"subscribe":{{"channel":"{channel}","recoverable":true,"positioned":true}},"id":2}}"#
        );
        commands.push('\n');
        commands.push_str(&subscribe);
    }
    let mut unanswered = 1 + usize::from(channel.is_some());
    socket.send(Message::text(commands)).await?;
    while unanswered > 0 {
        let message = next(&mut socket).await?;
        for line in message.lines() {
            let reply: Reply<'_> = serde_json::from_str(line)?;
            if let Some(error) = reply.error {
                bail!("refused: {error}");
            }
            unanswered -= usize::from(reply.id > 0);
        }
    }
    Ok(socket)
}

/// The next text message.
async fn next(socket: &mut Socket) -> Result<Utf8Bytes> {
    loop {
        match socket.next().await.context("the gateway closed")?? {
            Message::Text(text) => return Ok(text),
            Message::Close(frame) => bail!("the gateway closed: {frame:?}"),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// Answers pings of the protocol until the connection ends.
pub(crate) async fn stay(mut socket: Socket) -> Result<()> {
    loop {
        if next(&mut socket).await?.as_str() == "{}" {
            socket.send(Message::text("{}")).await?;
        }
    }
}

/// Keeps this many calls unanswered: each answer is followed by the next call, and one flush sends those of one read.
pub(crate) async fn call_on(mut socket: Socket, in_flight: u32, pace: &Pace) -> Result<()> {
    let mut unanswered = HashMap::new();
    let mut last_id = 1;
    for _ in 0..in_flight {
        feed(&mut socket, &mut unanswered, &mut last_id, pace).await?;
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
                bail!("refused: {error}");
            }
            let data = reply.rpc.context("a reply without its result")?.data;
            check(data.get().as_bytes())?;
            unanswered
                .remove(&reply.id)
                .with_context(|| format!("nobody asked {}", reply.id))?;
            pace.answered();
            feed(&mut socket, &mut unanswered, &mut last_id, pace).await?;
        }
        socket.flush().await?;
    }
}

async fn feed(
    socket: &mut Socket,
    unanswered: &mut HashMap<u32, u64>,
    last_id: &mut u32,
    pace: &Pace,
) -> Result<()> {
    let number = pace.next_number();
    let key = pace.key(number);
    let data = serde_json::to_string(&Argument::new(&key))?;
    *last_id += 1;
    let command = format!(r#"{{"rpc":{{"method":"{METHOD}","data":{data}}},"id":{last_id}}}"#);
    unanswered.insert(*last_id, number);
    Ok(socket.feed(Message::text(command)).await?)
}
