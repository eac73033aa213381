//! The subscriptions of one connection, by the ids that the peer has given them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use steadfast_protocol::jsonrpc::{collection_of, subscription_item};

use super::feed::{FeedKey, Subscription};

/// The most notifications that are kept while the response to a subscription is awaited: peers send the first ones before
/// it.
const EARLY_ITEMS_MAX: usize = 256;
/// The most bytes of these notifications.
const EARLY_BYTES_MAX: usize = 1 << 20;

/// The subscriptions of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct SubscribedFeeds {
    /// Requests without a response, with how the subscription is ended.
    requested: BTreeMap<u32, Subscription>,
    by_id: BTreeMap<Bytes, FeedKey>,
    by_key: BTreeMap<FeedKey, Bytes>,
    /// Those whose notifications have the name of a collection.
    by_collection: BTreeMap<String, FeedKey>,
    /// Items of subscriptions that are not known yet.
    early: VecDeque<(Bytes, Bytes)>,
    /// The bytes of these items, and of the ids.
    early_bytes: usize,
    /// Collections of requests without a response whose subscription the peer has ended already, with its error. At most
    /// as many as there are such requests; an error for which there is no space is omitted.
    early_ends: BTreeMap<String, Option<Bytes>>,
    /// The subscription that was accepted last, if it had ended before.
    ended: Option<Ended>,
}

/// A subscription that the peer has ended: the feed, and the error as raw JSON, if there is one.
pub(super) type Ended = (FeedKey, Option<Bytes>);

impl SubscribedFeeds {
    pub(super) fn on_requested(&mut self, id: u32, subscription: &Subscription) {
        self.requested.insert(id, subscription.clone());
    }

    /// A request has its response. Returns the subscription; `None` if the request was none.
    pub(super) fn take_requested(&mut self, id: u32) -> Option<Subscription> {
        let subscription = self.requested.remove(&id)?;
        if self.requested.is_empty() {
            self.keep_early(VecDeque::new());
        }
        if let Some(name) = &subscription.collection {
            self.early_ends.remove(name);
        }
        Some(subscription)
    }

    /// The peer accepted a request with this result, the id of the subscription. Returns the items that arrived before.
    pub(super) fn on_accepted(&mut self, id: u32, result: &Bytes) -> Vec<Bytes> {
        let Some(subscription) = self.requested.remove(&id) else {
            return Vec::new();
        };
        let peer_id = own(result);
        let collection = subscription.collection.as_deref().map(str::as_bytes);
        let is_own = |(id, _): &(Bytes, Bytes)| *id == peer_id || Some(id.as_ref()) == collection;
        let (own, others) = std::mem::take(&mut self.early)
            .into_iter()
            .partition(is_own);
        let own: VecDeque<(Bytes, Bytes)> = own;
        self.keep_early(if self.requested.is_empty() {
            VecDeque::new()
        } else {
            others
        });
        let own = own.into_iter().map(|(_, item)| item).collect();
        if let Some(name) = subscription.collection {
            if let Some(error) = self.early_ends.remove(&name) {
                self.ended = Some((subscription.key, error));
                return own;
            }
            self.by_collection.insert(name, subscription.key.clone());
        }
        self.by_key
            .insert(subscription.key.clone(), peer_id.clone());
        self.by_id.insert(peer_id, subscription.key);
        own
    }

    /// The subscription that [`Self::on_accepted`] has returned the items of, if the peer had ended it before its response.
    pub(super) const fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()
    }

    /// The application ended a subscription. Returns the params of the request that ends it at the peer, if it has accepted
    /// the subscription.
    pub(super) fn on_unsubscribed(&mut self, key: &FeedKey) -> Option<Bytes> {
        let peer_id = self.by_key.remove(key)?;
        self.by_id.remove(&peer_id);
        self.by_collection.retain(|_, it| it != key);
        Some(unsubscribe_params(&peer_id))
    }

    /// The feed and the item of a notification with these params; `None` if it belongs to no subscription.
    pub(super) fn on_notification(&mut self, params: &Bytes) -> Option<(FeedKey, Bytes)> {
        if self.by_id.is_empty() && self.requested.is_empty() {
            return None;
        }
        let (peer_id, item) = subscription_item(params)?;
        if let Some(key) = self.by_id.get(&peer_id) {
            return Some((key.clone(), item));
        }
        if !self.requested.is_empty() {
            self.keep_if_space(&peer_id, &item);
        }
        None
    }

    /// The feed and the item of a change of a collection; `None` if it belongs to no subscription.
    pub(super) fn on_change(&mut self, params: &Bytes) -> Option<(FeedKey, Bytes)> {
        if self.by_collection.is_empty() && self.requested.is_empty() {
            return None;
        }
        let (name, _) = collection_of(params)?;
        if let Some(key) = self.by_collection.get(&name) {
            return Some((key.clone(), params.clone()));
        }
        // What follows an end belongs to another subscription.
        if self.is_requested(&name) && !self.early_ends.contains_key(&name) {
            self.keep_if_space(name.as_bytes(), params);
        }
        None
    }

    /// Whether the subscription to this collection has no response.
    fn is_requested(&self, name: &str) -> bool {
        let mut requested = self.requested.values();
        requested.any(|it| it.collection.as_deref() == Some(name))
    }

    /// The peer ended the subscription to a collection. Returns it; `None` if it is not known yet, then it ends with its
    /// response.
    pub(super) fn on_ended(&mut self, name: String, error: Option<Bytes>) -> Option<Ended> {
        let Some(key) = self.by_collection.remove(&name) else {
            if self.is_requested(&name) {
                let kept: usize = self.early_ends.values().flatten().map(Bytes::len).sum();
                let has_space = |error: &Bytes| kept.saturating_add(error.len()) <= EARLY_BYTES_MAX;
                let error = error.filter(has_space).map(|error| own(&error));
                self.early_ends.entry(name).or_insert(error);
            }
            return None;
        };
        if let Some(peer_id) = self.by_key.remove(&key) {
            self.by_id.remove(&peer_id);
        }
        Some((key, error))
    }

    /// Keeps an item of a subscription that is not known yet.
    fn keep_if_space(&mut self, peer_id: &[u8], item: &[u8]) {
        let bytes = self
            .early_bytes
            .saturating_add(peer_id.len())
            .saturating_add(item.len());
        let has_space = self.early.len() < EARLY_ITEMS_MAX && bytes <= EARLY_BYTES_MAX;
        if has_space {
            self.early_bytes = bytes;
            // Copied, because a part keeps the memory of its message, which may be a large batch.
            self.early.push_back((own(peer_id), own(item)));
        }
    }

    fn keep_early(&mut self, early: VecDeque<(Bytes, Bytes)>) {
        let bytes = early.iter().map(|(id, item)| id.len() + item.len());
        self.early_bytes = bytes.sum();
        self.early = early;
    }
}

/// A copy that shares no memory.
fn own(part: &[u8]) -> Bytes {
    Bytes::copy_from_slice(part)
}

/// The params of the request that ends the subscription with this id, raw JSON.
pub(super) fn unsubscribe_params(peer_id: &Bytes) -> Bytes {
    [b"[".as_slice(), peer_id, b"]"].concat().into()
}
