//! Silences on connections that stand: the application got nothing for too long, and nobody was told of an end.
//!
//! A frozen server causes no disconnect, so books that count disconnects alone would call such a run undisturbed.

use std::ops::Range;
use std::time::Duration;

use steadfast_machine::Instant;

use crate::ledger::faults::FaultBook;
use crate::ledger::incidents::Life;
use crate::ledger::record::{ClientFact, Phase};
use crate::ledger::timeline::Timeline;
use crate::roster::{Client, FaultId};
use crate::samples::Sample;

/// A connected client's time without an answer and without a delivery, longer than the scenario's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The last success before, or the beginning of the watch.
    pub from: Instant,
    /// The first success after; nothing when the senders stopped before.
    pub to: Option<Instant>,
    /// What explains it.
    pub fault: Option<FaultId>,
    /// Until when it was watched.
    pub watched_until: Instant,
}

impl Stall {
    /// How long it lasted; longer than what was watched when it was not over.
    pub fn lasted(&self) -> Sample {
        let to = self.to.unwrap_or(self.watched_until);
        Sample {
            censored: self.to.is_none(),
            ..Sample::time(to - self.from)
        }
    }
}

/// The stalls of a client while its load was sent: from the baseline, or its subscription if that was later, until the
/// senders stopped.
pub(super) fn stalls(
    client: &Client,
    subscribed: Option<Instant>,
    limit: Duration,
    life: &Life,
    faults: &[FaultBook],
    line: &Timeline<'_>,
) -> Vec<Stall> {
    let Some(subscribed) = subscribed else {
        return Vec::new();
    };
    let watched_until = line.begin(Phase::Drain).unwrap_or_else(|| line.end());
    let begin = line.begin(Phase::Baseline).unwrap_or_default();
    let mut from = begin.max(subscribed);
    let successes = line.of_client(client.id).iter().filter_map(|(at, fact)| {
        let success = matches!(
            fact,
            ClientFact::Acknowledged { .. } | ClientFact::Delivered { .. }
        );
        (success && *at < watched_until).then_some(Some(*at))
    });
    let mut found = Vec::new();
    for success in successes.chain([None]) {
        let to = success.unwrap_or(watched_until);
        if to <= from {
            continue;
        }
        if to - from > limit && !is_interrupted(life, from, to) {
            found.push(Stall {
                from,
                to: success,
                fault: explaining(client, faults, from..to, limit),
                watched_until,
            });
        }
        from = to;
    }
    found
}

/// Whether the client knew that it was not connected, for a part of this time. Its recovery is a success, so the time
/// that begins with it is whole again.
fn is_interrupted(life: &Life, from: Instant, to: Instant) -> bool {
    life.incidents
        .iter()
        .any(|it| it.end.at <= to && it.recovered.is_none_or(|recovered| recovered > from))
}

/// The fault on the client's server that was in effect meanwhile: it had begun before the limit was reached, since what
/// was a stall already is not the fault's, and when it was healed the client had a success within the limit, since what
/// goes on after that is a stall of its own. Of several, the one that began last.
fn explaining(
    client: &Client,
    faults: &[FaultBook],
    silence: Range<Instant>,
    limit: Duration,
) -> Option<FaultId> {
    let latest = silence.end.min(silence.start + limit);
    let fitting = faults.iter().filter(|fault| {
        let begun = fault.injected.is_some_and(|injected| injected <= latest);
        let lasts = fault
            .healed
            .is_none_or(|healed| healed >= silence.start && silence.end <= healed + limit);
        fault.is_effective() && fault.hits(client.instance) && begun && lasts
    });
    let last = fitting.max_by_key(|fault| (fault.injected, fault.planned.id));
    last.map(|fault| fault.planned.id)
}
