//! Messages: how they enter the exchange, with and without waiting for space, and their outcomes.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use steadfast_core::dialect::{Dialect, Message as _};
use steadfast_core::io::{MessageId, Outgoing, SendError, SendResult};

use super::reply_table::ReplyKey;
use super::space::{Place, Ticket};
use super::{Command, Exchange, Inner, Phase, wake};
use crate::error::RequestError;

/// A message that waits for space in the outbox, and its key once it is queued. Messages are queued in the order in which
/// these futures are first polled. Dropping one before it completes gives its turn to the next one.
#[derive(Debug)]
pub(crate) struct QueuedMessage<'a, D: Dialect> {
    exchange: &'a Exchange<D>,
    bytes: usize,
    ttl: Option<Duration>,
    /// `None` once it is queued.
    message: Option<D::Message>,
    /// While it waits.
    ticket: Option<Ticket>,
}

impl<D: Dialect> Unpin for QueuedMessage<'_, D> {}

impl<D: Dialect> Exchange<D> {
    /// Queues a message once the outbox has space for it.
    pub(crate) fn queue_message(
        &self,
        message: D::Message,
        ttl: Option<Duration>,
    ) -> QueuedMessage<'_, D> {
        QueuedMessage {
            exchange: self,
            bytes: message.bytes(),
            ttl,
            message: Some(message),
            ticket: None,
        }
    }

    /// Queues a message, unless the outbox is full or others wait for space.
    pub(crate) fn try_queue_message(
        &self,
        message: D::Message,
        ttl: Option<Duration>,
    ) -> Result<ReplyKey, RequestError> {
        let bytes = message.bytes();
        let (key, driver) = {
            let mut inner = self.lock();
            inner.require_open()?;
            let place = inner.space.try_take(bytes);
            let place = place.ok_or(RequestError::OutboxFull)?;
            inner.push_message(message, ttl, Some(place))
        };
        wake(driver);
        Ok(key)
    }

    /// Queues a message that drops older ones if the outbox is full.
    pub(crate) fn queue_message_instead_of_others(
        &self,
        message: D::Message,
        ttl: Option<Duration>,
    ) -> Result<ReplyKey, RequestError> {
        let (key, driver) = {
            let mut inner = self.lock();
            inner.require_command_space(self.commands_max)?;
            inner.push_message(message, ttl, None)
        };
        wake(driver);
        Ok(key)
    }

    /// Returns the outcome of a message; until there is one, it wakes this task.
    pub(crate) fn poll_message(&self, key: ReplyKey, context: &Context<'_>) -> Poll<SendResult<D>> {
        let (polled, _unused) = {
            let mut inner = self.lock();
            let (polled, replaced) = inner.messages.poll(key, context);
            if polled.is_pending() && inner.phase == Phase::Ended {
                // Only a driver that panicked sends no outcome, and whether it sent the message is not known.
                let removed = inner.messages.remove(key);
                (
                    Poll::Ready(Err(SendError::Interrupted)),
                    (replaced, removed),
                )
            } else {
                (polled, (replaced, None))
            }
        };
        polled
    }

    /// Nothing waits for the outcome of this message any more.
    pub(crate) fn forget_message(&self, key: ReplyKey) {
        // Dropped after the lock.
        let _unused = {
            let mut inner = self.lock();
            inner.messages.abandon(key)
        };
    }
}

impl<D: Dialect> Inner<D> {
    /// Queues a message. One with a place always fits: there are no more places than the outbox has space for.
    fn push_message(
        &mut self,
        message: D::Message,
        ttl: Option<Duration>,
        place: Option<Place>,
    ) -> (ReplyKey, Option<Waker>) {
        let drops_oldest = place.is_none();
        let key = self.messages.insert(None, place);
        let driver = self.push(Command::Send(Outgoing {
            id: MessageId(key.number()),
            message,
            ttl,
            drops_oldest,
        }));
        (key, driver)
    }
}

impl<D: Dialect> Future for QueuedMessage<'_, D> {
    type Output = Result<ReplyKey, RequestError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let replaced;
        let (key, driver, next) = {
            let mut inner = this.exchange.lock();
            inner.require_open()?;
            let Some(message) = this.message.take() else {
                return Poll::Pending;
            };
            let place;
            (place, replaced) = inner.space.poll_take(this.bytes, &mut this.ticket, context);
            if place.is_none() {
                this.message = Some(message);
                return Poll::Pending;
            }
            let (key, driver) = inner.push_message(message, this.ttl, place);
            (key, driver, inner.space.next())
        };
        drop(replaced);
        wake(driver);
        wake(next);
        Poll::Ready(Ok(key))
    }
}

impl<D: Dialect> Drop for QueuedMessage<'_, D> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let (cancelled, next) = {
                let mut inner = self.exchange.lock();
                (inner.space.cancel(ticket), inner.space.next())
            };
            drop(cancelled);
            wake(next);
        }
    }
}
