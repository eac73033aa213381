//! The requests of a run: their outcomes, and what the services executed.

use std::fmt::{self, Write};

use crate::counted::grouped;
use crate::ledger::{ClientStats, RequestClass};
use crate::report::Report;

/// Writes nothing if no client sent a request.
pub(super) fn write(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let clients = &report.ledger.clients;
    let sum = |pick: fn(&ClientStats) -> u64| grouped(clients.iter().map(pick).sum());
    if clients.iter().all(|it| it.requests.sent == 0) {
        return Ok(());
    }
    writeln!(
        out,
        "requests: {} sent, {} ok, {} with an error, {} not sent, {} without a reply, {} resent, {} unsent",
        sum(|it| it.requests.sent),
        sum(|it| it.requests.of_class(RequestClass::Ok)),
        sum(|it| it.requests.of_class(RequestClass::Error)),
        sum(|it| it.requests.of_class(RequestClass::NotSent)),
        sum(|it| it.requests.of_class(RequestClass::MaybeExecuted)),
        sum(|it| it.requests.resends),
        sum(|it| it.publications.unsent),
    )?;
    if report.ledger.effects.was_read() {
        writeln!(
            out,
            "  effect logs: {} executed, {} more than once, {} ok but not executed, {} not sent but executed, {} without a reply but executed",
            sum(|it| it.requests.executed(None)),
            sum(|it| it.requests.executed_twice()),
            sum(|it| it.requests.ok_not_executed()),
            sum(|it| it.requests.executed(Some(RequestClass::NotSent))),
            sum(|it| it.requests.executed(Some(RequestClass::MaybeExecuted))),
        )?;
    }
    writeln!(out)
}
