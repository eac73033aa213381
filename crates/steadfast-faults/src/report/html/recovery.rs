//! The recoveries: how long each phase took, how the totals are distributed, and the slowest ones in full.

use std::cmp::Reverse;
use std::time::Duration;

use steadfast_machine::convert;

use super::latency::write_classes;
use super::{client_name, fault_name, moment, open_section, sample, tables};
use crate::check::samples;
use crate::counted::counted_len;
use crate::ledger::{Incident, LatencyClasses};
use crate::metrics::{Metric, MetricFilter};
use crate::quantity::Unit;
use crate::report::markup::Markup;
use crate::report::{RECOVERY, Report};
use crate::samples::{Aggregate, Sample};
use crate::topology::ClientKind;

/// The most incidents that are listed.
const INCIDENTS_MAX: usize = 25;

/// One part of a recovery; `None` when it is not known.
type PartOf = fn(&Incident) -> Option<Sample>;

/// The parts of a recovery in their order.
const PARTS: [(&str, PartOf); 4] = [
    ("detect", Incident::detect),
    ("dial", |it| Some(it.dial())),
    ("log in", Incident::login),
    ("resume", Incident::resume),
];

pub(super) fn write(page: &mut Markup, report: &Report<'_>) {
    open_section(page, "recovery", "Recovery");
    let mut incidents: Vec<&Incident> = report.ledger.incidents().collect();
    if incidents.is_empty() {
        page.leaf("p", &[], "No client was disconnected.");
        page.close();
        return;
    }
    write_aggregates(page, report);
    let mut classes = LatencyClasses::default();
    let ended = incidents.iter().filter(|it| it.recovered.is_some());
    ended.for_each(|it| classes.add(Duration::from_nanos(it.total().value)));
    write_classes(page, "Recoveries by their total time", &classes);
    let unfinished = incidents.iter().filter(|it| it.recovered.is_none()).count();
    if unfinished > 0 {
        let unfinished = counted_len(unfinished, "incident", "incidents");
        let text = format!("{unfinished} without a recovery at the end of the run.");
        page.leaf("p", &[], text);
    }
    incidents.sort_by_key(|it| (Reverse(it.total()), it.disconnect.at, it.client));
    write_slowest(page, report, &incidents);
    page.close();
}

fn write_aggregates(page: &mut Markup, report: &Report<'_>) {
    const AGGREGATES: [Aggregate; 4] = [
        Aggregate::Min,
        Aggregate::P50,
        Aggregate::P99,
        Aggregate::Max,
    ];
    let of_kind = ClientKind::ALL.map(|kind| {
        let filter = MetricFilter {
            kind: Some(kind),
            ..MetricFilter::default()
        };
        (
            format!("total of {}", kind.name()),
            Metric::RecoveryTotal,
            filter,
        )
    });
    let of_all = RECOVERY.map(|(name, metric)| (name.to_owned(), metric, MetricFilter::default()));
    tables::open(
        page,
        "Phases of a recovery",
        &[
            "phase",
            "#min",
            "#p50",
            "#p99",
            "#max",
            "#samples",
            "#unfinished",
            "meaning",
        ],
    );
    for (name, metric, filter) in of_all.into_iter().chain(of_kind) {
        let Some(samples) = samples(metric, &filter, report.ledger) else {
            continue;
        };
        if samples.is_empty() {
            continue;
        }
        page.open("tr", &[]);
        tables::heading(page, name);
        for aggregate in AGGREGATES {
            let is_valid = aggregate.for_samples(samples.len()) == aggregate;
            let value = samples.aggregate(aggregate).filter(|_| is_valid);
            tables::number(
                page,
                value.map_or_else(|| "-".to_owned(), |it| it.to_string()),
            );
        }
        tables::number(page, samples.len());
        tables::number(page, samples.censored());
        tables::cell(page, metric.about());
        page.close();
    }
    tables::close(page);
}

fn write_slowest(page: &mut Markup, report: &Report<'_>, incidents: &[&Incident]) {
    let longest = incidents.first().map_or(1, |it| it.total().value.max(1));
    let names = PARTS.map(|(name, _)| format!("#{name}"));
    let mut headings = vec!["client", "disconnected", "by", "fault", "#attempts"];
    headings.extend(names.iter().map(String::as_str));
    headings.extend(["#total", "these parts in proportion"]);
    tables::open(page, "Slowest recoveries", &headings);
    for incident in incidents.iter().take(INCIDENTS_MAX) {
        page.open("tr", &[]);
        tables::heading(page, client_name(report, incident.client));
        tables::cell(page, moment(report, incident.disconnect.at));
        tables::cell(page, incident.disconnect.cause.name());
        tables::cell(page, fault_name(report, incident.disconnect.fault));
        tables::number(page, incident.attempts);
        let parts = PARTS.map(|(_, part)| part(incident));
        for part in parts {
            let text = part.map_or_else(|| "-".to_owned(), |it| sample(it, Unit::Time));
            tables::number(page, text);
        }
        tables::number(page, sample(incident.total(), Unit::Time));
        let width = |part: Option<Sample>| {
            let value = part.map_or(0, |it| u128::from(it.value));
            convert::saturating(value * 1_000 / u128::from(longest))
        };
        tables::bar(page, &parts.map(width));
        page.close();
    }
    tables::close(page);
    tables::write_cut(
        page,
        INCIDENTS_MAX,
        incidents.len(),
        "more incident",
        "more incidents",
    );
}
