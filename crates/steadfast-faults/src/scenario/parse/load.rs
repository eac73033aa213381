//! Parses `[load.X]`: the keys of every load, and those of its traffic.

mod driver;

use std::ops::RangeInclusive;
use std::time::Duration;

use steadfast_toml::FileError;

use crate::scenario::model::{ClientTimers, Guarantee, Load, LoadDriver, Publishing, Traffic};
use crate::scenario::table::Table;
use crate::topology::ClientKind;

/// The keys of every load.
const LOAD: [&str; 8] = [
    "driver",
    "clients",
    "to",
    "send",
    "queue",
    "min_rate",
    "connect_rate",
    "timers",
];
/// The keys of loads whose clients publish.
const PUBLICATIONS: [&str; 3] = ["kinds", "ordered", "publishers"];
/// The keys of loads whose clients send requests.
const REQUESTS: [&str; 1] = ["guarantee"];
/// The keys of loads whose clients only receive.
const STREAMS: [&str; 2] = ["guarantee", "receive"];
const SEND_PUBLICATIONS: [&str; 4] = ["every", "jitter", "size", "channels"];
const SEND_REQUESTS: [&str; 5] = ["every", "jitter", "size", "op", "timeout"];
const RECEIVE: [&str; 1] = ["every"];
const TIMERS: [&str; 3] = ["connect", "ping", "pong"];

/// Clients of one load.
const CLIENTS: RangeInclusive<u32> = 1..=1000;
/// Channels of one instance.
const CHANNELS: RangeInclusive<u32> = 1..=100;
/// The payload size in bytes; a payload contains its publisher and its sequence.
const PAYLOAD_BYTES: RangeInclusive<u32> = 64..=16_384;
/// Unacknowledged publications or requests of one client.
const QUEUE: RangeInclusive<u32> = 1..=100_000;
/// Operations of one load.
const OPS_MAX: usize = 100;

const EVERY: Duration = Duration::from_secs(1);
const PAYLOAD_BYTES_DEFAULT: u32 = 128;
const QUEUE_DEFAULT: u32 = 1000;
const MIN_RATE_PERCENT: u32 = 80;
/// The time limit of a request: the default of HTTP clients is far above it, that of interactive users is not.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn load((name, table): (String, Table<'_>)) -> Result<Load, FileError> {
    let driver = table.required("driver", driver::driver(&table)?)?;
    let traffic = driver::traffic(&driver, &table);
    table.allow(&keys(&driver, traffic))?;
    let kinds = match driver.kind() {
        Some(kind) => vec![kind],
        None => kinds(&table)?,
    };
    let clients = table.count("clients", CLIENTS)?.unwrap_or(1);
    Ok(Load {
        name,
        traffic,
        kinds,
        clients,
        publishers: publishers(clients, &table)?,
        to: table.required("to", table.text("to")?)?,
        connect_rate: connect_rate(&table)?,
        send: sending(&driver, traffic, &table)?,
        guarantee: guarantee(&driver, &table)?,
        timers: timers(&table)?,
        options: driver::options(&table)?,
        driver,
        is_ordered: table.flag("ordered")?.unwrap_or(false),
        min_rate_percent: table.percent("min_rate")?.unwrap_or(MIN_RATE_PERCENT),
    })
}

fn keys(driver: &LoadDriver, traffic: Traffic) -> Vec<&'static str> {
    let of_traffic = match traffic {
        Traffic::Publications => PUBLICATIONS.as_slice(),
        Traffic::Requests => REQUESTS.as_slice(),
        Traffic::Streams => STREAMS.as_slice(),
    };
    let of_driver = match driver {
        LoadDriver::Exec(_) => driver::PROGRAM.as_slice(),
        LoadDriver::WebsocketSubscribe => driver::SUBSCRIBE.as_slice(),
        LoadDriver::Jsonrpc => driver::JSONRPC.as_slice(),
        LoadDriver::GatewayChat
        | LoadDriver::WebsocketEcho
        | LoadDriver::HttpPoll
        | LoadDriver::Truenas => &[],
    };
    // A load that only receives has no `send`; with it, the clients of a program would send.
    let has_send = driver.kind() != Some(ClientKind::WebsocketSubscribe);
    let common = LOAD.into_iter().filter(|key| has_send || *key != "send");
    common
        .chain(of_traffic.iter().copied())
        .chain(of_driver.iter().copied())
        .collect()
}

fn kinds(table: &Table<'_>) -> Result<Vec<ClientKind>, FileError> {
    let Some(names) = table.names("kinds")? else {
        return Ok(vec![ClientKind::Steadfast]);
    };
    let known = ClientKind::LIBRARIES.map(|kind| (kind.name(), kind));
    let mut kinds = Vec::new();
    for name in names {
        let kind = ClientKind::from_name(&name).filter(|kind| kind.is_library());
        let kind = kind.ok_or_else(|| table.unknown("kinds", &name, &known))?;
        if kinds.contains(&kind) {
            return Err(table.error("kinds", format!("duplicate kind `{name}`"), None));
        }
        kinds.push(kind);
    }
    if kinds.is_empty() {
        return Err(table.error("kinds", "at least one kind is required".to_owned(), None));
    }
    Ok(kinds)
}

/// The guarantee of a load; publications of the gateway are always exactly once.
fn guarantee(driver: &LoadDriver, table: &Table<'_>) -> Result<Guarantee, FileError> {
    if *driver == LoadDriver::GatewayChat {
        return Ok(Guarantee::ExactlyOnce);
    }
    let known = Guarantee::ALL.map(|it| (it.name(), it));
    let guarantee = table.one_of("guarantee", &known)?;
    Ok(guarantee.unwrap_or(Guarantee::BestEffort))
}

/// A number of clients, or a part of all such as `25%`, which is rounded up.
fn publishers(clients: u32, table: &Table<'_>) -> Result<u32, FileError> {
    let key = "publishers";
    match table.percent_if_text(key)? {
        Some(percent) => Ok(clients.saturating_mul(percent).div_ceil(100)),
        None => Ok(table.count(key, 0..=clients)?.unwrap_or(clients)),
    }
}

/// Connections per second, for example `100/s`.
fn connect_rate(table: &Table<'_>) -> Result<Option<u32>, FileError> {
    let Some(text) = table.text("connect_rate")? else {
        return Ok(None);
    };
    let rate = text
        .strip_suffix("/s")
        .map(str::trim)
        .map(str::parse::<u32>);
    match rate {
        Some(Ok(rate)) if rate > 0 => Ok(Some(rate)),
        _ => {
            let message = "expected a rate such as \"100/s\"".to_owned();
            Err(table.error("connect_rate", message, None))
        }
    }
}

fn timers(table: &Table<'_>) -> Result<ClientTimers, FileError> {
    let Some(timers) = table.table("timers")? else {
        return Ok(ClientTimers::default());
    };
    timers.allow(&TIMERS)?;
    let (ping, pong) = (positive(&timers, "ping")?, positive(&timers, "pong")?);
    if ping.is_some() != pong.is_some() {
        let missing = if ping.is_some() { "pong" } else { "ping" };
        let message = format!("`ping` and `pong` belong together, and `{missing}` is missing");
        return Err(timers.error(missing, message, None));
    }
    Ok(ClientTimers {
        connect: positive(&timers, "connect")?,
        ping,
        pong,
    })
}

/// A duration of at least 1 ms.
fn positive(table: &Table<'_>, key: &str) -> Result<Option<Duration>, FileError> {
    let found = table.duration(key)?;
    match found.filter(|it| *it < Duration::from_millis(1)) {
        None => Ok(found),
        Some(_) => Err(table.error(key, "must be at least 1ms".to_owned(), None)),
    }
}

/// Reads `send`, or `receive` of clients that only receive.
fn sending(
    driver: &LoadDriver,
    traffic: Traffic,
    load: &Table<'_>,
) -> Result<Publishing, FileError> {
    let mut send = Publishing {
        every: EVERY,
        jitter_percent: 0,
        payload_bytes: PAYLOAD_BYTES_DEFAULT,
        channels: 1,
        queue_len_max: load.count("queue", QUEUE)?.unwrap_or(QUEUE_DEFAULT),
        ops: Vec::new(),
        timeout: TIMEOUT,
    };
    let (key, known) = match traffic {
        Traffic::Publications => ("send", SEND_PUBLICATIONS.as_slice()),
        Traffic::Requests => ("send", SEND_REQUESTS.as_slice()),
        Traffic::Streams => ("receive", RECEIVE.as_slice()),
    };
    if let Some(table) = load.table(key)? {
        table.allow(known)?;
        publishing(&table, &mut send)?;
    }
    driver::check_ops(driver, &send.ops, load)?;
    Ok(send)
}

fn publishing(table: &Table<'_>, send: &mut Publishing) -> Result<(), FileError> {
    send.every = positive(table, "every")?.unwrap_or(EVERY);
    send.jitter_percent = table.percent("jitter")?.unwrap_or(0);
    if send.jitter_percent > 50 {
        let message = "must be at most 50%, so that publications keep their order".to_owned();
        return Err(table.error("jitter", message, None));
    }
    let payload = table.count("size", PAYLOAD_BYTES)?;
    send.payload_bytes = payload.unwrap_or(PAYLOAD_BYTES_DEFAULT);
    send.channels = table.count("channels", CHANNELS)?.unwrap_or(1);
    send.timeout = positive(table, "timeout")?.unwrap_or(TIMEOUT);
    send.ops = table.names("op")?.unwrap_or_default();
    if send.ops.len() > OPS_MAX {
        let message = format!("at most {OPS_MAX} operations are possible");
        return Err(table.error("op", message, None));
    }
    Ok(())
}
