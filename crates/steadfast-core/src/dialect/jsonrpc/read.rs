//! Messages of the peer as events of a session.

use bytes::Bytes;
use steadfast_protocol::jsonrpc::{Incoming, ResponseId, append_error, collection_of};

use super::subscribed_feeds::Ended;
use super::subscription_ends::End;
use super::{ErrorObject, FeedKey, JsonRpc, codes, excerpt, subscribed_feeds};
use crate::dialect::{DialectEvent, InFlight, Oversized, Request, Subscribed, Wire};
use crate::io::Frame;
use crate::retry_advice::RetryAdvice;
use steadfast_machine::Position;

/// The longest text of a notice.
const NOTICE_BYTES_MAX: usize = 256;

/// The notification that something in a collection has changed.
const CHANGE: &str = "collection_update";
/// The notification that the peer has ended the subscription to a collection.
const END: &str = "notify_unsubscribed";

type Event = DialectEvent<JsonRpc>;

impl JsonRpc {
    pub(super) fn on_incoming(
        &mut self,
        message: Incoming,
        in_flight: &impl InFlight<Self>,
        events: &mut Vec<Event>,
        wire: &mut Wire,
    ) {
        match message {
            Incoming::Response { id, outcome } => {
                let event = match id {
                    ResponseId::Number(id) => self.on_response(id, outcome, in_flight, wire),
                    ResponseId::Null => self.on_response_without_id(outcome, in_flight, wire),
                    ResponseId::Unknown(id) => Some(notice(format!("a response with the id {id}"))),
                };
                events.extend(event);
                let ended = self.feeds.take_ended();
                events.extend(ended.map(unsubscribed));
            }
            Incoming::Notification { method, params } => {
                self.on_notification(&method, &params, events);
                events.push(item_of(FeedKey::notifications(method), params));
            }
            Incoming::Request { id, .. } => {
                let mut text = Vec::new();
                append_error(&mut text, &id, codes::METHOD_NOT_FOUND, "Method not found");
                let dropped = wire.reply(Frame::Text(Bytes::from(text)));
                if dropped == 0 {
                    self.without_response.on_message(wire.next_id());
                }
                if dropped == 1 {
                    let text = "requests of the peer have no response: it reads nothing";
                    events.push(notice(text.to_owned()));
                }
            }
        }
    }

    /// A notification, as far as it belongs to subscriptions that the peer has accepted.
    fn on_notification(&mut self, method: &str, params: &Bytes, events: &mut Vec<Event>) {
        if let Some((topic, item)) = self.feeds.on_notification(params) {
            events.push(item_of(topic, item));
        }
        if method == CHANGE
            && let Some((topic, item)) = self.feeds.on_change(params)
        {
            events.push(item_of(topic, item));
        }
        if method == END
            && let Some((collection, error)) = collection_of(params)
            && (error.is_some() || !self.ends.confirm(&collection))
            && let Some(ended) = self.feeds.on_ended(collection, error)
        {
            events.push(unsubscribed(ended));
        }
    }

    /// A message above the limit: the response to the request with its id, or something else.
    pub(super) fn on_oversized(&mut self, oversized: &Oversized, events: &mut Vec<Event>) {
        let bytes = oversized.bytes;
        let id = excerpt::request_of(&oversized.excerpt);
        let Some(id) = id else {
            events.push(Event::Oversized { id, bytes });
            return;
        };
        self.without_response.on_response(id);
        self.feeds.take_requested(id);
        self.ends.on_response(id);
        let rejected = self.login.response_too_large(id, bytes);
        events.push(rejected.unwrap_or(Event::Oversized {
            id: Some(id),
            bytes,
        }));
    }

    fn on_response(
        &mut self,
        id: u32,
        outcome: Result<Bytes, ErrorObject>,
        in_flight: &impl InFlight<Self>,
        wire: &mut Wire,
    ) -> Option<Event> {
        self.without_response.on_response(id);
        if self.login.awaits_response(id) {
            let next = self.login.on_response(&outcome);
            return self.continue_login(next, wire);
        }
        if let Err(refusal) = &outcome
            && self.is_unauthenticated(refusal)
        {
            self.feeds.take_requested(id);
            self.ends.on_unauthenticated(id);
            let refusal = refusal.clone();
            return Some(Event::Unauthenticated { id, refusal });
        }
        let is_too_many = outcome
            .as_ref()
            .is_err_and(|it| self.settings.is_too_many(it));
        if is_too_many && self.ends.on_too_many(id) {
            return Some(Event::Replied { id });
        }
        self.ends.on_response(id);
        if !is_too_many && let Some(end) = self.ends.take_after_response() {
            let id = wire.take_id();
            self.end_subscription(id, end, wire);
        }
        match (in_flight.request(id), outcome) {
            (Some(Request::Call(_)), Ok(response)) => Some(Event::Responded { id, response }),
            (Some(Request::Subscribe(..)), Ok(result)) => {
                let items = self.feeds.on_accepted(id, &result);
                let subscribed = Subscribed::new(
                    Position::default(),
                    false,
                    items.into_iter().map(|item| (None, item)).collect(),
                );
                Some(Event::Subscribed { id, subscribed })
            }
            (Some(Request::Call(_)), Err(_)) if is_too_many => Some(Event::TooManyCalls { id }),
            (Some(_), Err(refusal)) => {
                self.feeds.take_requested(id);
                Some(self.refused(id, refusal))
            }
            (Some(_), Ok(_)) => Some(Event::Replied { id }),
            (None, outcome) => {
                self.end_unwanted(id, &outcome, wire);
                Some(Event::Replied { id })
            }
        }
    }

    /// An error without an id belongs to the only request without a response; which one it is of several, the peer does not
    /// say.
    fn on_response_without_id(
        &mut self,
        outcome: Result<Bytes, ErrorObject>,
        in_flight: &impl InFlight<Self>,
        wire: &mut Wire,
    ) -> Option<Event> {
        match (outcome, self.without_response.only_request()) {
            (outcome @ Err(_), Some(id)) => self.on_response(id, outcome, in_flight, wire),
            (Err(error), None) => Some(notice(format!("an error without an id: {error}"))),
            (Ok(_), _) => Some(notice("a result without an id".to_owned())),
        }
    }

    /// A subscription that the application ended before the peer had accepted it.
    fn end_unwanted(&mut self, id: u32, outcome: &Result<Bytes, ErrorObject>, wire: &mut Wire) {
        if let Some(subscription) = self.feeds.take_requested(id)
            && let Ok(peer_id) = outcome
        {
            let params = subscribed_feeds::unsubscribe_params(peer_id);
            let id = wire.take_id();
            self.end_subscription(
                id,
                End::new(subscription.unsubscribe, params, subscription.collection),
                wire,
            );
        }
    }

    /// A subscription that the peer cannot accept is not requested again.
    fn refused(&self, id: u32, refusal: ErrorObject) -> Event {
        let is_final = match refusal.code {
            codes::INVALID_REQUEST | codes::METHOD_NOT_FOUND | codes::INVALID_PARAMS => true,
            _ => self.settings.ends_rejected_subscriptions && !self.settings.is_too_many(&refusal),
        };
        let advice = if is_final {
            RetryAdvice::GIVE_UP
        } else {
            RetryAdvice::RETRY
        };
        Event::Refused {
            id,
            refusal,
            advice,
            maybe_executed: true,
        }
    }

    /// Whether the server rejects a request because it no longer knows the client.
    fn is_unauthenticated(&self, refusal: &ErrorObject) -> bool {
        let is_unauthenticated = self.settings.unauthenticated;
        self.login.machine().is_some() && is_unauthenticated.is_some_and(|is| is(refusal))
    }
}

/// The peer does not accept a subscription again that it has ended.
fn unsubscribed((topic, error): Ended) -> Event {
    let mut refusal = ErrorObject::new(0, "the server ended the subscription");
    refusal.data = error;
    Event::Unsubscribed {
        topic,
        refusal,
        advice: RetryAdvice::GIVE_UP,
    }
}

/// The text quotes the peer, which may send any length.
fn notice(mut text: String) -> Event {
    text.truncate(text.floor_char_boundary(NOTICE_BYTES_MAX));
    Event::Notice { text }
}

const fn item_of(topic: FeedKey, item: Bytes) -> Event {
    Event::Item {
        topic,
        offset: None,
        item,
    }
}
