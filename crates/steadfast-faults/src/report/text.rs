//! A run as lines for a terminal: readable without colour, the verdict first and last.

use std::fmt::{self, Write};

use steadfast_machine::Instant;

use crate::check::{Answer, Checked, samples};
use crate::ledger::record::Phase;
use crate::ledger::{ClientBook, FaultBook, Group};
use crate::metrics::{Filter, Metric};
use crate::quantity::Quantity;
use crate::report::{RECOVERY, Report};
use crate::roster::ClientKind;
use crate::samples::{Aggregate, Samples};
use crate::scenario::model::Level;

/// Writes the report.
pub fn render(report: &Report<'_>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    write_all(&mut out, report).unwrap_or_default();
    out
}

fn write_all(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let verdict = report.judgement.verdict.name();
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
    let mut row = |name: &str, books: &[&ClientBook]| {
        let group = |group| books.iter().filter(|it| it.life.group == group).count();
        let affected = books
            .iter()
            .filter(|it| it.life.group.is_affected())
            .count();
        let back = group(Group::Reconnected);
        writeln!(
            out,
            "  {name:<20}  {:>5}  {:>18}  {affected:>8}  {:>11}  {:>7}  {:>10}",
            books.len(),
            group(Group::NeverDisconnected),
            format!("{back} of {affected}"),
            group(Group::GaveUp),
            group(Group::DownAtEnd),
        )
    };
    for kind in ClientKind::ALL {
        let books: Vec<_> = clients.iter().filter(|it| it.client.kind == kind).collect();
        if !books.is_empty() {
            row(kind.name(), &books)?;
        }
    }
    row("all", &clients.iter().collect::<Vec<_>>())?;
    let never = clients
        .iter()
        .filter(|it| it.life.group == Group::NeverConnected);
    let silent = clients.iter().filter(|it| it.is_silent);
    let stalled = clients.iter().filter(|it| !it.stalls.is_empty());
    let (never, stalled, silent) = (never.count(), stalled.count(), silent.count());
    writeln!(
        out,
        "  never connected {never}, stalled for a while {stalled}, connected and silent at the end {silent}"
    )?;
    writeln!(out)
}

fn write_recovery(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let ledger = report.ledger;
    let incidents = ledger.incidents().count();
    let ends: usize = ledger.clients.iter().map(|it| it.life.ends.len()).sum();
    let explained = ledger.clients.iter().flat_map(|it| &it.life.ends);
    let explained = explained.filter(|it| it.fault.is_some()).count();
    writeln!(
        out,
        "recovery of {incidents} incidents ({ends} disconnects, {explained} of them explained by a fault)"
    )?;
    for (name, metric) in RECOVERY {
        if let Some(samples) = samples(metric, &Filter::default(), ledger) {
            writeln!(out, "  {name:<8}{}", told(&samples))?;
        }
    }
    if let Some(attempts) = samples(Metric::AttemptsPerRecovery, &Filter::default(), ledger) {
        writeln!(out, "  {:<8}{}", "attempts", told(&attempts))?;
    }
    let stalls = samples(Metric::RecoveryStall, &Filter::default(), ledger);
    if let Some(stalls) = stalls.filter(|it| !it.is_empty()) {
        writeln!(out, "  {:<8}{}", "stall", told(&stalls))?;
    }
    for kind in ClientKind::ALL {
        let filter = Filter {
            kind: Some(kind),
            ..Filter::default()
        };
        let of_kind = samples(Metric::RecoveryTotal, &filter, ledger);
        if let Some(samples) = of_kind.filter(|samples| !samples.is_empty()) {
            writeln!(out, "  total of {:<20}{}", kind.name(), told(&samples))?;
        }
    }
    writeln!(out)
}

/// The median, and the 99th percentile or what stands for it.
fn told(samples: &Samples) -> String {
    let upper = Aggregate::P99.for_samples(samples.len());
    let figures = samples.figure(Aggregate::P50).zip(samples.figure(upper));
    let Some((median, highest)) = figures else {
        return "  no samples".to_owned();
    };
    let censored = match samples.censored() {
        0 => String::new(),
        censored => format!(", {censored} of them not over at the end"),
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
    let sum = |pick: fn(&ClientBook) -> u64| clients.iter().map(pick).sum::<u64>();
    writeln!(
        out,
        "messages  published {}, acknowledged {}, refused {}, never answered {}, repeated {}, unsent {}",
        sum(|it| it.published.sent),
        sum(|it| it.published.acknowledged),
        sum(|it| it.published.refused),
        sum(|it| it.published.unknown),
        sum(|it| it.published.repeats),
        sum(|it| it.published.unsent),
    )?;
    let mut row = |name: &str, books: &[&ClientBook]| {
        let sum = |pick: fn(&ClientBook) -> u64| books.iter().map(|it| pick(it)).sum::<u64>();
        let owed = sum(|it| it.delivery.owed);
        writeln!(
            out,
            "  {name:<20}  owed {owed}  by stop {}  at the end {}  lost {}  duplicated {}  reordered {}  unexpected {}",
            percent(sum(|it| it.delivery.delivered_by_stop), owed),
            percent(sum(|it| it.delivery.delivered), owed),
            sum(|it| it.delivery.lost),
            sum(|it| it.delivery.duplicate),
            sum(|it| it.delivery.reordered),
            sum(|it| it.delivery.unexpected),
        )
    };
    for kind in ClientKind::ALL {
        let books: Vec<_> = clients.iter().filter(|it| it.client.kind == kind).collect();
        if !books.is_empty() {
            row(kind.name(), &books)?;
        }
    }
    row("all", &clients.iter().collect::<Vec<_>>())?;
    let places = report.ledger.places;
    writeln!(
        out,
        "  gaps announced {}, channel epochs changed {}, places used twice {}",
        sum(|it| it.delivery.gaps_announced),
        places.epoch_changes,
        places.reused
    )?;
    writeln!(out)
}

/// Never rounded up: 100 % means all.
fn percent(part: u64, whole: u64) -> String {
    let share = Quantity::share(part, whole).and_then(|it| it.times(Quantity::count(100)));
    share.map_or_else(|| "no data".to_owned(), |share| format!("{share} %"))
}

fn write_faults(out: &mut String, report: &Report<'_>) -> fmt::Result {
    writeln!(out, "faults")?;
    let start = report.ledger.phases.get(&Phase::Steps).copied();
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
    fault: &FaultBook,
    start: Instant,
) -> fmt::Result {
    let planned = &fault.planned;
    let targets = planned.targets.iter().filter_map(|id| {
        let instance = report.plan.roster().instance(*id)?;
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
        Some(why) => return writeln!(out, "without effect, {why}"),
        None if !fault.is_effective() => return writeln!(out, "without proof of an effect"),
        None => {}
    }
    let (ended, in_flight) = (fault.ended, fault.in_flight);
    write!(
        out,
        "ended {ended} connections, {in_flight} publications under way"
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
    for check in &report.judgement.checks {
        writeln!(
            out,
            "  {:<7}  {:<32}  {}",
            word(check),
            check.id,
            check.that
        )?;
        if check.answer != Answer::Holds || check.level == Level::Info {
            for evidence in &check.evidence {
                writeln!(out, "{:11}{evidence}", "")?;
            }
        }
    }
    writeln!(out)
}

const fn word(check: &Checked) -> &'static str {
    match (check.level, check.answer) {
        (Level::Info, _) => "info",
        (_, Answer::Holds) => "ok",
        (Level::Must, Answer::Fails) => "FAILS",
        (Level::Should, Answer::Fails) => "should",
        (_, Answer::Unknown) => "unknown",
    }
}

fn write_guards(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let guards = &report.judgement.guards;
    let met = guards.iter().filter(|it| it.broken.is_none()).count();
    writeln!(out, "guards  {met} of {} met", guards.len())?;
    for guard in guards {
        if let Some(why) = &guard.broken {
            writeln!(out, "  not so: {}: {why}", guard.name)?;
        }
    }
    let filter = Filter::default();
    if let Some(lag) = samples(Metric::LabLag, &filter, report.ledger) {
        writeln!(out, "  the harness was late by{}", told(&lag))?;
    }
    writeln!(out)
}

fn write_verdict(out: &mut String, report: &Report<'_>) -> fmt::Result {
    writeln!(out, "{}", report.judgement.verdict.name())?;
    for reason in &report.judgement.reasons {
        writeln!(out, "  {reason}")?;
    }
    Ok(())
}
