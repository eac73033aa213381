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

/// The account of the emulator of TrueNAS.
const API_KEY: &str = "1-steadfast0emulator0key0of0sixty0four0characters0for0tests0only00";

/// The protocol that clients speak on top of JSON-RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    /// Params are an object with the key and the data of the request.
    Plain,
    /// Each connection begins with a login, and params are an array.
    Truenas,
}

/// Owns the clients until the input ends. The first argument names the planted bug; the second is `truenas` if the server
/// is one.
///
/// # Errors
///
/// When the bug is unknown, or a line of the input is not a command.
pub fn drive(arguments: impl IntoIterator<Item = String>) -> Result<()> {
    let mut arguments = arguments.into_iter();
    let bug = arguments.next().filter(|word| !word.is_empty());
    let bug = bug.as_deref().map(Bug::from_name).transpose()?;
    let server = match arguments.next().as_deref() {
        None => Server::Plain,
        Some("truenas") => Server::Truenas,
        Some(other) => bail!("unknown server `{other}`"),
    };
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
                let settings = settings(&command, server, bug)?;
                runtime.spawn(Session::new(name, number, settings).run(received));
            }
            "request" => {
                let requests = clients.get(name).context("an unknown client")?;
                // The session ends only after its channel.
                drop(requests.blocking_send(request(&command, server)?));
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

fn settings(command: &Value, server: Server, bug: Option<Bug>) -> Result<Settings> {
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
        login: (server == Server::Truenas).then(login),
        bug,
    })
}

fn login() -> String {
    let data = serde_json::json!({
        "mechanism": "API_KEY_PLAIN", "username": "admin", "api_key": API_KEY,
    });
    let call = serde_json::json!({
        "jsonrpc": "2.0", "id": 0, "method": "auth.login_ex", "params": [data],
    });
    call.to_string()
}

fn request(command: &Value, server: Server) -> Result<Request> {
    let id = number_of(command, "id")?;
    let params = match (server, text(command, "op")?) {
        (Server::Plain, _) => {
            serde_json::json!({ "key": command.get("key"), "data": command.get("data") })
        }
        (Server::Truenas, "pool.dataset.create") => {
            serde_json::json!([{ "name": format!("tank/{}", text(command, "key")?) }])
        }
        (Server::Truenas, _) => serde_json::json!([]),
    };
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
