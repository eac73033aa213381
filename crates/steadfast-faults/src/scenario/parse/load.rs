//! Parses `[load.X]`: the clients and what they publish.

use std::ops::RangeInclusive;
use std::time::Duration;

use steadfast_toml::FileError;

use crate::scenario::model::{Load, LoadDriver, Publishing};
use crate::scenario::table::Table;
use crate::topology::ClientKind;

const LOAD: [&str; 8] = [
    "driver", "kinds", "clients", "to", "send", "queue", "ordered", "min_rate",
];
const SEND: [&str; 4] = ["every", "jitter", "size", "channels"];

/// Clients of one load.
const CLIENTS: RangeInclusive<u32> = 1..=1000;
/// Channels of one instance.
const CHANNELS: RangeInclusive<u32> = 1..=100;
/// The payload size in bytes; a payload contains its publisher and its sequence.
const PAYLOAD_BYTES: RangeInclusive<u32> = 64..=16_384;
/// Unacknowledged publications of one client.
const QUEUE: RangeInclusive<u32> = 1..=100_000;

const EVERY: Duration = Duration::from_secs(1);
const PAYLOAD_BYTES_DEFAULT: u32 = 128;
const QUEUE_DEFAULT: u32 = 1000;
const MIN_RATE_PERCENT: u32 = 80;

pub(super) fn load((name, table): (String, Table<'_>)) -> Result<Load, FileError> {
    table.allow(&LOAD)?;
    let driver = table.one_of("driver", &[("gateway-chat", LoadDriver::GatewayChat)])?;
    let send = table.table("send")?;
    let queue_len_max = table.count("queue", QUEUE)?.unwrap_or(QUEUE_DEFAULT);
    Ok(Load {
        name,
        driver: table.required("driver", driver)?,
        kinds: kinds(&table)?,
        clients: table.count("clients", CLIENTS)?.unwrap_or(1),
        to: table.required("to", table.text("to")?)?,
        send: publishing(send.as_ref(), queue_len_max)?,
        is_ordered: table.flag("ordered")?.unwrap_or(false),
        min_rate_percent: table.percent("min_rate")?.unwrap_or(MIN_RATE_PERCENT),
    })
}

fn kinds(table: &Table<'_>) -> Result<Vec<ClientKind>, FileError> {
    let Some(names) = table.names("kinds")? else {
        return Ok(vec![ClientKind::Steadfast]);
    };
    let known = ClientKind::ALL.map(|kind| (kind.name(), kind));
    let mut kinds = Vec::new();
    for name in names {
        let kind = ClientKind::from_name(&name);
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

fn publishing(table: Option<&Table<'_>>, queue_len_max: u32) -> Result<Publishing, FileError> {
    let mut send = Publishing {
        every: EVERY,
        jitter_percent: 0,
        payload_bytes: PAYLOAD_BYTES_DEFAULT,
        channels: 1,
        queue_len_max,
    };
    let Some(table) = table else { return Ok(send) };
    table.allow(&SEND)?;
    send.every = table.duration("every")?.unwrap_or(EVERY);
    if send.every < Duration::from_millis(1) {
        return Err(table.error("every", "must be at least 1ms".to_owned(), None));
    }
    send.jitter_percent = table.percent("jitter")?.unwrap_or(0);
    if send.jitter_percent > 50 {
        let message = "must be at most 50%, so that publications keep their order".to_owned();
        return Err(table.error("jitter", message, None));
    }
    let payload = table.count("size", PAYLOAD_BYTES)?;
    send.payload_bytes = payload.unwrap_or(PAYLOAD_BYTES_DEFAULT);
    send.channels = table.count("channels", CHANNELS)?.unwrap_or(1);
    Ok(send)
}
