//! What must be so for a run to prove anything; always on, whatever a scenario says.

use std::time::Duration;

use crate::ledger::record::Phase;
use crate::ledger::{ClientBook, Ledger};
use crate::quantity::{Quantity, Unit};
use crate::samples::{Aggregate, Samples};
use crate::scenario::model::{Control, Load, Scenario};

/// The budget of the harness when no check names a time to be measured against.
const LAG_MAX: Duration = Duration::from_millis(100);

/// The part of the tightest time that the harness may be late.
const LAG_PART: u32 = 10;

/// A condition and whether it is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// What must be so.
    pub name: &'static str,
    /// Whose trouble it is.
    pub concern: Concern,
    /// Why it is not so.
    pub broken: Option<String>,
}

/// Whose trouble a broken guard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// The run was not carried out as planned.
    Harness,
    /// Something happened to the system that nobody did.
    System,
}

type Rule = fn(&Scenario, &Ledger) -> Option<String>;

/// Every guard, in the order in which it is told.
pub(super) fn all(scenario: &Scenario, ledger: &Ledger, control: Option<&Ledger>) -> Vec<Guard> {
    const RULES: [(&str, Concern, Rule); 11] = [
        ("the harness did not fail", Concern::Harness, failed),
        ("every fact is kept", Concern::Harness, dropped),
        ("the books balance", Concern::Harness, unbalanced),
        ("the harness was fast enough", Concern::Harness, slow),
        (
            "everyone was subscribed before the baseline",
            Concern::Harness,
            absent,
        ),
        ("the load reached its rate", Concern::Harness, idle),
        ("every fault took effect", Concern::Harness, ineffective),
        ("every fault ended connections", Concern::Harness, harmless),
        (
            "publications were under way",
            Concern::Harness,
            nothing_in_flight,
        ),
        ("nothing is left behind", Concern::Harness, left_behind),
        ("no other process exited", Concern::System, exited),
    ];
    let guards = RULES.into_iter().map(|(name, concern, rule)| Guard {
        name,
        concern,
        broken: rule(scenario, ledger),
    });
    guards.chain(of_control(scenario, control)).collect()
}

fn failed(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let failures = &ledger.harness.failures;
    (!failures.is_empty()).then(|| failures.join("; "))
}

fn dropped(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let dropped = ledger.harness.dropped;
    (dropped > 0).then(|| format!("{dropped} facts found no room in the history"))
}

fn unbalanced(_: &Scenario, ledger: &Ledger) -> Option<String> {
    /// Enough to see what is wrong.
    const SHOWN: usize = 3;
    let breaches = &ledger.breaches;
    let shown: Vec<&str> = breaches.iter().take(SHOWN).map(String::as_str).collect();
    let more = breaches.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!("; {more} more")
    } else {
        String::new()
    };
    (!breaches.is_empty()).then(|| format!("{}{more}", shown.join("; ")))
}

fn slow(scenario: &Scenario, ledger: &Ledger) -> Option<String> {
    let budget = scenario
        .tightest_time()
        .map_or(LAG_MAX, |time| time / LAG_PART);
    let samples = Samples::new(ledger.harness.lag.clone(), Unit::Time);
    let Some(lag) = samples.figure(Aggregate::P99) else {
        return Some("it did not measure itself".to_owned());
    };
    let budget = Quantity::time(budget);
    let over = lag
        .quantity
        .compare(budget)
        .is_none_or(std::cmp::Ordering::is_gt);
    let used = Aggregate::P99.for_samples(samples.len()).name();
    over.then(|| format!("its timers were {lag} late ({used}), at most {budget} is allowed"))
}

fn absent(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let baseline = ledger.phases.get(&Phase::Baseline);
    let late = |book: &&ClientBook| {
        let in_time = book.subscribed.zip(baseline.copied());
        in_time.is_none_or(|(subscribed, baseline)| subscribed > baseline)
    };
    let late: Vec<&ClientBook> = ledger.clients.iter().filter(late).collect();
    let first = late.first()?;
    let n = late.len();
    Some(format!(
        "{n} clients were not, the first is {}",
        first.client.name
    ))
}

fn idle(scenario: &Scenario, ledger: &Ledger) -> Option<String> {
    scenario
        .loads()
        .iter()
        .find_map(|load| too_few(load, scenario, ledger))
}

fn too_few(load: &Load, scenario: &Scenario, ledger: &Ledger) -> Option<String> {
    let each = scenario
        .run()
        .baseline
        .as_nanos()
        .checked_div(load.send.every.as_nanos())
        .unwrap_or_default();
    let planned = each.saturating_mul(u128::from(load.clients));
    let needed = planned.saturating_mul(u128::from(load.min_rate_percent)) / 100;
    let of_load = ledger
        .clients
        .iter()
        .filter(|it| it.client.load == load.name);
    let sent: u64 = of_load.map(|it| it.published.in_baseline).sum();
    // A baseline that is shorter than a period plans nothing, and shows nothing.
    (u128::from(sent) < needed.max(1)).then(|| {
        format!(
            "`{}` sent {sent} publications in the baseline, {planned} were planned",
            load.name
        )
    })
}

fn ineffective(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let first = ledger.faults.iter().find(|it| !it.is_effective());
    let Some(fault) = first else {
        return ledger
            .faults
            .is_empty()
            .then(|| "nothing was broken at all".to_owned());
    };
    let why = match (&fault.ineffective, fault.injected) {
        (Some(why), _) => why.as_str(),
        (None, Some(_)) => "there is no proof of it",
        (None, None) => "it was not even tried",
    };
    let n = ledger.faults.iter().filter(|it| !it.is_effective()).count();
    let (step, occurrence) = (&fault.planned.step, fault.planned.occurrence);
    Some(format!(
        "{n} did not, the first is {step} {occurrence}: {why}"
    ))
}

fn harmless(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let fault = ledger.faults.iter().find(|it| it.is_harmless())?;
    let (step, occurrence) = (&fault.planned.step, fault.planned.occurrence);
    Some(format!("{step} {occurrence} ended no client's connection"))
}

fn nothing_in_flight(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let ending: Vec<_> = ledger
        .faults
        .iter()
        .filter(|it| it.planned.action.ends_process())
        .collect();
    let under_way: u64 = ending.iter().map(|it| it.in_flight).sum();
    (!ending.is_empty() && under_way == 0)
        .then(|| "no fault found a publication that it could have lost".to_owned())
}

fn left_behind(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let left = &ledger.harness.left_behind;
    (!left.is_empty()).then(|| left.join("; "))
}

fn exited(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let exits = ledger.services.exits_unexpected;
    (exits > 0).then(|| format!("{exits} exits that no fault explains"))
}

fn of_control(scenario: &Scenario, control: Option<&Ledger>) -> Vec<Guard> {
    let wanted = match scenario.run().control {
        Control::Before => true,
        Control::Off => false,
    };
    let carried_out = match control {
        Some(control) => [failed, dropped, unbalanced, absent, idle]
            .iter()
            .find_map(|rule: &Rule| rule(scenario, control)),
        None => wanted.then(|| "it is wanted and did not run".to_owned()),
    };
    let ends = control.map(|control| {
        let ends = control.clients.iter().map(|it| it.life.ends.len());
        ends.sum::<usize>()
    });
    let disturbed = ends
        .filter(|ends| *ends > 0)
        .map(|ends| format!("{ends} connections ended without any fault"));
    let stalls = control.map(|control| {
        let stalls = control.clients.iter().map(|it| it.stalls.len());
        stalls.sum::<usize>()
    });
    let stalled = stalls
        .filter(|stalls| *stalls > 0)
        .map(|stalls| format!("{stalls} stalls without any fault"));
    vec![
        Guard {
            name: "the control run was carried out",
            concern: Concern::Harness,
            broken: carried_out,
        },
        Guard {
            name: "nobody was disconnected in the control run",
            concern: Concern::System,
            broken: disturbed,
        },
        Guard {
            name: "nobody stalled in the control run",
            concern: Concern::System,
            broken: stalled,
        },
    ]
}
