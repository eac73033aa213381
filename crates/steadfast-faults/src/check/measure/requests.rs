//! The metrics of requests, and of the connections that they use.

use super::{Measured, clients, count, entries};
use crate::ledger::{ClientStats, ConnectionInterval, Ledger, Request, RequestClass};
use crate::metrics::MetricFilter;
use crate::samples::Sample;
use crate::topology::InstanceId;

fn requests<'a>(filter: &'a MetricFilter, ledger: &'a Ledger) -> impl Iterator<Item = &'a Request> {
    let all = |it: &'a ClientStats| it.requests.requests.iter();
    entries(filter, ledger, all, |it| it.fault).map(|(_, it)| it)
}

/// All requests that were passed to a driver.
pub(super) fn sent(filter: &MetricFilter, ledger: &Ledger) -> Measured {
    Measured::Number(count(requests(filter, ledger)))
}

/// The requests of a class.
pub(super) fn of_class(filter: &MetricFilter, ledger: &Ledger, class: RequestClass) -> Measured {
    Measured::Number(count(
        requests(filter, ledger).filter(|it| it.class == class),
    ))
}

/// The executed requests of a class, or of all classes; there is no value without an effect log.
pub(super) fn executed(
    filter: &MetricFilter,
    ledger: &Ledger,
    class: Option<RequestClass>,
) -> Measured {
    with_effects(filter, ledger, |request, executions| {
        class.is_none_or(|class| request.class == class) && executions > 0
    })
}

/// The requests that were executed more than once.
pub(super) fn executed_twice(filter: &MetricFilter, ledger: &Ledger) -> Measured {
    with_effects(filter, ledger, |_, executions| executions > 1)
}

/// The requests that the server reported as executed, and did not execute.
pub(super) fn ok_not_executed(filter: &MetricFilter, ledger: &Ledger) -> Measured {
    with_effects(filter, ledger, |request, executions| {
        request.class == RequestClass::Ok && executions == 0
    })
}

/// The executions of requests that no client sent; there is no value without an effect log.
pub(super) fn unexpected(ledger: &Ledger) -> Measured {
    if !ledger.effects.was_read() {
        return Measured::Missing;
    }
    let all = ledger.clients.iter();
    Measured::Number(all.map(|it| it.requests.executed_unsent).sum())
}

/// Counts requests by their executions. A filter without such requests counts zero only if there is an effect log.
fn with_effects(
    filter: &MetricFilter,
    ledger: &Ledger,
    is_counted: impl Fn(&Request, u32) -> bool,
) -> Measured {
    let mut known = requests(filter, ledger)
        .filter_map(|request| Some((request, request.executions?)))
        .peekable();
    if known.peek().is_none() {
        return Measured::Missing;
    }
    Measured::Number(count(
        known.filter(|(request, executions)| is_counted(request, *executions)),
    ))
}

/// The latencies of the requests that have one.
pub(super) fn latencies(
    filter: &MetricFilter,
    ledger: &Ledger,
    pick: fn(&Request) -> Option<Sample>,
) -> Measured {
    Measured::Times(requests(filter, ledger).filter_map(pick).collect())
}

/// The durations of all connections; those that are open at the end are censored.
pub(super) fn connection_durations(filter: &MetricFilter, ledger: &Ledger) -> Measured {
    let end = ledger.end();
    let duration = |it: &ConnectionInterval| Sample::between(it.from, it.to, end);
    let intervals = clients(filter, ledger).flat_map(|it| &it.connections.intervals);
    Measured::Times(intervals.map(duration).collect())
}

/// The smallest ratio of connections between two instances of a service.
pub(super) fn balance(ledger: &Ledger) -> Measured {
    let of_service = |instances: &[InstanceId]| {
        let counts = instances
            .iter()
            .map(|id| ledger.services.connections.get(id).copied().map(u64::from));
        let counts: Vec<u64> = counts.collect::<Option<_>>()?;
        let most = counts.iter().max().copied().filter(|most| *most > 0)?;
        Some((counts.iter().min().copied()?, most))
    };
    let ratios = ledger.services.instances.values();
    let ratios = ratios.filter(|instances| instances.len() > 1);
    let smallest = ratios
        .filter_map(|instances| of_service(instances))
        .min_by(|(a, b), (c, d)| {
            // a / b < c / d, without a division.
            let product = |x: u64, y: u64| u128::from(x) * u128::from(y);
            product(*a, *d).cmp(&product(*c, *b))
        });
    match smallest {
        Some((part, whole)) => Measured::Share { part, whole },
        None => Measured::Missing,
    }
}

/// Sends of requests after the first one.
pub(super) fn resent(filter: &MetricFilter, ledger: &Ledger) -> Measured {
    let resends = clients(filter, ledger).map(|it| it.requests.resends);
    Measured::Number(resends.fold(0, u64::saturating_add))
}

/// From the request to connect until the first connection.
pub(super) fn first_connects(filter: &MetricFilter, ledger: &Ledger) -> Measured {
    let all = clients(filter, ledger).filter_map(|it| it.connections.first_connect);
    Measured::Times(all.collect())
}

/// The durations of attempts after the first connection.
pub(super) fn later_connects(filter: &MetricFilter, ledger: &Ledger) -> Measured {
    let all = clients(filter, ledger).flat_map(|it| &it.connections.reconnects);
    Measured::Times(all.map(|it| it.duration).collect())
}
