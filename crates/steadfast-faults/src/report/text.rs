//! The report as text for a terminal: readable without colour, with the verdict at the beginning and the end.

use std::fmt::{self, Write};

use steadfast_machine::Instant;

use crate::check::{CheckOutcome, CheckResult, samples};
use crate::ledger::event::RunPhase;
use crate::ledger::{ClientOutcome, ClientStats, FaultStats};
use crate::metrics::{Metric, MetricFilter};
use crate::quantity::Quantity;
use crate::report::{RECOVERY, Report};
use crate::samples::{Aggregate, Samples};
use crate::scenario::model::CheckLevel;
use crate::topology::ClientKind;

/// Renders the report as text.
pub fn render(report: &Report<'_>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    write_all(&mut out, report).unwrap_or_default();
    out
}

fn write_all(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let verdict = report.evaluation.verdict.name();
    let profiles = if report.profiles.is_empty() {
        String::new()
    } else {
        format!("  profile {}", report.profiles.join(", "))
    };
    let name = report.scenario.name();
    writeln!(
        out,
        "{verdict}  {name}{profiles}  seed {}",
        report.plan.seed()
    )?;
    if !report.scenario.about().is_empty() {
        writeln!(out, "{}", report.scenario.about())?;
    }
    writeln!(out)?;
    write_clients(out, report)?;
    write_recovery(out, report)?;
    write_messages(out, report)?;
    write_faults(out, report)?;
    write_checks(out, report)?;
    write_guards(out, report)?;
    write_verdict(out, report)
}

fn write_clients(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let clients = &report.ledger.clients;
    writeln!(
        out,
        "clients                 total  never disconnected  affected  reconnected  gave up  still down"
    )?;
    let mut row = |name: &str, clients: &[&ClientStats]| {
        let count = |outcome| {
            clients
                .iter()
                .filter(|it| it.connections.outcome == outcome)
                .count()
        };
        let affected = clients
            .iter()
            .filter(|it| it.connections.outcome.is_affected())
            .count();
        let reconnected = count(ClientOutcome::Reconnected);
        writeln!(
            out,
            "  {name:<20}  {:>5}  {:>18}  {affected:>8}  {:>11}  {:>7}  {:>10}",
            clients.len(),
            count(ClientOutcome::NeverDisconnected),
            format!("{reconnected} of {affected}"),
            count(ClientOutcome::GaveUp),
            count(ClientOutcome::DownAtEnd),
        )
    };
    for kind in ClientKind::ALL {
        let of_kind: Vec<_> = clients.iter().filter(|it| it.client.kind == kind).collect();
        if !of_kind.is_empty() {
            row(kind.name(), &of_kind)?;
        }
    }
    row("all", &clients.iter().collect::<Vec<_>>())?;
    let never = clients
        .iter()
        .filter(|it| it.connections.outcome == ClientOutcome::NeverConnected);
    let silent = clients.iter().filter(|it| it.is_silent);
    let stalled = clients.iter().filter(|it| !it.stalls.is_empty());
    let (never, stalled, silent) = (never.count(), stalled.count(), silent.count());
    writeln!(
        out,
        "  never connected {never}, stalled {stalled}, connected but silent at the end {silent}"
    )?;
    writeln!(out)
}

fn write_recovery(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let ledger = report.ledger;
    let incidents = ledger.incidents().count();
    let disconnects: usize = ledger
        .clients
        .iter()
        .map(|it| it.connections.disconnects.len())
        .sum();
    let attributed = ledger
        .clients
        .iter()
        .flat_map(|it| &it.connections.disconnects);
    let attributed = attributed.filter(|it| it.fault.is_some()).count();
    writeln!(
        out,
        "recovery of {incidents} incidents ({disconnects} disconnects, {attributed} attributed to a fault)"
    )?;
    for (name, metric) in RECOVERY {
        if let Some(samples) = samples(metric, &MetricFilter::default(), ledger) {
            writeln!(out, "  {name:<8}{}", distribution(&samples))?;
        }
    }
    if let Some(attempts) = samples(
        Metric::AttemptsPerRecovery,
        &MetricFilter::default(),
        ledger,
    ) {
        writeln!(out, "  {:<8}{}", "attempts", distribution(&attempts))?;
    }
    let stalls = samples(Metric::RecoveryStall, &MetricFilter::default(), ledger);
    if let Some(stalls) = stalls.filter(|it| !it.is_empty()) {
        writeln!(out, "  {:<8}{}", "stall", distribution(&stalls))?;
    }
    for kind in ClientKind::ALL {
        let filter = MetricFilter {
            kind: Some(kind),
            ..MetricFilter::default()
        };
        let of_kind = samples(Metric::RecoveryTotal, &filter, ledger);
        if let Some(samples) = of_kind.filter(|samples| !samples.is_empty()) {
            writeln!(
                out,
                "  total of {:<20}{}",
                kind.name(),
                distribution(&samples)
            )?;
        }
    }
    writeln!(out)
}

/// The median, and the 99th percentile or the maximum that replaces it.
fn distribution(samples: &Samples) -> String {
    let upper = Aggregate::P99.for_samples(samples.len());
    let values = samples
        .aggregate(Aggregate::P50)
        .zip(samples.aggregate(upper));
    let Some((median, highest)) = values else {
        return "  no samples".to_owned();
    };
    let censored = match samples.censored() {
        0 => String::new(),
        censored => format!(", {censored} unfinished at the end"),
    };
    format!(
        "  p50 {:<12} {} {:<12} n {}{censored}",
        median.to_string(),
        upper.name(),
        highest.to_string(),
        samples.len()
    )
}

fn write_messages(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let clients = &report.ledger.clients;
    let sum = |pick: fn(&ClientStats) -> u64| clients.iter().map(pick).sum::<u64>();
    writeln!(
        out,
        "messages  published {}, acknowledged {}, rejected {}, unknown outcome {}, resent {}, unsent {}",
        sum(|it| it.publications.sent),
        sum(|it| it.publications.acknowledged),
        sum(|it| it.publications.rejected),
        sum(|it| it.publications.unknown),
        sum(|it| it.publications.resends),
        sum(|it| it.publications.unsent),
    )?;
    let mut row = |name: &str, clients: &[&ClientStats]| {
        let sum = |pick: fn(&ClientStats) -> u64| clients.iter().map(|it| pick(it)).sum::<u64>();
        let expected = sum(|it| it.delivery.expected);
        writeln!(
            out,
            "  {name:<20}  expected {expected}  delivered at sender stop {}  at the end {}  lost {}  duplicated {}  reordered {}  unexpected {}",
            percent(sum(|it| it.delivery.delivered_at_stop), expected),
            percent(sum(|it| it.delivery.delivered), expected),
            sum(|it| it.delivery.lost),
            sum(|it| it.delivery.duplicate),
            sum(|it| it.delivery.reordered),
            sum(|it| it.delivery.unexpected),
        )
    };
    for kind in ClientKind::ALL {
        let of_kind: Vec<_> = clients.iter().filter(|it| it.client.kind == kind).collect();
        if !of_kind.is_empty() {
            row(kind.name(), &of_kind)?;
        }
    }
    row("all", &clients.iter().collect::<Vec<_>>())?;
    let offsets = report.ledger.offsets;
    writeln!(
        out,
        "  gaps reported {}, channel epoch changes {}, offsets reused {}",
        sum(|it| it.delivery.gaps_reported),
        offsets.epoch_changes,
        offsets.reused
    )?;
    writeln!(out)
}

/// Formats a share, never rounded up: 100 % means all.
fn percent(part: u64, whole: u64) -> String {
    let share = Quantity::share(part, whole).and_then(|it| it.times(Quantity::count(100)));
    share.map_or_else(|| "no data".to_owned(), |share| format!("{share} %"))
}

fn write_faults(out: &mut String, report: &Report<'_>) -> fmt::Result {
    writeln!(out, "faults")?;
    let start = report.ledger.phases.get(&RunPhase::Steps).copied();
    for fault in &report.ledger.faults {
        write_fault(out, report, fault, start.unwrap_or_default())?;
    }
    if report.ledger.faults.is_empty() {
        writeln!(out, "  none")?;
    }
    writeln!(out)
}

fn write_fault(
    out: &mut String,
    report: &Report<'_>,
    fault: &FaultStats,
    start: Instant,
) -> fmt::Result {
    let planned = &fault.planned;
    let targets = planned.targets.iter().filter_map(|id| {
        let instance = report.plan.topology().instance(*id)?;
        Some(instance.to_string())
    });
    let targets: Vec<String> = targets.collect();
    let at = fault
        .injected
        .map_or(planned.at, |injected| injected - start);
    let (at, step, occurrence) = (Quantity::time(at), &planned.step, planned.occurrence);
    let (action, targets) = (planned.action.name(), targets.join(", "));
    write!(out, "  {at:>9}  {step} {occurrence}  {action} {targets}: ")?;
    match &fault.ineffective {
        Some(reason) => return writeln!(out, "no effect: {reason}"),
        None if !fault.is_effective() => return writeln!(out, "effect not confirmed"),
        None => {}
    }
    let (disconnects, in_flight) = (fault.disconnects, fault.in_flight);
    write!(
        out,
        "ended {disconnects} connections, {in_flight} publications in flight"
    )?;
    match fault.healed.zip(fault.injected) {
        Some((healed, injected)) => {
            writeln!(out, ", healed after {}", Quantity::time(healed - injected))
        }
        None => writeln!(out, ", not healed"),
    }
}

fn write_checks(out: &mut String, report: &Report<'_>) -> fmt::Result {
    writeln!(out, "checks")?;
    for check in &report.evaluation.checks {
        writeln!(
            out,
            "  {:<7}  {:<32}  {}",
            label(check),
            check.id,
            check.that
        )?;
        if check.outcome != CheckOutcome::Holds || check.level == CheckLevel::Info {
            for evidence in &check.evidence {
                writeln!(out, "{:11}{evidence}", "")?;
            }
        }
    }
    writeln!(out)
}

const fn label(check: &CheckResult) -> &'static str {
    match (check.level, check.outcome) {
        (CheckLevel::Info, _) => "info",
        (_, CheckOutcome::Holds) => "ok",
        (CheckLevel::Must, CheckOutcome::Fails) => "FAILS",
        (CheckLevel::Should, CheckOutcome::Fails) => "should",
        (_, CheckOutcome::Unknown) => "unknown",
    }
}

fn write_guards(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let guards = &report.evaluation.guards;
    let met = guards.iter().filter(|it| it.violation.is_none()).count();
    writeln!(out, "guards  {met} of {} met", guards.len())?;
    for guard in guards {
        if let Some(reason) = &guard.violation {
            writeln!(out, "  not met: {}: {reason}", guard.name)?;
        }
    }
    let filter = MetricFilter::default();
    if let Some(lag) = samples(Metric::LabLag, &filter, report.ledger) {
        writeln!(out, "  timer lag of the harness{}", distribution(&lag))?;
    }
    writeln!(out)
}

fn write_verdict(out: &mut String, report: &Report<'_>) -> fmt::Result {
    writeln!(out, "{}", report.evaluation.verdict.name())?;
    for reason in &report.evaluation.reasons {
        writeln!(out, "  {reason}")?;
    }
    Ok(())
}
