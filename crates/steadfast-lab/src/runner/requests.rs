//! The requests of one client: which may be sent now, and which outcomes are final.
//!
//! Requests are due on a schedule that does not wait for replies, so several may be in flight. A load that repeats
//! requests keeps each until the server has replied, and sends it only while its client is connected. Other loads pass each
//! request to the driver once, as soon as it is due: whether it could be sent, the driver reports.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_faults::ledger::event::{ClientEvent, RequestOutcome};
use steadfast_machine::{Instant, convert};

/// The requests of a client without a final outcome.
#[derive(Debug)]
pub(super) struct RequestQueue {
    /// Whether a request without a reply is sent again.
    is_repeated: bool,
    len_max: usize,
    /// Sequence of the last request.
    sequence: u64,
    pending: BTreeMap<u64, PendingRequest>,
    /// The pending requests that are not in flight.
    queued: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug)]
struct PendingRequest {
    /// When it was due.
    intended: Instant,
    was_sent: bool,
}

/// A request to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NextRequest {
    pub(super) sequence: u64,
    /// When it was due.
    pub(super) intended: Instant,
    pub(super) is_resend: bool,
}

/// What follows from the outcome of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AfterOutcome {
    /// It is final.
    Settled(ClientEvent),
    /// The request is queued again.
    Repeated,
    /// The request is not in flight: its outcome was reported before.
    Ignored,
}

impl RequestQueue {
    pub(super) fn new(is_repeated: bool, len_max: u32) -> Self {
        Self {
            is_repeated,
            len_max: convert::to_usize(len_max),
            sequence: 0,
            pending: BTreeMap::new(),
            queued: BTreeSet::new(),
        }
    }

    /// The number of requests without a final outcome.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Queues a request that is due; returns an event if the queue is full.
    pub(super) fn enqueue(&mut self, intended: Instant) -> Option<ClientEvent> {
        if self.pending.len() >= self.len_max {
            return Some(ClientEvent::Unsent);
        }
        self.sequence += 1;
        let request = PendingRequest {
            intended,
            was_sent: false,
        };
        self.pending.insert(self.sequence, request);
        self.queued.insert(self.sequence);
        None
    }

    /// Returns the oldest request that may be sent now, which is in flight from then on.
    pub(super) fn next_to_send(&mut self, is_up: bool) -> Option<NextRequest> {
        if self.is_repeated && !is_up {
            return None;
        }
        let sequence = self.queued.pop_first()?;
        let request = self.pending.get_mut(&sequence)?;
        Some(NextRequest {
            sequence,
            intended: request.intended,
            is_resend: std::mem::replace(&mut request.was_sent, true),
        })
    }

    /// Handles the outcome of a request in flight.
    pub(super) fn on_outcome(&mut self, sequence: u64, outcome: RequestOutcome) -> AfterOutcome {
        if !self.pending.contains_key(&sequence) || self.queued.contains(&sequence) {
            return AfterOutcome::Ignored;
        }
        if self.is_repeated && !outcome.is_reply() {
            self.queued.insert(sequence);
            return AfterOutcome::Repeated;
        }
        self.pending.remove(&sequence);
        AfterOutcome::Settled(ClientEvent::Settled { sequence, outcome })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn requests_do_not_wait_for_replies_and_keep_the_instant_at_which_they_were_due() {
        let mut queue = RequestQueue::new(false, 10);
        queue.enqueue(at(1));
        queue.enqueue(at(2));

        let sent: Vec<NextRequest> = std::iter::from_fn(|| queue.next_to_send(false)).collect();

        let expected = [(1, 1), (2, 2)].map(|(sequence, second)| NextRequest {
            sequence,
            intended: at(second),
            is_resend: false,
        });
        assert_eq!(sent, expected);
        assert_eq!(queue.len(), 2, "both are in flight");
    }

    #[test]
    fn a_request_that_is_not_repeated_settles_with_any_outcome_and_once_only() {
        for outcome in [
            RequestOutcome::Ok,
            RequestOutcome::Error { code: 5 },
            RequestOutcome::NotSent,
            RequestOutcome::Lost,
            RequestOutcome::TimedOut,
        ] {
            let mut queue = RequestQueue::new(false, 10);
            queue.enqueue(at(1));
            queue.next_to_send(true);

            let first = queue.on_outcome(1, outcome);
            let second = queue.on_outcome(1, RequestOutcome::Ok);

            let settled = ClientEvent::Settled {
                sequence: 1,
                outcome,
            };
            assert_eq!(first, AfterOutcome::Settled(settled));
            assert_eq!(second, AfterOutcome::Ignored);
            assert_eq!(queue.len(), 0);
        }
    }

    #[test]
    fn a_repeated_request_waits_for_the_connection_and_is_sent_until_the_server_replies() {
        let mut queue = RequestQueue::new(true, 10);
        queue.enqueue(at(1));
        assert_eq!(queue.next_to_send(false), None, "not connected");

        assert!(!queue.next_to_send(true).unwrap().is_resend);
        for outcome in [RequestOutcome::Lost, RequestOutcome::NotSent] {
            assert_eq!(queue.on_outcome(1, outcome), AfterOutcome::Repeated);
            let again = queue.next_to_send(true).unwrap();
            assert_eq!((again.sequence, again.is_resend), (1, true));
            assert_eq!(again.intended, at(1));
        }

        let settled = ClientEvent::Settled {
            sequence: 1,
            outcome: RequestOutcome::Ok,
        };
        let after = queue.on_outcome(1, RequestOutcome::Ok);
        assert_eq!(after, AfterOutcome::Settled(settled));
    }

    #[test]
    fn a_full_queue_reports_requests_that_were_never_sent() {
        let mut queue = RequestQueue::new(false, 1);
        assert_eq!(queue.enqueue(at(1)), None);
        queue.next_to_send(true);

        assert_eq!(queue.enqueue(at(2)), Some(ClientEvent::Unsent));

        queue.on_outcome(1, RequestOutcome::Ok);
        assert_eq!(queue.enqueue(at(3)), None);
        assert_eq!(queue.next_to_send(true).unwrap().sequence, 2, "no gap");
    }

    fn at(second: u64) -> Instant {
        Instant::START + Duration::from_secs(second)
    }
}
