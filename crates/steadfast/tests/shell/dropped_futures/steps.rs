//! Steps of a client and its server, which take turns.

use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

/// More steps than anything here takes.
pub(super) const STEPS_MAX: usize = 300_000;

/// A client and its server.
pub(super) trait Steps: Debug {
    /// Lets the driver and the server work in turn.
    async fn step(&mut self);

    /// Takes steps until the condition is met.
    async fn until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        for _ in 0..STEPS_MAX {
            if condition(self) {
                return;
            }
            self.step().await;
        }
        panic!("{what} is missing: {self:?}");
    }

    /// Takes steps until the future completes.
    async fn complete<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        for _ in 0..STEPS_MAX {
            if let Poll::Ready(output) = poll_once(future.as_mut()).await {
                return output;
            }
            self.step().await;
        }
        panic!("the future does not complete: {self:?}");
    }
}

/// Polls a future once.
pub(super) async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}
