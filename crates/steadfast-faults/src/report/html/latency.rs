//! The latencies of acknowledgements and deliveries: over time, and how many are in each class.

use std::time::Duration;

use super::axis::{TimeAxis, latency_ticks, latency_y};
use super::plot::{Line, Plot};
use super::{moment, open_section, tables, time, timeline};
use crate::counted::grouped;
use crate::ledger::{LATENCY_BOUNDS, LatencyClasses, TrafficInterval};
use crate::quantity::{Percent, Quantity};
use crate::report::Report;
use crate::report::markup::Markup;

/// One of the latencies of an interval.
type LatencyOf = fn(&TrafficInterval) -> Option<Duration>;

/// What is drawn, in the order of lines and columns.
const VALUES: [(&str, LatencyOf); 4] = [
    ("delivery, largest", |it| it.delivery.max),
    ("delivery, median", |it| it.delivery.p50),
    ("acknowledgement, largest", |it| it.acknowledgement.max),
    ("acknowledgement, median", |it| it.acknowledgement.p50),
];

pub(super) fn write(page: &mut Markup, report: &Report<'_>) {
    open_section(page, "latency", "Latency");
    page.leaf(
        "p",
        &[("class", &"note")],
        "From the first send of a publication to its acknowledgement or to each delivery. \
         A median needs 100 samples in its interval.",
    );
    let traffic = &report.ledger.traffic;
    let axis = TimeAxis::of(report);
    let heights = |value: LatencyOf| {
        let intervals = traffic.intervals.iter();
        intervals
            .map(|it| value(it).map(latency_y))
            .collect::<Vec<_>>()
    };
    let lines = VALUES
        .map(|(name, value)| Line {
            name: name.to_owned(),
            heights: heights(value),
        })
        .into();
    let plot = Plot {
        label: "Latency of deliveries and acknowledgements over time".to_owned(),
        axis,
        ticks: latency_ticks(),
        lines,
        lasting: traffic.duration(),
        marked: &timeline::marked(report, axis),
    };
    plot.write(page);
    write_table(page, report);
    for (name, classes) in [
        ("Latencies of deliveries", traffic.deliveries),
        ("Latencies of acknowledgements", traffic.acknowledgements),
    ] {
        write_classes(page, name, &classes);
    }
    page.close();
}

fn write_table(page: &mut Markup, report: &Report<'_>) {
    let traffic = &report.ledger.traffic;
    let names = VALUES.map(|(name, _)| format!("#{name}"));
    let headings: Vec<&str> = ["#from"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    let caption = format!("latencies in each {}", time(traffic.length));
    tables::open_details(page, &caption, &headings);
    let mut from = traffic.start;
    for interval in &traffic.intervals {
        page.open("tr", &[]);
        page.leaf(
            "th",
            &[("scope", &"row"), ("class", &"n")],
            moment(report, from),
        );
        for (_, value) in VALUES {
            tables::number(page, value(interval).map_or_else(|| "-".to_owned(), time));
        }
        page.close();
        from = from + traffic.length;
    }
    tables::close_details(page);
}

/// A table whose last column draws the share of each class.
pub(super) fn write_classes(page: &mut Markup, caption: &str, classes: &LatencyClasses) {
    let total = classes.total();
    let share = |count| Quantity::share(count, total);
    if total == 0 {
        page.leaf("p", &[], format!("{caption}: none."));
        return;
    }
    let mut rows: Vec<(String, u64)> = LATENCY_BOUNDS
        .iter()
        .zip(classes.counts)
        .map(|(bound, count)| {
            (
                format!("up to {}", time(Duration::from_micros(*bound))),
                count,
            )
        })
        .collect();
    rows.push(("above".to_owned(), classes.above));
    // The classes outside of the measured range say nothing.
    let first = rows
        .iter()
        .position(|(_, count)| *count > 0)
        .unwrap_or_default();
    let last = rows
        .iter()
        .rposition(|(_, count)| *count > 0)
        .unwrap_or_default();
    tables::open(
        page,
        caption,
        &["time", "#count", "#all up to here", "share"],
    );
    let mut sum = 0;
    for (name, count) in rows.get(first..=last).unwrap_or_default() {
        sum += count;
        page.open("tr", &[]);
        tables::heading(page, name);
        tables::number(page, grouped(*count));
        let up_to_here = share(sum).map(|it| Percent(it).to_string());
        tables::number(page, up_to_here.unwrap_or_default());
        tables::bar(page, &[count.saturating_mul(1_000) / total]);
        page.close();
    }
    tables::close(page);
}
