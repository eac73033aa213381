//! Reads which driver a load has, with the keys that only some drivers have.

use steadfast_toml::FileError;

use crate::scenario::model::{AdapterOptions, DriverProgram, LoadDriver, Traffic};
use crate::scenario::parse::service::ENV_FORBIDDEN;
use crate::scenario::table::Table;

/// The keys of the driver `exec`.
pub(super) const PROGRAM: [&str; 3] = ["cmd", "args", "env"];

/// The keys of the driver `websocket-subscribe`.
pub(super) const SUBSCRIBE: [&str; 4] = ["first_message", "sequence", "stream", "epoch"];
/// The keys of the driver `jsonrpc`.
pub(super) const JSONRPC: [&str; 1] = ["login"];

/// Arguments of a program, and variables that are added to its environment.
const ARGS_MAX: usize = 1000;

/// The driver that a load names.
pub(super) fn driver(table: &Table<'_>) -> Result<Option<LoadDriver>, FileError> {
    type Read = fn(&Table<'_>) -> Result<LoadDriver, FileError>;
    const NAMES: [(&str, Read); 7] = [
        ("gateway-chat", |_| Ok(LoadDriver::GatewayChat)),
        ("websocket-echo", |_| Ok(LoadDriver::WebsocketEcho)),
        ("websocket-subscribe", |_| {
            Ok(LoadDriver::WebsocketSubscribe)
        }),
        ("http-poll", |_| Ok(LoadDriver::HttpPoll)),
        ("jsonrpc", |_| Ok(LoadDriver::Jsonrpc)),
        ("truenas", |_| Ok(LoadDriver::Truenas)),
        ("exec", |table| Ok(LoadDriver::Exec(program(table)?))),
    ];
    let read = table.one_of("driver", &NAMES)?;
    read.map(|read| read(table)).transpose()
}

/// What the clients of a driver do. The clients of a program send requests if the load has `send`.
pub(super) fn traffic(driver: &LoadDriver, table: &Table<'_>) -> Traffic {
    match driver {
        LoadDriver::GatewayChat => Traffic::Publications,
        LoadDriver::WebsocketSubscribe => Traffic::Streams,
        LoadDriver::WebsocketEcho
        | LoadDriver::HttpPoll
        | LoadDriver::Jsonrpc
        | LoadDriver::Truenas => Traffic::Requests,
        LoadDriver::Exec(_) if table.has("send") => Traffic::Requests,
        LoadDriver::Exec(_) => Traffic::Streams,
    }
}

/// What the adapters of the lab must know of the server; the keys of other drivers were rejected.
pub(super) fn options(table: &Table<'_>) -> Result<AdapterOptions, FileError> {
    Ok(AdapterOptions {
        login: table.filled_text("login", "\"METHOD\"")?,
        first_message: table.filled_text("first_message", "\"subscribe\"")?,
        sequence: table.filled_text("sequence", "\"sequence\"")?,
        stream: table.filled_text("stream", "\"stream\"")?,
        epoch: table.filled_text("epoch", "\"epoch\"")?,
    })
}

/// Some drivers cannot send a request without an operation.
pub(super) fn check_ops(
    driver: &LoadDriver,
    ops: &[String],
    table: &Table<'_>,
) -> Result<(), FileError> {
    let (is_valid, help): (fn(&str) -> bool, _) = match driver {
        LoadDriver::Jsonrpc | LoadDriver::Truenas => {
            (|op| !op.is_empty(), "write send = { op = \"METHOD\" }")
        }
        LoadDriver::HttpPoll => (is_request_line, "write send = { op = \"GET /PATH\" }"),
        LoadDriver::GatewayChat
        | LoadDriver::WebsocketEcho
        | LoadDriver::WebsocketSubscribe
        | LoadDriver::Exec(_) => return Ok(()),
    };
    if ops.is_empty() {
        let message = format!("`{}` needs an operation", driver.name());
        return Err(table.error("send", message, Some(help.to_owned())));
    }
    match ops.iter().find(|op| !is_valid(op.as_str())) {
        None => Ok(()),
        Some(op) => {
            let message = format!("invalid operation `{op}`");
            Err(table.error("send", message, Some(help.to_owned())))
        }
    }
}

/// A method and a path, for example `POST /orders`.
fn is_request_line(op: &str) -> bool {
    let is_method = |it: &str| !it.is_empty() && it.chars().all(|it| it.is_ascii_uppercase());
    let is_path = |it: &str| it.starts_with('/') && it.chars().all(|it| it.is_ascii_graphic());
    op.split_once(' ')
        .is_some_and(|(method, path)| is_method(method) && is_path(path))
}

fn program(table: &Table<'_>) -> Result<DriverProgram, FileError> {
    let cmd = table.required("cmd", table.text("cmd")?)?;
    if cmd.is_empty() {
        return Err(table.empty("cmd", "\"python3\""));
    }
    let args = table.texts("args")?.unwrap_or_default();
    let env = match table.table("env")? {
        Some(env) => {
            env.check_keys(&ENV_FORBIDDEN)?;
            env.all_texts()?
        }
        None => Vec::new(),
    };
    for (key, len) in [("args", args.len()), ("env", env.len())] {
        if len > ARGS_MAX {
            return Err(table.error(key, format!("at most {ARGS_MAX} are possible"), None));
        }
    }
    Ok(DriverProgram { cmd, args, env })
}
