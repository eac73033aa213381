//! The report as text for a terminal: readable without colour, with the verdict at the beginning and the end.

mod recovery;
mod requests;

use std::fmt::{self, Write};

use steadfast_machine::Instant;

use crate::check::{CheckOutcome, CheckResult, samples};
use crate::counted::{counted, counted_len, grouped};
use crate::ledger::event::RunPhase;
use crate::ledger::{ClientOutcome, ClientStats, FaultStats};
use crate::metrics::{Metric, MetricFilter};
use crate::quantity::{Percent, Quantity};
use crate::report::Report;
use crate::report::table::{Align, Table};
use crate::samples::{Aggregate, Samples};
use crate::scenario::model::CheckLevel;
use crate::topology::ClientKind;
use crate::verdict::{Verdict, guards};

/// Renders the report as text.
pub fn render(report: &Report<'_>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    write_all(&mut out, report).unwrap_or_default();
    out
}

fn write_all(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let headline = headline(report);
    writeln!(out, "{headline}")?;
    if !report.scenario.about().is_empty() {
        writeln!(out, "{}", report.scenario.about())?;
    }
    if report.is_placebo {
        writeln!(out, "Placebo: faults were reported, and none was injected.")?;
    }
    for program in report.programs {
        let (service, version) = (&program.service, &program.version);
        writeln!(out, "{service}: {version} ({})", program.program)?;
    }
    writeln!(out)?;
    write_clients(out, report)?;
    recovery::write(out, report)?;
    write_messages(out, report)?;
    requests::write(out, report)?;
    write_faults(out, report)?;
    write_checks(out, report)?;
    write_guards(out, report)?;
    write_reasons(out, report)?;
    writeln!(out, "{headline}")
}

/// The verdict, and what was run.
fn headline(report: &Report<'_>) -> String {
    let profiles = if report.profiles.is_empty() {
        String::new()
    } else {
        format!("  profile {}", report.profiles.join(", "))
    };
    format!(
        "{}  {}{profiles}  seed {}",
        report.evaluation.verdict.name(),
        report.scenario.name(),
        report.plan.seed()
    )
}

fn write_table(out: &mut String, table: &Table) -> fmt::Result {
    table
        .lines()
        .iter()
        .try_for_each(|line| writeln!(out, "{line}"))
}

/// Each kind that takes part with its clients, and all clients.
fn groups<'a>(report: &Report<'a>) -> Vec<(&'static str, Vec<&'a ClientStats>)> {
    let clients = &report.ledger.clients;
    let of_kind = |kind: ClientKind| clients.iter().filter(move |it| it.client.kind == kind);
    let kinds = ClientKind::ALL
        .into_iter()
        .map(|kind| (kind.name(), of_kind(kind).collect::<Vec<_>>()));
    kinds
        .filter(|(_, clients)| !clients.is_empty())
        .chain([("all", clients.iter().collect())])
        .collect()
}

fn write_clients(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let mut columns = vec![Align::Left];
    columns.extend([Align::Right; 6]);
    let mut table = Table::new(columns);
    table.push([
        "clients",
        "total",
        "never disconnected",
        "affected",
        "reconnected",
        "gave up",
        "still down",
    ]);
    for (name, clients) in groups(report) {
        let outcomes = || clients.iter().map(|it| it.connections.outcome);
        let number = |outcome| outcomes().filter(|it| *it == outcome).count();
        let affected = outcomes().filter(|it| it.is_affected()).count();
        table.push([
            format!("  {name}"),
            clients.len().to_string(),
            number(ClientOutcome::NeverDisconnected).to_string(),
            affected.to_string(),
            format!("{} of {affected}", number(ClientOutcome::Reconnected)),
            number(ClientOutcome::GaveUp).to_string(),
            number(ClientOutcome::DownAtEnd).to_string(),
        ]);
    }
    write_table(out, &table)?;
    let clients = &report.ledger.clients;
    let never = clients
        .iter()
        .filter(|it| it.connections.outcome == ClientOutcome::NeverConnected);
    let silent = clients.iter().filter(|it| it.is_silent);
    let stalled = clients.iter().filter(|it| !it.stalls.is_empty());
    let (never, stalled, silent) = (never.count(), stalled.count(), silent.count());
    writeln!(
        out,
        "  {never} never connected, {stalled} stalled, {silent} connected but silent at the end"
    )?;
    writeln!(out)
}

fn write_messages(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let clients = &report.ledger.clients;
    let sum = |pick: fn(&ClientStats) -> u64| clients.iter().map(pick).sum::<u64>();
    let grouped_sum = |pick| grouped(sum(pick));
    writeln!(
        out,
        "publications: {} published, {} acknowledged, {} rejected, {} with unknown outcome, {} resent, {} unsent",
        grouped_sum(|it| it.publications.sent),
        grouped_sum(|it| it.publications.acknowledged),
        grouped_sum(|it| it.publications.rejected),
        grouped_sum(|it| it.publications.unknown),
        grouped_sum(|it| it.publications.resends),
        grouped_sum(|it| it.publications.unsent),
    )?;
    writeln!(out)?;
    write_table(out, &deliveries(report))?;
    let offsets = &report.ledger.offsets;
    writeln!(
        out,
        "  {}, {}, {}",
        counted(
            sum(|it| it.delivery.gaps_reported),
            "gap reported",
            "gaps reported"
        ),
        counted(
            offsets.epoch_changes,
            "channel epoch change",
            "channel epoch changes"
        ),
        counted(offsets.reused, "offset reused", "offsets reused"),
    )?;
    writeln!(out)
}

fn deliveries(report: &Report<'_>) -> Table {
    let mut columns = vec![Align::Left];
    columns.extend([Align::Right; 7]);
    let mut table = Table::new(columns);
    table.push([
        "deliveries",
        "expected",
        "when senders stopped",
        "at the end",
        "lost",
        "duplicate",
        "reordered",
        "unexpected",
    ]);
    for (name, clients) in groups(report) {
        let sum = |pick: fn(&ClientStats) -> u64| clients.iter().map(|it| pick(it)).sum::<u64>();
        let expected = sum(|it| it.delivery.expected);
        table.push([
            format!("  {name}"),
            grouped(expected),
            percent(sum(|it| it.delivery.delivered_at_stop), expected),
            percent(sum(|it| it.delivery.delivered), expected),
            grouped(sum(|it| it.delivery.lost)),
            grouped(sum(|it| it.delivery.duplicate)),
            grouped(sum(|it| it.delivery.reordered)),
            grouped(sum(|it| it.delivery.unexpected)),
        ]);
    }
    table
}

fn percent(part: u64, whole: u64) -> String {
    let share = Quantity::share(part, whole);
    share.map_or_else(|| "-".to_owned(), |share| Percent(share).to_string())
}

fn write_faults(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let faults = &report.ledger.faults;
    if faults.is_empty() {
        writeln!(out, "faults: none")?;
        return writeln!(out);
    }
    let start = report.ledger.phases.get(&RunPhase::Steps).copied();
    let mut table = Table::new(vec![Align::Right, Align::Left, Align::Left, Align::Left]);
    for fault in faults {
        table.push(fault_row(report, fault, start.unwrap_or_default()));
    }
    writeln!(out, "faults, by the time since the baseline ended")?;
    for line in table.lines() {
        writeln!(out, "  {line}")?;
    }
    writeln!(out)
}

/// Time, name in the scenario, action with its targets, effect.
fn fault_row(report: &Report<'_>, fault: &FaultStats, start: Instant) -> [String; 4] {
    let planned = &fault.planned;
    let targets = planned.target_names(report.plan.topology());
    let at = fault
        .injected
        .map_or(planned.at, |injected| injected - start);
    [
        Quantity::time(at).to_string(),
        format!("{} {}", planned.step, planned.occurrence),
        format!("{} {}", planned.action.name(), targets.join(", ")),
        effect(fault),
    ]
}

fn effect(fault: &FaultStats) -> String {
    match &fault.ineffective {
        Some(reason) => return format!("no effect: {reason}"),
        None if !fault.is_effective() => return "effect not confirmed".to_owned(),
        None => {}
    }
    let healed = match fault.healed.zip(fault.injected) {
        Some((healed, injected)) => {
            format!("healed after {}", Quantity::time(healed - injected))
        }
        None => "not healed".to_owned(),
    };
    let of_link = fault.planned.action.link_fault().is_some();
    let evidence = fault.evidence.as_deref().filter(|_| of_link);
    let evidence = evidence.map_or_else(String::new, |it| format!("{it}, "));
    format!(
        "{evidence}ended {}, hit {}, {healed}",
        counted(fault.disconnects, "connection", "connections"),
        counted(
            fault.in_flight,
            "publication in flight",
            "publications in flight"
        ),
    )
}

fn write_checks(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let checks = &report.evaluation.checks;
    let held = checks
        .iter()
        .filter(|it| it.outcome == CheckOutcome::Holds)
        .count();
    writeln!(out, "checks: {held} of {} held", checks.len())?;
    let mut table = Table::new(vec![Align::Left, Align::Left, Align::Left]);
    for check in checks {
        table.push([label(check).to_owned(), check.id.clone(), check.measured()]);
    }
    for (line, check) in table.lines().iter().zip(checks) {
        writeln!(out, "  {line}")?;
        if check.outcome != CheckOutcome::Holds {
            writeln!(out, "           condition: {}", check.that)?;
        }
    }
    writeln!(out)
}

/// The result of a check in one word.
pub(super) const fn label(check: &CheckResult) -> &'static str {
    match (check.level, check.outcome) {
        (_, CheckOutcome::NotApplicable) => "n/a",
        (CheckLevel::Info, _) => "info",
        (_, CheckOutcome::Holds) => "ok",
        (CheckLevel::Must, CheckOutcome::Fails) => "FAILS",
        (CheckLevel::Should, CheckOutcome::Fails) => "warning",
        (_, CheckOutcome::Unknown) => "unknown",
    }
}

fn write_guards(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let guards = &report.evaluation.guards;
    let met = guards.iter().filter(|it| it.violation.is_none()).count();
    writeln!(
        out,
        "guards: {met} of {} met (conditions without which a run proves nothing)",
        guards.len()
    )?;
    for guard in guards {
        if let Some(reason) = &guard.violation {
            writeln!(out, "  not met: {}: {reason}", guard.name)?;
        }
    }
    let filter = MetricFilter::default();
    if let Some(lag) = samples(Metric::LabLag, &filter, report.ledger) {
        let limit = Quantity::time(guards::lag_limit(report.scenario));
        writeln!(
            out,
            "  timers of the harness fired late by {}, limit {limit}",
            lateness(&lag)
        )?;
    }
    writeln!(out)
}

fn lateness(lag: &Samples) -> String {
    let upper = Aggregate::P99.for_samples(lag.len());
    match lag.aggregate(upper) {
        Some(late) => format!(
            "{late} ({} of {})",
            upper.name(),
            counted_len(lag.len(), "sample", "samples")
        ),
        None => "an unknown time (no samples)".to_owned(),
    }
}

fn write_reasons(out: &mut String, report: &Report<'_>) -> fmt::Result {
    if report.evaluation.verdict == Verdict::Pass {
        return Ok(());
    }
    writeln!(out, "reasons for {}", report.evaluation.verdict.name())?;
    for reason in &report.evaluation.reasons {
        writeln!(out, "  {reason}")?;
    }
    writeln!(out)
}
