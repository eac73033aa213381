//! Rate-limited reports of rejected commands and of dropped shard messages.
//!
//! One peer can have thousands of commands rejected in a second, and a log line for each would hide everything else. So
//! each cause is reported immediately, and then at most once per [`REPORT_INTERVAL`], with the number of
//! rejections.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_engine::Rejection;
use steadfast_machine::Instant;

use crate::event::{Event, HubLimit};

/// For this long after a report, rejections of the same cause are only counted.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Why a command was rejected or a message dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RejectionCause {
    /// A limit of the hub.
    Limit(HubLimit),
    /// A rejection by the log.
    Log(Rejection),
    /// A decision did not arrive in time.
    DecisionTimeout,
    /// A decision arrived after its time.
    LateDecision,
    /// The inbox of this shard had no capacity for a message.
    InboxFull { shard: u16 },
}

impl RejectionCause {
    const fn event(self, count: u64) -> Event {
        match self {
            Self::Limit(limit) => Event::LimitReached { limit, count },
            Self::Log(rejection) => Event::RequestsRejected { rejection, count },
            Self::DecisionTimeout => Event::DecisionsTimedOut { count },
            Self::LateDecision => Event::DecisionsLate { count },
            Self::InboxFull { shard } => Event::ShardMessagesDropped { shard, count },
        }
    }
}

/// The rejections of one cause since its last report.
#[derive(Clone, Copy, Debug)]
struct RejectionCounter {
    reported_at: Instant,
    unreported: u64,
}

/// The rejections of a hub; at most one entry for each of the few causes and for each shard.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    counts: BTreeMap<RejectionCause, RejectionCounter>,
}

impl Rejections {
    /// Counts one rejection. Returns an event if its cause has no recent report.
    pub(crate) fn record(&mut self, now: Instant, cause: RejectionCause) -> Option<Event> {
        let Some(count) = self.counts.get_mut(&cause) else {
            let first = RejectionCounter {
                reported_at: now,
                unreported: 0,
            };
            self.counts.insert(cause, first);
            return Some(cause.event(1));
        };
        count.unreported += 1;
        None
    }

    /// The reports that are due. A cause without rejections since its last report is removed, so that its next
    /// rejection is reported immediately.
    pub(crate) fn take_reports(&mut self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        self.counts.retain(|cause, count| {
            if now < count.reported_at + REPORT_INTERVAL {
                return true;
            }
            if count.unreported == 0 {
                return false;
            }
            events.push(cause.event(std::mem::take(&mut count.unreported)));
            count.reported_at = now;
            true
        });
        events
    }

    /// When a report is due or a cause is removed.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let reported = self.counts.values().map(|count| count.reported_at);
        reported
            .min()
            .map(|reported_at| reported_at + REPORT_INTERVAL)
    }
}
