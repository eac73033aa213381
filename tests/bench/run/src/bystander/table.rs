//! The bystander rows as Markdown.

use std::fmt::Write;

use super::plan::{Reference, Row};
use super::results::Results;
use crate::table::describe_repeats;

/// Returns the table with a summary line.
pub(crate) fn markdown(results: &Results) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}; {}; {} bystanders.\n",
        results.machine,
        describe_repeats(results.repeats),
        results.bystanders
    );
    out.push_str(
        "| disturbance | compared with | p99 before | p99 during | × reference | must | memory | gateway core | note |\n",
    );
    out.push_str("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n");
    for row in Row::ALL {
        let spread = |field| results.spread(row, field);
        let (Some(quiet), Some(disturbed)) = (
            spread(|sample| sample.quiet_ms),
            spread(|sample| sample.disturbed_ms),
        ) else {
            continue;
        };
        let median = |field| spread(field).map_or(0.0, |spread| spread.median);
        let reference = match row.reference() {
            Reference::Quiet => "before",
            Reference::Row(other) => title(other),
        };
        let ratio = results.ratio(row);
        let _ = writeln!(
            out,
            "| {} | {reference} | {} | {} | {} | {} | + {:.0} MB | {:.0} % | {} |",
            title(row),
            quiet.quantity((1.0, " ms", 2)),
            disturbed.quantity((1.0, " ms", 2)),
            ratio.map_or_else(|| "–".to_owned(), |ratio| ratio.to_string()),
            row.required()
                .map_or_else(|| "–".to_owned(), |bound| format!("≤ {bound:.1}")),
            median(|sample| sample.memory_bytes) / 1e6,
            median(|sample| sample.server_share) * 100.0,
            note(row, results),
        );
    }
    out
}

fn title(row: Row) -> &'static str {
    match row {
        Row::LogFile => "10,000 refused requests/s, log in a file",
        Row::LogStalled => "10,000 refused requests/s, log not read",
        Row::LogClosed => "10,000 refused requests/s, log closed",
        Row::LogFullDisk => "10,000 refused requests/s, log on a full disk",
        Row::Silent300 => "300 subscribers that read nothing",
        Row::Silent1000 => "1,000 subscribers that read nothing",
        Row::JoinsAndLeaves => "8 clients that join and leave",
        Row::LargePublications => "8 clients that publish 60 KB, durable",
    }
}

fn note(row: Row, results: &Results) -> String {
    let median = |field| {
        results
            .spread(row, field)
            .map_or(0.0, |spread| spread.median)
    };
    let rate = median(|sample| sample.events_per_second);
    let rejected = median(|sample| sample.rejected_per_second);
    match row {
        Row::LogFile | Row::LogStalled | Row::LogClosed | Row::LogFullDisk => {
            format!("{rate:.0} refused/s")
        }
        Row::Silent300 | Row::Silent1000 => {
            format!("{rate:.0} publications/s, {rejected:.0} readers disconnected/s")
        }
        Row::JoinsAndLeaves | Row::LargePublications => {
            format!("{rate:.0} replies/s, {rejected:.0} of them errors")
        }
    }
}
