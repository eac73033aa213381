//! The reply of a call, as its caller awaits it. A caller that gives up withdraws its call.
//!
//! The driver learns of it from the closed channel of the reply, so that a withdrawal needs no space in the command
//! queue.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use steadfast_core::dialect::Dialect;
use steadfast_core::io::{CallError, CallResult};
use tokio::sync::{Notify, oneshot};

/// Announces withdrawn calls to the driver.
#[derive(Debug)]
pub(crate) struct Withdrawals {
    is_announced: AtomicBool,
    driver: Arc<Notify>,
}

impl Withdrawals {
    pub(crate) const fn new(driver: Arc<Notify>) -> Self {
        Self {
            is_announced: AtomicBool::new(false),
            driver,
        }
    }

    /// Returns whether the channel of a reply was closed since the last call.
    pub(crate) fn take(&self) -> bool {
        self.is_announced.swap(false, Ordering::AcqRel)
    }

    fn announce(&self) {
        self.is_announced.store(true, Ordering::Release);
        self.driver.notify_one();
    }
}

/// The future of a reply. Dropping it before it completes withdraws the call.
#[derive(Debug)]
pub(crate) struct AwaitedReply<D: Dialect> {
    /// `None` once the reply was returned.
    reply: Option<oneshot::Receiver<CallResult<D>>>,
    withdrawals: Arc<Withdrawals>,
}

impl<D: Dialect> AwaitedReply<D> {
    pub(crate) const fn new(
        reply: oneshot::Receiver<CallResult<D>>,
        withdrawals: Arc<Withdrawals>,
    ) -> Self {
        Self {
            reply: Some(reply),
            withdrawals,
        }
    }
}

impl<D: Dialect> Future for AwaitedReply<D> {
    type Output = CallResult<D>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(reply) = &mut self.reply else {
            return Poll::Pending;
        };
        let outcome = ready!(Pin::new(reply).poll(context));
        self.reply = None;
        // Only a driver that has finished, or panicked, sends no outcome.
        Poll::Ready(outcome.unwrap_or(Err(CallError::Closed)))
    }
}

impl<D: Dialect> Drop for AwaitedReply<D> {
    fn drop(&mut self) {
        if let Some(mut reply) = self.reply.take() {
            // Closed before it is announced, so that the driver finds it.
            reply.close();
            self.withdrawals.announce();
        }
    }
}
