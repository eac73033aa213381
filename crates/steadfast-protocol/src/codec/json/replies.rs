//! Decodes the replies and pushes of a server.

use bytes::Bytes;

use super::lines::Lines;
use super::shape::{Context, OptionalPayload, Text, entries, list, parse};
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
    ClientInfoShape, ConnectShape, ErrorShape, HistoryShape, PublicationShape, PushShape,
    RefreshShape, ReplyShape, SubscribeShape,
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
            match self
                .lines
                .next()?
                .and_then(|(line, number)| self.decode(line, number))
                .transpose()
            {
                Some(Ok(reply)) => return Some(Ok(reply)),
                Some(Err(error)) => {
                    self.lines.stop();
                    return Some(Err(error));
                }
                None => self.unknown_pushes += 1,
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
        let shape: ReplyShape<'a> = parse(text, line)?;
        let at = Context {
            message: self.lines.message(),
            limits: self.lines.limits(),
            id: shape.id,
            line,
        };
        if at.id == 0 {
            return match shape.push {
                Some(push) => Ok(event(at, push)?.map(Reply::Push)),
                None => Ok(Some(Reply::Ping)),
            };
        }
        let outcome = match shape.error {
            Some(error) => Err(reply_error(at, &error)?),
            None => Ok(result(at, shape)?),
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
fn result<'a>(at: Context<'a>, shape: ReplyShape<'a>) -> Result<ReplyResult, DecodeError> {
    if let Some(connect) = shape.connect {
        return Ok(ReplyResult::Connect(connect_result(at, &connect)?));
    }
    if let Some(subscribe) = shape.subscribe {
        return Ok(ReplyResult::Subscribe(subscribe_result(at, &subscribe)?));
    }
    if shape.unsubscribe.is_some() {
        return Ok(ReplyResult::Unsubscribe);
    }
    if shape.publish.is_some() {
        return Ok(ReplyResult::Publish);
    }
    if let Some(presence) = shape.presence {
        return Ok(ReplyResult::Presence(entries(
            at,
            "presence",
            presence.presence.0,
            at.limits.name_bytes,
            |at, shape| client_info(at, &shape),
        )?));
    }
    if let Some(stats) = shape.presence_stats {
        return Ok(ReplyResult::PresenceStats(PresenceStats {
            num_clients: stats.num_clients,
            num_users: stats.num_users,
        }));
    }
    if let Some(history) = shape.history {
        return Ok(ReplyResult::History(history_result(at, &history)?));
    }
    if shape.ping.is_some() {
        return Ok(ReplyResult::Ping);
    }
    if let Some(rpc) = shape.rpc {
        return Ok(ReplyResult::Rpc(at.payload(rpc.data)?));
    }
    if let Some(refresh) = shape.refresh {
        return Ok(ReplyResult::Refresh(refresh_result(at, &refresh)?));
    }
    if let Some(refresh) = shape.sub_refresh {
        return Ok(ReplyResult::SubRefresh(SubRefreshResult {
            expires: refresh.expires,
            ttl: refresh.ttl,
        }));
    }
    Err(DecodeError::NoResult { id: at.id })
}

/// Decodes a push; `None` for an unknown kind.
fn event<'a>(at: Context<'a>, shape: PushShape<'a>) -> Result<Option<Push>, DecodeError> {
    let event = if let Some(shape) = shape.publication {
        PushEvent::Publication(publication(at, shape)?)
    } else if let Some(join) = shape.join {
        PushEvent::Join(
            join.info
                .map(|info| client_info(at, &info))
                .transpose()?
                .unwrap_or_default(),
        )
    } else if let Some(leave) = shape.leave {
        PushEvent::Leave(
            leave
                .info
                .map(|info| client_info(at, &info))
                .transpose()?
                .unwrap_or_default(),
        )
    } else if let Some(end) = shape.unsubscribe {
        PushEvent::Unsubscribe {
            code: end.code,
            reason: at.long_text("reason", &end.reason)?,
        }
    } else if let Some(message) = shape.message {
        PushEvent::Message(at.payload(message.data)?)
    } else if let Some(subscribe) = shape.subscribe {
        PushEvent::Subscribe {
            recoverable: subscribe.recoverable,
            position: position(at, &subscribe.epoch, subscribe.offset)?,
            positioned: subscribe.positioned,
            data: at.optional_payload(subscribe.data.0)?,
        }
    } else if let Some(connect) = shape.connect {
        PushEvent::Connect(connect_result(at, &connect)?)
    } else if let Some(end) = shape.disconnect {
        PushEvent::Disconnect {
            code: end.code,
            reason: at.long_text("reason", &end.reason)?,
        }
    } else if let Some(refresh) = shape.refresh {
        PushEvent::Refresh {
            expires: refresh.expires,
            ttl: refresh.ttl,
        }
    } else {
        return Ok(None);
    };
    Ok(Some(Push {
        channel: at.channel_name(&shape.channel)?,
        event,
    }))
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
    list(at, "publications", raw.0, publication)
}

fn publication<'a>(
    at: Context<'a>,
    shape: PublicationShape<'a>,
) -> Result<Publication, DecodeError> {
    Ok(Publication {
        data: at.payload(shape.data)?,
        payload_kind: PayloadKind::Json,
        info: shape.info.map(|info| client_info(at, &info)).transpose()?,
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
