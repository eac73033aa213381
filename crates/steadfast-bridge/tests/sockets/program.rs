//! A local program that sends and receives lines.

use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::lab::PATIENCE;

pub(crate) struct Program {
    reader: Lines<BufReader<OwnedReadHalf>>,
    pub(crate) writer: OwnedWriteHalf,
    last: u64,
}

impl Program {
    pub(crate) async fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).await.unwrap();
        let (reader, writer) = stream.into_split();
        Self {
            reader: BufReader::new(reader).lines(),
            writer,
            last: 0,
        }
    }

    /// Sends a line; returns the id of its request.
    pub(crate) async fn send(&mut self, method: &str, params: &Value) -> u64 {
        self.last += 1;
        let id = self.last;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.write(&format!("{request}\n")).await;
        id
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next message; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let line = timeout(PATIENCE, self.reader.next_line()).await;
        let line = line.expect("a message in time").unwrap_or_default()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// The response to the request with this id; notifications before it are dropped.
    pub(crate) async fn response(&mut self, id: u64) -> Value {
        loop {
            let message = self.next().await.expect("a response");
            if message["id"] == id {
                return message;
            }
        }
    }

    pub(crate) async fn call(&mut self, method: &str, params: &Value) -> Value {
        let id = self.send(method, params).await;
        self.response(id).await
    }

    /// The next notification with this method; all other messages are dropped.
    pub(crate) async fn notification(&mut self, method: &str) -> Value {
        loop {
            let message = self.next().await.expect("a notification");
            if message["method"] == method {
                return message["params"].clone();
            }
        }
    }

    /// Waits until the status of the bridge meets a condition.
    pub(crate) async fn until(&mut self, condition: impl Fn(&Value) -> bool) {
        let asked = async {
            loop {
                let status = self.call("bridge.status", &json!([])).await;
                if condition(&status["result"]) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, asked).await.expect("the status in time");
    }
}
