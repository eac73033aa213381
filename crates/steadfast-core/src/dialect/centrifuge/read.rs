//! Replies and pushes of a server as events of a session.

use std::time::Duration;

use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::idempotent;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ConnectResult, Push, PushEvent, Reply, ReplyError, ReplyResult, Request as ProtocolRequest,
    SubscribeResult,
};

use super::{Acknowledgement, Call, Centrifuge, Item, Response, advice};
use crate::dialect::{DialectEvent, InFlight, Request, Subscribed, Wire};
use crate::event::DisconnectCause;
use crate::io::ConnectionLoss;
use steadfast_machine::Position;

type Event = DialectEvent<Centrifuge>;

impl Centrifuge {
    pub(super) fn on_reply(
        &mut self,
        reply: Reply,
        in_flight: &impl InFlight<Self>,
        events: &mut Vec<Event>,
        wire: &mut Wire,
    ) -> Result<(), String> {
        match reply {
            Reply::Ping => {
                if self.is_pong_required {
                    self.command(0, ProtocolRequest::Pong, wire);
                }
            }
            Reply::Response { id, outcome } if self.connect_id == Some(id) => {
                self.connect_id = None;
                events.push(self.on_connect_reply(outcome)?);
            }
            Reply::Response { id, outcome } => {
                let request = in_flight.request(id);
                events.push(match outcome {
                    Ok(result) => on_result(id, request, result),
                    Err(error) => on_error(id, request, error),
                });
            }
            Reply::Push(push) => events.extend(on_push(push)),
        }
        Ok(())
    }

    fn on_connect_reply(
        &mut self,
        outcome: Result<ReplyResult, ReplyError>,
    ) -> Result<Event, String> {
        match outcome {
            Ok(ReplyResult::Connect(ConnectResult {
                pong, expires, ttl, ..
            })) => {
                self.is_pong_required = pong;
                let expires_after = expiry(expires, ttl);
                Ok(Event::Accepted { expires_after })
            }
            Ok(_) => Err("the reply to connect has another result".to_owned()),
            Err(error) => Ok(Event::Rejected {
                advice: advice::for_connect_error(&error),
                cause: DisconnectCause::ConnectRejected {
                    code: error.code,
                    message: error.message,
                },
            }),
        }
    }
}

/// A result fits its request, or belongs to a request that the session no longer waits for.
fn on_result(id: u32, request: Option<Request<'_, Centrifuge>>, result: ReplyResult) -> Event {
    let response = match (request, result) {
        (Some(Request::Message(_)), ReplyResult::Rpc(data)) => {
            return idempotent::decode_ack(&data, &Limits::REPLIES).map_or(
                Event::Replied { id },
                |ack| Event::Acknowledged {
                    id,
                    acknowledgement: Acknowledgement {
                        position: Position {
                            epoch: ack.epoch,
                            offset: ack.offset,
                        },
                        duplicate: ack.duplicate,
                    },
                },
            );
        }
        (Some(Request::Authenticate(_)), ReplyResult::Refresh(result)) => {
            let expires_after = expiry(result.expires, result.ttl);
            return Event::Authenticated { id, expires_after };
        }
        (Some(Request::Subscribe(..)), ReplyResult::Subscribe(result)) => {
            let subscribed = subscribed(result);
            return Event::Subscribed { id, subscribed };
        }
        (Some(Request::Call(Call::Rpc { .. })), ReplyResult::Rpc(data)) => Response::Rpc(data),
        (Some(Request::Call(Call::History { .. })), ReplyResult::History(it)) => {
            Response::History(it)
        }
        (Some(Request::Call(Call::Presence { .. })), ReplyResult::Presence(clients)) => {
            Response::Presence(clients.into_values().collect())
        }
        (Some(Request::Call(Call::PresenceStats { .. })), ReplyResult::PresenceStats(it)) => {
            Response::PresenceStats(it)
        }
        _ => return Event::Replied { id },
    };
    Event::Responded { id, response }
}

fn on_error(id: u32, request: Option<Request<'_, Centrifuge>>, error: ReplyError) -> Event {
    let advice = match request {
        Some(Request::Subscribe(..)) => advice::for_subscribe_error(&error),
        _ => advice::for_request_error(&error),
    };
    Event::Refused {
        id,
        advice,
        // After an internal error a publication may be stored; after any other error it is not.
        maybe_executed: error.code == ErrorCode::Internal.code(),
        refusal: error,
    }
}

fn subscribed(result: SubscribeResult) -> Subscribed<Item> {
    let publications = result.publications.into_iter();
    Subscribed {
        position: result.position,
        is_recovered: result.recovered,
        items: publications
            .map(|it| (offset(it.offset), Item::Publication(it)))
            .collect(),
    }
}

fn on_push(push: Push) -> Option<Event> {
    let topic = push.channel;
    Some(match push.event {
        PushEvent::Publication(it) => Event::Item {
            topic,
            offset: offset(it.offset),
            item: Item::Publication(it),
        },
        PushEvent::Join(info) => Event::Item {
            topic,
            offset: None,
            item: Item::Join(info),
        },
        PushEvent::Leave(info) => Event::Item {
            topic,
            offset: None,
            item: Item::Leave(info),
        },
        PushEvent::Unsubscribe { code, reason } => Event::Unsubscribed {
            topic,
            advice: advice::for_unsubscribe(code),
            refusal: ReplyError {
                code,
                message: reason,
                temporary: false,
            },
        },
        PushEvent::Disconnect { code, reason } => {
            let code = u16::try_from(code).ok();
            let loss = ConnectionLoss::CloseFrame { code, reason };
            Event::Disconnected {
                advice: advice::for_loss(&loss),
                cause: loss.into(),
            }
        }
        PushEvent::Refresh { expires, ttl } => Event::Authenticated {
            id: 0,
            expires_after: expiry(expires, ttl),
        },
        // This client requests no server-side subscriptions and no messages outside channels.
        PushEvent::Message(_) | PushEvent::Subscribe { .. } | PushEvent::Connect(_) => return None,
    })
}

/// The time until the credentials expire, of a connection that expires.
fn expiry(expires: bool, ttl: u32) -> Option<Duration> {
    expires.then(|| Duration::from_secs(u64::from(ttl)))
}

/// Publications of a channel without history have the offset 0.
const fn offset(offset: u64) -> Option<u64> {
    if offset > 0 { Some(offset) } else { None }
}
