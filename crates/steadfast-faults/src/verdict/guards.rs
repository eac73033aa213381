//! Guards: preconditions without which a run proves nothing. They apply to every scenario.

use std::time::Duration;

use steadfast_machine::convert;

use crate::counted::{counted, counted_len, grouped};
use crate::ledger::event::RunPhase;
use crate::ledger::{ClientStats, FaultStats, Ledger, RequestClass};
use crate::quantity::{Quantity, Unit};
use crate::samples::{Aggregate, Samples};
use crate::scenario::model::{ControlRun, Load, Scenario, Traffic};

/// The lag limit of the harness when no check of the scenario contains a time.
const LAG_MAX: Duration = Duration::from_millis(100);

/// The lag limit is the tightest time of the checks divided by this number.
const LAG_DIVISOR: u32 = 10;

/// A precondition and whether it is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The precondition, as printed in reports.
    pub name: &'static str,
    /// What a violation calls into question.
    pub concern: Concern,
    /// Why it is not met; `None` when it is met.
    pub violation: Option<String>,
}

/// What the violation of a guard calls into question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// The harness: the run was not executed as planned.
    Harness,
    /// The system: something happened that no fault caused.
    System,
}

type Rule = fn(&Scenario, &Ledger) -> Option<String>;

/// Every guard, in the order of reports.
pub(super) fn all(scenario: &Scenario, ledger: &Ledger, control: Option<&Ledger>) -> Vec<Guard> {
    const RULES: [(&str, Concern, Rule); 12] = [
        ("the harness did not fail", Concern::Harness, failed),
        ("all event records were kept", Concern::Harness, dropped),
        ("the ledger is consistent", Concern::Harness, inconsistent),
        ("the harness was fast enough", Concern::Harness, slow),
        (
            "all clients were subscribed before the baseline",
            Concern::Harness,
            subscribed_late,
        ),
        ("the load reached its rate", Concern::Harness, idle),
        ("every fault took effect", Concern::Harness, ineffective),
        ("every fault hit clients", Concern::Harness, without_impact),
        (
            "publications or requests were in flight",
            Concern::Harness,
            nothing_in_flight,
        ),
        ("every fault found clients", Concern::System, cut_off),
        ("every fault was healed", Concern::System, unhealed),
        ("no process exited unexpectedly", Concern::System, exited),
    ];
    let guards = RULES.into_iter().map(|(name, concern, rule)| Guard {
        name,
        concern,
        violation: rule(scenario, ledger),
    });
    guards.chain(control_guards(scenario, control)).collect()
}

fn failed(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let failures = &ledger.harness.failures;
    (!failures.is_empty()).then(|| failures.join("; "))
}

fn dropped(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let dropped = ledger.harness.dropped;
    (dropped > 0).then(|| {
        let records = counted(
            dropped,
            "event record was dropped",
            "event records were dropped",
        );
        format!("{records} because the log was full")
    })
}

fn inconsistent(_: &Scenario, ledger: &Ledger) -> Option<String> {
    /// Enough inconsistencies to diagnose the problem.
    const SHOWN: usize = 3;
    let inconsistencies = &ledger.inconsistencies;
    let shown: Vec<&str> = inconsistencies
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect();
    let more = inconsistencies.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        let more = counted_len(more, "more inconsistency", "more inconsistencies");
        format!("; {more}")
    } else {
        String::new()
    };
    (!inconsistencies.is_empty()).then(|| format!("{}{more}", shown.join("; ")))
}

/// How late the timers of the harness may fire in a valid run of this scenario.
pub fn lag_limit(scenario: &Scenario) -> Duration {
    scenario
        .tightest_time()
        .map_or(LAG_MAX, |time| time / LAG_DIVISOR)
}

fn slow(scenario: &Scenario, ledger: &Ledger) -> Option<String> {
    let limit = lag_limit(scenario);
    let samples = Samples::new(ledger.harness.lateness(), Unit::Time);
    let Some(lag) = samples.aggregate(Aggregate::P99) else {
        return Some("no timer lag was measured".to_owned());
    };
    let limit = Quantity::time(limit);
    let is_over = lag
        .quantity
        .compare(limit)
        .is_none_or(std::cmp::Ordering::is_gt);
    let used = Aggregate::P99.for_samples(samples.len()).name();
    is_over.then(|| format!("timers fired {lag} late ({used}); the limit is {limit}"))
}

fn subscribed_late(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let baseline = ledger.phases.get(&RunPhase::Baseline);
    let late = |stats: &&ClientStats| {
        let in_time = stats.subscribed.zip(baseline.copied());
        in_time.is_none_or(|(subscribed, baseline)| subscribed > baseline)
    };
    let late: Vec<&ClientStats> = ledger.clients.iter().filter(late).collect();
    let first = late.first()?;
    let late = counted_len(late.len(), "client was not", "clients were not");
    Some(format!("{late}; the first is {}", first.client.name))
}

fn idle(scenario: &Scenario, ledger: &Ledger) -> Option<String> {
    scenario
        .loads()
        .iter()
        .find_map(|load| too_few(load, scenario, ledger))
}

fn too_few(load: &Load, scenario: &Scenario, ledger: &Ledger) -> Option<String> {
    let senders = match load.traffic {
        Traffic::Publications if load.publishers == 0 => return None,
        Traffic::Publications => load.publishers,
        Traffic::Requests | Traffic::Streams => load.clients,
    };
    let each = scenario
        .run()
        .baseline
        .as_nanos()
        .checked_div(load.send.every.as_nanos())
        .unwrap_or_default();
    let planned = each.saturating_mul(u128::from(senders));
    let needed = planned.saturating_mul(u128::from(load.min_rate_percent)) / 100;
    let of_load = ledger
        .clients
        .iter()
        .filter(|it| it.client.load == load.name);
    let (did, one, many) = match load.traffic {
        Traffic::Publications => ("sent", "planned publication", "planned publications"),
        Traffic::Requests => ("sent", "planned request", "planned requests"),
        Traffic::Streams => ("received", "expected message", "expected messages"),
    };
    let in_baseline = |it: &ClientStats| match load.traffic {
        Traffic::Publications => it.publications.in_baseline,
        Traffic::Requests => it.requests.in_baseline,
        Traffic::Streams => it.delivery.in_baseline,
    };
    let count: u64 = of_load.map(in_baseline).sum();
    // A baseline shorter than one period plans nothing, and proves nothing.
    (u128::from(count) < needed.max(1)).then(|| {
        let planned = counted(convert::saturating(planned), one, many);
        format!(
            "`{}` {did} {} of {planned} in the baseline",
            load.name,
            grouped(count)
        )
    })
}

fn ineffective(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let is_ineffective = |it: &&FaultStats| !it.is_effective() && !is_untested(it);
    let Some(fault) = ledger.faults.iter().find(is_ineffective) else {
        return ledger
            .faults
            .is_empty()
            .then(|| "no fault was planned".to_owned());
    };
    let reason = match (&fault.ineffective, fault.injected) {
        (Some(reason), _) => reason.as_str(),
        (None, Some(_)) => "its effect was not confirmed",
        (None, None) => "it was not injected",
    };
    let ineffective = ledger.faults.iter().filter(is_ineffective).count();
    let ineffective = counted_len(ineffective, "fault did not", "faults did not");
    let (step, occurrence) = (&fault.planned.step, fault.planned.occurrence);
    Some(format!(
        "{ineffective}; the first is {step} {occurrence}: {reason}"
    ))
}

/// Whether a fault tested nothing because no client was connected any more, which may be what the scenario is to find: a
/// fault of links without a connection has no effect, and one of a process ends none.
fn is_untested(fault: &FaultStats) -> bool {
    let needs_connections = fault.planned.action.link_fault().is_some();
    fault.found_no_client && (fault.has_no_impact() || needs_connections && !fault.is_effective())
}

fn cut_off(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let fault = ledger.faults.iter().find(|it| is_untested(it))?;
    let (step, occurrence) = (&fault.planned.step, fault.planned.occurrence);
    Some(format!(
        "{step} {occurrence}: earlier faults had disconnected all of its clients, and none was connected again"
    ))
}

/// A process that is not ready again leaves its recovery untested.
fn unhealed(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let mut faults = ledger.faults.iter();
    let fault = faults.find(|it| it.is_effective() && it.healed.is_none())?;
    let (step, occurrence) = (&fault.planned.step, fault.planned.occurrence);
    Some(format!(
        "{step} {occurrence} was in effect until the end of the run"
    ))
}

fn without_impact(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let mut faults = ledger.faults.iter();
    let fault = faults.find(|it| it.has_no_impact() && !is_untested(it))?;
    let (step, occurrence) = (&fault.planned.step, fault.planned.occurrence);
    let action = &fault.planned.action;
    let is_of_links = action.link_fault().is_some();
    Some(if is_of_links && fault.connected == 0 {
        format!("{step} {occurrence}: no client was connected over its links")
    } else if !is_of_links && !action.ends_process() {
        format!("{step} {occurrence}: no client was connected to its targets")
    } else {
        format!("{step} {occurrence} ended no connection and disturbed no request")
    })
}

fn nothing_in_flight(scenario: &Scenario, ledger: &Ledger) -> Option<String> {
    // Clients that only receive have nothing in flight.
    let mut loads = scenario.loads().iter();
    if loads.all(|load| load.traffic == Traffic::Streams || load.publishers == 0) {
        return None;
    }
    let process_faults: Vec<_> = ledger
        .faults
        .iter()
        .filter(|it| it.planned.action.ends_process() && it.clients > 0)
        .collect();
    let in_flight: u64 = process_faults.iter().map(|it| it.in_flight).sum();
    (!process_faults.is_empty() && in_flight == 0)
        .then(|| "no publication and no request was in flight at any fault".to_owned())
}

fn exited(_: &Scenario, ledger: &Ledger) -> Option<String> {
    let exits = ledger.services.unexpected_exits.len();
    (exits > 0).then(|| {
        let exits = counted_len(exits, "exit is", "exits are");
        format!("{exits} not attributed to a fault")
    })
}

fn control_guards(scenario: &Scenario, control: Option<&Ledger>) -> Vec<Guard> {
    let is_required = match scenario.run().control {
        ControlRun::Before => true,
        ControlRun::Off => false,
    };
    let incomplete = match control {
        Some(control) => [failed, dropped, inconsistent, subscribed_late, idle]
            .iter()
            .find_map(|rule: &Rule| rule(scenario, control)),
        None => is_required.then(|| "the scenario requires it, but it did not run".to_owned()),
    };
    let disconnects = control.map(|control| {
        let disconnects = control
            .clients
            .iter()
            .map(|it| it.connections.disconnects.len());
        disconnects.sum::<usize>()
    });
    let disconnected = disconnects
        .filter(|disconnects| *disconnects > 0)
        .map(|disconnects| {
            let ended = counted_len(disconnects, "connection", "connections");
            format!("{ended} ended without a fault")
        });
    let stalls = control.map(|control| {
        let stalls = control.clients.iter().map(|it| it.stalls.len());
        stalls.sum::<usize>()
    });
    let stalled = stalls.filter(|stalls| *stalls > 0).map(|stalls| {
        let stalls = counted_len(stalls, "stall", "stalls");
        format!("{stalls} without a fault")
    });
    let exited = control.and_then(|control| exited(scenario, control));
    let lost = control.and_then(requests_lost);
    vec![
        Guard {
            name: "the control run was completed",
            concern: Concern::Harness,
            violation: incomplete,
        },
        Guard {
            name: "no client was disconnected in the control run",
            concern: Concern::System,
            violation: disconnected,
        },
        Guard {
            name: "no client stalled in the control run",
            concern: Concern::System,
            violation: stalled,
        },
        Guard {
            name: "no process exited in the control run",
            concern: Concern::System,
            violation: exited,
        },
        Guard {
            name: "no request was lost in the control run",
            concern: Concern::System,
            violation: lost,
        },
    ]
}

/// Clients without connections of their own notice a disturbance by their requests alone. An error of the application is a
/// reply, and no disturbance.
fn requests_lost(control: &Ledger) -> Option<String> {
    let clients = control.clients.iter().map(|it| &it.requests);
    let lost = clients
        .map(|it| it.of_class(RequestClass::NotSent) + it.of_class(RequestClass::MaybeExecuted));
    let lost: u64 = lost.sum();
    (lost > 0).then(|| {
        let lost = counted(lost, "request had", "requests had");
        format!("{lost} no reply without a fault")
    })
}
