//! Whether the books add up: sums that must be equal whatever the system did.
//!
//! Both sides of each are counted on ways of their own. A breach is a fault of the harness or of these books, never of
//! the system under test.

use std::time::Duration;

use steadfast_machine::Instant;

use crate::ledger::delivery::Messages;
use crate::ledger::incidents::{Group, Span};
use crate::ledger::record::{ClientFact, Phase};
use crate::ledger::timeline::Timeline;
use crate::ledger::{FaultBook, Ledger};

/// How late a client may write down what came before its process ended.
const LATE_MAX: Duration = Duration::from_secs(1);

/// Every sum that is not what it must be, and every fact that contradicts another.
pub(super) fn breaches(ledger: &Ledger, line: &Timeline<'_>, messages: &Messages) -> Vec<String> {
    let mut found = Vec::new();
    phases(line, &mut found);
    clients(ledger, line, &mut found);
    publications(ledger, messages, &mut found);
    pairs(ledger, &mut found);
    survivors(ledger, line, &mut found);
    found
}

fn phases(line: &Timeline<'_>, found: &mut Vec<String>) {
    let mut last = None;
    for phase in Phase::ALL {
        match line.begin(phase) {
            None => found.push(format!("the phase {} never began", phase.name())),
            begin if begin < last => {
                found.push(format!("the phase {} began before the last", phase.name()));
            }
            begin => last = begin,
        }
    }
}

fn clients(ledger: &Ledger, line: &Timeline<'_>, found: &mut Vec<String>) {
    let known = ledger.clients.len();
    let strangers = line
        .clients
        .keys()
        .filter(|id| usize::try_from(id.0).is_ok_and(|place| place >= known));
    found.extend(strangers.map(|id| format!("client {} is not of this run", id.0)));
    for book in &ledger.clients {
        let life = &book.life;
        let name = &book.client.name;
        found.extend(life.contradictions.iter().cloned());
        let open = life.incidents.iter().filter(|it| it.recovered.is_none());
        let open_max = match life.group {
            Group::NeverConnected | Group::NeverDisconnected | Group::Reconnected => 0,
            Group::GaveUp | Group::DownAtEnd => 1,
        };
        if open.count() != open_max {
            found.push(format!("{name}: its open incidents do not fit its group"));
        }
        if life.group.is_affected() == life.ends.is_empty() {
            found.push(format!("{name}: its ends do not fit its group"));
        }
        let ended = u64::try_from(life.ends.len()).unwrap_or(u64::MAX);
        let stood = u64::try_from(life.connections.len()).unwrap_or(u64::MAX);
        let stands = match life.group {
            Group::NeverDisconnected | Group::Reconnected => 1..=1,
            Group::NeverConnected | Group::GaveUp => 0..=0,
            // The last connection may stand without a success.
            Group::DownAtEnd => 0..=1,
        };
        if !stands.contains(&stood.saturating_sub(ended)) {
            found.push(format!(
                "{name}: {stood} connections and {ended} ends do not fit its group"
            ));
        }
    }
}

fn publications(ledger: &Ledger, messages: &Messages, found: &mut Vec<String>) {
    for book in &ledger.clients {
        let it = &book.published;
        if it.sent != it.acknowledged + it.refused + it.unknown {
            found.push(format!(
                "{}: {} publications, but {} acknowledged, {} refused and {} unknown",
                book.client.name, it.sent, it.acknowledged, it.refused, it.unknown
            ));
        }
        let last = messages
            .of(book.client.id)
            .last()
            .map(|(id, _)| id.sequence);
        if last.unwrap_or_default() != it.sent {
            found.push(format!("{}: its sequences have holes", book.client.name));
        }
    }
}

fn pairs(ledger: &Ledger, found: &mut Vec<String>) {
    for book in &ledger.clients {
        let it = &book.delivery;
        if it.owed != it.delivered + it.lost {
            found.push(format!(
                "{}: owed is not delivered and lost",
                book.client.name
            ));
        }
        let sorted =
            it.delivered + it.unknown_delivered + it.excused + it.duplicate + it.unexpected;
        if it.seen != sorted {
            found.push(format!(
                "{}: {} deliveries, {sorted} of them in a class",
                book.client.name, it.seen
            ));
        }
    }
}

/// Nobody succeeds on a connection whose process is dead: a client that says so has hidden a reconnect.
fn survivors(ledger: &Ledger, line: &Timeline<'_>, found: &mut Vec<String>) {
    let ending = ledger
        .faults
        .iter()
        .filter(|it| it.is_effective() && it.planned.action.ends_process());
    for fault in ending {
        for book in &ledger.clients {
            let hidden = fault.hits(book.client.instance)
                && book.life.connections.iter().any(|span| {
                    let facts = line.of_client(book.client.id);
                    facts
                        .iter()
                        .any(|(at, fact)| is_impossible(fault, *span, *at, fact))
                });
            if hidden {
                found.push(format!(
                    "{}: it succeeded on a connection that {} {} had ended",
                    book.client.name, fault.planned.step, fault.planned.occurrence
                ));
            }
        }
    }
}

fn is_impossible(fault: &FaultBook, span: Span, at: Instant, fact: &ClientFact) -> bool {
    let (Some(injected), Some(confirmed)) = (fault.injected, fault.confirmed) else {
        return false;
    };
    let success = matches!(
        fact,
        ClientFact::Acknowledged { .. } | ClientFact::Delivered { .. }
    );
    let inside = at >= span.from && span.to.is_none_or(|to| at <= to);
    success && inside && span.from < injected && at > confirmed + LATE_MAX
}
