//! The subscription handle of an application: a queue of events between the driver and the reader.
//!
//! The session enforces the bound of the queue: above this bound, the session pauses the subscription at the server.
//! The queue therefore has at most `buffer_len_max` events plus those of one reply.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use steadfast_core::dialect::Dialect;
use steadfast_core::io::{EventOf, SubscriptionEvent, SubscriptionId};

use crate::exchange::{Command, Exchange, ExchangeHandle};

/// A subscription: the items of a topic and the changes of the subscription. Dropping it unsubscribes.
///
/// ```no_run
/// use steadfast::centrifuge::{Client, Item, SubscriptionEvent};
///
/// # fn load_state() {}
/// # async fn run(client: Client) {
/// let mut orders = client.subscribe("orders");
/// while let Some(event) = orders.next().await {
///     match event {
///         SubscriptionEvent::Item(Item::Publication(it)) => println!("{}: {:?}", it.offset, it.data),
///         SubscriptionEvent::Subscribed { .. } | SubscriptionEvent::Gap { .. } => load_state(),
///         SubscriptionEvent::Unsubscribed(cause) => println!("ended: {cause}"),
///         _ => {}
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping a subscription unsubscribes"]
pub struct Subscription<D: Dialect> {
    id: SubscriptionId,
    queue: Arc<Queue<D>>,
    exchange: ExchangeHandle<D>,
}

/// The driver's side of a queue. Dropping it ends the queue, also if the driver never receives it.
#[derive(Debug)]
pub(crate) struct QueueSender<D: Dialect>(Arc<Queue<D>>);

impl<D: Dialect> QueueSender<D> {
    pub(crate) const fn new(queue: Arc<Queue<D>>) -> Self {
        Self(queue)
    }
}

impl<D: Dialect> Deref for QueueSender<D> {
    type Target = Queue<D>;

    fn deref(&self) -> &Queue<D> {
        &self.0
    }
}

impl<D: Dialect> Drop for QueueSender<D> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The event queue of one subscription.
#[derive(Debug)]
pub(crate) struct Queue<D: Dialect> {
    inner: Mutex<Inner<D>>,
    /// Wakes the driver when the reader has freed space.
    exchange: Arc<Exchange<D>>,
}

#[derive(Debug)]
struct Inner<D: Dialect> {
    events: VecDeque<EventOf<D>>,
    /// Number of events that the reader received since the driver's last poll.
    received: usize,
    reader: Option<Waker>,
    has_ended: bool,
    /// The reader was dropped, and its unsubscribe command did not fit into the command queue.
    is_abandoned: bool,
}

impl<D: Dialect> Subscription<D> {
    pub(crate) const fn new(
        id: SubscriptionId,
        queue: Arc<Queue<D>>,
        exchange: ExchangeHandle<D>,
    ) -> Self {
        Self {
            id,
            queue,
            exchange,
        }
    }

    /// Returns the next event; `None` after [`SubscriptionEvent::Unsubscribed`], and when the client is closed.
    ///
    /// Cancel-safe: an event that was not returned stays in the queue.
    pub async fn next(&mut self) -> Option<EventOf<D>> {
        poll_fn(|context| self.queue.poll_next(context)).await
    }
}

impl<D: Dialect> Stream for Subscription<D> {
    type Item = EventOf<D>;

    /// Polls for the next event, as [`Self::next`]; after `None`, it returns `None` again.
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.queue.poll_next(context)
    }
}

impl<D: Dialect> Drop for Subscription<D> {
    fn drop(&mut self) {
        self.queue.end();
        if self.exchange.send(Command::Unsubscribe(self.id)).is_err() {
            // If the command queue is full, the driver checks this flag instead.
            self.queue.abandon();
        }
    }
}

impl<D: Dialect> Queue<D> {
    pub(crate) const fn new(exchange: Arc<Exchange<D>>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                events: VecDeque::new(),
                received: 0,
                reader: None,
                has_ended: false,
                is_abandoned: false,
            }),
            exchange,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<D>> {
        // No operation under this lock leaves an inconsistent state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, event: EventOf<D>) {
        let reader = {
            let mut inner = self.lock();
            if inner.has_ended {
                return;
            }
            inner.has_ended = matches!(event, SubscriptionEvent::Unsubscribed(_));
            inner.events.push_back(event);
            inner.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Ends the queue; queued events can still be read.
    pub(crate) fn end(&self) {
        let reader = {
            let mut inner = self.lock();
            inner.has_ended = true;
            inner.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn abandon(&self) {
        self.lock().is_abandoned = true;
        self.exchange.note_reader_progress();
        self.exchange.call_driver();
    }

    /// Returns `true` when the reader was dropped without an unsubscribe command.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.lock().is_abandoned
    }

    /// Returns the number of events received since the last call.
    pub(crate) fn take_received_count(&self) -> usize {
        mem::take(&mut self.lock().received)
    }

    fn poll_next(&self, context: &Context<'_>) -> Poll<Option<EventOf<D>>> {
        let mut inner = self.lock();
        if let Some(event) = inner.events.pop_front() {
            inner.received += 1;
            let is_empty = inner.events.is_empty();
            drop(inner);
            self.exchange.note_reader_progress();
            // A driver that waits for space need not be woken for each event.
            if is_empty {
                self.exchange.call_driver();
            }
            return Poll::Ready(Some(event));
        }
        if inner.has_ended {
            return Poll::Ready(None);
        }
        inner.reader = Some(context.waker().clone());
        Poll::Pending
    }
}
