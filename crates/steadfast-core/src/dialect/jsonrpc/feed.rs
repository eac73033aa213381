//! What a client subscribes to.

use bytes::Bytes;
use steadfast_protocol::jsonrpc::append_string;

use crate::dialect::Topic;

/// Notifications of the peer that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed {
    /// All notifications with this method; the peer is not asked for them. The items are their params.
    Notifications {
        /// What identifies the feed.
        key: FeedKey,
    },
    /// The notifications of a subscription, as Ethereum and Substrate nodes have them: the peer returns an id, and its
    /// notifications have the params `{"subscription": id, "result": item}`.
    Subscription(Box<Subscription>),
}

/// How a subscription is requested and ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub(super) key: FeedKey,
    pub(super) subscribe: String,
    pub(super) params: Bytes,
    pub(super) unsubscribe: String,
    /// The name of the collection that its notifications have instead of an id.
    pub(super) collection: Option<String>,
}

/// What identifies a feed: its method, and the params of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedKey {
    method: String,
    params: Option<Bytes>,
}

impl FeedKey {
    pub(super) const fn notifications(method: String) -> Self {
        let params = None;
        Self { method, params }
    }

    /// The method of the notifications, or the one that subscribes.
    pub fn method(&self) -> &str {
        &self.method
    }
}

impl Feed {
    /// All notifications with this method.
    pub fn notifications(method: impl Into<String>) -> Self {
        let key = FeedKey::notifications(method.into());
        Self::Notifications { key }
    }

    /// The subscription that `subscribe` with these params begins, and `unsubscribe` with the id in an array ends. `params`
    /// is raw JSON, or empty for none.
    pub fn subscription(
        subscribe: impl Into<String>,
        params: Bytes,
        unsubscribe: impl Into<String>,
    ) -> Self {
        let subscribe = subscribe.into();
        let key = FeedKey {
            method: subscribe.clone(),
            params: Some(params.clone()),
        };
        Self::Subscription(Box::new(Subscription {
            key,
            subscribe,
            params,
            unsubscribe: unsubscribe.into(),
            collection: None,
        }))
    }

    /// The changes of a collection, as the middleware of TrueNAS has them: `core.subscribe` with its name begins them,
    /// `core.unsubscribe` with the id ends them, and the notifications `collection_update` have the name. The items are their
    /// params. `notify_unsubscribed` ends the subscription: the data of its error is what the server says.
    ///
    /// The name may have an argument, after a colon.
    pub fn collection(name: impl Into<String>) -> Self {
        let name = name.into();
        let mut params = b"[".to_vec();
        append_string(&mut params, &name);
        params.push(b']');
        let params = Bytes::from(params);
        let subscribe = "core.subscribe".to_owned();
        let key = FeedKey {
            method: subscribe.clone(),
            params: Some(params.clone()),
        };
        Self::Subscription(Box::new(Subscription {
            key,
            subscribe,
            params,
            unsubscribe: "core.unsubscribe".to_owned(),
            collection: Some(name),
        }))
    }
}

impl Topic for Feed {
    type Key = FeedKey;

    fn key(&self) -> &FeedKey {
        match self {
            Self::Notifications { key } => key,
            Self::Subscription(subscription) => &subscription.key,
        }
    }
}
