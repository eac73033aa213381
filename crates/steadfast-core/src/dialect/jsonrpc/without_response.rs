//! What was sent over one connection and has no response, to know which request an error without an id belongs to.

use std::collections::VecDeque;

/// The most requests that are remembered; the oldest ones of more are forgotten, which a server has ignored.
const REQUESTS_MAX: usize = 1_024;

/// What one connection has sent and the peer has not responded to. Also requests that the session does not wait for: calls
/// that were withdrawn or that have timed out, and the ends of subscriptions.
#[derive(Clone, Debug, Default)]
pub(super) struct WithoutResponse {
    /// The oldest first.
    requests: VecDeque<u32>,
    /// The id of the request after the newest message without a response, such as a notification: the peer can complain
    /// about it without an id. `None` if a later request has its response.
    message_before: Option<u32>,
}

impl WithoutResponse {
    /// A request was written with this id.
    pub(super) fn on_request(&mut self, id: u32) {
        self.requests.push_back(id);
        if self.requests.len() > REQUESTS_MAX {
            self.requests.pop_front();
        }
    }

    /// A message was written that has no response; the next request has this id.
    pub(super) const fn on_message(&mut self, next_id: u32) {
        self.message_before = Some(next_id);
    }

    /// A request has its response. Peers read messages in order, so that they have no complaint about earlier ones.
    pub(super) fn on_response(&mut self, id: u32) {
        // Peers mostly respond in order, so that this is one of the first.
        let index = self.requests.iter().position(|it| *it == id);
        let is_sent = index.is_some_and(|index| self.requests.remove(index).is_some());
        if is_sent && self.message_before.is_some_and(|next| id >= next) {
            self.message_before = None;
        }
    }

    /// The request that an error without an id belongs to; `None` if there are several, or none.
    pub(super) fn only_request(&self) -> Option<u32> {
        let mut ids = self.requests.iter();
        let only = ids.next().filter(|_| self.message_before.is_none())?;
        ids.next().is_none().then_some(*only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_request_is_known_unless_another_message_may_be_meant() {
        let mut without_response = WithoutResponse::default();
        assert_eq!(without_response.only_request(), None);
        without_response.on_request(1);
        assert_eq!(without_response.only_request(), Some(1));
        without_response.on_request(2);
        assert_eq!(without_response.only_request(), None);
        without_response.on_response(1);
        assert_eq!(without_response.only_request(), Some(2));

        // A notification has the id 3, which is not sent.
        without_response.on_message(4);
        assert_eq!(without_response.only_request(), None);
        without_response.on_response(2);
        without_response.on_request(4);
        assert_eq!(without_response.only_request(), None);
        without_response.on_response(4);
        without_response.on_request(5);
        assert_eq!(without_response.only_request(), Some(5));
    }

    #[test]
    fn a_peer_that_never_responds_takes_no_more_memory() {
        let mut without_response = WithoutResponse::default();
        for id in 1..=10_000 {
            without_response.on_request(id);
        }
        assert_eq!(without_response.requests.len(), REQUESTS_MAX);
    }
}
