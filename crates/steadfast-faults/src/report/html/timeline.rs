//! The connected clients over time, the phases of the run, and the faults of each step.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_machine::{Instant, convert};

use super::axis::{CountScale, TimeAxis};
use super::plot::{Line, Plot, write_lane};
use super::{moment, open_section, tables};
use crate::counted::counted_len;
use crate::ledger::event::RunPhase;
use crate::ledger::{ClientStats, ConnectionInterval, FaultStats};
use crate::report::Report;
use crate::report::markup::Markup;
use crate::topology::Instance;

/// The number of values of a line.
const COLUMNS: u64 = 480;

/// With more instances than this, only the sum of all is drawn.
const INSTANCES_MAX: usize = 4;

/// The most periods that are marked in plots.
const MARKED_MAX: usize = 200;

/// The most steps with a lane.
const STEPS_MAX: usize = 20;

pub(super) fn write(page: &mut Markup, report: &Report<'_>) {
    open_section(page, "timeline", "Connected clients and faults");
    let axis = TimeAxis::of(report);
    let groups = groups(report);
    let total = report.ledger.clients.len();
    let scale = CountScale::up_to(convert::to_u64(total));
    let lines = groups.iter().map(|(name, clients)| Line {
        name: name.clone(),
        heights: lowest(clients, axis, COLUMNS)
            .into_iter()
            .map(|count| Some(scale.y(count)))
            .collect(),
    });
    let label = format!(
        "Connected clients over time, of {}, with the periods of faults",
        counted_len(total, "client", "clients")
    );
    let plot = Plot {
        label,
        axis,
        ticks: scale.ticks(),
        lines: lines.collect(),
        lasting: axis.duration,
        marked: &marked(report, axis),
    };
    plot.write(page);
    write_lanes(page, report, axis);
    page.leaf(
        "p",
        &[("class", &"note")],
        "Time counts from the end of the baseline. Where several values are close together, the line is at the lowest.",
    );
    page.leaf("p", &[("class", &"note")], phase_ends(report));
    write_table(page, report, &groups);
    page.close();
}

/// When each phase ended: what the widths of the boxes show.
fn phase_ends(report: &Report<'_>) -> String {
    let begins = begins(report);
    let ends = begins.windows(2).filter_map(|pair| match pair {
        [(phase, _), (_, end)] => Some(format!(
            "{} until {}",
            phase_name(*phase),
            moment(report, *end)
        )),
        _ => None,
    });
    format!("Phases: {}.", ends.collect::<Vec<_>>().join(", "))
}

/// The beginning of each phase.
fn begins(report: &Report<'_>) -> Vec<(RunPhase, Instant)> {
    let phases = report.ledger.phases.iter();
    phases.map(|(phase, at)| (*phase, *at)).collect()
}

const fn phase_name(phase: RunPhase) -> &'static str {
    match phase {
        RunPhase::Steps => "faults",
        RunPhase::Connect
        | RunPhase::Baseline
        | RunPhase::Quiet
        | RunPhase::Drain
        | RunPhase::End => phase.name(),
    }
}

/// All clients, and those of each instance if there are a few of them.
fn groups<'a>(report: &Report<'a>) -> Vec<(String, Vec<&'a ClientStats>)> {
    let clients = &report.ledger.clients;
    let instances = report.plan.topology().instances();
    let mut groups = vec![("all clients".to_owned(), clients.iter().collect())];
    if (2..=INSTANCES_MAX).contains(&instances.len()) {
        groups.extend(
            instances
                .iter()
                .map(|instance| of_instance(instance, clients)),
        );
    }
    groups
}

fn of_instance<'a>(
    instance: &Instance,
    clients: &'a [ClientStats],
) -> (String, Vec<&'a ClientStats>) {
    let of_instance = clients
        .iter()
        .filter(|it| it.client.instance == instance.id);
    (format!("clients of {instance}"), of_instance.collect())
}

/// The lowest number of connected clients in each of `columns` equal intervals.
fn lowest(clients: &[&ClientStats], axis: TimeAxis, columns: u64) -> Vec<u64> {
    let intervals = clients.iter().flat_map(|it| &it.connections.intervals);
    let changes = changes(intervals);
    let width = axis
        .duration
        .as_nanos()
        .div_ceil(u128::from(columns))
        .max(1);
    let end = |column: u64| {
        let after = u128::from(column + 1) * width;
        axis.start + Duration::from_nanos(convert::saturating(after))
    };
    let mut changes = changes.into_iter().peekable();
    let mut count = 0_u64;
    (0..columns)
        .map(|column| {
            let mut lowest = count;
            while let Some((_, (up, down))) = changes.next_if(|(at, _)| *at < end(column)) {
                count = (count + up).saturating_sub(down);
                lowest = lowest.min(count);
            }
            lowest
        })
        .collect()
}

/// How many connections begin and end at each instant.
fn changes<'a>(
    intervals: impl Iterator<Item = &'a ConnectionInterval>,
) -> BTreeMap<Instant, (u64, u64)> {
    let mut changes: BTreeMap<Instant, (u64, u64)> = BTreeMap::new();
    for interval in intervals {
        changes.entry(interval.from).or_default().0 += 1;
        if let Some(to) = interval.to {
            changes.entry(to).or_default().1 += 1;
        }
    }
    changes
}

/// The periods in which a fault was in effect.
pub(super) fn marked(report: &Report<'_>, axis: TimeAxis) -> Vec<(u64, u64)> {
    let faults = report.ledger.faults.iter();
    faults
        .filter_map(|fault| period(fault, axis))
        .take(MARKED_MAX)
        .collect()
}

fn period(fault: &FaultStats, axis: TimeAxis) -> Option<(u64, u64)> {
    let end = axis.start + axis.duration;
    let from = fault.injected?;
    Some((axis.x(from), axis.x(fault.healed.unwrap_or(end))))
}

/// A lane for the phases, and one for each step with its faults.
fn write_lanes(page: &mut Markup, report: &Report<'_>, axis: TimeAxis) {
    page.open("div", &[("class", &"lanes")]);
    write_phases(page, report);
    let mut steps: Vec<&str> = Vec::new();
    for fault in &report.ledger.faults {
        if !steps.contains(&fault.planned.step.as_str()) {
            steps.push(&fault.planned.step);
        }
    }
    for step in steps.iter().take(STEPS_MAX) {
        let of_step = || {
            report
                .ledger
                .faults
                .iter()
                .filter(|it| it.planned.step == **step)
        };
        let bars: Vec<_> = of_step().filter_map(|it| period(it, axis)).collect();
        let action = of_step().next().map_or("", |it| it.planned.action.name());
        let name = format!("{step}: {action}");
        let label = format!("{name}, {}", counted_len(bars.len(), "fault", "faults"));
        write_lane(page, &name, &label, &bars);
    }
    page.close();
    tables::write_cut(page, STEPS_MAX, steps.len(), "more step", "more steps");
}

/// The phases as boxes whose widths are in proportion to their durations. A box that is too narrow hides its name.
fn write_phases(page: &mut Markup, report: &Report<'_>) {
    let begins = begins(report);
    page.open("div", &[("class", &"lane")]);
    page.leaf("span", &[("class", &"name")], "phase");
    page.open("div", &[("class", &"phases")]);
    for pair in begins.windows(2) {
        if let [(phase, from), (_, to)] = pair {
            let duration = *to - *from;
            let style = format!("flex-grow:{}", duration.as_millis());
            page.open("span", &[("style", &style), ("class", &"phase")]);
            page.leaf("span", &[], phase_name(*phase));
            page.close();
        }
    }
    page.close();
    page.close();
}

fn write_table(page: &mut Markup, report: &Report<'_>, groups: &[(String, Vec<&ClientStats>)]) {
    let traffic = &report.ledger.traffic;
    let count = convert::to_u64(traffic.intervals.len());
    let axis = TimeAxis::of(report).lasting(traffic.duration());
    let columns: Vec<Vec<u64>> = groups
        .iter()
        .map(|(_, clients)| lowest(clients, axis, count.max(1)))
        .collect();
    let names: Vec<String> = groups.iter().map(|(name, _)| format!("#{name}")).collect();
    let headings: Vec<&str> = ["#from"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    tables::open_details(page, "lowest number of connected clients", &headings);
    let mut from = traffic.start;
    for row in 0..traffic.intervals.len() {
        page.open("tr", &[]);
        page.leaf(
            "th",
            &[("scope", &"row"), ("class", &"n")],
            moment(report, from),
        );
        for column in &columns {
            tables::number(page, column.get(row).copied().unwrap_or_default());
        }
        page.close();
        from = from + traffic.length;
    }
    tables::close_details(page);
}
