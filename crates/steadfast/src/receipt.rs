//! The receipt of a publication: a future with exactly one outcome.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use steadfast_core::io::PublishOutcome;
use tokio::sync::oneshot;

/// The future of a publication's outcome. Dropping the receipt does not cancel the publication.
#[derive(Debug)]
#[must_use = "the receipt has the outcome of the publication, which may be that it was dropped"]
pub struct Receipt {
    outcome: oneshot::Receiver<PublishOutcome>,
    idempotency_key: String,
}

impl Receipt {
    pub(crate) const fn new(
        outcome: oneshot::Receiver<PublishOutcome>,
        idempotency_key: String,
    ) -> Self {
        Self {
            outcome,
            idempotency_key,
        }
    }

    /// Returns the idempotency key of this publication.
    pub fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }
}

impl Future for Receipt {
    type Output = PublishOutcome;

    /// Cancel-safe: the outcome is kept until it is returned.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<PublishOutcome> {
        let outcome = ready!(Pin::new(&mut self.outcome).poll(context));
        // Only a driver that panicked sends no outcome, and whether it sent the publication is not known.
        Poll::Ready(outcome.unwrap_or(PublishOutcome::Interrupted { maybe_stored: true }))
    }
}
