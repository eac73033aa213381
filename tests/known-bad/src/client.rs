//! A client of JSON-RPC over a WebSocket, which reconnects, detects half-open connections, and has one planted bug.
//!
//! It is a driver of the lab: commands on standard input, responses and events on standard output. It shares only the
//! WebSocket codec with the client library of the product, so that a planted bug needs no setting there.

mod backoff;
mod bug;
mod connection;
mod liveness;
mod report;
mod session;

use std::collections::BTreeMap;
use std::io::{self, BufRead as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{Sender, channel};

use crate::client::bug::Bug;
use crate::client::session::{Request, Session, Settings};

/// Requests of a client that are not taken yet; then the input is not read further.
const REQUESTS_MAX: usize = 256;

/// Owns the clients until the input ends. The only argument names the planted bug.
///
/// # Errors
///
/// When the bug is unknown, or a line of the input is not a command.
pub fn drive(arguments: impl IntoIterator<Item = String>) -> Result<()> {
    let mut arguments = arguments.into_iter().filter(|word| !word.is_empty());
    let bug = arguments
        .next()
        .as_deref()
        .map(Bug::from_name)
        .transpose()?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let mut clients: BTreeMap<String, Sender<Request>> = BTreeMap::new();
    report::ready();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let command: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        let name = text(&command, "client")?;
        match text(&command, "do")? {
            "open" => {
                let (requests, received) = channel(REQUESTS_MAX);
                let number = clients.len();
                clients.insert(name.to_owned(), requests);
                report::done(number_of(&command, "id")?);
                let settings = settings(&command, bug)?;
                runtime.spawn(Session::new(name, number, settings).run(received));
            }
            "request" => {
                let requests = clients.get(name).context("an unknown client")?;
                // The session ends only after its channel.
                drop(requests.blocking_send(request(&command)?));
            }
            "close" => {
                clients.remove(name);
                report::done(number_of(&command, "id")?);
            }
            other => bail!("unknown command `{other}`"),
        }
    }
    runtime.shutdown_background();
    Ok(())
}

fn settings(command: &Value, bug: Option<Bug>) -> Result<Settings> {
    let url = text(command, "url")?;
    let address = url.strip_prefix("ws://").context("the scheme is not ws")?;
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    let timer = |key: &str, default: u64| {
        let set = command.get("timers").and_then(|timers| timers.get(key));
        Duration::from_millis(set.and_then(Value::as_u64).unwrap_or(default))
    };
    Ok(Settings {
        host: host.to_owned(),
        path: format!("/{path}"),
        connect: timer("connect_ms", 2_000),
        ping: timer("ping_ms", 5_000),
        pong: timer("pong_ms", 2_000),
        bug,
    })
}

fn request(command: &Value) -> Result<Request> {
    let id = number_of(command, "id")?;
    let params = serde_json::json!({ "key": command.get("key"), "data": command.get("data") });
    let call = serde_json::json!({
        "jsonrpc": "2.0", "id": id, "method": command.get("op"), "params": params,
    });
    Ok(Request {
        id,
        text: call.to_string(),
        timeout: Duration::from_millis(number_of(command, "timeout_ms")?),
    })
}

fn text<'a>(command: &'a Value, key: &str) -> Result<&'a str> {
    let value = command.get(key).and_then(Value::as_str);
    value.with_context(|| format!("no `{key}` in a command"))
}

fn number_of(command: &Value, key: &str) -> Result<u64> {
    let value = command.get(key).and_then(Value::as_u64);
    value.with_context(|| format!("no `{key}` in a command"))
}
