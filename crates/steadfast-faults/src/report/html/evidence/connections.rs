//! Connections: how they ended, what followed, and how long attempts and connections lasted.

use super::{Entries, Question};
use crate::check;
use crate::counted::counted;
use crate::ledger::event::LossCause;
use crate::ledger::{ClientStats, Disconnect, Incident, Stall};
use crate::quantity::Unit;
use crate::report::html::{fault_name, moment, sample, time};
use crate::samples::Sample;

/// Disconnects with one of some causes, in order of time.
pub(super) fn disconnects(it: Question<'_>, is_listed: fn(LossCause) -> bool) -> Entries {
    listed(it, |disconnect| is_listed(disconnect.cause))
}

/// Disconnects that are attributed to a fault, or those that are not.
pub(super) fn attributed(it: Question<'_>, to_a_fault: bool) -> Entries {
    listed(it, |disconnect| disconnect.fault.is_some() == to_a_fault)
}

fn listed(it: Question<'_>, is_listed: impl Fn(&Disconnect) -> bool) -> Entries {
    let mut found: Vec<_> = check::entries(
        &it.query.filter,
        it.report.ledger,
        |stats| stats.connections.disconnects.iter(),
        |disconnect| disconnect.fault,
    )
    .filter(|(_, disconnect)| is_listed(disconnect))
    .collect();
    found.sort_by_key(|(_, disconnect)| disconnect.at);
    Entries::in_order(found.into_iter(), |(stats, disconnect)| {
        line(it, stats, disconnect)
    })
}

/// When a connection ended, how its client noticed, and by which fault.
fn line(it: Question<'_>, stats: &ClientStats, disconnect: &Disconnect) -> String {
    let code = disconnect.cause.code();
    let code = code.map_or_else(String::new, |code| format!(" ({code})"));
    format!(
        "{}: disconnected at {} by {}{code}, {}",
        stats.client.name,
        moment(it.report, disconnect.at),
        disconnect.cause.name(),
        fault_name(it.report, disconnect.fault),
    )
}

fn incidents<'a>(it: Question<'a>) -> impl Iterator<Item = (&'a ClientStats, &'a Incident)> {
    check::entries(
        &it.query.filter,
        it.report.ledger,
        |stats: &'a ClientStats| stats.connections.incidents.iter(),
        |incident| incident.disconnect.fault,
    )
}

/// Recoveries by the duration of one part.
pub(super) fn parts(
    it: Question<'_>,
    name: &str,
    part: fn(&Incident) -> Option<Sample>,
) -> Entries {
    let measured = incidents(it).filter_map(|entry| Some((entry, part(entry.1)?)));
    Entries::decisive(it, measured, |((stats, incident), measured)| {
        let end = match (incident.has_given_up, incident.recovered) {
            (true, _) => "gave up".to_owned(),
            (false, Some(at)) => format!("recovered at {}", moment(it.report, at)),
            (false, None) => "not recovered".to_owned(),
        };
        format!(
            "{}, {name} {}, {end}",
            line(it, stats, &incident.disconnect),
            sample(*measured, Unit::Time)
        )
    })
}

/// Recoveries by their attempts.
pub(super) fn attempts(it: Question<'_>) -> Entries {
    let counted_attempts = incidents(it).map(|entry| {
        let attempts = Sample {
            is_censored: entry.1.recovered.is_none(),
            value: entry.1.attempts,
        };
        (entry, attempts)
    });
    Entries::decisive(it, counted_attempts, |((stats, incident), _)| {
        let attempts = counted(incident.attempts, "attempt", "attempts");
        format!("{}, {attempts}", line(it, stats, &incident.disconnect))
    })
}

/// When most attempts began within a short time.
pub(super) fn attempts_peak(it: Question<'_>) -> Entries {
    let peak = check::attempts_peak(check::clients(&it.query.filter, it.report.ledger));
    Entries::in_order(peak.into_iter(), |peak| {
        format!(
            "{}: {} within {} from {}",
            peak.load,
            counted(peak.attempts, "attempt", "attempts"),
            time(check::PEAK_WINDOW),
            moment(it.report, peak.from)
        )
    })
}

/// Stalls, the longest first.
pub(super) fn stalls(it: Question<'_>, is_listed: fn(&Stall) -> bool) -> Entries {
    let all = check::entries(
        &it.query.filter,
        it.report.ledger,
        |stats: &ClientStats| stats.stalls.iter(),
        |stall| stall.fault,
    );
    let listed = all.filter(|(_, stall)| is_listed(stall));
    let measured = listed.map(|entry| (entry, entry.1.duration()));
    Entries::decisive(it, measured, |((stats, stall), duration)| {
        format!(
            "{}: stalled for {} from {}, {}",
            stats.client.name,
            sample(*duration, Unit::Time),
            moment(it.report, stall.from),
            fault_name(it.report, stall.fault)
        )
    })
}

/// First connections, by how long they took.
pub(super) fn first(it: Question<'_>) -> Entries {
    let all = check::clients(&it.query.filter, it.report.ledger);
    let measured = all.filter_map(|stats| Some((stats, stats.connections.first_connect?)));
    Entries::decisive(it, measured, |(stats, duration)| {
        let connected = stats.connections.intervals.first();
        let connected = connected.map_or_else(
            || "not connected after".to_owned(),
            |open| format!("connected at {} after", moment(it.report, open.from)),
        );
        let duration = sample(*duration, Unit::Time);
        format!("{}: {connected} {duration}", stats.client.name)
    })
}

/// Later connections, by how long the attempt took.
pub(super) fn again(it: Question<'_>) -> Entries {
    let all = check::clients(&it.query.filter, it.report.ledger);
    let attempts = all.flat_map(|stats| {
        let reconnects = stats.connections.reconnects.iter();
        reconnects.map(move |attempt| ((stats, attempt.began), attempt.duration))
    });
    Entries::decisive(it, attempts, |((stats, began), duration)| {
        format!(
            "{}: attempt from {}, {}",
            stats.client.name,
            moment(it.report, *began),
            sample(*duration, Unit::Time)
        )
    })
}

/// Connections by their duration.
pub(super) fn durations(it: Question<'_>) -> Entries {
    let end = it.report.ledger.end();
    let all = check::clients(&it.query.filter, it.report.ledger);
    let connections = all.flat_map(|stats| {
        let intervals = stats.connections.intervals.iter();
        intervals.map(move |open| ((stats, open), Sample::between(open.from, open.to, end)))
    });
    Entries::decisive(it, connections, |((stats, open), duration)| {
        let to = match open.to {
            Some(to) => format!("until {}", moment(it.report, to)),
            None => "until the end of the run".to_owned(),
        };
        format!(
            "{}: connected from {} {to}, {}",
            stats.client.name,
            moment(it.report, open.from),
            sample(*duration, Unit::Time)
        )
    })
}
