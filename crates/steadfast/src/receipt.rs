//! The promise of exactly one outcome for a publication.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use steadfast_core::io::Delivery;
use tokio::sync::oneshot;

/// What a publication comes to, once that is known. Dropping it does not take the publication back.
#[derive(Debug)]
pub struct Receipt {
    outcome: oneshot::Receiver<Delivery>,
    key: String,
}

impl Receipt {
    pub(crate) const fn new(outcome: oneshot::Receiver<Delivery>, key: String) -> Self {
        Self { outcome, key }
    }

    /// The key that makes repeats of this publication recognisable.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl Future for Receipt {
    type Output = Delivery;

    /// Cancel-safe: the outcome stays where it is until it is taken.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Delivery> {
        let outcome = ready!(Pin::new(&mut self.outcome).poll(context));
        // Only a driver that panicked answers nobody, and how far it came is not known.
        Poll::Ready(outcome.unwrap_or(Delivery::Interrupted {
            maybe_delivered: true,
        }))
    }
}
