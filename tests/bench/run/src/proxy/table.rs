//! The proxy rows as Markdown: a table of measurements and a table of targets.

use std::fmt::Write;

use load::relays::{Path, Row};

use super::results::Results;
use super::targets::TARGETS;
use crate::bounds::TargetBounds as _;
use crate::spread::Spread;
use crate::table::describe_repeats;

/// Returns both tables with a summary line.
pub(crate) fn markdown(results: &Results) -> String {
    let mut out = String::new();
    // A `String` accepts every write.
    let _ = writeln!(
        out,
        "{}; {}; memory at {} connections.\n",
        results.machine,
        describe_repeats(results.repeats),
        results.connections
    );
    numbers(results, &mut out);
    out.push('\n');
    targets(results, &mut out);
    out
}

fn numbers(results: &Results, out: &mut String) {
    out.push_str(
        "| measure | direct | copy loop | **proxy** | proxy × copy loop | proxy × direct |\n",
    );
    out.push_str("| --- | ---: | ---: | ---: | ---: | ---: |\n");
    for row in Row::ALL {
        let values = Path::ALL.map(|path| results.spread(row, path));
        if values.iter().all(Option::is_none) {
            if let Some(reason) = results.skipped.as_ref().filter(|_| is_of_redis(row)) {
                let _ = writeln!(out, "| {} | SKIP: {reason} | – | – | – | – |", title(row));
            }
            continue;
        }
        let [direct, copy, proxy] =
            values.map(|value| value.map_or_else(|| "–".to_owned(), |value| quantity(row, value)));
        let ratio = |against| {
            let ratio = results.ratio(row, Path::Proxy, against);
            ratio.map_or_else(|| "–".to_owned(), |ratio| ratio.to_string())
        };
        let _ = writeln!(
            out,
            "| {} | {direct} | {copy} | {proxy} | {} | {} |",
            title(row),
            ratio(Path::Copy),
            ratio(Path::Direct),
        );
    }
}

fn targets(results: &Results, out: &mut String) {
    out.push_str("| target of the proxy | must | goal | result | of must | of goal |\n");
    out.push_str("| --- | ---: | ---: | ---: | ---: | ---: |\n");
    for target in &TARGETS {
        let Some(result) = target.result(results) else {
            continue;
        };
        let name = title(target.row);
        let _ = writeln!(out, "| {name} | {} |", target.table_columns(result));
    }
}

/// Whether it needs `redis-server`.
const fn is_of_redis(row: Row) -> bool {
    matches!(row, Row::ProxyRedis | Row::ProxyRedis50)
}

pub(super) const fn title(row: Row) -> &'static str {
    match row {
        Row::ProxyStream => "bytes per second, 1 connection",
        Row::ProxyStreams => "bytes per second, 8 connections",
        Row::ProxyRedis => "Redis GET per second, 1 client",
        Row::ProxyRedis50 => "Redis GET per second, 50 clients",
        Row::ProxyMemory => "memory of an open connection",
    }
}

fn quantity(row: Row, value: Spread) -> String {
    value.quantity(match row {
        Row::ProxyStream | Row::ProxyStreams => (1e6, " MB", 0),
        Row::ProxyRedis | Row::ProxyRedis50 => (1e3, " k", 1),
        Row::ProxyMemory => (1e3, " KB", 1),
    })
}
