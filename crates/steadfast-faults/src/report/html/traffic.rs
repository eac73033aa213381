//! Publications, acknowledgements and deliveries per second.

use super::axis::{CountScale, TimeAxis};
use super::plot::{Line, Plot};
use super::{moment, open_section, tables, time, timeline};
use crate::counted::grouped;
use crate::ledger::TrafficInterval;
use crate::report::Report;
use crate::report::markup::Markup;

/// One of the counts of an interval.
type CountOf = fn(&TrafficInterval) -> u64;

/// What is counted, in the order of lines and columns.
const COUNTS: [(&str, CountOf); 3] = [
    ("published", |it| it.published),
    ("acknowledged", |it| it.acknowledged),
    ("delivered", |it| it.delivered),
];

pub(super) fn write(page: &mut Markup, report: &Report<'_>) {
    open_section(page, "traffic", "Traffic per second");
    let traffic = &report.ledger.traffic;
    let seconds = traffic.length.as_secs().max(1);
    let rates = COUNTS.map(|(name, count)| {
        let rates = traffic
            .intervals
            .iter()
            .map(|it| count(it).div_ceil(seconds));
        (name, rates.collect::<Vec<u64>>())
    });
    let max = rates.iter().flat_map(|(_, rates)| rates).copied().max();
    let scale = CountScale::up_to(max.unwrap_or_default());
    let axis = TimeAxis::of(report);
    let plot = Plot {
        label: "Publications, acknowledgements and deliveries per second over time".to_owned(),
        axis,
        ticks: scale.ticks(),
        lines: rates
            .iter()
            .map(|(name, rates)| Line {
                name: format!("{name} per second"),
                heights: rates.iter().map(|rate| Some(scale.y(*rate))).collect(),
            })
            .collect(),
        lasting: traffic.duration(),
        marked: &timeline::marked(report, axis),
    };
    plot.write(page);
    write_table(page, report);
    page.close();
}

fn write_table(page: &mut Markup, report: &Report<'_>) {
    let traffic = &report.ledger.traffic;
    let caption = format!(
        "publications and deliveries in each {}",
        time(traffic.length)
    );
    let headings = ["#from", "#published", "#acknowledged", "#delivered"];
    tables::open_details(page, &caption, &headings);
    let mut from = traffic.start;
    for interval in &traffic.intervals {
        page.open("tr", &[]);
        page.leaf(
            "th",
            &[("scope", &"row"), ("class", &"n")],
            moment(report, from),
        );
        for (_, count) in COUNTS {
            tables::number(page, grouped(count(interval)));
        }
        page.close();
        from = from + traffic.length;
    }
    tables::close_details(page);
}
