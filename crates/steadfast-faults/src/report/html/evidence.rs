//! The evidence of a check that does not hold: the clients, disconnects, deliveries, requests, faults or processes that its
//! metrics count, with the section of the page that has more of them.
//!
//! The match over all metrics has no wildcard, so a new metric needs evidence to compile. Where a check requires that
//! something happens, such as clients that reconnect, the evidence is what did not.

mod clients;
mod connections;
mod deliveries;
mod requests;
mod run;

use std::cmp::Reverse;

use steadfast_machine::convert;

use super::client_name;
use crate::check::CheckResult;
use crate::counted::counted;
use crate::ledger::event::{LossCause, MessageId};
use crate::ledger::{ClientOutcome, ClientStats, FaultStats, Incident, ProblemKind, RequestClass};
use crate::metrics::Metric;
use crate::report::Report;
use crate::report::markup::Markup;
use crate::samples::{Aggregate, Sample};
use crate::scenario::expr::MetricQuery;

/// The most lines of evidence for one metric; the section that is linked has more.
const LINES_MAX: usize = 5;

/// A section of the page with all entries, and its name in a sentence.
type Section = (&'static str, &'static str);

const CLIENTS: Section = ("#clients", "the most affected clients");
const RECOVERY: Section = ("#recovery", "the slowest recoveries");
const MESSAGES: Section = ("#messages", "violations by delivery");
const REQUESTS: Section = ("#requests", "the requests by load");
const FAULTS: Section = ("#faults", "all faults");
const TRAFFIC: Section = ("#traffic", "the traffic over time");
const LOGS: Section = ("#logs", "the logs of the services");
const TOTALS: Section = ("#totals", "all metrics");

/// What a metric is asked about.
#[derive(Clone, Copy)]
struct Question<'a> {
    report: &'a Report<'a>,
    query: &'a MetricQuery,
}

/// The first of the entries that a metric counts, one line each.
#[derive(Debug, Default)]
struct Entries {
    lines: Vec<String>,
    /// How many there are.
    total: u64,
}

impl Entries {
    /// Entries in their order.
    fn in_order<T>(entries: impl Iterator<Item = T>, line: impl Fn(&T) -> String) -> Self {
        let mut found = Self::default();
        for entry in entries {
            if found.lines.len() < LINES_MAX {
                found.lines.push(line(&entry));
            }
            found.total += 1;
        }
        found
    }

    /// Entries with the largest key first.
    fn largest<T, K: Ord>(
        entries: impl Iterator<Item = T>,
        key: impl Fn(&T) -> K,
        line: impl Fn(&T) -> String,
    ) -> Self {
        let mut all: Vec<T> = entries.collect();
        // The sort is stable, so equal entries stay in the order of the topology.
        all.sort_by_key(|it| Reverse(key(it)));
        Self::in_order(all.into_iter(), line)
    }

    /// Entries with the sample first that decides the aggregate of the metric: the smallest of a minimum, else the largest.
    fn decisive<T>(
        question: Question<'_>,
        entries: impl Iterator<Item = (T, Sample)>,
        line: impl Fn(&(T, Sample)) -> String,
    ) -> Self {
        if question.query.aggregate != Some(Aggregate::Min) {
            return Self::largest(entries, |(_, sample)| *sample, line);
        }
        Self::largest(entries, |(_, sample)| Reverse(*sample), line)
    }
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
        let (entries, (target, name)) = of(Question { report, query });
        page.leaf("h4", &[], query);
        page.leaf("p", &[("class", &"note")], query.metric.about());
        page.open("ul", &[]);
        for line in &entries.lines {
            page.leaf("li", &[], line);
        }
        page.open("li", &[]);
        page.say(
            match entries
                .total
                .saturating_sub(convert::to_u64(entries.lines.len()))
            {
                0 if entries.total == 0 => "none in this run; ".to_owned(),
                0 => String::new(),
                more => format!("{}; ", counted(more, "more entry", "more entries")),
            },
        );
        page.leaf("a", &[("href", &target)], name);
        page.close();
        page.close();
    }
    page.leaf("a", &[("href", &"#logs")], "Logs of services and clients");
    page.close();
}

#[expect(clippy::too_many_lines, reason = "one line for each metric")]
fn of(it: Question<'_>) -> (Entries, Section) {
    let outcome = |is: fn(ClientOutcome) -> bool| clients::of_outcome(it, is);
    let disconnects = |is: fn(LossCause) -> bool| connections::disconnects(it, is);
    let part = |name, part: fn(&Incident) -> Option<Sample>| connections::parts(it, name, part);
    let problems = |kind| deliveries::problems(it, kind);
    let delivered = |count: fn(&ClientStats) -> u64| deliveries::incomplete(it, count);
    let counts =
        |one, many, count: fn(&ClientStats) -> u64| clients::counts(it, [one, many], count);
    let faults = |is: fn(&FaultStats) -> bool| run::faults(it, is);
    let class = |class: RequestClass| requests::listed(it, move |it| it.class == class);
    match it.query.metric {
        Metric::ClientsTotal => (outcome(|_| true), CLIENTS),
        Metric::ClientsNeverConnected => {
            (outcome(|it| it == ClientOutcome::NeverConnected), CLIENTS)
        }
        Metric::ClientsNeverDisconnected => (
            outcome(|it| it != ClientOutcome::NeverDisconnected),
            CLIENTS,
        ),
        Metric::ClientsAffected => (outcome(ClientOutcome::is_affected), CLIENTS),
        Metric::ClientsReconnected => (
            outcome(|it| it.is_affected() && it != ClientOutcome::Reconnected),
            CLIENTS,
        ),
        Metric::ClientsGaveUp => (outcome(|it| it == ClientOutcome::GaveUp), CLIENTS),
        Metric::ClientsDownAtEnd => (outcome(|it| it == ClientOutcome::DownAtEnd), CLIENTS),
        Metric::ClientsSilent => (clients::silent(it), CLIENTS),
        Metric::ClientsStalled => (connections::stalls(it, |_| true), CLIENTS),
        Metric::StallsTotal => (connections::stalls(it, |_| true), CLIENTS),
        Metric::StallsUnattributed => (connections::stalls(it, |it| it.fault.is_none()), CLIENTS),
        Metric::RecoveryStall => (connections::stalls(it, |_| true), CLIENTS),
        Metric::DisconnectsTotal => (disconnects(|_| true), RECOVERY),
        Metric::DisconnectsAttributed => (connections::attributed(it, true), RECOVERY),
        Metric::DisconnectsUnattributed => (connections::attributed(it, false), RECOVERY),
        Metric::DisconnectsByFin => (disconnects(|it| it == LossCause::Fin), RECOVERY),
        Metric::DisconnectsByReset => (disconnects(|it| it == LossCause::Reset), RECOVERY),
        Metric::DisconnectsByTimeout => (disconnects(|it| it == LossCause::Timeout), RECOVERY),
        Metric::DisconnectsByCode => (disconnects(|it| it.code().is_some()), RECOVERY),
        Metric::RecoveryDetect => (part("detect", Incident::detect), RECOVERY),
        Metric::RecoveryDial => (part("dial", |it| Some(it.dial())), RECOVERY),
        Metric::RecoveryLogin => (part("log in", Incident::login), RECOVERY),
        Metric::RecoveryResume => (part("resume", Incident::resume), RECOVERY),
        Metric::RecoveryTotal => (part("total", |it| Some(it.total())), RECOVERY),
        Metric::RecoveryAfterHeal => (part("after the heal", Incident::after_heal), RECOVERY),
        Metric::AttemptsPerRecovery => (connections::attempts(it), RECOVERY),
        Metric::AttemptsCount => (
            counts("attempt", "attempts", |it| it.connections.attempts),
            CLIENTS,
        ),
        Metric::AttemptsRatePeak => (connections::attempts_peak(it), RECOVERY),
        Metric::ConnectFirst => (connections::first(it), CLIENTS),
        Metric::ConnectAgain => (connections::again(it), CLIENTS),
        Metric::ConnectionsDuration => (connections::durations(it), CLIENTS),
        Metric::ConnectionsBalance => (run::balance(it), LOGS),
        Metric::DeliveryExpected => (delivered(|it| it.delivery.delivered), MESSAGES),
        Metric::DeliveryDelivered => (delivered(|it| it.delivery.delivered), MESSAGES),
        Metric::DeliveryRatio => (delivered(|it| it.delivery.delivered), MESSAGES),
        Metric::DeliveryRatioAtStop => (delivered(|it| it.delivery.delivered_at_stop), MESSAGES),
        Metric::DeliveryLost => (problems(ProblemKind::Lost), MESSAGES),
        Metric::DeliveryDuplicate => (problems(ProblemKind::Duplicate), MESSAGES),
        Metric::DeliveryReordered => (problems(ProblemKind::Reordered), MESSAGES),
        Metric::DeliveryUnexpected => (problems(ProblemKind::Unexpected), MESSAGES),
        Metric::DeliveryUnknown => (
            counts(
                "delivery with an unknown outcome",
                "deliveries with an unknown outcome",
                |it| it.delivery.unknown,
            ),
            MESSAGES,
        ),
        Metric::DeliveryMissed => (
            counts(
                "message missed between two connections",
                "messages missed between two connections",
                |it| it.delivery.missed,
            ),
            MESSAGES,
        ),
        Metric::OffsetsGapReported => (
            counts("reported gap", "reported gaps", |it| {
                it.delivery.gaps_reported
            }),
            CLIENTS,
        ),
        Metric::OffsetsEpochChange => (deliveries::epoch_changes(it), MESSAGES),
        Metric::OffsetsReused => (deliveries::reused_offsets(it), MESSAGES),
        Metric::RequestsSent => (
            counts("request", "requests", |it| it.requests.sent),
            REQUESTS,
        ),
        Metric::RequestsOk => (
            requests::listed(it, |it| it.class != RequestClass::Ok),
            REQUESTS,
        ),
        Metric::RequestsError => (class(RequestClass::Error), REQUESTS),
        Metric::RequestsNotSent => (class(RequestClass::NotSent), REQUESTS),
        Metric::RequestsUnknown => (class(RequestClass::MaybeExecuted), REQUESTS),
        Metric::RequestsResent => (
            counts("send after the first", "sends after the first", |it| {
                it.requests.resends
            }),
            REQUESTS,
        ),
        Metric::RequestsExecuted => (
            requests::listed(it, |it| it.executions == Some(0)),
            REQUESTS,
        ),
        Metric::RequestsExecutedTwice => {
            (requests::listed(it, |it| it.executions > Some(1)), REQUESTS)
        }
        Metric::RequestsOkNotExecuted => (
            requests::listed(it, |it| {
                it.class == RequestClass::Ok && it.executions == Some(0)
            }),
            REQUESTS,
        ),
        Metric::RequestsNotSentExecuted => {
            (requests::executed(it, RequestClass::NotSent), REQUESTS)
        }
        Metric::RequestsUnknownExecuted => (
            requests::executed(it, RequestClass::MaybeExecuted),
            REQUESTS,
        ),
        Metric::RequestsUnexpected => (
            counts(
                "execution of a request that it did not send",
                "executions of requests that it did not send",
                |it| it.requests.executed_unsent,
            ),
            REQUESTS,
        ),
        Metric::RequestsSettled => (requests::slowest(it, |it| it.settling), REQUESTS),
        Metric::LatencyTotal => (requests::slowest(it, |it| it.latency), REQUESTS),
        Metric::LatencyService => (requests::slowest(it, |it| it.service), REQUESTS),
        Metric::LoadUnsent => (
            counts(
                "publication or request not sent",
                "publications and requests not sent",
                |it| it.publications.unsent,
            ),
            TRAFFIC,
        ),
        Metric::ServiceRestartTime => (run::restarts(it), LOGS),
        Metric::ServiceExitUnexpected => (run::exits(it), LOGS),
        Metric::FaultsPlanned => (faults(|_| true), FAULTS),
        Metric::FaultsEffective => (faults(|it| !it.is_effective()), FAULTS),
        Metric::FaultsIneffective => (faults(|it| !it.is_effective()), FAULTS),
        Metric::FaultsWithoutImpact => (faults(FaultStats::has_no_impact), FAULTS),
        Metric::FaultsInFlight => (faults(|_| true), FAULTS),
        Metric::LabLag => (run::lag(it), TOTALS),
    }
}

/// A publication by its number and its publisher.
fn publication(report: &Report<'_>, id: MessageId) -> String {
    let publisher = client_name(report, id.publisher);
    format!("publication {} of {publisher}", id.sequence)
}
