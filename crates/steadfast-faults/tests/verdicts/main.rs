//! Healthy runs with a planted violation, and the verdicts that they must get.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the support functions of a test fail as loudly as the test"
)]

mod checks;
mod clients;
mod deliveries;
mod evidence;
mod fault_logs;
mod guards;
mod junit;
mod pages;
mod permuted;
mod rendered;
mod reports;
mod request_run;
mod requests;
mod run;
mod shipped;

use steadfast_faults::ledger::event::{ClientEvent, Subscribed};
use steadfast_faults::topology::ClientId;
use steadfast_faults::verdict::Verdict;
use steadfast_protocol::message::Position;

use crate::run::Run;

/// Evaluates the run and compares the verdict and the names of its reasons, in order.
pub(crate) fn check(run: &Run, verdict: Verdict, reasons: &[&str]) {
    let evaluation = run.evaluate();
    let named: Vec<&str> = evaluation
        .reasons
        .iter()
        .map(|reason| reason.split(": ").next().unwrap())
        .collect();

    assert_eq!(evaluation.verdict, verdict, "{:#?}", evaluation.reasons);
    for name in reasons {
        assert!(named.contains(name), "{name} is not in {named:#?}");
    }
    assert_eq!(named.first(), reasons.first(), "{named:#?}");
    if verdict != Verdict::Inconclusive {
        assert_eq!(named, reasons, "{:#?}", evaluation.reasons);
    }
}

pub(crate) fn subscribed(epoch: &str, recovered: bool) -> ClientEvent {
    ClientEvent::Subscribed(Subscribed {
        position: Position {
            epoch: epoch.to_owned(),
            offset: 0,
        },
        was_recovering: true,
        recovered,
    })
}

pub(crate) fn index(client: ClientId) -> usize {
    usize::try_from(client.0).unwrap()
}
