//! The receipt of a message: a future with exactly one outcome.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use steadfast_core::dialect::Dialect;
use steadfast_core::io::{SendError, SendResult};
use tokio::sync::oneshot;

/// The future of a message's outcome: what the server said when it accepted the message, or why it did not. Dropping the
/// receipt does not cancel the message.
///
/// ```no_run
/// # async fn run(client: steadfast::websocket::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let receipt = client.send_text("hello").await?;
/// match receipt.await {
///     Ok(_sent) => println!("passed to the transport"),
///     Err(error) => println!("not sent: {error}"),
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "the receipt has the outcome of the message, which may be that it was dropped"]
pub struct Receipt<D: Dialect> {
    outcome: oneshot::Receiver<SendResult<D>>,
}

impl<D: Dialect> Receipt<D> {
    pub(crate) const fn new(outcome: oneshot::Receiver<SendResult<D>>) -> Self {
        Self { outcome }
    }
}

impl<D: Dialect> fmt::Debug for Receipt<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").finish_non_exhaustive()
    }
}

impl<D: Dialect> Future for Receipt<D> {
    type Output = SendResult<D>;

    /// Cancel-safe: the outcome is kept until it is returned.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<SendResult<D>> {
        let outcome = ready!(Pin::new(&mut self.outcome).poll(context));
        // Only a driver that panicked sends no outcome, and whether it sent the message is not known.
        Poll::Ready(outcome.unwrap_or(Err(SendError::Interrupted)))
    }
}
