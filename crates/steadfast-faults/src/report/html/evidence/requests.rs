//! Requests: which, of which client, when, and what became of them.

use super::{Entries, Question};
use crate::check;
use crate::ledger::{ClientStats, Request, RequestClass};
use crate::report::html::requests::line;
use crate::samples::Sample;

/// Requests that fulfil a condition, in the order of their clients.
pub(super) fn listed(it: Question<'_>, is_listed: impl Fn(&Request) -> bool) -> Entries {
    let listed = all(it).filter(|(_, request)| is_listed(request));
    Entries::in_order(listed, |(stats, request)| line(it.report, stats, request))
}

/// Requests of a class that were executed all the same.
pub(super) fn executed(it: Question<'_>, class: RequestClass) -> Entries {
    listed(it, |request| {
        request.class == class && request.executions > Some(0)
    })
}

/// Requests by a latency.
pub(super) fn slowest(it: Question<'_>, latency: fn(&Request) -> Option<Sample>) -> Entries {
    let measured = all(it).filter_map(|entry| Some((entry, latency(entry.1)?)));
    Entries::decisive(it, measured, |((stats, request), _)| {
        line(it.report, stats, request)
    })
}

fn all<'a>(it: Question<'a>) -> impl Iterator<Item = (&'a ClientStats, &'a Request)> {
    check::entries(
        &it.query.filter,
        it.report.ledger,
        |stats: &'a ClientStats| stats.requests.requests.iter(),
        |request| request.fault,
    )
}
