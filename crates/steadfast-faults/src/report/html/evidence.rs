//! The evidence of a check that does not hold: the incidents, deliveries, clients, faults or logs that its metrics count.
//!
//! The first word of a metric's name decides which: `delivery.lost` counts deliveries, `recovery.total` incidents. So a
//! new metric of a known family has evidence without a change here.

use std::cmp::Reverse;

use super::{client_name, fault_name, moment, sample};
use crate::check::{CheckResult, is_selected};
use crate::ledger::{ClientOutcome, DeliveryProblem, Incident, ProblemKind};
use crate::metrics::Metric;
use crate::quantity::Unit;
use crate::report::Report;
use crate::report::markup::Markup;
use crate::scenario::expr::MetricQuery;

/// The most lines of evidence for one metric; the section that is linked has more.
const LINES_MAX: usize = 5;

/// What proves the value of a metric.
struct Evidence {
    lines: Vec<String>,
    /// The section with all entries, and its name.
    target: (&'static str, &'static str),
}

pub(super) fn write(page: &mut Markup, report: &Report<'_>, check: &CheckResult) {
    let id = format!("check-{}", check.id);
    page.open("section", &[("class", &"evidence"), ("id", &id)]);
    page.leaf("h3", &[], format!("Evidence: {}", check.id));
    page.leaf("p", &[], check.measured());
    let checks = report.scenario.checks().iter();
    let queries = checks
        .filter(|it| it.id == check.id)
        .flat_map(|it| it.that.metric_queries());
    for query in queries {
        let evidence = of(report, query);
        page.leaf("h4", &[], query);
        page.leaf("p", &[("class", &"note")], query.metric.about());
        page.open("ul", &[]);
        for line in evidence.lines.iter().take(LINES_MAX) {
            page.leaf("li", &[], line);
        }
        page.open("li", &[]);
        let (target, name) = evidence.target;
        page.leaf("a", &[("href", &target)], name);
        page.close();
        page.close();
    }
    page.leaf("a", &[("href", &"#logs")], "Logs of services and clients");
    page.close();
}

fn of(report: &Report<'_>, query: &MetricQuery) -> Evidence {
    let name = query.metric.name();
    let family = name.split('.').next().unwrap_or_default();
    let (lines, target) = match family {
        "recovery" | "attempts" | "disconnects" => (
            incidents(report, query),
            ("#recovery", "the slowest recoveries"),
        ),
        "delivery" | "offsets" => (
            deliveries(report, query.metric),
            ("#messages", "violations by delivery"),
        ),
        "clients" | "stalls" => (
            clients(report, query),
            ("#clients", "the most affected clients"),
        ),
        "faults" => (faults(report), ("#faults", "all faults")),
        "service" => (Vec::new(), ("#logs", "the logs of the services")),
        "load" => (Vec::new(), ("#traffic", "the traffic over time")),
        _ => (Vec::new(), ("#totals", "all metrics")),
    };
    Evidence { lines, target }
}

/// The slowest of the incidents that the metric counts.
fn incidents(report: &Report<'_>, query: &MetricQuery) -> Vec<String> {
    let mut counted: Vec<&Incident> = report
        .ledger
        .clients
        .iter()
        .filter(|it| is_selected(&query.filter, &it.client))
        .flat_map(|it| &it.connections.incidents)
        .filter(|it| is_of_step(report, query, it))
        .filter(|it| {
            query.metric != Metric::DisconnectsUnattributed || it.disconnect.fault.is_none()
        })
        .collect();
    counted.sort_by_key(|it| Reverse(it.total()));
    counted.truncate(LINES_MAX);
    counted.iter().map(|it| line_of(report, it)).collect()
}

fn is_of_step(report: &Report<'_>, query: &MetricQuery, incident: &Incident) -> bool {
    query.filter.step.as_ref().is_none_or(|step| {
        let faults = report.ledger.faults.iter();
        faults
            .filter(|it| it.planned.step == *step)
            .any(|it| Some(it.planned.id) == incident.disconnect.fault)
    })
}

fn line_of(report: &Report<'_>, incident: &Incident) -> String {
    let outcome = match (incident.has_given_up, incident.recovered) {
        (true, _) => "gave up".to_owned(),
        (false, Some(_)) => format!("recovered after {}", sample(incident.total(), Unit::Time)),
        (false, None) => format!(
            "not recovered after {}",
            sample(incident.total(), Unit::Time)
        ),
    };
    format!(
        "{}: disconnected at {} by {}, {}, {outcome}",
        client_name(report, incident.client),
        moment(report, incident.disconnect.at),
        incident.disconnect.cause.name(),
        fault_name(report, incident.disconnect.fault),
    )
}

/// The violations that the metric counts; those of any kind if it counts none alone, such as a ratio.
fn deliveries(report: &Report<'_>, metric: Metric) -> Vec<String> {
    let has_kind = ProblemKind::ALL.iter().any(|it| it.metric() == metric);
    let problems = report.ledger.problems.iter();
    problems
        .filter(|it| !has_kind || it.kind.metric() == metric)
        .take(LINES_MAX)
        .map(|it| problem_line(report, it))
        .collect()
}

fn problem_line(report: &Report<'_>, problem: &DeliveryProblem) -> String {
    let message = problem.message.map_or_else(
        || "an unknown publication".to_owned(),
        |id| {
            let publisher = client_name(report, id.publisher);
            format!("publication {} of {publisher}", id.sequence)
        },
    );
    let delivered = problem.delivered.map_or_else(String::new, |at| {
        format!(", delivered at {}", moment(report, at))
    });
    format!(
        "{}: {message} to {}{delivered}",
        problem.kind.name(),
        client_name(report, problem.subscriber)
    )
}

/// Clients with the outcome or the state that the metric counts.
fn clients(report: &Report<'_>, query: &MetricQuery) -> Vec<String> {
    let clients = report.ledger.clients.iter();
    clients
        .filter(|it| is_selected(&query.filter, &it.client))
        .filter_map(|it| {
            let state = match it.connections.outcome {
                ClientOutcome::NeverConnected => "never connected",
                ClientOutcome::GaveUp => "gave up",
                ClientOutcome::DownAtEnd => "not recovered at the end",
                ClientOutcome::NeverDisconnected | ClientOutcome::Reconnected if it.is_silent => {
                    "connected but silent at the end"
                }
                ClientOutcome::NeverDisconnected | ClientOutcome::Reconnected => {
                    let stall = it.stalls.iter().max_by_key(|it| it.duration())?;
                    let duration = sample(stall.duration(), Unit::Time);
                    let from = moment(report, stall.from);
                    let fault = fault_name(report, stall.fault);
                    return Some(format!(
                        "{}: stalled for {duration} from {from}, {fault}",
                        it.client.name
                    ));
                }
            };
            Some(format!("{}: {state}", it.client.name))
        })
        .take(LINES_MAX)
        .collect()
}

fn faults(report: &Report<'_>) -> Vec<String> {
    let ineffective = report.ledger.faults.iter().filter(|it| !it.is_effective());
    ineffective
        .take(LINES_MAX)
        .map(|it| {
            let reason = it.ineffective.as_deref().unwrap_or("not confirmed");
            format!("{}: {reason}", super::name_of(it))
        })
        .collect()
}
