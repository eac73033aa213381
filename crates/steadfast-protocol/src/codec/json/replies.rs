//! Decodes the replies and pushes of a server.

use bytes::Bytes;

use super::lines::Lines;
use super::shape::{Context, OptionalPayload, Payload, Text, entries, fill, list};
use super::written;
use crate::codes::error_text;
use crate::error::DecodeError;
use crate::limits::Limits;
use crate::message::{
    ClientInfo, ConnectResult, HistoryResult, PayloadKind, Position, PresenceStats, Publication,
    Push, PushEvent, RefreshResult, Reply, ReplyError, ReplyResult, SubRefreshResult,
    SubscribeResult,
};

mod shapes;

use shapes::{
    ClientInfoShape, ConnectShape, EmptyShape, ErrorShape, EventShape, HistoryShape, InfoShape,
    PublicationShape, PushShape, RefreshShape, ReplyShape, ResultShape, SubscribeShape,
};

/// The replies of one message, decoded one at a time.
#[derive(Clone, Debug)]
pub(in crate::codec) struct Replies<'a> {
    lines: Lines<'a>,
    unknown_pushes: usize,
}

impl Iterator for Replies<'_> {
    type Item = Result<Reply, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (line, number) = match self.lines.next()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            match self.decode(line, number) {
                Ok(Some(reply)) => return Some(Ok(reply)),
                Ok(None) => self.unknown_pushes += 1,
                Err(error) => {
                    self.lines.stop();
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<'a> Replies<'a> {
    pub(in crate::codec) fn new(message: &'a Bytes, limits: &'a Limits) -> Self {
        Self {
            lines: Lines::new(message, limits),
            unknown_pushes: 0,
        }
    }

    pub(in crate::codec) const fn unknown_pushes(&self) -> usize {
        self.unknown_pushes
    }

    /// Decodes one line; `None` for a push of an unknown kind.
    fn decode(&self, text: &'a str, line: usize) -> Result<Option<Reply>, DecodeError> {
        if text.is_empty() {
            return Err(DecodeError::Empty);
        }
        let mut at = Context {
            message: self.lines.message(),
            limits: self.lines.limits(),
            id: 0,
            line,
        };
        if let Some((id, data)) = written::rpc_reply(text) {
            at.id = id;
            let data = at.payload(Payload(Some(data)))?;
            let outcome = Ok(ReplyResult::Rpc(data));
            return Ok(Some(Reply::Response { id, outcome }));
        }
        let mut shape = ReplyShape::default();
        fill(&mut shape, text, line)?;
        at.id = shape.id;
        if at.id == 0 {
            return match &shape.push {
                Some(shape) => Ok(push(at, shape)?.map(Reply::Push)),
                None => Ok(Some(Reply::Ping)),
            };
        }
        let outcome = match (&shape.error, &shape.result) {
            (Some(error), _) => Err(reply_error(at, error)?),
            (None, Some(shape)) => Ok(result(at, shape)?),
            (None, None) => return Err(DecodeError::NoResult { id: at.id }),
        };
        Ok(Some(Reply::Response { id: at.id, outcome }))
    }
}

fn reply_error(at: Context<'_>, shape: &ErrorShape<'_>) -> Result<ReplyError, DecodeError> {
    let message = at.long_text("message", &shape.message)?;
    // A server may omit the message; callers that display the error need a text.
    let message = if message.is_empty() {
        error_text(shape.code).to_owned()
    } else {
        message
    };
    Ok(ReplyError {
        code: shape.code,
        message,
        temporary: shape.temporary,
    })
}

/// Decodes a result; the field that is present determines its kind.
fn result<'a>(at: Context<'a>, shape: &ResultShape<'a>) -> Result<ReplyResult, DecodeError> {
    Ok(match shape {
        ResultShape::Connect(shape) => ReplyResult::Connect(connect_result(at, shape)?),
        ResultShape::Subscribe(shape) => ReplyResult::Subscribe(subscribe_result(at, shape)?),
        ResultShape::Unsubscribe(EmptyShape {}) => ReplyResult::Unsubscribe,
        ResultShape::Publish(EmptyShape {}) => ReplyResult::Publish,
        ResultShape::Presence(shape) => ReplyResult::Presence(entries(
            at,
            "presence",
            shape.presence.0,
            at.limits.name_bytes,
            |at, shape| client_info(at, &shape),
        )?),
        ResultShape::PresenceStats(shape) => ReplyResult::PresenceStats(PresenceStats {
            num_clients: shape.num_clients,
            num_users: shape.num_users,
        }),
        ResultShape::History(shape) => ReplyResult::History(history_result(at, shape)?),
        ResultShape::Ping(EmptyShape {}) => ReplyResult::Ping,
        ResultShape::Rpc(shape) => ReplyResult::Rpc(at.payload(shape.data)?),
        ResultShape::Refresh(shape) => ReplyResult::Refresh(refresh_result(at, shape)?),
        ResultShape::SubRefresh(shape) => ReplyResult::SubRefresh(SubRefreshResult {
            expires: shape.expires,
            ttl: shape.ttl,
        }),
    })
}

/// Decodes a push; `None` for an unknown kind.
fn push<'a>(at: Context<'a>, shape: &PushShape<'a>) -> Result<Option<Push>, DecodeError> {
    let Some(event_shape) = &shape.event else {
        return Ok(None);
    };
    let event = event(at, event_shape)?;
    Ok(Some(Push {
        channel: at.channel_name(&shape.channel)?,
        event,
    }))
}

fn event<'a>(at: Context<'a>, shape: &EventShape<'a>) -> Result<PushEvent, DecodeError> {
    Ok(match shape {
        EventShape::Publication(shape) => PushEvent::Publication(publication(at, shape)?),
        EventShape::Join(shape) => PushEvent::Join(member(at, shape)?),
        EventShape::Leave(shape) => PushEvent::Leave(member(at, shape)?),
        EventShape::Unsubscribe(shape) => PushEvent::Unsubscribe {
            code: shape.code,
            reason: at.long_text("reason", &shape.reason)?,
        },
        EventShape::Message(shape) => PushEvent::Message(at.payload(shape.data)?),
        EventShape::Subscribe(shape) => PushEvent::Subscribe {
            recoverable: shape.recoverable,
            position: position(at, &shape.epoch, shape.offset)?,
            positioned: shape.positioned,
            data: at.optional_payload(shape.data.0)?,
        },
        EventShape::Connect(shape) => PushEvent::Connect(connect_result(at, shape)?),
        EventShape::Disconnect(shape) => PushEvent::Disconnect {
            code: shape.code,
            reason: at.long_text("reason", &shape.reason)?,
        },
        EventShape::Refresh(shape) => PushEvent::Refresh {
            expires: shape.expires,
            ttl: shape.ttl,
        },
    })
}

/// Decodes the client that a push is about; a push without one is about an unknown client.
fn member(at: Context<'_>, shape: &InfoShape<'_>) -> Result<ClientInfo, DecodeError> {
    let info = shape.info.as_ref().map(|info| client_info(at, info));
    Ok(info.transpose()?.unwrap_or_default())
}

fn connect_result<'a>(
    at: Context<'a>,
    shape: &ConnectShape<'a>,
) -> Result<ConnectResult, DecodeError> {
    Ok(ConnectResult {
        client: at.name("client", &shape.client)?,
        version: at.name("version", &shape.version)?,
        expires: shape.expires,
        ttl: shape.ttl,
        data: at.optional_payload(shape.data.0)?,
        ping: shape.ping,
        pong: shape.pong,
        time: shape.time,
    })
}

fn subscribe_result<'a>(
    at: Context<'a>,
    shape: &SubscribeShape<'a>,
) -> Result<SubscribeResult, DecodeError> {
    Ok(SubscribeResult {
        expires: shape.expires,
        ttl: shape.ttl,
        recoverable: shape.recoverable,
        position: position(at, &shape.epoch, shape.offset)?,
        publications: publications(at, shape.publications)?,
        recovered: shape.recovered,
        positioned: shape.positioned,
        data: at.optional_payload(shape.data.0)?,
        was_recovering: shape.was_recovering,
    })
}

fn history_result<'a>(
    at: Context<'a>,
    shape: &HistoryShape<'a>,
) -> Result<HistoryResult, DecodeError> {
    Ok(HistoryResult {
        publications: publications(at, shape.publications)?,
        position: position(at, &shape.epoch, shape.offset)?,
    })
}

fn refresh_result(at: Context<'_>, shape: &RefreshShape<'_>) -> Result<RefreshResult, DecodeError> {
    Ok(RefreshResult {
        client: at.name("client", &shape.client)?,
        version: at.name("version", &shape.version)?,
        expires: shape.expires,
        ttl: shape.ttl,
    })
}

fn publications<'a>(
    at: Context<'a>,
    raw: OptionalPayload<'a>,
) -> Result<Vec<Publication>, DecodeError> {
    list(at, "publications", raw.0, |at, shape| {
        publication(at, &shape)
    })
}

fn publication<'a>(
    at: Context<'a>,
    shape: &PublicationShape<'a>,
) -> Result<Publication, DecodeError> {
    Ok(Publication {
        data: at.payload(shape.data)?,
        payload_kind: PayloadKind::Json,
        info: shape
            .info
            .as_ref()
            .map(|info| client_info(at, info))
            .transpose()?,
        offset: shape.offset,
        tags: entries(
            at,
            "tags",
            shape.tags.0,
            at.limits.name_bytes,
            |at, value: Text<'a>| at.long_text("tags", &value),
        )?,
        time: shape.time,
    })
}

fn client_info<'a>(
    at: Context<'a>,
    shape: &ClientInfoShape<'a>,
) -> Result<ClientInfo, DecodeError> {
    Ok(ClientInfo {
        user: at.name("user", &shape.user)?,
        client: at.name("client", &shape.client)?,
        conn_info: at.optional_payload(shape.conn_info.0)?,
        chan_info: at.optional_payload(shape.chan_info.0)?,
    })
}

fn position(at: Context<'_>, epoch: &Text<'_>, offset: u64) -> Result<Position, DecodeError> {
    Ok(Position {
        epoch: at.name("epoch", epoch)?,
        offset,
    })
}

/// What the general parser reads of a reply to a call.
#[cfg(test)]
pub(super) fn general_rpc_reply(line: &str) -> Option<(u32, &str)> {
    let mut shape = ReplyShape::default();
    fill(&mut shape, line, 1).ok()?;
    match (shape.error, shape.push, shape.result) {
        (None, None, Some(ResultShape::Rpc(rpc))) => Some((shape.id, rpc.data.0?.get())),
        _ => None,
    }
}
