//! The results as Markdown: a table of measurements and a table of targets.

use std::fmt::Write;

use crate::bounds::TargetBounds as _;
use crate::plan::Row;
use crate::results::Results;
use crate::servers::Server;
use crate::spread::Spread;
use crate::targets::{Measure, TARGETS, Target};

/// Above this share of its core the generator may have limited the result.
const GENERATOR_BOUND: f64 = 0.9;

/// Returns both tables with a summary line.
pub(crate) fn markdown(results: &Results) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}; {}; frames of {} bytes; {} subscribers; {} idle connections.\n",
        results.machine,
        describe_repeats(results.repeats),
        results.frame_bytes,
        results.subscribers,
        results.idle
    );
    numbers(results, &mut out);
    out.push('\n');
    targets(results, &mut out);
    bases(results, &mut out);
    out
}

/// Describes how the results were aggregated.
pub(crate) fn describe_repeats(repeats: u32) -> String {
    let plural = if repeats == 1 {
        "repeat"
    } else {
        "interleaved repeats"
    };
    format!("medians of {repeats} {plural} with (lowest–highest)")
}

/// Returns a note about the CPU use of other processes if it disturbed the run.
pub(crate) fn other_load_note(share: f64) -> Option<String> {
    (share > crate::measure::NOISE_MAX)
        .then(|| format!("other processes used {share:.2} of a core"))
}

fn numbers(results: &Results, out: &mut String) {
    out.push_str("| measure | server | store | result | × bare | server core | note |\n");
    out.push_str("| --- | --- | --- | ---: | ---: | ---: | --- |\n");
    for row in Row::ALL {
        for server in Server::ALL {
            let Some(value) = results.value(row, server) else {
                skipped(results, row, server, out);
                continue;
            };
            let ratio = match server {
                Server::Bare => None,
                // The bare server only upgrades connections; it has no channels and no positions.
                _ if matches!(
                    row,
                    Row::Join | Row::IdleOwn | Row::Storm | Row::StormKilled | Row::Ping
                ) =>
                {
                    None
                }
                _ => results.ratio(row, server, Server::Bare),
            };
            let core = results
                .spread(row, server, |sample| sample.server_share)
                .map_or(0.0, |share| share.median);
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {:.0} % | {} |",
                title(row),
                server.title(),
                server.store(),
                quantity(row, value),
                ratio.map_or_else(|| "–".to_owned(), |ratio| ratio.to_string()),
                core * 100.0,
                note(results, row, server),
            );
        }
    }
}

/// Writes the row of a server that is not installed, if the row was measured on other servers.
fn skipped(results: &Results, row: Row, server: Server, out: &mut String) {
    let is_measured = Server::ALL
        .into_iter()
        .any(|other| results.value(row, other).is_some());
    let skip = results.skipped.iter().find(|skip| skip.server == server);
    if let Some(skip) = skip.filter(|_| is_measured && row.is_applicable_to(server)) {
        let _ = writeln!(
            out,
            "| {} | {} | {} | SKIP | – | – | {} |",
            title(row),
            server.title(),
            server.store(),
            skip.reason
        );
    }
}

/// Writes the comparison with the base gateway, if one was measured.
fn bases(results: &Results, out: &mut String) {
    let rows = Row::ALL.into_iter().flat_map(|row| {
        Server::BASES.into_iter().filter_map(move |(server, base)| {
            let ratio = results.ratio(row, server, base)?;
            Some((row, server, base, ratio))
        })
    });
    for (index, (row, server, base, ratio)) in rows.enumerate() {
        if index == 0 {
            out.push_str("\n| measure | store | gateway | base gateway | × base |\n");
            out.push_str("| --- | --- | ---: | ---: | ---: |\n");
        }
        let value = |server| {
            let value = results.value(row, server);
            value.map_or_else(|| "–".to_owned(), |value| quantity(row, value))
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {ratio} |",
            title(row),
            server.store(),
            value(server),
            value(base),
        );
    }
}

fn targets(results: &Results, out: &mut String) {
    out.push_str("| target | store | must | goal | result | of must | of goal |\n");
    out.push_str("| --- | --- | ---: | ---: | ---: | ---: | ---: |\n");
    for target in &TARGETS {
        let Some(result) = target.result(results) else {
            continue;
        };
        let (name, store) = (name(target), target.server.store());
        let _ = writeln!(
            out,
            "| {name} | {store} | {} |",
            target.table_columns(result)
        );
    }
}

/// Returns the label of a row.
pub(crate) fn title(row: Row) -> &'static str {
    match row {
        Row::Fanout1 => "fan-out, 1 in flight, deliveries/s",
        Row::Fanout32 => "fan-out, 32 in flight, deliveries/s",
        Row::Fanout64 => "fan-out, 64 in flight, deliveries/s",
        Row::Latency => "publish → all delivered at half load, p99",
        Row::IdleShared => "idle connection, one shared channel",
        Row::IdleOwn => "idle connection, a channel each",
        Row::Join => "connect + subscribe, per server core-second",
        Row::Storm => "resume storm, last client live",
        Row::StormKilled => {
            "resume storm after SIGKILL, from the open port to the last client live"
        }
        Row::Ping => "10,000 connections pinged every 25 s, of a core",
        Row::Durable1 => "durable publish, 1 in flight, acknowledged/s",
        Row::Durable32 => "durable publish, 32 in flight, acknowledged/s",
        Row::Durable64 => "durable publish, 64 in flight, acknowledged/s",
    }
}

/// Returns the label of a target.
pub(crate) fn name(target: &Target) -> String {
    let row = title(target.row);
    match target.measure {
        Measure::TimesAtLeast(against) | Measure::TimesAtMost(against) => {
            let store = if against.is_gateway() {
                " memory store"
            } else {
                ""
            };
            format!("{row}: × {}{store}", against.title().replace('*', ""))
        }
        Measure::AtLeast | Measure::AtMost => row.to_owned(),
        Measure::CpuPerClientAtMost => "resume storm, server CPU per client".to_owned(),
    }
}

fn quantity(row: Row, value: Spread) -> String {
    value.quantity(match row {
        Row::Fanout1 | Row::Fanout32 | Row::Fanout64 if value.median >= 1e6 => (1e6, " M", 2),
        Row::Fanout1 | Row::Fanout32 | Row::Fanout64 => (1e3, " k", 1),
        Row::Latency => (1.0, " ms", 2),
        Row::IdleShared | Row::IdleOwn => (1e3, " KB", 2),
        Row::Join => (1e3, " k", 1),
        Row::Durable1 | Row::Durable32 | Row::Durable64 => (1e3, " k", 2),
        Row::Storm | Row::StormKilled => (1.0, " s", 3),
        Row::Ping => (1.0, " %", 2),
    })
}

/// Formats a rate with two or three digits.
fn short(rate: f64) -> String {
    if rate >= 1e6 {
        format!("{:.2} M", rate / 1e6)
    } else {
        format!("{:.0} k", rate / 1e3)
    }
}

fn note(results: &Results, row: Row, server: Server) -> String {
    let mut notes = Vec::new();
    let median = |field: fn(&crate::results::Sample) -> f64| {
        results
            .spread(row, server, field)
            .map_or(0.0, |spread| spread.median)
    };
    match row {
        Row::Fanout1 | Row::Fanout32 | Row::Fanout64 => {
            let per_core = results.spread(row, server, |sample| {
                sample.value / sample.server_share.max(0.01)
            });
            notes.extend(
                per_core.map(|rate| format!("{} per server core-second", short(rate.median))),
            );
            notes.push(format!("{:.1} per read", median(|sample| sample.per_read)));
        }
        Row::Latency => {
            let samples = results
                .of(row, server)
                .map(|sample| sample.samples)
                .min()
                .unwrap_or_default();
            notes.push(format!("p50 {:.2} ms", median(|sample| sample.median_ms)));
            if samples < 100 {
                notes.push(format!("maximum, only {samples} samples"));
            }
        }
        Row::IdleShared | Row::IdleOwn => {}
        Row::Join => {
            notes.push(format!(
                "{:.1} k/s seen",
                median(|sample| sample.seen_per_second) / 1000.0
            ));
            if !server.is_gateway() {
                notes.push("upgrade only".to_owned());
            }
        }
        Row::Ping => notes.push(format!(
            "{:.1} µs of server CPU per ping and pong",
            median(|sample| sample.cpu_us_per_client)
        )),
        Row::Durable1 | Row::Durable32 | Row::Durable64 => notes.push(format!(
            "{:.0} µs of server CPU each",
            median(|sample| sample.server_share * 1e6 / sample.value.max(1.0))
        )),
        Row::Storm | Row::StormKilled => notes.push(format!(
            "{:.0} µs of server CPU per client",
            median(|sample| sample.cpu_us_per_client)
        )),
    }
    if median(|sample| sample.generator_share) > GENERATOR_BOUND {
        notes.push("generator-bound".to_owned());
    }
    notes.extend(other_load_note(median(|sample| sample.others_share)));
    notes.join(", ")
}
