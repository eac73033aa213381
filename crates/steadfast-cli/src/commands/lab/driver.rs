//! `steadfast lab driver`: runs clients that are controlled by JSON lines on standard input.
//!
//! `docs/reference/driver-protocol.md` describes the lines. The adapters decide nothing: when to send is the
//! responsibility of the lab, when to reconnect that of the client library. What they report of a request is what the
//! library guarantees: that it was not sent, that the server replied, or neither.

mod calls;
mod centrifuge;
mod http;
mod session;
mod subscribe;
mod timers;
mod truenas;
mod waiting;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::runtime;

use self::calls::{Calls, Format};
use self::centrifuge::Centrifuge;
use self::http::HttpPoll;
use self::subscribe::Subscribe;
use self::truenas::Truenas;
use crate::args::LabDriver;
use crate::exit::Failure;
use crate::output;

/// Clients of one driver; a load has at most 1,000.
const CLIENTS_MAX: usize = 10_000;

/// What executes the commands of one driver.
trait Adapter {
    /// Executes a command; returns the response, unless a task sends it later.
    fn execute(&mut self, id: &Value, command: &Value) -> Option<Value>;
}

/// Executes commands until standard input ends.
///
/// # Errors
///
/// When the runtime cannot be started.
pub(super) fn run(driver: LabDriver) -> Result<(), Failure> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::failed(format!("failed to start the async runtime: {error}"), "")
        })?;
    let mut adapter: Box<dyn Adapter> = match driver {
        LabDriver::Steadfast => Box::new(Centrifuge::default()),
        LabDriver::WebsocketEcho => Box::new(Calls::new(Format::Echo)),
        LabDriver::WebsocketSubscribe => Box::new(Subscribe::default()),
        LabDriver::HttpPoll => Box::new(HttpPoll::new()),
        LabDriver::Truenas => Box::new(Truenas::default()),
        LabDriver::Jsonrpc => Box::new(Calls::new(Format::JsonRpc)),
    };
    runtime.block_on(execute_all(driver.name(), adapter.as_mut()));
    Ok(())
}

async fn execute_all(name: &str, adapter: &mut dyn Adapter) {
    write_line(&json!({"event": "ready", "driver": name}));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(command) = serde_json::from_str::<Value>(&line) else {
            output::message(&format!("invalid command: {line}"));
            continue;
        };
        let id = command.get("id").cloned().unwrap_or_default();
        if let Some(response) = adapter.execute(&id, &command) {
            write_line(&response);
        }
    }
}

fn succeeded(id: &Value, ok: &Value) -> Value {
    json!({"id": id, "ok": ok})
}

/// The client did not send it.
fn rejected(id: &Value, message: &str) -> Value {
    json!({"id": id, "error": {"kind": "rejected", "message": message}})
}

/// The server replied with an error.
fn server_error(id: &Value, code: u64, message: &str) -> Value {
    json!({"id": id, "error": {"kind": "server", "code": code, "message": message}})
}

/// The connection was lost before a reply.
fn lost(id: &Value, message: &str) -> Value {
    json!({"id": id, "error": {"kind": "lost", "message": message}})
}

/// The driver itself failed, and what it reports is incomplete.
fn failure(message: &str) -> Value {
    json!({"event": "failure", "message": message})
}

/// There was no reply within the time limit.
fn timed_out(id: &Value) -> Value {
    json!({"id": id, "error": {"kind": "timeout", "message": "no reply within the time limit"}})
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn write_line(line: &Value) {
    output::print(&line.to_string());
}
