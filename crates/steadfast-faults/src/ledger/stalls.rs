//! Stalls: periods in which a connected client received nothing for too long, without a disconnect.
//!
//! A suspended server causes no disconnect, so a ledger of disconnects alone would report such a run as undisturbed.

use std::ops::Range;
use std::time::Duration;

use steadfast_machine::Instant;

use crate::ledger::connections::ConnectionStats;
use crate::ledger::event::RunPhase;
use crate::ledger::faults::FaultStats;
use crate::ledger::timeline::Timeline;
use crate::samples::Sample;
use crate::topology::{Client, ClientActivity, FaultId};

/// A period in which a connected client had no acknowledgement and no delivery, longer than the scenario's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The last success before it, or the beginning of the observation.
    pub from: Instant,
    /// The first success after it; `None` when the senders stopped earlier.
    pub to: Option<Instant>,
    /// The fault to which it is attributed.
    pub fault: Option<FaultId>,
    /// The end of the observation.
    pub observed_until: Instant,
}

impl Stall {
    /// Its duration; censored when it had not ended at the end of the observation.
    pub fn duration(&self) -> Sample {
        let to = self.to.unwrap_or(self.observed_until);
        Sample {
            is_censored: self.to.is_none(),
            ..Sample::time(to - self.from)
        }
    }
}

/// The stalls of a client while the load was sent: from the baseline, or its subscription if that was later, until the
/// senders stopped. An idle client has nothing to wait for.
pub(super) fn stalls(
    client: &Client,
    subscribed: Option<Instant>,
    limit: Duration,
    connections: &ConnectionStats,
    faults: &[FaultStats],
    timeline: &Timeline<'_>,
) -> Vec<Stall> {
    let Some(subscribed) = subscribed.filter(|_| client.activity != ClientActivity::Idle) else {
        return Vec::new();
    };
    let observed_until = timeline
        .begin(RunPhase::Drain)
        .unwrap_or_else(|| timeline.end());
    let begin = timeline.begin(RunPhase::Baseline).unwrap_or_default();
    let mut from = begin.max(subscribed);
    let successes = timeline
        .of_client(client.id)
        .iter()
        .filter_map(|(at, event)| {
            (event.is_success() && *at < observed_until).then_some(Some(*at))
        });
    let mut found = Vec::new();
    for success in successes.chain([None]) {
        let to = success.unwrap_or(observed_until);
        if to <= from {
            continue;
        }
        if to - from > limit && !is_interrupted(connections, from, to) {
            found.push(Stall {
                from,
                to: success,
                fault: attributed(client, faults, from..to, limit),
                observed_until,
            });
        }
        from = to;
    }
    found
}

/// Whether the client knew that it was disconnected during this period. An incident ends with a success, so the
/// period that begins there is not interrupted.
fn is_interrupted(connections: &ConnectionStats, from: Instant, to: Instant) -> bool {
    connections
        .incidents
        .iter()
        .any(|it| it.disconnect.at <= to && it.recovered.is_none_or(|recovered| recovered > from))
}

/// The fault to which a stall is attributed: a fault on the client's server that was in effect during the stall. It
/// must have begun before the limit was reached, else the stall has another cause. The client must have had a
/// success within the limit after it was healed, else the cause is another. If there are several, the one that began
/// last.
fn attributed(
    client: &Client,
    faults: &[FaultStats],
    silence: Range<Instant>,
    limit: Duration,
) -> Option<FaultId> {
    let latest = silence.end.min(silence.start + limit);
    let candidates = faults.iter().filter(|fault| {
        let begun = fault.injected.is_some_and(|injected| injected <= latest);
        let lasts = fault
            .healed
            .is_none_or(|healed| healed >= silence.start && silence.end <= healed + limit);
        fault.is_effective() && fault.planned.hits(client) && begun && lasts
    });
    let last = candidates.max_by_key(|fault| (fault.injected, fault.planned.id));
    last.map(|fault| fault.planned.id)
}
