//! Requests that end a subscription, until the peer has responded.
//!
//! The session does not wait for them. One that the peer rejects without executing it is sent again: otherwise the
//! subscription would continue there, next to one that the application requests later. If the peer no longer knows the
//! client, it is sent after the login; if the peer has too many calls, after its next response, which leaves space for one.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

/// The most requests that are remembered; the oldest ones of more are forgotten.
const ENDS_MAX: usize = 256;

/// One that was rejected as often because the peer had too many calls is forgotten.
const TOO_MANY_MAX: u8 = 100;

/// The end of a subscription: a request.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) method: String,
    pub(super) params: Bytes,
    /// Whose end the peer confirms with a notification, before its response.
    collection: Option<String>,
    /// How often it was rejected because the peer had too many calls.
    too_many: u8,
}

impl End {
    pub(super) const fn new(method: String, params: Bytes, collection: Option<String>) -> Self {
        Self {
            method,
            params,
            collection,
            too_many: 0,
        }
    }
}

/// The ends of subscriptions on one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct SubscriptionEnds {
    sent: BTreeMap<u32, End>,
    /// Rejected ones, for the time after the login.
    after_login: VecDeque<End>,
    /// Rejected ones, for the next responses.
    after_response: VecDeque<End>,
}

impl SubscriptionEnds {
    /// The end of a subscription was written with this id.
    pub(super) fn on_sent(&mut self, id: u32, end: End) {
        self.sent.insert(id, end);
        if self.sent.len() > ENDS_MAX {
            self.sent.pop_first();
        }
    }

    /// The peer reports the end of a subscription to a collection without an error. Returns whether it confirms a request,
    /// and so is not the end of a subscription that was requested after it; each request is confirmed once.
    pub(super) fn confirm(&mut self, collection: &str) -> bool {
        let mut sent = self.sent.values_mut();
        let confirmed = sent.find(|it| it.collection.as_deref() == Some(collection));
        confirmed.map(|it| it.collection = None).is_some()
    }

    /// The peer has responded to a request with this id.
    pub(super) fn on_response(&mut self, id: u32) {
        self.sent.remove(&id);
    }

    /// The peer has rejected a request with this id, because it no longer knows the client.
    pub(super) fn on_unauthenticated(&mut self, id: u32) {
        if let Some(end) = self.sent.remove(&id) {
            push(&mut self.after_login, end);
        }
    }

    /// The peer has rejected a request with this id, because it has too many calls. Returns whether it ends a subscription.
    pub(super) fn on_too_many(&mut self, id: u32) -> bool {
        let Some(mut end) = self.sent.remove(&id) else {
            return false;
        };
        end.too_many = end.too_many.saturating_add(1);
        if end.too_many < TOO_MANY_MAX {
            push(&mut self.after_response, end);
        }
        true
    }

    /// The peer knows the client again. Returns what is to be sent again.
    pub(super) fn take_after_login(&mut self) -> VecDeque<End> {
        std::mem::take(&mut self.after_login)
    }

    /// The peer has responded to a request, and so has space for another one. Returns what is to be sent again.
    pub(super) fn take_after_response(&mut self) -> Option<End> {
        self.after_response.pop_front()
    }
}

fn push(ends: &mut VecDeque<End>, end: End) {
    ends.push_back(end);
    if ends.len() > ENDS_MAX {
        ends.pop_front();
    }
}
