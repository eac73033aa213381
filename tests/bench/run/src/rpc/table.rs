//! The rows of JSON-RPC as Markdown: two tables of measurements and a table of targets.

use std::fmt::Write;

use load::rpc::{Row, Sample, Subject};

use super::results::Results;
use super::targets::TARGETS;
use crate::bounds::TargetBounds as _;
use crate::spread::Spread;
use crate::table::{describe_repeats, other_load_note};

/// Returns all tables with a summary line.
pub(crate) fn markdown(results: &Results) -> String {
    let mut out = String::new();
    // A `String` accepts every write.
    let _ = writeln!(
        out,
        "{}; {}; {} calls in flight; latency of {} calls, one after the other.\n",
        results.machine,
        describe_repeats(results.repeats),
        results.in_flight,
        results.latencies
    );
    calls(results, &mut out);
    out.push('\n');
    latency(results, &mut out);
    out.push('\n');
    targets(results, &mut out);
    out
}

fn calls(results: &Results, out: &mut String) {
    out.push_str("| client | calls per client CPU-second | × bare | calls per second | client core | server core | note |\n");
    out.push_str("| --- | ---: | ---: | ---: | ---: | ---: | --- |\n");
    let row = Row::RpcCalls;
    for subject in row.subjects() {
        let Some(value) = results.spread(row, subject, |sample| sample.value) else {
            continue;
        };
        let share = |field| {
            results
                .spread(row, subject, field)
                .map(|it| it.median * 100.0)
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {:.0} % | {:.0} % | {} |",
            name(subject),
            thousands(Some(value)),
            ratio(results, row, subject, Subject::Bare, |sample| sample.value),
            thousands(results.spread(row, subject, |sample| sample.second_value)),
            share(|sample: &Sample| sample.client_share).unwrap_or_default(),
            share(|sample: &Sample| sample.server_share).unwrap_or_default(),
            note(results, row, subject),
        );
    }
}

fn latency(results: &Results, out: &mut String) {
    out.push_str("| path of a program's calls | p50 | × socat | p99 | × socat | note |\n");
    out.push_str("| --- | ---: | ---: | ---: | ---: | --- |\n");
    let row = Row::BridgeLatency;
    if let Some(reason) = &results.skipped {
        let _ = writeln!(out, "| SKIP: {reason} | – | – | – | – | – |");
    }
    for subject in row.subjects() {
        let median = results.spread(row, subject, |sample| sample.value);
        let Some(highest) = results.spread(row, subject, |sample| sample.second_value) else {
            continue;
        };
        let against = Subject::Socat;
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            name(subject),
            microseconds(median),
            ratio(results, row, subject, against, |sample| sample.value),
            microseconds(Some(highest)),
            ratio(results, row, subject, against, |sample| sample.second_value),
            note(results, row, subject),
        );
    }
}

fn targets(results: &Results, out: &mut String) {
    out.push_str("| target of JSON-RPC | must | goal | result | of must | of goal |\n");
    out.push_str("| --- | ---: | ---: | ---: | ---: | ---: |\n");
    for target in &TARGETS {
        let Some(result) = target.result(results) else {
            continue;
        };
        let columns = target.table_columns(result);
        let _ = writeln!(out, "| {} | {columns} |", target.name);
    }
}

fn ratio(
    results: &Results,
    row: Row,
    subject: Subject,
    against: Subject,
    field: fn(&Sample) -> f64,
) -> String {
    let ratio = results.ratio(row, subject, against, field);
    let ratio = ratio.filter(|_| subject != against);
    ratio.map_or_else(|| "–".to_owned(), |ratio| ratio.to_string())
}

/// The load by other processes, if there was much.
fn note(results: &Results, row: Row, subject: Subject) -> String {
    let others = results.spread(row, subject, |sample| sample.others_share);
    let note = others.and_then(|others| other_load_note(others.median));
    note.unwrap_or_default()
}

fn thousands(value: Option<Spread>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.quantity((1e3, " k", 1)))
}

fn microseconds(value: Option<Spread>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.quantity((1.0, " µs", 0)))
}

fn name(subject: Subject) -> &'static str {
    match subject {
        Subject::Bare => "bare loop, tokio-tungstenite 0.30",
        Subject::Steadfast => "**steadfast**, `jsonrpc::Client`",
        Subject::Jsonrpsee => "jsonrpsee-ws-client 0.26.1",
        Subject::Socat => "Unix socket → `socat` → server",
        Subject::Bridge => "Unix socket → **bridge** → server",
        Subject::Direct => "directly to the server's port",
    }
}
