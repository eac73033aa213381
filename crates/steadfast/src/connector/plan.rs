//! What distinguishes one attempt from the others of an outage: pure, from the state of the session.

use steadfast_core::event::{SessionSnapshot, SessionState};
use steadfast_core::io::Attempt;
use steadfast_machine::{Instant, convert};

use super::readiness::ReadinessCheck;

/// How one attempt is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DialPlan {
    /// How many attempts at this endpoint have failed since the last connection; for an attempt to replace a connection, a
    /// number that grows with each attempt. Each starts with another address of a name: TCP succeeds also at a server that
    /// is frozen, so the first address would fail each attempt.
    pub(super) round: usize,
    /// Whether the readiness check precedes the upgrade.
    pub(super) checks_readiness: bool,
}

impl DialPlan {
    /// The plan of the attempt that starts now, in a session with this many endpoints, which take turns.
    pub(super) fn new(
        attempt: Attempt,
        snapshot: &SessionSnapshot,
        endpoints: usize,
        readiness: Option<&ReadinessCheck>,
        now: Instant,
    ) -> Self {
        let round = if snapshot.state == SessionState::Connected {
            convert::saturating(attempt.0)
        } else {
            let failed = convert::to_usize(snapshot.attempt.saturating_sub(1));
            failed.checked_div(endpoints).unwrap_or(0)
        };
        Self {
            round,
            checks_readiness: readiness.is_some_and(|it| it.is_due(snapshot, now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_over_the_endpoints_starts_with_another_address() {
        let round = |attempt, endpoints| {
            let mut snapshot = SessionSnapshot::default();
            snapshot.attempt = attempt;
            DialPlan::new(Attempt(9), &snapshot, endpoints, None, Instant::START).round
        };

        assert_eq!([1, 2, 3].map(|attempt| round(attempt, 1)), [0, 1, 2]);
        assert_eq!(
            [1, 2, 3, 4, 5].map(|attempt| round(attempt, 2)),
            [0, 0, 1, 1, 2]
        );
    }

    #[test]
    fn each_attempt_to_replace_a_connection_starts_with_another_address() {
        let mut snapshot = SessionSnapshot::default();
        snapshot.state = SessionState::Connected;
        let round =
            |attempt| DialPlan::new(Attempt(attempt), &snapshot, 2, None, Instant::START).round;

        assert_ne!(round(5), round(6));
        assert_eq!(round(5) + 1, round(6));
    }
}
