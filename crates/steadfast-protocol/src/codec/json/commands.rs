//! Decodes the commands of a client.

use bytes::Bytes;

use super::invalid::command_id;
use super::shape::{Context, OptionalPayload, Payload, Text, entries, fill, shape};
use super::skipped::SkippedCommand;
use crate::codec::CommandPosition;
use crate::error::DecodeError;
use crate::limits::Limits;
use crate::message::{
    ChannelRequest, Command, ConnectRequest, HistoryRequest, PayloadKind, Position, PublishRequest,
    RefreshRequest, Request, RpcRequest, SendRequest, SubRefreshRequest, SubscribeRequest,
};

/// The commands of a payload, or of a part of one with complete commands, decoded one at a time. A line feed separates
/// commands; a line feed at the end is optional.
#[derive(Clone, Debug)]
pub(in crate::codec) struct Commands<'a> {
    payload: &'a Bytes,
    limits: &'a Limits,
    /// Where the next command begins; `None` if there is no other.
    next: Option<usize>,
    /// The number of commands of the message before the next one.
    taken: usize,
}

impl Iterator for Commands<'_> {
    type Item = Result<Command, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.next_line()?;
        let decoded = self.decode(line, self.taken);
        if decoded.as_ref().is_err_and(DecodeError::ends_message) {
            self.next = None;
        }
        Some(decoded)
    }
}

impl<'a> Commands<'a> {
    pub(in crate::codec) const fn new(
        payload: &'a Bytes,
        limits: &'a Limits,
        position: CommandPosition,
    ) -> Self {
        Self {
            payload,
            limits,
            next: Some(position.byte),
            taken: position.commands,
        }
    }

    /// Returns where the next command begins; `None` if there is no other.
    pub(in crate::codec) fn next_position(&self) -> Option<CommandPosition> {
        self.next.map(|byte| CommandPosition {
            byte,
            commands: self.taken,
        })
    }

    /// Returns the number of commands of the message up to here.
    pub(in crate::codec) const fn taken(&self) -> usize {
        self.taken
    }

    fn next_line(&mut self) -> Option<&'a [u8]> {
        let rest = self.payload.get(self.next?..)?;
        let split = memchr::memchr(b'\n', rest).and_then(|end| rest.split_at_checked(end));
        let (line, after) = split.unwrap_or((rest, &[]));
        // The line feed at the end of the payload begins no other command.
        self.next = (after.len() > 1).then(|| self.payload.len() - after.len() + 1);
        self.taken += 1;
        Some(line)
    }

    fn decode(&self, line: &'a [u8], number: usize) -> Result<Command, DecodeError> {
        if line == b"{}" {
            // The most frequent command by far.
            return Ok(Command {
                id: 0,
                request: Request::Pong,
            });
        }
        if line.is_empty() {
            return Err(DecodeError::Empty);
        }
        if line.len() > self.limits.message_bytes {
            let mut skipped = SkippedCommand::new();
            skipped.push(line);
            return Err(skipped.finish(number, self.limits.message_bytes));
        }
        let text = std::str::from_utf8(line).map_err(DecodeError::NotUtf8)?;
        let mut shape = CommandShape::default();
        fill(&mut shape, text, number).map_err(|error| error.of_command(command_id(text)))?;
        let context = Context {
            message: self.payload,
            limits: self.limits,
            id: shape.id,
            line: number,
        };
        let id = shape.id;
        Ok(Command {
            id,
            request: request(context, &shape).map_err(|error| error.of_command(id))?,
        })
    }
}

/// Selects the method of a command: the first in the order of the protocol's fields; without an id only `send`.
fn request<'a>(at: Context<'a>, shape: &CommandShape<'a>) -> Result<Request, DecodeError> {
    let method = shape.method.as_ref().filter(|_| at.id > 0);
    match (method, &shape.send) {
        (Some(method), send) if send.is_none() || !method.follows_send() => {
            method_request(at, method)
        }
        (_, Some(send)) => Ok(Request::Send(SendRequest {
            data: at.payload(send.data)?,
        })),
        (_, None) if at.id > 0 => Err(DecodeError::NoMethod { id: at.id }),
        (_, None) => Ok(Request::Pong),
    }
}

impl MethodShape<'_> {
    /// Whether `send` precedes this method in the order of the protocol's fields.
    const fn follows_send(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::Subscribe(_)
            | Self::Unsubscribe(_)
            | Self::Publish(_)
            | Self::Presence(_)
            | Self::PresenceStats(_)
            | Self::History(_)
            | Self::Ping(_) => false,
            Self::Rpc(_) | Self::Refresh(_) | Self::SubRefresh(_) => true,
        }
    }
}

fn method_request<'a>(at: Context<'a>, method: &MethodShape<'a>) -> Result<Request, DecodeError> {
    Ok(match method {
        MethodShape::Connect(shape) => Request::Connect(connect_request(at, shape)?),
        MethodShape::Subscribe(shape) => Request::Subscribe(subscribe_request(at, shape)?),
        MethodShape::Unsubscribe(shape) => Request::Unsubscribe(channel_request(at, shape)?),
        MethodShape::Publish(shape) => Request::Publish(PublishRequest {
            channel: at.channel(&shape.channel)?,
            data: at.payload(shape.data)?,
            payload_kind: PayloadKind::Json,
            kind: shape.kind,
        }),
        MethodShape::Presence(shape) => Request::Presence(channel_request(at, shape)?),
        MethodShape::PresenceStats(shape) => Request::PresenceStats(channel_request(at, shape)?),
        MethodShape::History(shape) => Request::History(history_request(at, shape)?),
        MethodShape::Ping(EmptyShape {}) => Request::Ping,
        MethodShape::Rpc(shape) => Request::Rpc(RpcRequest {
            method: at.name("method", &shape.method)?,
            data: at.payload(shape.data)?,
        }),
        MethodShape::Refresh(shape) => Request::Refresh(RefreshRequest {
            token: at.token(&shape.token)?,
        }),
        MethodShape::SubRefresh(shape) => Request::SubRefresh(SubRefreshRequest {
            channel: at.channel(&shape.channel)?,
            token: at.token(&shape.token)?,
        }),
    })
}

fn connect_request<'a>(
    at: Context<'a>,
    shape: &ConnectShape<'a>,
) -> Result<ConnectRequest, DecodeError> {
    Ok(ConnectRequest {
        token: at.token(&shape.token)?,
        data: at.optional_payload(shape.data.0)?,
        subs: entries(
            at,
            "subs",
            shape.subs.0,
            at.limits.channel_bytes,
            |at, shape| subscribe_request(at, &shape),
        )?,
        name: at.name("name", &shape.name)?,
        version: at.name("version", &shape.version)?,
        headers: entries(
            at,
            "headers",
            shape.headers.0,
            at.limits.name_bytes,
            |at, value: Text<'a>| at.long_text("headers", &value),
        )?,
    })
}

fn subscribe_request<'a>(
    at: Context<'a>,
    shape: &SubscribeShape<'a>,
) -> Result<SubscribeRequest, DecodeError> {
    Ok(SubscribeRequest {
        channel: at.channel(&shape.channel)?,
        token: at.token(&shape.token)?,
        recover: shape.recover,
        position: position(at, &shape.epoch, shape.offset)?,
        data: at.optional_payload(shape.data.0)?,
        positioned: shape.positioned,
        recoverable: shape.recoverable,
        join_leave: shape.join_leave,
        delta: at.name("delta", &shape.delta)?,
        flag: shape.flag,
        kind: shape.kind,
        has_filter: shape.filter.is_some(),
    })
}

fn channel_request(
    at: Context<'_>,
    shape: &ChannelShape<'_>,
) -> Result<ChannelRequest, DecodeError> {
    Ok(ChannelRequest {
        channel: at.channel(&shape.channel)?,
    })
}

fn history_request(
    at: Context<'_>,
    shape: &HistoryShape<'_>,
) -> Result<HistoryRequest, DecodeError> {
    let since = shape.since.as_ref();
    let since = since.map(|since| position(at, &since.epoch, since.offset));
    Ok(HistoryRequest {
        channel: at.channel(&shape.channel)?,
        limit: shape.limit,
        since: since.transpose()?,
        reverse: shape.reverse,
    })
}

fn position(at: Context<'_>, epoch: &Text<'_>, offset: u64) -> Result<Position, DecodeError> {
    Ok(Position {
        epoch: at.name("epoch", epoch)?,
        offset,
    })
}

shape! {
    /// A command; see [`Command`].
    CommandShape<'a> {
        "id" => id: u32,
        "send" => send: Option<DataShape<'a>>,
        one_of method: MethodShape {
            "connect" => connect: Connect(ConnectShape<'a>),
            "subscribe" => subscribe: Subscribe(SubscribeShape<'a>),
            "unsubscribe" => unsubscribe: Unsubscribe(ChannelShape<'a>),
            "publish" => publish: Publish(PublishShape<'a>),
            "presence" => presence: Presence(ChannelShape<'a>),
            "presence_stats" => presence_stats: PresenceStats(ChannelShape<'a>),
            "history" => history: History(HistoryShape<'a>),
            "ping" => ping: Ping(EmptyShape),
            "rpc" => rpc: Rpc(RpcShape<'a>),
            "refresh" => refresh: Refresh(RefreshShape<'a>),
            "sub_refresh" => sub_refresh: SubRefresh(SubRefreshShape<'a>),
        }
    }
}

shape! {
    /// The JSON object of [`ConnectRequest`].
    ConnectShape<'a> {
        "token" => token: Text<'a>,
        "data" => data: OptionalPayload<'a>,
        "subs" => subs: OptionalPayload<'a>,
        "name" => name: Text<'a>,
        "version" => version: Text<'a>,
        "headers" => headers: OptionalPayload<'a>,
    }
}

shape! {
    /// The JSON object of [`SubscribeRequest`].
    SubscribeShape<'a> {
        "channel" => channel: Text<'a>,
        "token" => token: Text<'a>,
        "recover" => recover: bool,
        "epoch" => epoch: Text<'a>,
        "offset" => offset: u64,
        "data" => data: OptionalPayload<'a>,
        "positioned" => positioned: bool,
        "recoverable" => recoverable: bool,
        "join_leave" => join_leave: bool,
        "delta" => delta: Text<'a>,
        "tf" => filter: Option<EmptyShape>,
        "flag" => flag: i64,
        "type" => kind: i32,
    }
}

shape! {
    /// The JSON object of [`ChannelRequest`].
    ChannelShape<'a> {
        "channel" => channel: Text<'a>,
    }
}

shape! {
    /// The JSON object of [`PublishRequest`].
    PublishShape<'a> {
        "channel" => channel: Text<'a>,
        "data" => data: Payload<'a>,
        "type" => kind: i32,
    }
}

shape! {
    /// The JSON object of [`HistoryRequest`].
    HistoryShape<'a> {
        "channel" => channel: Text<'a>,
        "limit" => limit: i32,
        "since" => since: Option<SinceShape<'a>>,
        "reverse" => reverse: bool,
    }
}

shape! {
    /// A position in a history request.
    SinceShape<'a> {
        "offset" => offset: u64,
        "epoch" => epoch: Text<'a>,
    }
}

shape! {
    /// An object whose fields are ignored.
    EmptyShape {}
}

shape! {
    /// The JSON object of [`SendRequest`].
    DataShape<'a> {
        "data" => data: Payload<'a>,
    }
}

shape! {
    /// The JSON object of [`RpcRequest`].
    RpcShape<'a> {
        "method" => method: Text<'a>,
        "data" => data: Payload<'a>,
    }
}

shape! {
    /// The JSON object of [`RefreshRequest`].
    RefreshShape<'a> {
        "token" => token: Text<'a>,
    }
}

shape! {
    /// The JSON object of [`SubRefreshRequest`].
    SubRefreshShape<'a> {
        "channel" => channel: Text<'a>,
        "token" => token: Text<'a>,
    }
}
