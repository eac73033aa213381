//! What is not of one client: faults, processes, and the timers of the harness.

use std::cmp::Reverse;

use super::{Entries, Question};
use crate::counted::{counted, grouped};
use crate::ledger::FaultStats;
use crate::ledger::event::ProcessExit;
use crate::quantity::Unit;
use crate::report::html::{effect, instance_name, moment, name_of, sample, targets, time};

/// Faults in the order of the plan.
pub(super) fn faults(it: Question<'_>, is_listed: fn(&FaultStats) -> bool) -> Entries {
    let listed = it.report.ledger.faults.iter();
    Entries::in_order(listed.filter(|fault| is_listed(fault)), |fault| {
        let at = fault.injected.map(|at| moment(it.report, at));
        let at = at.unwrap_or_else(|| format!("{} (planned)", time(fault.planned.at)));
        format!(
            "{} at {at} on {}: effect {}, {} ended, {} in flight",
            name_of(fault),
            targets(it.report, fault),
            effect(fault),
            counted(fault.disconnects, "connection", "connections"),
            grouped(fault.in_flight),
        )
    })
}

/// Processes that were started again, by how long that took.
pub(super) fn restarts(it: Question<'_>) -> Entries {
    let restarts = it.report.ledger.services.restarts.iter();
    let measured = restarts.map(|restart| (restart, restart.duration));
    Entries::decisive(it, measured, |(restart, duration)| {
        format!(
            "{}: started at {}, ready after {}",
            instance_name(it.report, restart.instance),
            moment(it.report, restart.started),
            sample(*duration, Unit::Time)
        )
    })
}

/// Processes that ended without a fault.
pub(super) fn exits(it: Question<'_>) -> Entries {
    let exits = it.report.ledger.services.unexpected_exits.iter();
    Entries::in_order(exits, |exit| {
        let how = match exit.exit {
            ProcessExit::Code(code) => format!("exit code {code}"),
            ProcessExit::Signal(signal) => format!("signal {signal}"),
        };
        format!(
            "{}: ended at {} with {how}",
            instance_name(it.report, exit.instance),
            moment(it.report, exit.at)
        )
    })
}

/// The connections of each instance of a service with several instances, by the fewest.
pub(super) fn balance(it: Question<'_>) -> Entries {
    let services = &it.report.ledger.services;
    let of_several = services.instances.values().filter(|all| all.len() > 1);
    let counted_instances = of_several
        .flatten()
        .filter_map(|id| Some((*id, *services.connections.get(id)?)));
    Entries::largest(
        counted_instances,
        |(_, count)| Reverse(*count),
        |(id, count)| {
            let count = counted(u64::from(*count), "connection", "connections");
            let name = instance_name(it.report, *id);
            format!("{name}: {count} when the senders stopped")
        },
    )
}

/// The timers that fired latest.
pub(super) fn lag(it: Question<'_>) -> Entries {
    let timers = it.report.ledger.harness.lag.iter();
    let measured = timers.map(|timer| (timer.at, timer.late));
    Entries::decisive(it, measured, |(at, late)| {
        let late = sample(*late, Unit::Time);
        format!("a timer fired {late} late at {}", moment(it.report, *at))
    })
}
