//! The recoveries of a run: how many there were, and how long their phases took.

use std::fmt::{self, Write};

use steadfast_machine::convert;

use super::write_table;
use crate::check::samples;
use crate::counted::{counted_len, grouped};
use crate::metrics::{Metric, MetricFilter};
use crate::report::table::{Align, Table};
use crate::report::{RECOVERY, Report};
use crate::samples::{Aggregate, PERCENTILE_SAMPLES_MIN, Samples};
use crate::topology::ClientKind;

/// One line of the table.
struct Row {
    name: String,
    samples: Samples,
    /// What is measured.
    about: &'static str,
}

pub(super) fn write(out: &mut String, report: &Report<'_>) -> fmt::Result {
    writeln!(out, "{}", summary(report))?;
    let rows = rows(report);
    if !rows.is_empty() {
        write_table(out, &table(&rows))?;
    }
    writeln!(out)
}

fn summary(report: &Report<'_>) -> String {
    let clients = report.ledger.clients.iter();
    let disconnects: Vec<_> = clients.flat_map(|it| &it.connections.disconnects).collect();
    if disconnects.is_empty() {
        return "recovery: no client was disconnected".to_owned();
    }
    let attributed = disconnects.iter().filter(|it| it.fault.is_some()).count();
    format!(
        "recovery: {}, {} attributed to a fault, in {}",
        counted_len(disconnects.len(), "disconnect", "disconnects"),
        grouped(convert::to_u64(attributed)),
        counted_len(report.ledger.incidents().count(), "incident", "incidents"),
    )
}

/// Every measurement that has samples.
fn rows(report: &Report<'_>) -> Vec<Row> {
    let all = MetricFilter::default();
    let phases = RECOVERY
        .into_iter()
        .map(|(name, metric)| (name.to_owned(), metric, all.clone(), about(metric)));
    let others = [
        ("attempts", Metric::AttemptsPerRecovery),
        ("stall", Metric::RecoveryStall),
        ("first connect", Metric::ConnectFirst),
        ("later connect", Metric::ConnectAgain),
        ("latency", Metric::LatencyTotal),
        ("service time", Metric::LatencyService),
    ];
    let others = others.map(|(name, metric)| (name.to_owned(), metric, all.clone(), about(metric)));
    let kinds = ClientKind::ALL.map(|kind| {
        let filter = MetricFilter {
            kind: Some(kind),
            ..MetricFilter::default()
        };
        let name = format!("total of {}", kind.name());
        (name, Metric::RecoveryTotal, filter, "")
    });
    phases
        .chain(others)
        .chain(kinds)
        .filter_map(|(name, metric, filter, about)| {
            let samples = samples(metric, &filter, report.ledger)?;
            (!samples.is_empty()).then_some(Row {
                name,
                samples,
                about,
            })
        })
        .collect()
}

fn about(metric: Metric) -> &'static str {
    metric.about().trim_end_matches('.')
}

/// Minimum and maximum; percentiles only if there are enough samples for one of the rows.
fn table(rows: &[Row]) -> Table {
    let has_percentiles = rows
        .iter()
        .any(|row| row.samples.len() >= PERCENTILE_SAMPLES_MIN);
    let aggregates = if has_percentiles {
        vec![
            Aggregate::Min,
            Aggregate::P50,
            Aggregate::P99,
            Aggregate::Max,
        ]
    } else {
        vec![Aggregate::Min, Aggregate::Max]
    };
    let mut columns = vec![Align::Left];
    columns.extend(aggregates.iter().map(|_| Align::Right));
    columns.extend([Align::Right, Align::Left]);
    let mut table = Table::new(columns);
    let names = aggregates.iter().map(|it| it.name());
    table.push([""].into_iter().chain(names).chain(["samples", ""]));
    for row in rows {
        let values = aggregates.iter().map(|it| value(&row.samples, *it));
        let count = grouped(convert::to_u64(row.samples.len()));
        let before = [format!("  {}", row.name)].into_iter().chain(values);
        table.push(before.chain([count, note(row)]));
    }
    table
}

/// A percentile of too few samples is not shown.
fn value(samples: &Samples, aggregate: Aggregate) -> String {
    let is_valid = aggregate.for_samples(samples.len()) == aggregate;
    let value = samples.aggregate(aggregate).filter(|_| is_valid);
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Samples that were still growing at the end are lower bounds.
fn note(row: &Row) -> String {
    let unfinished = match row.samples.censored() {
        0 => None,
        censored => Some(format!("{censored} unfinished at the end")),
    };
    let parts = [
        unfinished,
        Some(row.about.to_owned()).filter(|it| !it.is_empty()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join("; ")
}
