//! Deliveries that violate a guarantee, clients with incomplete deliveries, and positions that do not identify a
//! publication.

use std::cmp::Reverse;

use super::{Entries, Question, clients, publication};
use crate::check;
use crate::counted::grouped;
use crate::ledger::{ClientStats, DeliveryProblem, ProblemKind, ReusedOffset};
use crate::report::Report;
use crate::report::html::{client_name, moment};
use crate::topology::ChannelId;

/// Violations of one kind; the clients that count them where the messages are not known one by one, as in a stream.
pub(super) fn problems(it: Question<'_>, kind: ProblemKind) -> Entries {
    let (noun, count): (_, fn(&ClientStats) -> u64) = match kind {
        ProblemKind::Lost => ("lost", |it| it.delivery.lost),
        ProblemKind::Duplicate => ("duplicate", |it| it.delivery.duplicate),
        ProblemKind::Reordered => ("reordered", |it| it.delivery.reordered),
        ProblemKind::Unexpected => ("unexpected", |it| it.delivery.unexpected),
    };
    let topology = it.report.plan.topology();
    let is_selected = |problem: &DeliveryProblem| {
        let subscriber = topology.client(problem.subscriber);
        subscriber.is_some_and(|client| check::is_selected(&it.query.filter, client))
    };
    let problems = it.report.ledger.problems.iter();
    let listed = problems.filter(|problem| problem.kind == kind && is_selected(problem));
    let listed = Entries::in_order(listed, |problem| line(it.report, problem));
    if listed.lines.is_empty() {
        return clients::counts(it, [noun, noun], count);
    }
    // The ledger keeps the first of each kind only.
    let all = check::clients(&it.query.filter, it.report.ledger);
    Entries {
        total: all.map(count).sum(),
        ..listed
    }
}

fn line(report: &Report<'_>, problem: &DeliveryProblem) -> String {
    let message = problem.message.map_or_else(
        || "an unknown publication".to_owned(),
        |id| publication(report, id),
    );
    let at = |what, at: Option<_>| {
        at.map_or_else(String::new, |at| {
            format!(", {what} at {}", moment(report, at))
        })
    };
    format!(
        "{}: {message} to {}{}{}",
        problem.kind.name(),
        client_name(report, problem.subscriber),
        at("published", problem.published),
        at("delivered", problem.delivered),
    )
}

/// Clients with deliveries, those with the most incomplete ones first.
pub(super) fn incomplete(it: Question<'_>, completed: fn(&ClientStats) -> u64) -> Entries {
    let all = check::clients(&it.query.filter, it.report.ledger);
    let missing = |stats: &ClientStats| stats.delivery.expected.saturating_sub(completed(stats));
    Entries::largest(
        all.filter(|stats| stats.delivery.expected > 0),
        |stats| (missing(stats), Reverse(stats.client.id)),
        |stats| {
            format!(
                "{}: {} of {} expected deliveries",
                stats.client.name,
                grouped(completed(stats)),
                grouped(stats.delivery.expected)
            )
        },
    )
}

/// Channels that got another epoch.
pub(super) fn epoch_changes(it: Question<'_>) -> Entries {
    let offsets = &it.report.ledger.offsets;
    let first = Entries::in_order(offsets.changes.iter(), |change| {
        format!(
            "{}: epoch {} from {}",
            channel_name(it.report, change.channel),
            change.epoch,
            moment(it.report, change.at)
        )
    });
    Entries {
        total: offsets.epoch_changes,
        ..first
    }
}

/// Offsets of several publications, and publications with several offsets.
pub(super) fn reused_offsets(it: Question<'_>) -> Entries {
    let name = |id| publication(it.report, id);
    let offsets = &it.report.ledger.offsets;
    let first = Entries::in_order(offsets.reuses.iter(), |reused| match reused {
        ReusedOffset::Offset {
            channel,
            offset,
            publications: [first, second],
        } => format!(
            "{}: offset {offset} is that of {} and of {}",
            channel_name(it.report, *channel),
            name(*first),
            name(*second)
        ),
        ReusedOffset::Publication {
            publication,
            offsets: [first, second],
        } if first == second => format!(
            "{}: offset {first} in two channel epochs",
            name(*publication)
        ),
        ReusedOffset::Publication {
            publication,
            offsets: [first, second],
        } => format!("{}: offsets {first} and {second}", name(*publication)),
    });
    Entries {
        total: offsets.reused,
        ..first
    }
}

fn channel_name(report: &Report<'_>, id: ChannelId) -> String {
    let channel = report.plan.topology().channel(id);
    channel.map_or_else(|| format!("channel {}", id.0), |it| it.name.clone())
}
