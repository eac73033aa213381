//! Consistency of the ledger: sums that must be equal whatever the system did.
//!
//! Both sides of each sum are counted independently. An inconsistency is a bug of the harness or of the ledger, never
//! of the system under test.

use std::collections::BTreeSet;
use std::time::Duration;

use steadfast_machine::{Instant, convert};

use crate::counted::counted;
use crate::ledger::connections::{ClientOutcome, ConnectionInterval};
use crate::ledger::delivery::Messages;
use crate::ledger::event::{ClientEvent, RunPhase};
use crate::ledger::timeline::Timeline;
use crate::ledger::{FaultStats, Ledger, RequestClass};
use crate::topology::ClientKind;

/// How late a client may record what happened before its server process exited.
const RECORDING_DELAY_MAX: Duration = Duration::from_secs(1);

/// Every sum that disagrees, and every event that contradicts another.
pub(super) fn inconsistencies(
    ledger: &Ledger,
    timeline: &Timeline<'_>,
    messages: &Messages,
) -> Vec<String> {
    let mut found = Vec::new();
    phases(timeline, &mut found);
    clients(ledger, timeline, &mut found);
    publications(ledger, messages, &mut found);
    requests(ledger, &mut found);
    deliveries(ledger, &mut found);
    hidden_reconnects(ledger, timeline, &mut found);
    found
}

fn phases(timeline: &Timeline<'_>, found: &mut Vec<String>) {
    let mut last = None;
    for phase in RunPhase::ALL {
        match timeline.begin(phase) {
            None => found.push(format!("phase {} never began", phase.name())),
            begin if begin < last => {
                found.push(format!(
                    "phase {} began before the previous one",
                    phase.name()
                ));
            }
            begin => last = begin,
        }
    }
}

fn clients(ledger: &Ledger, timeline: &Timeline<'_>, found: &mut Vec<String>) {
    let known = ledger.clients.len();
    let unknown = timeline
        .clients
        .keys()
        .filter(|id| convert::to_usize(id.0) >= known);
    found.extend(unknown.map(|id| format!("client {} is not part of this run", id.0)));
    for stats in &ledger.clients {
        let connections = &stats.connections;
        let name = &stats.client.name;
        found.extend(connections.contradictions.iter().cloned());
        let open = connections
            .incidents
            .iter()
            .filter(|it| it.recovered.is_none());
        let open_max = match connections.outcome {
            ClientOutcome::NeverConnected
            | ClientOutcome::NeverDisconnected
            | ClientOutcome::Reconnected => 0,
            ClientOutcome::GaveUp | ClientOutcome::DownAtEnd => 1,
        };
        if open.count() != open_max {
            found.push(format!("{name}: open incidents do not match its outcome"));
        }
        if connections.outcome.is_affected() == connections.disconnects.is_empty() {
            found.push(format!("{name}: disconnects do not match its outcome"));
        }
        let disconnected = convert::to_u64(connections.disconnects.len());
        let connected = convert::to_u64(connections.intervals.len());
        let open_range = match connections.outcome {
            ClientOutcome::NeverDisconnected | ClientOutcome::Reconnected => 1..=1,
            ClientOutcome::NeverConnected | ClientOutcome::GaveUp => 0..=0,
            // The last connection may be open without a success.
            ClientOutcome::DownAtEnd => 0..=1,
        };
        if !open_range.contains(&connected.saturating_sub(disconnected)) {
            found.push(format!(
                "{name}: {} and {} do not match its outcome",
                counted(connected, "connection", "connections"),
                counted(disconnected, "disconnect", "disconnects")
            ));
        }
    }
}

fn publications(ledger: &Ledger, messages: &Messages, found: &mut Vec<String>) {
    for stats in &ledger.clients {
        let it = &stats.publications;
        if it.sent != it.acknowledged + it.rejected + it.unknown {
            found.push(format!(
                "{}: {}, but {} acknowledged, {} rejected and {} unknown",
                stats.client.name,
                counted(it.sent, "publication", "publications"),
                it.acknowledged,
                it.rejected,
                it.unknown
            ));
        }
        let last = messages
            .of(stats.client.id)
            .last()
            .map(|(id, _)| id.sequence);
        if last.unwrap_or_default() != it.sent {
            found.push(format!("{}: sequences have gaps", stats.client.name));
        }
    }
}

/// Each request has exactly one class, and the outcome of each belongs to a request that was sent.
fn requests(ledger: &Ledger, found: &mut Vec<String>) {
    for stats in &ledger.clients {
        let it = &stats.requests;
        found.extend(it.contradictions.iter().cloned());
        let classified: u64 = [
            RequestClass::Ok,
            RequestClass::Error,
            RequestClass::NotSent,
            RequestClass::MaybeExecuted,
        ]
        .into_iter()
        .map(|class| it.of_class(class))
        .sum();
        if it.sent != classified {
            found.push(format!(
                "{}: {}, but {classified} with an outcome or without a reply",
                stats.client.name,
                counted(it.sent, "request", "requests")
            ));
        }
    }
}

fn deliveries(ledger: &Ledger, found: &mut Vec<String>) {
    for stats in &ledger.clients {
        let it = &stats.delivery;
        if it.expected != it.delivered + it.lost {
            found.push(format!(
                "{}: expected is not the sum of delivered and lost",
                stats.client.name
            ));
        }
        let classified =
            it.delivered + it.unknown_delivered + it.optional + it.duplicate + it.unexpected;
        if it.received != classified {
            found.push(format!(
                "{}: {} deliveries, but {classified} classified",
                stats.client.name, it.received
            ));
        }
    }
}

/// No client succeeds on a connection whose process has exited: a client that reports such a success has hidden a
/// reconnect. A program that reports one connection of each client for the whole run has clients without connections of
/// their own, such as those that send each request over a new one.
fn hidden_reconnects(ledger: &Ledger, timeline: &Timeline<'_>, found: &mut Vec<String>) {
    let process_faults = ledger
        .faults
        .iter()
        .filter(|it| it.is_effective() && it.planned.action.ends_process());
    let disconnected = ledger.clients.iter();
    let disconnected = disconnected.filter(|it| !it.connections.disconnects.is_empty());
    let with_connections: BTreeSet<&str> = disconnected.map(|it| it.client.load.as_str()).collect();
    for fault in process_faults {
        for stats in &ledger.clients {
            let is_connectionless = stats.client.kind == ClientKind::Exec
                && !with_connections.contains(stats.client.load.as_str());
            // At most one: a connection that was open before the fault and long after it.
            let intervals = stats.connections.intervals.iter();
            let mut across = intervals.filter(|it| lasts_across(fault, it));
            let is_hidden = !is_connectionless
                && fault.hits(stats.client.instance)
                && across.any(|interval| {
                    let events = timeline.of_client(stats.client.id);
                    events
                        .iter()
                        .any(|(at, event)| is_impossible(fault, *interval, *at, event))
                });
            if is_hidden {
                found.push(format!(
                    "{}: success on a connection that {} {} had ended",
                    stats.client.name, fault.planned.step, fault.planned.occurrence
                ));
            }
        }
    }
}

fn lasts_across(fault: &FaultStats, interval: &ConnectionInterval) -> bool {
    fault
        .injected
        .is_some_and(|injected| interval.from < injected)
        && interval.to.is_none_or(|to| Some(to) > fault.confirmed)
}

fn is_impossible(
    fault: &FaultStats,
    interval: ConnectionInterval,
    at: Instant,
    event: &ClientEvent,
) -> bool {
    let (Some(injected), Some(confirmed)) = (fault.injected, fault.confirmed) else {
        return false;
    };
    let is_inside = at >= interval.from && interval.to.is_none_or(|to| at <= to);
    event.is_success()
        && is_inside
        && interval.from < injected
        && at > confirmed + RECORDING_DELAY_MAX
}
