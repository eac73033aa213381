//! Reads `options`, which some built-ins have.

use std::time::Duration;

use steadfast_toml::{FileError, suggestion};

use crate::scenario::builtin::{Balance, HaProxyOptions};
use crate::scenario::model::Service;
use crate::scenario::table::Table;

const HAPROXY: [&str; 8] = [
    "to",
    "port",
    "balance",
    "timeout_connect",
    "timeout_client",
    "timeout_server",
    "timeout_tunnel",
    "check",
];

/// The timeout that most load balancers have by default.
const IDLE: Duration = Duration::from_mins(1);
const CONNECT: Duration = Duration::from_secs(5);
const CHECK: Duration = Duration::from_secs(1);

/// The service has no options.
pub(super) fn none(table: &Table<'_>) -> Result<(), FileError> {
    if !table.has("options") {
        return Ok(());
    }
    let message = "only builtin:haproxy and builtin:proxy have `options`".to_owned();
    let help = "further settings of a program are `args`, `env` or `files`";
    Err(table.error("options", message, Some(help.to_owned())))
}

pub(super) fn haproxy(table: &Table<'_>, to: &Service) -> Result<HaProxyOptions, FileError> {
    table.allow(&HAPROXY)?;
    let balance = table.one_of(
        "balance",
        &[
            ("roundrobin", Balance::RoundRobin),
            ("leastconn", Balance::LeastConnections),
            ("source", Balance::Source),
        ],
    )?;
    Ok(HaProxyOptions {
        port: port(table, to)?,
        balance: balance.unwrap_or(Balance::RoundRobin),
        connect: timeout(table, "timeout_connect", CONNECT)?,
        client: timeout(table, "timeout_client", IDLE)?,
        server: timeout(table, "timeout_server", IDLE)?,
        tunnel: timeout(table, "timeout_tunnel", IDLE)?,
        check: timeout(table, "check", CHECK)?,
    })
}

/// The port of the service that is forwarded to; by default its first one.
fn port(table: &Table<'_>, to: &Service) -> Result<String, FileError> {
    let names = to.port_names();
    let Some(first) = names.first() else {
        let message = format!("service `{}` has no ports", to.name);
        return Err(table.error("to", message, None));
    };
    let port = table.text("port")?.unwrap_or_else(|| (*first).to_owned());
    if to.has_port(&port) {
        return Ok(port);
    }
    let message = format!("port `{port}` not found in `{}`", to.name);
    Err(table.error("port", message, Some(suggestion::help(&port, &names))))
}

/// From a millisecond to a day, the limits of `HAProxy` being wider.
fn timeout(table: &Table<'_>, key: &str, default: Duration) -> Result<Duration, FileError> {
    let found = table.duration(key)?.unwrap_or(default);
    if (Duration::from_millis(1)..=Duration::from_hours(24)).contains(&found) {
        return Ok(found);
    }
    Err(table.error(key, "must be from 1ms to 24h".to_owned(), None))
}
