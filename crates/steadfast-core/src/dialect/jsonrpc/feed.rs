//! What a client subscribes to.

use bytes::Bytes;

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
