//! A run as JSON, for programs: the same books as the text, each number with its unit in its name.
//!
//! The names are a format of their own, kept apart from the books by the shapes below.

use serde::Serialize;

use crate::check::{Answer, Checked, samples};
use crate::ledger::{ClientBook, FaultBook, Group};
use crate::metrics::{Filter, Metric};
use crate::quantity::Unit;
use crate::report::{RECOVERY, Report};
use crate::roster::ClientKind;
use crate::samples::{Aggregate, Figure, Samples};

#[derive(Debug, Serialize)]
struct Run<'a> {
    schema: &'static str,
    scenario: &'a str,
    about: &'a str,
    profiles: &'a [String],
    seed: u64,
    verdict: &'static str,
    reasons: &'a [String],
    lasted_us: u64,
    clients: Clients,
    clients_by_kind: Vec<OfKind>,
    recovery: Vec<Spread>,
    attempts_per_recovery: Option<Spread>,
    harness_lag: Option<Spread>,
    messages: Messages,
    gaps_announced: u64,
    channel_epoch_changes: u64,
    places_reused: u64,
    faults: Vec<Fault<'a>>,
    checks: Vec<Check<'a>>,
    guards: Vec<Guard<'a>>,
}

#[derive(Debug, Serialize)]
struct OfKind {
    kind: &'static str,
    clients: Clients,
    messages: Messages,
    recovery_total: Option<Spread>,
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
    refused: u64,
    unknown: u64,
    repeated: u64,
    unsent: u64,
    owed_pairs: u64,
    delivered_pairs: u64,
    delivered_pairs_at_stop: u64,
    lost_pairs: u64,
    duplicates: u64,
    reordered: u64,
    unexpected: u64,
}

/// Figures of many samples. Each name of a figure says its unit; `p99` is absent below 100 samples.
#[derive(Debug, Serialize)]
struct Spread {
    name: &'static str,
    unit: &'static str,
    n: usize,
    not_over_at_end: usize,
    p50: Option<Value>,
    p99: Option<Value>,
    max: Option<Value>,
}

#[derive(Debug, Serialize)]
struct Value {
    value: u64,
    /// The true value is only known to be larger.
    or_more: bool,
}

#[derive(Debug, Serialize)]
struct Fault<'a> {
    step: &'a str,
    occurrence: u32,
    action: &'static str,
    targets: Vec<String>,
    planned_at_us: u64,
    effective: bool,
    ineffective_because: Option<&'a str>,
    healed_after_us: Option<u64>,
    connections_ended: u64,
    publications_in_flight: u64,
}

#[derive(Debug, Serialize)]
struct Check<'a> {
    id: &'a str,
    that: &'a str,
    level: &'static str,
    answer: &'static str,
    evidence: &'a [String],
}

#[derive(Debug, Serialize)]
struct Guard<'a> {
    name: &'static str,
    met: bool,
    because: Option<&'a str>,
}

/// Writes the report as one JSON object over several lines.
pub fn render(report: &Report<'_>) -> String {
    // Every key is a string and every value is finite, so nothing can fail.
    serde_json::to_string_pretty(&run(report)).unwrap_or_default()
}

fn run<'a>(report: &Report<'a>) -> Run<'a> {
    let ledger = report.ledger;
    let all: Vec<&ClientBook> = ledger.clients.iter().collect();
    let everyone = Filter::default();
    let figures =
        |name, metric| samples(metric, &everyone, ledger).map(|samples| spread(name, &samples));
    Run {
        schema: "lab-report/1",
        scenario: report.scenario.name(),
        about: report.scenario.about(),
        profiles: report.profiles,
        seed: report.plan.seed(),
        verdict: report.judgement.verdict.name(),
        reasons: &report.judgement.reasons,
        lasted_us: micros(ledger.lasted()),
        clients: clients(&all),
        clients_by_kind: ClientKind::ALL
            .into_iter()
            .filter_map(|kind| of_kind(kind, report))
            .collect(),
        recovery: RECOVERY
            .into_iter()
            .filter_map(|(name, metric)| figures(name, metric))
            .collect(),
        attempts_per_recovery: figures("attempts", Metric::AttemptsPerRecovery),
        harness_lag: figures("lag", Metric::LabLag),
        messages: messages(&all),
        gaps_announced: all.iter().map(|it| it.delivery.gaps_announced).sum(),
        channel_epoch_changes: ledger.places.epoch_changes,
        places_reused: ledger.places.reused,
        faults: ledger.faults.iter().map(|it| fault(it, report)).collect(),
        checks: report.judgement.checks.iter().map(check).collect(),
        guards: report
            .judgement
            .guards
            .iter()
            .map(|it| Guard {
                name: it.name,
                met: it.broken.is_none(),
                because: it.broken.as_deref(),
            })
            .collect(),
    }
}

fn of_kind(kind: ClientKind, report: &Report<'_>) -> Option<OfKind> {
    let books = report.ledger.clients.iter();
    let books: Vec<&ClientBook> = books.filter(|it| it.client.kind == kind).collect();
    let filter = Filter {
        kind: Some(kind),
        ..Filter::default()
    };
    let total = samples(Metric::RecoveryTotal, &filter, report.ledger);
    (!books.is_empty()).then(|| OfKind {
        kind: kind.name(),
        clients: clients(&books),
        messages: messages(&books),
        recovery_total: total.map(|samples| spread("total", &samples)),
    })
}

fn clients(books: &[&ClientBook]) -> Clients {
    let group = |group| count(books.iter().filter(|it| it.life.group == group));
    let ends = || books.iter().flat_map(|it| &it.life.ends);
    let stalls = books.iter().flat_map(|it| &it.stalls);
    Clients {
        total: count(books.iter()),
        never_connected: group(Group::NeverConnected),
        never_disconnected: group(Group::NeverDisconnected),
        affected: count(books.iter().filter(|it| it.life.group.is_affected())),
        reconnected: group(Group::Reconnected),
        gave_up: group(Group::GaveUp),
        down_at_end: group(Group::DownAtEnd),
        silent: count(books.iter().filter(|it| it.is_silent)),
        stalled: count(books.iter().filter(|it| !it.stalls.is_empty())),
        stalls_unattributed: count(stalls.filter(|it| it.fault.is_none())),
        disconnects: count(ends()),
        disconnects_unattributed: count(ends().filter(|it| it.fault.is_none())),
        attempts: books.iter().map(|it| it.life.attempts).sum(),
    }
}

fn messages(books: &[&ClientBook]) -> Messages {
    let sum = |pick: fn(&ClientBook) -> u64| books.iter().map(|it| pick(it)).sum();
    Messages {
        published: sum(|it| it.published.sent),
        acknowledged: sum(|it| it.published.acknowledged),
        refused: sum(|it| it.published.refused),
        unknown: sum(|it| it.published.unknown),
        repeated: sum(|it| it.published.repeats),
        unsent: sum(|it| it.published.unsent),
        owed_pairs: sum(|it| it.delivery.owed),
        delivered_pairs: sum(|it| it.delivery.delivered),
        delivered_pairs_at_stop: sum(|it| it.delivery.delivered_by_stop),
        lost_pairs: sum(|it| it.delivery.lost),
        duplicates: sum(|it| it.delivery.duplicate),
        reordered: sum(|it| it.delivery.reordered),
        unexpected: sum(|it| it.delivery.unexpected),
    }
}

fn spread(name: &'static str, samples: &Samples) -> Spread {
    let n = samples.len();
    let unit = match samples.unit() {
        Unit::One => "count",
        Unit::Time => "us",
    };
    let figure = |aggregate| samples.figure(aggregate).and_then(value);
    let p99 = (Aggregate::P99.for_samples(n) == Aggregate::P99).then(|| figure(Aggregate::P99));
    Spread {
        name,
        unit,
        n,
        not_over_at_end: samples.censored(),
        p50: figure(Aggregate::P50),
        p99: p99.flatten(),
        max: figure(Aggregate::Max),
    }
}

fn value(figure: Figure) -> Option<Value> {
    let value = match figure.quantity.unit() {
        Unit::One => figure.quantity.as_count()?,
        Unit::Time => micros(figure.quantity.as_time()?),
    };
    Some(Value {
        value,
        or_more: figure.censored,
    })
}

fn fault<'a>(fault: &'a FaultBook, report: &Report<'_>) -> Fault<'a> {
    let planned = &fault.planned;
    let roster = report.plan.roster();
    let targets = planned.targets.iter().filter_map(|id| roster.instance(*id));
    let healed = fault.healed.zip(fault.injected);
    Fault {
        step: &planned.step,
        occurrence: planned.occurrence,
        action: planned.action.name(),
        targets: targets.map(ToString::to_string).collect(),
        planned_at_us: micros(planned.at),
        effective: fault.is_effective(),
        ineffective_because: fault.ineffective.as_deref(),
        healed_after_us: healed.map(|(healed, injected)| micros(healed - injected)),
        connections_ended: fault.ended,
        publications_in_flight: fault.in_flight,
    }
}

fn check(check: &Checked) -> Check<'_> {
    Check {
        id: &check.id,
        that: &check.that,
        level: check.level.name(),
        answer: match check.answer {
            Answer::Holds => "holds",
            Answer::Fails => "fails",
            Answer::Unknown => "unknown",
        },
        evidence: &check.evidence,
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}
