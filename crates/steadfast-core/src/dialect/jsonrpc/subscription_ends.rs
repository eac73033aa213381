//! Requests that end a subscription, until the peer has responded.
//!
//! The session does not wait for them. One that the peer rejects because it no longer knows the client is sent again after
//! the login: otherwise the subscription would continue there, next to one that the application requests later.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

/// The most requests that are remembered; the oldest ones of more are forgotten.
const ENDS_MAX: usize = 256;

/// The end of a subscription: a method and its params.
pub(super) type End = (String, Bytes);

/// The ends of subscriptions on one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct SubscriptionEnds {
    sent: BTreeMap<u32, End>,
    /// Rejected ones, for the time after the login.
    again: VecDeque<End>,
}

impl SubscriptionEnds {
    /// The end of a subscription was written with this id.
    pub(super) fn on_sent(&mut self, id: u32, end: End) {
        self.sent.insert(id, end);
        if self.sent.len() > ENDS_MAX {
            self.sent.pop_first();
        }
    }

    /// The peer has responded to a request with this id.
    pub(super) fn on_response(&mut self, id: u32) {
        self.sent.remove(&id);
    }

    /// The peer has rejected a request with this id, because it no longer knows the client.
    pub(super) fn on_unauthenticated(&mut self, id: u32) {
        if let Some(end) = self.sent.remove(&id) {
            self.again.push_back(end);
            if self.again.len() > ENDS_MAX {
                self.again.pop_front();
            }
        }
    }

    /// The peer knows the client again. Returns what is to be sent again.
    pub(super) fn take_again(&mut self) -> VecDeque<End> {
        std::mem::take(&mut self.again)
    }
}
