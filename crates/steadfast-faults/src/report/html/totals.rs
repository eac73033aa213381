//! Every metric of the run with its meaning: the totals of the ledger, written out.

use super::{open_section, tables};
use crate::check::{number, samples};
use crate::counted::{counted_len, grouped};
use crate::metrics::{Metric, MetricFilter};
use crate::report::Report;
use crate::report::markup::Markup;
use crate::samples::{Aggregate, Samples};

pub(super) fn write(page: &mut Markup, report: &Report<'_>) {
    open_section(page, "totals", "All metrics");
    tables::open(
        page,
        "All metrics of the run",
        &["metric", "#value", "meaning"],
    );
    for metric in Metric::ALL {
        page.open("tr", &[]);
        tables::heading(page, metric.name());
        tables::number(page, value(*metric, report));
        tables::cell(page, metric.about());
        page.close();
    }
    tables::close(page);
    page.close();
}

fn value(metric: Metric, report: &Report<'_>) -> String {
    match samples(metric, &MetricFilter::default(), report.ledger) {
        Some(samples) => range(&samples),
        None => number(metric, report.ledger).map_or_else(
            || "no data".to_owned(),
            |number| with_groups(number.to_string()),
        ),
    }
}

/// Groups the digits of an integer; other numbers are returned as they are.
fn with_groups(number: String) -> String {
    number.parse().map_or(number, grouped)
}

/// The smallest and the largest sample.
fn range(samples: &Samples) -> String {
    let of = |aggregate| samples.aggregate(aggregate);
    match of(Aggregate::Min).zip(of(Aggregate::Max)) {
        Some((min, max)) => {
            let count = counted_len(samples.len(), "sample", "samples");
            format!("{min} to {max} ({count})")
        }
        None => "no samples".to_owned(),
    }
}
