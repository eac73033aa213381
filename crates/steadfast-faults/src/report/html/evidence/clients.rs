//! Clients by their state at the end, or by how much of something each has.

use super::{Entries, Question};
use crate::check;
use crate::counted::{counted, counted_len};
use crate::ledger::{ClientOutcome, ClientStats};
use crate::report::html::{fault_name, moment};

/// Clients with one of some outcomes.
pub(super) fn of_outcome(it: Question<'_>, is_listed: fn(ClientOutcome) -> bool) -> Entries {
    let all = check::clients(&it.query.filter, it.report.ledger);
    let listed = all.filter(|stats| is_listed(stats.connections.outcome));
    Entries::in_order(listed, |stats| line(it, stats))
}

/// Clients that report being connected, and have no success.
pub(super) fn silent(it: Question<'_>) -> Entries {
    let all = check::clients(&it.query.filter, it.report.ledger);
    Entries::in_order(all.filter(|stats| stats.is_silent), |stats| line(it, stats))
}

/// Clients with the most of something, which the nouns name in the singular and in the plural.
pub(super) fn counts(
    it: Question<'_>,
    [one, many]: [&str; 2],
    count: fn(&ClientStats) -> u64,
) -> Entries {
    let all = check::clients(&it.query.filter, it.report.ledger);
    Entries::largest(
        all.filter(|stats| count(stats) > 0),
        |stats| count(stats),
        |stats| {
            let count = counted(count(stats), one, many);
            format!("{}: {count}", stats.client.name)
        },
    )
}

/// The state of a client, and its last disconnect.
fn line(it: Question<'_>, stats: &ClientStats) -> String {
    let state = match stats.connections.outcome {
        ClientOutcome::NeverConnected => "never connected",
        ClientOutcome::GaveUp => "gave up",
        ClientOutcome::DownAtEnd => "not recovered at the end",
        ClientOutcome::NeverDisconnected | ClientOutcome::Reconnected if stats.is_silent => {
            "connected but silent at the end"
        }
        ClientOutcome::NeverDisconnected => "never disconnected",
        ClientOutcome::Reconnected => "reconnected",
    };
    let disconnects = &stats.connections.disconnects;
    let last = disconnects.last().map_or_else(String::new, |last| {
        format!(
            ", {}, the last at {} by {}, {}",
            counted_len(disconnects.len(), "disconnect", "disconnects"),
            moment(it.report, last.at),
            last.cause.name(),
            fault_name(it.report, last.fault),
        )
    });
    format!("{}: {state}{last}", stats.client.name)
}
