//! The client rows as Markdown: a table of measurements and a table of targets.

use std::fmt::Write;

use load::job::Library;

use super::plan::{LIBRARIES, Row};
use super::results::Results;
use super::targets::TARGETS;
use crate::bounds::TargetBounds as _;
use crate::spread::Spread;
use crate::table::{describe_repeats, other_load_note};

/// Above this share of its core a process has limited the result.
const BOUND: f64 = 0.9;

/// Returns both tables with a summary line.
pub(crate) fn markdown(results: &Results) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}; {}; {} calls in flight; {} idle sessions; {} sessions recover.\n",
        results.machine,
        describe_repeats(results.repeats),
        results.in_flight,
        results.idle,
        results.recovering
    );
    numbers(results, &mut out);
    out.push('\n');
    targets(results, &mut out);
    out
}

fn numbers(results: &Results, out: &mut String) {
    out.push_str("| measure | client | result | × bare | client core | gateway core | note |\n");
    out.push_str("| --- | --- | ---: | ---: | ---: | ---: | --- |\n");
    for row in Row::ALL {
        for library in LIBRARIES {
            let Some(value) = results.spread(row, library, |sample| sample.value) else {
                continue;
            };
            let ratio = match library {
                Library::Bare => None,
                Library::Steadfast | Library::SteadfastPublish | Library::Centrifuge => {
                    results.ratio(row, library, Library::Bare, |sample| sample.value)
                }
            };
            let median = |field| results.median(row, library, field);
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {:.0} % | {:.0} % | {} |",
                title(row),
                name(library),
                quantity(row, value),
                ratio.map_or_else(|| "–".to_owned(), |ratio| ratio.to_string()),
                median(|sample| sample.client_share) * 100.0,
                median(|sample| sample.server_share) * 100.0,
                note(results, row, library),
            );
        }
    }
}

fn targets(results: &Results, out: &mut String) {
    out.push_str("| target of the client | must | goal | result | of must | of goal |\n");
    out.push_str("| --- | ---: | ---: | ---: | ---: | ---: |\n");
    for target in &TARGETS {
        let Some(result) = target.result(results) else {
            continue;
        };
        let _ = writeln!(
            out,
            "| {} | {} |",
            target.name,
            target.table_columns(result)
        );
    }
}

fn title(row: Row) -> &'static str {
    match row {
        Row::Calls => "calls over one connection, per second",
        Row::Session => "idle session with one subscription",
        Row::Recovery => "recovery after SIGKILL and an immediate restart, p99 from the kill",
        Row::RecoveryLate => "recovery after SIGKILL and a restart 3 s later, p99 from the kill",
    }
}

fn name(library: Library) -> &'static str {
    match library {
        Library::Bare => "bare loop, tokio-tungstenite 0.30",
        Library::Steadfast => "**steadfast**",
        Library::SteadfastPublish => "**steadfast**, `publish` with a receipt",
        Library::Centrifuge => "centrifuge-client 0.1.0",
    }
}

fn quantity(row: Row, value: Spread) -> String {
    value.quantity(match row {
        Row::Calls => (1e3, " k", 1),
        Row::Session => (1e3, " KB", 1),
        Row::Recovery | Row::RecoveryLate => (1.0, " s", 2),
    })
}

fn note(results: &Results, row: Row, library: Library) -> String {
    let median = |field| results.median(row, library, field);
    let mut notes = Vec::new();
    match row {
        Row::Calls => {
            let per_second = median(|sample| sample.per_client_second);
            let per_second = format!("{:.1} k per client CPU-second", per_second / 1e3);
            let ratio = results.ratio(row, library, Library::Bare, |sample| {
                sample.per_client_second
            });
            notes.push(match (library, ratio) {
                (Library::Bare, _) | (_, None) => per_second,
                (_, Some(ratio)) => format!("{per_second}: {ratio} × bare"),
            });
            if median(|sample| sample.client_share) > BOUND {
                notes.push("the client was the limit".to_owned());
            }
            if median(|sample| sample.server_share) > BOUND {
                notes.push("the gateway was the limit".to_owned());
            }
        }
        Row::Session => {}
        Row::Recovery | Row::RecoveryLate => notes.push(recovery(results, row, library)),
    }
    notes.extend(other_load_note(median(|sample| sample.others_share)));
    notes.join(", ")
}

fn recovery(results: &Results, row: Row, library: Library) -> String {
    let median = |field| results.median(row, library, field);
    let attempts_max = results
        .of(row, library)
        .map(|sample| sample.attempts_max)
        .max()
        .unwrap_or_default();
    format!(
        "p50 {:.2} s; from the open port p50 {:.2} s, p99 {:.2} s; {:.2} attempts each, at most {attempts_max}; {:.0} µs of client CPU each",
        median(|sample| sample.median),
        median(|sample| sample.median - sample.unavailable),
        median(|sample| sample.value - sample.unavailable),
        median(|sample| sample.attempts_mean),
        median(|sample| sample.cpu_us_per_session),
    )
}
