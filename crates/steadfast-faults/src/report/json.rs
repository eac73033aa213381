//! The report as JSON: the same data as in the text report; keys of times end in their unit.
//!
//! The keys are a public format, so the structs below separate them from the types of the ledger.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Number;
use steadfast_machine::convert;

use crate::check::{CheckResult, ComparisonResult, samples};
use crate::ledger::{ClientOutcome, ClientStats, FaultStats, RequestClass};
use crate::metrics::{Metric, MetricFilter};
use crate::quantity::Unit;
use crate::report::{ProgramVersion, RECOVERY, Report};
use crate::samples::{Aggregate, Measurement, Samples};
use crate::topology::ClientKind;

#[derive(Debug, Serialize)]
struct RunReport<'a> {
    schema: &'static str,
    scenario: &'a str,
    about: &'a str,
    profiles: &'a [String],
    params: BTreeMap<&'a str, &'a str>,
    is_placebo: bool,
    seed: u64,
    programs: &'a [ProgramVersion],
    verdict: &'static str,
    reasons: &'a [String],
    duration_us: u64,
    clients: Clients,
    clients_by_kind: Vec<KindReport>,
    recovery: Vec<Distribution>,
    attempts_per_recovery: Option<Distribution>,
    harness_lag: Option<Distribution>,
    messages: Messages,
    requests: Requests,
    gaps_reported: u64,
    channel_epoch_changes: u64,
    offsets_reused: u64,
    faults: Vec<Fault<'a>>,
    checks: Vec<Check<'a>>,
    guards: Vec<Guard<'a>>,
}

#[derive(Debug, Serialize)]
struct KindReport {
    kind: &'static str,
    clients: Clients,
    messages: Messages,
    recovery_total: Option<Distribution>,
}

#[derive(Debug, Serialize)]
struct Clients {
    total: u64,
    never_connected: u64,
    never_disconnected: u64,
    affected: u64,
    reconnected: u64,
    gave_up: u64,
    down_at_end: u64,
    silent: u64,
    stalled: u64,
    stalls_unattributed: u64,
    disconnects: u64,
    disconnects_unattributed: u64,
    attempts: u64,
}

#[derive(Debug, Serialize)]
struct Messages {
    published: u64,
    acknowledged: u64,
    rejected: u64,
    unknown: u64,
    resent: u64,
    unsent: u64,
    expected_deliveries: u64,
    completed_deliveries: u64,
    completed_deliveries_at_sender_stop: u64,
    lost_deliveries: u64,
    duplicates: u64,
    reordered: u64,
    unexpected: u64,
}

#[derive(Debug, Serialize)]
struct Requests {
    sent: u64,
    ok: u64,
    error: u64,
    not_sent: u64,
    unknown: u64,
    resent: u64,
    /// Null if no service has an effect log.
    effects: Option<Effects>,
    latency: Vec<Distribution>,
}

#[derive(Debug, Serialize)]
struct Effects {
    executed: u64,
    executed_twice: u64,
    ok_not_executed: u64,
    not_sent_executed: u64,
    unknown_executed: u64,
}

/// Aggregates of samples, in `unit`; percentiles are null below 100 samples.
#[derive(Debug, Serialize)]
struct Distribution {
    name: &'static str,
    unit: &'static str,
    n: usize,
    censored: usize,
    min: Option<Value>,
    p50: Option<Value>,
    p99: Option<Value>,
    max: Option<Value>,
}

#[derive(Debug, Serialize)]
struct Value {
    value: u64,
    /// Only a lower bound of the value is known.
    is_lower_bound: bool,
}

#[derive(Debug, Serialize)]
struct Fault<'a> {
    step: &'a str,
    occurrence: u32,
    action: &'static str,
    targets: Vec<String>,
    planned_at_us: u64,
    is_effective: bool,
    /// What confirmed its effect.
    evidence: Option<&'a str>,
    ineffective_reason: Option<&'a str>,
    healed_after_us: Option<u64>,
    /// Clients that were connected at some time while it lasted.
    clients_connected: u64,
    clients_stalled: u64,
    connections_ended: u64,
    publications_in_flight: u64,
}

#[derive(Debug, Serialize)]
struct Check<'a> {
    id: &'a str,
    that: &'a str,
    level: &'static str,
    outcome: &'static str,
    /// What was measured next to its limit, in words.
    measured: String,
    comparisons: Vec<ComparisonReport>,
}

/// A measured value and its limit; a value is null without samples.
#[derive(Debug, Serialize)]
struct ComparisonReport {
    left: Option<Operand>,
    relation: &'static str,
    right: Option<Operand>,
    outcome: &'static str,
}

/// A count, a ratio with at most four decimals, or a time.
#[derive(Debug, Serialize)]
struct Operand {
    value: Number,
    unit: &'static str,
    /// Only a lower bound of the value is known.
    is_lower_bound: bool,
}

#[derive(Debug, Serialize)]
struct Guard<'a> {
    name: &'static str,
    is_met: bool,
    reason: Option<&'a str>,
}

/// Renders the report as one JSON object over several lines.
pub fn render(report: &Report<'_>) -> String {
    // Every key is a string and every value is finite, so nothing can fail.
    serde_json::to_string_pretty(&run(report)).unwrap_or_default()
}

fn run<'a>(report: &Report<'a>) -> RunReport<'a> {
    let ledger = report.ledger;
    let all: Vec<&ClientStats> = ledger.clients.iter().collect();
    let all_clients = MetricFilter::default();
    let aggregates = |name, metric| {
        samples(metric, &all_clients, ledger).map(|samples| distribution(name, &samples))
    };
    RunReport {
        schema: "lab-report/1",
        scenario: report.scenario.name(),
        about: report.scenario.about(),
        profiles: report.profiles,
        params: report
            .scenario
            .params()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        is_placebo: report.is_placebo,
        seed: report.plan.seed(),
        programs: report.programs,
        verdict: report.evaluation.verdict.name(),
        reasons: &report.evaluation.reasons,
        duration_us: micros(ledger.duration()),
        clients: clients(&all),
        clients_by_kind: ClientKind::ALL
            .into_iter()
            .filter_map(|kind| of_kind(kind, report))
            .collect(),
        recovery: RECOVERY
            .into_iter()
            .filter_map(|(name, metric)| aggregates(name, metric))
            .collect(),
        attempts_per_recovery: aggregates("attempts", Metric::AttemptsPerRecovery),
        harness_lag: aggregates("lag", Metric::LabLag),
        messages: messages(&all),
        requests: requests(&all, report),
        gaps_reported: all.iter().map(|it| it.delivery.gaps_reported).sum(),
        channel_epoch_changes: ledger.offsets.epoch_changes,
        offsets_reused: ledger.offsets.reused,
        faults: ledger.faults.iter().map(|it| fault(it, report)).collect(),
        checks: report.evaluation.checks.iter().map(check).collect(),
        guards: report
            .evaluation
            .guards
            .iter()
            .map(|it| Guard {
                name: it.name,
                is_met: it.violation.is_none(),
                reason: it.violation.as_deref(),
            })
            .collect(),
    }
}

fn of_kind(kind: ClientKind, report: &Report<'_>) -> Option<KindReport> {
    let all = report.ledger.clients.iter();
    let of_kind: Vec<&ClientStats> = all.filter(|it| it.client.kind == kind).collect();
    let filter = MetricFilter {
        kind: Some(kind),
        ..MetricFilter::default()
    };
    let total = samples(Metric::RecoveryTotal, &filter, report.ledger);
    (!of_kind.is_empty()).then(|| KindReport {
        kind: kind.name(),
        clients: clients(&of_kind),
        messages: messages(&of_kind),
        recovery_total: total.map(|samples| distribution("total", &samples)),
    })
}

fn clients(stats: &[&ClientStats]) -> Clients {
    let with_outcome = |outcome| count(stats.iter().filter(|it| it.connections.outcome == outcome));
    let disconnects = || stats.iter().flat_map(|it| &it.connections.disconnects);
    let stalls = stats.iter().flat_map(|it| &it.stalls);
    Clients {
        total: count(stats.iter()),
        never_connected: with_outcome(ClientOutcome::NeverConnected),
        never_disconnected: with_outcome(ClientOutcome::NeverDisconnected),
        affected: count(
            stats
                .iter()
                .filter(|it| it.connections.outcome.is_affected()),
        ),
        reconnected: with_outcome(ClientOutcome::Reconnected),
        gave_up: with_outcome(ClientOutcome::GaveUp),
        down_at_end: with_outcome(ClientOutcome::DownAtEnd),
        silent: count(stats.iter().filter(|it| it.is_silent)),
        stalled: count(stats.iter().filter(|it| !it.stalls.is_empty())),
        stalls_unattributed: count(stalls.filter(|it| it.fault.is_none())),
        disconnects: count(disconnects()),
        disconnects_unattributed: count(disconnects().filter(|it| it.fault.is_none())),
        attempts: stats.iter().map(|it| it.connections.attempts).sum(),
    }
}

fn messages(stats: &[&ClientStats]) -> Messages {
    let sum = |pick: fn(&ClientStats) -> u64| stats.iter().map(|it| pick(it)).sum();
    Messages {
        published: sum(|it| it.publications.sent),
        acknowledged: sum(|it| it.publications.acknowledged),
        rejected: sum(|it| it.publications.rejected),
        unknown: sum(|it| it.publications.unknown),
        resent: sum(|it| it.publications.resends),
        unsent: sum(|it| it.publications.unsent),
        expected_deliveries: sum(|it| it.delivery.expected),
        completed_deliveries: sum(|it| it.delivery.delivered),
        completed_deliveries_at_sender_stop: sum(|it| it.delivery.delivered_at_stop),
        lost_deliveries: sum(|it| it.delivery.lost),
        duplicates: sum(|it| it.delivery.duplicate),
        reordered: sum(|it| it.delivery.reordered),
        unexpected: sum(|it| it.delivery.unexpected),
    }
}

fn requests(stats: &[&ClientStats], report: &Report<'_>) -> Requests {
    let sum = |pick: fn(&ClientStats) -> u64| stats.iter().map(|it| pick(it)).sum();
    let effects = report.ledger.effects.was_read().then(|| Effects {
        executed: sum(|it| it.requests.executed(None)),
        executed_twice: sum(|it| it.requests.executed_twice()),
        ok_not_executed: sum(|it| it.requests.ok_not_executed()),
        not_sent_executed: sum(|it| it.requests.executed(Some(RequestClass::NotSent))),
        unknown_executed: sum(|it| it.requests.executed(Some(RequestClass::MaybeExecuted))),
    });
    let latency = [
        ("total", Metric::LatencyTotal),
        ("service", Metric::LatencyService),
    ];
    let all = MetricFilter::default();
    Requests {
        sent: sum(|it| it.requests.sent),
        ok: sum(|it| it.requests.of_class(RequestClass::Ok)),
        error: sum(|it| it.requests.of_class(RequestClass::Error)),
        not_sent: sum(|it| it.requests.of_class(RequestClass::NotSent)),
        unknown: sum(|it| it.requests.of_class(RequestClass::MaybeExecuted)),
        resent: sum(|it| it.requests.resends),
        effects,
        latency: latency
            .into_iter()
            .filter_map(|(name, metric)| {
                let samples = samples(metric, &all, report.ledger)?;
                Some(distribution(name, &samples))
            })
            .collect(),
    }
}

fn distribution(name: &'static str, samples: &Samples) -> Distribution {
    let n = samples.len();
    let aggregated = |aggregate: Aggregate| {
        let is_valid = aggregate.for_samples(n) == aggregate;
        let measured = samples.aggregate(aggregate).filter(|_| is_valid);
        measured.and_then(value)
    };
    Distribution {
        name,
        unit: unit_name(samples.unit()),
        n,
        censored: samples.censored(),
        min: aggregated(Aggregate::Min),
        p50: aggregated(Aggregate::P50),
        p99: aggregated(Aggregate::P99),
        max: aggregated(Aggregate::Max),
    }
}

const fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Dimensionless => "count",
        Unit::Time => "us",
    }
}

fn value(measured: Measurement) -> Option<Value> {
    let value = match measured.quantity.unit() {
        Unit::Dimensionless => measured.quantity.as_count()?,
        Unit::Time => micros(measured.quantity.as_time()?),
    };
    Some(Value {
        value,
        is_lower_bound: measured.is_censored,
    })
}

fn fault<'a>(fault: &'a FaultStats, report: &Report<'_>) -> Fault<'a> {
    let planned = &fault.planned;
    let topology = report.plan.topology();
    let healed = fault.healed.zip(fault.injected);
    Fault {
        step: &planned.step,
        occurrence: planned.occurrence,
        action: planned.action.name(),
        targets: planned.target_names(topology),
        planned_at_us: micros(planned.at),
        is_effective: fault.is_effective(),
        evidence: fault.evidence.as_deref(),
        ineffective_reason: fault.ineffective.as_deref(),
        healed_after_us: healed.map(|(healed, injected)| micros(healed - injected)),
        clients_connected: fault.connected,
        clients_stalled: fault.stalled,
        connections_ended: fault.disconnects,
        publications_in_flight: fault.in_flight,
    }
}

fn check(check: &CheckResult) -> Check<'_> {
    Check {
        id: &check.id,
        that: &check.that,
        level: check.level.name(),
        outcome: check.outcome.name(),
        measured: check.measured(),
        comparisons: check.comparisons.iter().map(comparison).collect(),
    }
}

fn comparison(comparison: &ComparisonResult) -> ComparisonReport {
    ComparisonReport {
        left: comparison.left.and_then(operand),
        relation: comparison.relation.symbol(),
        right: comparison.right.and_then(operand),
        outcome: comparison.outcome.name(),
    }
}

fn operand(measured: Measurement) -> Option<Operand> {
    let value = match measured.quantity.unit() {
        // Counts are printed without decimals, ratios with them, never in scientific notation.
        Unit::Dimensionless => measured.quantity.to_string().parse().ok()?,
        Unit::Time => Number::from(micros(measured.quantity.as_time()?)),
    };
    Some(Operand {
        value,
        unit: unit_name(measured.quantity.unit()),
        is_lower_bound: measured.is_censored,
    })
}

fn micros(time: std::time::Duration) -> u64 {
    convert::saturating(time.as_micros())
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    convert::to_u64(items.count())
}
