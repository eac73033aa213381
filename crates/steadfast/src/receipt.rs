//! The receipt of a message: a future with exactly one outcome.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use steadfast_core::dialect::Dialect;
use steadfast_core::io::SendResult;

use crate::exchange::{Exchange, ReplyKey};

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
    exchange: Arc<Exchange<D>>,
    /// `None` once the outcome was returned.
    key: Option<ReplyKey>,
}

impl<D: Dialect> Receipt<D> {
    pub(crate) const fn new(exchange: Arc<Exchange<D>>, key: ReplyKey) -> Self {
        let key = Some(key);
        Self { exchange, key }
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
        let Some(key) = self.key else {
            return Poll::Pending;
        };
        let outcome = ready!(self.exchange.poll_message(key, context));
        self.key = None;
        Poll::Ready(outcome)
    }
}

impl<D: Dialect> Drop for Receipt<D> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.exchange.forget_message(key);
        }
    }
}
