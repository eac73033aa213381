//! The changes of a collection, as an application reads them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use steadfast_core::dialect::jsonrpc::{ErrorObject, Feed};
use steadfast_core::dialect::truenas::ApiError;
use steadfast_core::dialect::truenas::collection::Change;
use steadfast_core::io::{SubscriptionEvent, UnsubscribeCause};

use crate::jsonrpc::{Client, Subscription};

/// Subscribes to the changes of a collection, such as `pool.query`, from now on. A name may have an argument, after a colon.
/// A client has one subscription to a collection at a time.
///
/// There is no history: load the entries with the method of the same name after [`CollectionEvent::Began`] and after each
/// [`CollectionEvent::Gap`].
///
/// ```no_run
/// use steadfast::truenas::{CollectionEvent, collection};
///
/// # async fn load(client: &steadfast::jsonrpc::Client) {}
/// # async fn run(client: steadfast::jsonrpc::Client) {
/// let mut pools = collection(&client, "pool.query");
/// while let Some(event) = pools.next().await {
///     match event {
///         CollectionEvent::Began | CollectionEvent::Gap => load(&client).await,
///         CollectionEvent::Changed(change) => println!("{:?} {:?}", change.kind, change.id),
///         other => println!("{other:?}"),
///     }
/// }
/// # }
/// ```
pub fn collection(client: &Client, name: &str) -> Collection {
    Collection(client.subscribe(Feed::collection(name)))
}

/// A subscription to the changes of a collection. Dropping it unsubscribes.
#[derive(Debug)]
#[must_use = "dropping a subscription unsubscribes"]
pub struct Collection(Subscription);

/// What happens to a collection, or to the subscription to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CollectionEvent {
    /// Changes arrive from now on.
    Began,
    /// Changes may be missing before the next event, for example because the connection was lost.
    Gap,
    /// An entry changed.
    Changed(Change),
    /// The server ended the subscription or rejected it. Nothing follows.
    Ended(ApiError),
    /// The client could not subscribe. Nothing follows.
    NotSubscribed(UnsubscribeCause<ErrorObject>),
}

impl Collection {
    /// Returns the next event; `None` after the last one, and when the client is closed.
    ///
    /// Cancel-safe: an event that was not returned stays in the queue.
    pub async fn next(&mut self) -> Option<CollectionEvent> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CollectionEvent>> {
        loop {
            let Some(event) = ready!(Pin::new(&mut self.0).poll_next(context)) else {
                return Poll::Ready(None);
            };
            if let Some(event) = read(event) {
                return Poll::Ready(Some(event));
            }
        }
    }
}

impl Stream for Collection {
    type Item = CollectionEvent;

    /// Polls for the next event, as [`Self::next`].
    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<CollectionEvent>> {
        self.poll(context)
    }
}

fn read(event: SubscriptionEvent<bytes::Bytes, ErrorObject>) -> Option<CollectionEvent> {
    match event {
        SubscriptionEvent::Subscribed { .. } => Some(CollectionEvent::Began),
        SubscriptionEvent::Resumed { .. } | SubscriptionEvent::Gap { .. } => {
            Some(CollectionEvent::Gap)
        }
        // What has another form has changed something as well.
        SubscriptionEvent::Item(params) => {
            Some(Change::parse(&params).map_or(CollectionEvent::Gap, CollectionEvent::Changed))
        }
        SubscriptionEvent::Unsubscribed(UnsubscribeCause::Server(refusal)) => {
            Some(CollectionEvent::Ended(ApiError::from(&refusal)))
        }
        SubscriptionEvent::Unsubscribed(cause) => Some(CollectionEvent::NotSubscribed(cause)),
        // The gap after the next connect reports it, and other events say nothing about the entries.
        SubscriptionEvent::Interrupted { .. } | _ => None,
    }
}
