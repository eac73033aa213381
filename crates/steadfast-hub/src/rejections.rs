//! Rate-limited reports of rejected commands and of dropped shard messages.
//!
//! One peer can have thousands of commands rejected in a second, and a log line for each would hide everything else. So
//! each cause is reported immediately, and then at most once per [`REPORT_INTERVAL`], with the number of
//! rejections. [`Throttle`] counts them.

use std::time::Duration;

use steadfast_engine::Rejection;
use steadfast_machine::throttle::{Summary, Throttle};

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
    /// The send buffers of all peers need too much memory: a slow consumer was closed.
    UnsentMemory,
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
            Self::UnsentMemory => Event::UnsentMemoryLimitReached { count },
            Self::InboxFull { shard } => Event::ShardMessagesDropped { shard, count },
        }
    }
}

/// The rejections of a hub; at most one entry for each of the few causes and for each shard.
pub(crate) type Rejections = Throttle<RejectionCause, ()>;

/// Creates an empty counter.
pub(crate) const fn new() -> Rejections {
    Throttle::new(REPORT_INTERVAL, 1)
}

/// Returns the event that reports rejections.
pub(crate) const fn event(summary: &Summary<RejectionCause, ()>) -> Event {
    summary.kind.event(summary.count)
}
