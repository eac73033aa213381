//! The link on its own: a layer above that, unlike the session, reports without regard to the state.

use steadfast_core::event::DisconnectCause;
use steadfast_core::io::Attempt;
use steadfast_core::link::Link;
use steadfast_core::policy::SessionPolicy;
use steadfast_core::retry_advice::RetryAdvice;
use steadfast_machine::{Instant, Seed};

use crate::script::{dial_failure, settings};

const NOW: Instant = Instant::START;

/// A link that dials, its attempt, and an earlier one.
fn dialing() -> (Link, Attempt, Attempt) {
    let policy = SessionPolicy::new(settings()).expect("valid");
    let mut link = Link::new(&policy.link(), Seed::new(1), NOW);
    link.open(NOW);
    let (attempt, earlier) = (link.attempt(), Attempt::default());
    assert_ne!(attempt, earlier);
    (link, attempt, earlier)
}

#[test]
fn an_acceptance_counts_once_and_for_the_attempt_in_a_handshake_only() {
    let (mut link, attempt, earlier) = dialing();

    link.accepted(NOW, attempt);
    assert!(!link.is_connected(), "no transport is open");
    link.dialled(NOW, attempt);
    link.accepted(NOW, earlier);
    assert!(link.is_in_handshake());
    link.accepted(NOW, attempt);
    link.accepted(NOW, attempt);
    link.accepted(NOW, earlier);

    assert!(link.is_connected());
    assert_eq!(link.snapshot().epoch.0, 1);
}

#[test]
fn a_rejection_counts_for_the_attempt_in_a_handshake_only() {
    let (mut link, attempt, earlier) = dialing();
    let cause = DisconnectCause::HandshakeRejected("banned".to_owned());
    let advice = RetryAdvice::RETRY;
    link.dialled(NOW, attempt);

    link.rejected(NOW, earlier, cause.clone(), advice);
    assert!(link.is_in_handshake());
    link.accepted(NOW, attempt);
    link.rejected(NOW, attempt, cause, advice);

    assert!(link.is_connected());
}

#[test]
fn a_dial_that_fails_counts_for_the_attempt_that_dials_only() {
    let (mut link, attempt, earlier) = dialing();

    link.dial_failed(NOW, earlier, dial_failure());
    link.dialled(NOW, attempt);
    assert!(link.is_in_handshake(), "it was still dialling");
    link.dial_failed(NOW, attempt, dial_failure());

    assert!(link.is_in_handshake());
}
