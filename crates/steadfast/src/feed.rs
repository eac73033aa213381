//! What a subscription hands to the application: a queue between the driver and whoever reads.
//!
//! Its bound is the session's: over it the subscription pauses at the server. So the queue holds at most the buffer and
//! what one answer of the server carries.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use steadfast_core::io::{SubscriptionEvent, SubscriptionId};
use tokio::sync::{Notify, mpsc};

use crate::driver::Command;

/// A subscription: what is published in a channel, and what happens to it. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    id: SubscriptionId,
    queue: Arc<Queue>,
    commands: mpsc::Sender<Command>,
}

/// The queue of one subscription.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    /// Wakes the driver when the reader has made room.
    driver: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Inner {
    feeds: VecDeque<SubscriptionEvent>,
    /// Taken since the driver last asked.
    taken: usize,
    reader: Option<Waker>,
    is_over: bool,
    /// The reader is gone, and the driver could not be told.
    is_abandoned: bool,
}

impl Subscription {
    pub(crate) const fn new(
        id: SubscriptionId,
        queue: Arc<Queue>,
        commands: mpsc::Sender<Command>,
    ) -> Self {
        Self {
            id,
            queue,
            commands,
        }
    }

    /// The next thing that happened; `None` after [`SubscriptionEvent::Unsubscribed`], and when the client is closed.
    ///
    /// Cancel-safe: what was not returned stays.
    pub async fn next(&mut self) -> Option<SubscriptionEvent> {
        poll_fn(|context| self.queue.poll_next(context)).await
    }

    /// The same for those who poll.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<SubscriptionEvent>> {
        self.queue.poll_next(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.queue.end();
        if self
            .commands
            .try_send(Command::Unsubscribe(self.id))
            .is_err()
        {
            // A driver that has no room for it finds the mark.
            self.queue.abandon();
        }
    }
}

impl Queue {
    pub(crate) fn new(driver: Arc<Notify>) -> Self {
        Self {
            inner: Mutex::default(),
            driver,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing is left half done under this lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, feed: SubscriptionEvent) {
        let reader = {
            let mut inner = self.lock();
            if inner.is_over {
                return;
            }
            inner.is_over = matches!(feed, SubscriptionEvent::Unsubscribed { .. });
            inner.feeds.push_back(feed);
            inner.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Nothing comes any more; what is queued can still be read.
    pub(crate) fn end(&self) {
        let reader = {
            let mut inner = self.lock();
            inner.is_over = true;
            inner.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn abandon(&self) {
        self.lock().is_abandoned = true;
        self.driver.notify_one();
    }

    /// True when nobody reads it any more, which the driver was not told.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.lock().is_abandoned
    }

    /// How many were taken since the last call.
    pub(crate) fn take_count(&self) -> usize {
        mem::take(&mut self.lock().taken)
    }

    fn poll_next(&self, context: &Context<'_>) -> Poll<Option<SubscriptionEvent>> {
        let mut inner = self.lock();
        if let Some(feed) = inner.feeds.pop_front() {
            inner.taken += 1;
            let is_empty = inner.feeds.is_empty();
            drop(inner);
            // A driver that waits for room need not be woken for each item.
            if is_empty {
                self.driver.notify_one();
            }
            return Poll::Ready(Some(feed));
        }
        if inner.is_over {
            return Poll::Ready(None);
        }
        inner.reader = Some(context.waker().clone());
        Poll::Pending
    }
}
