//! The baseline of the calls: a loop on tokio-tungstenite that builds and parses the same JSON.
//!
//! It has no reconnection, limits or timeouts. It parses each response and finds the call by its id.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Counter, DATA, Echo, METHOD, check};

#[derive(Serialize)]
struct Request {
    jsonrpc: &'static str,
    id: u64,
    method: &'static str,
    params: (u64, &'static str),
}

#[derive(Deserialize)]
struct Response<'a> {
    id: u64,
    result: Option<Echo>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// A connection with its calls.
struct Caller<'a> {
    socket: WebSocketStream<TcpStream>,
    pending: HashMap<u64, u64>,
    last_id: u64,
    counter: &'a Counter,
}

/// Keeps `in_flight` calls in flight: each response is followed by the next call. The calls that follow responses that
/// have arrived together share a write.
pub(crate) async fn run(port: u16, in_flight: u32, counter: &Counter) -> Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (socket, _) = tokio_tungstenite::client_async(crate::client::url(port), stream).await?;
    let mut caller = Caller {
        socket,
        pending: HashMap::new(),
        last_id: 0,
        counter,
    };
    for _ in 0..in_flight {
        caller.queue_call().await?;
    }
    caller.socket.flush().await?;
    let mut next = caller.socket.next().await;
    loop {
        let message = next.context("connection closed by the server")??;
        caller.receive(&message).await?;
        next = if let Some(next) = caller.socket.next().now_or_never() {
            next
        } else {
            caller.socket.flush().await?;
            caller.socket.next().await
        };
    }
}

impl Caller<'_> {
    async fn receive(&mut self, message: &Message) -> Result<()> {
        let Message::Text(text) = message else {
            return Ok(());
        };
        let response: Response<'_> = serde_json::from_str(text)?;
        if let Some(error) = response.error {
            bail!("call rejected: {error}");
        }
        let number = self.pending.remove(&response.id);
        let number = number.context("response to an unknown call")?;
        check(
            number,
            &response.result.context("response without a result")?,
        )?;
        self.counter.completed();
        self.queue_call().await
    }

    async fn queue_call(&mut self) -> Result<()> {
        let number = self.counter.next_number();
        self.last_id += 1;
        let request = Request {
            jsonrpc: "2.0",
            id: self.last_id,
            method: METHOD,
            params: (number, DATA),
        };
        self.pending.insert(self.last_id, number);
        let request = serde_json::to_string(&request)?;
        Ok(self.socket.feed(Message::text(request)).await?)
    }
}
