//! Requests of a session as commands, and which of them a server accepts.

use bytes::Bytes;
use steadfast_protocol::idempotent::{self, IdempotentPublish};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ChannelRequest, HistoryRequest, RefreshRequest, Request as ProtocolRequest, RpcRequest,
    SubscribeRequest,
};

use super::{Call, Centrifuge, Publish};
use crate::dialect::{Request, Unsendable};

/// Bytes of a command in addition to its names and data.
const ENVELOPE_BYTES: usize = 256;

/// The longest escape sequence of one byte in a name, as in `\u0001`.
const ESCAPE_BYTES: usize = 6;

pub(super) fn protocol_request(request: Request<'_, Centrifuge>) -> ProtocolRequest {
    match request {
        Request::Call(call) => call_request(call),
        Request::Message(publish) => publish_request(publish),
        Request::Subscribe(channel, position) => ProtocolRequest::Subscribe(SubscribeRequest {
            channel: channel.name.as_str().to_owned(),
            recover: position.is_some(),
            position: position.cloned().unwrap_or_default(),
            positioned: true,
            recoverable: true,
            join_leave: channel.join_leave,
            ..SubscribeRequest::default()
        }),
        Request::Authenticate(token) => ProtocolRequest::Refresh(RefreshRequest {
            token: token.expose().to_owned(),
        }),
        Request::Unsubscribe(channel) => ProtocolRequest::Unsubscribe(ChannelRequest {
            channel: channel.name.as_str().to_owned(),
        }),
    }
}

fn publish_request(publish: &Publish) -> ProtocolRequest {
    let mut argument = Vec::new();
    let publish = IdempotentPublish {
        channel: publish.channel.as_str().to_owned(),
        data: publish.data.clone(),
        idempotency_key: publish.idempotency_key.clone(),
    };
    idempotent::append_publish(&mut argument, &publish);
    ProtocolRequest::Rpc(RpcRequest {
        method: idempotent::METHOD.to_owned(),
        data: Bytes::from(argument),
    })
}

fn call_request(call: &Call) -> ProtocolRequest {
    match call {
        Call::Rpc { method, data } => ProtocolRequest::Rpc(RpcRequest {
            method: method.clone(),
            data: data.clone(),
        }),
        Call::History {
            channel,
            limit,
            since,
            reverse,
        } => ProtocolRequest::History(HistoryRequest {
            channel: channel.clone(),
            limit: *limit,
            since: since.clone(),
            reverse: *reverse,
        }),
        Call::Presence { channel } => ProtocolRequest::Presence(ChannelRequest {
            channel: channel.clone(),
        }),
        Call::PresenceStats { channel } => ProtocolRequest::PresenceStats(ChannelRequest {
            channel: channel.clone(),
        }),
    }
}

/// Whether a server that accepts messages of this size accepts the request.
pub(super) fn check(request: Request<'_, Centrifuge>, bytes_max: usize) -> Result<(), Unsendable> {
    let (channel, names, data) = match request {
        Request::Call(Call::Rpc { method, data }) => ("", method.len(), data.len()),
        Request::Call(Call::History { channel, since, .. }) => {
            let epoch = since.as_ref().map_or(0, |since| since.epoch.len());
            (channel.as_str(), epoch, 0)
        }
        Request::Call(Call::Presence { channel } | Call::PresenceStats { channel }) => {
            (channel.as_str(), 0, 0)
        }
        Request::Message(publish) => (
            publish.channel.as_str(),
            publish.idempotency_key.len(),
            publish.data.len(),
        ),
        Request::Subscribe(channel, position) => {
            let epoch = position.map_or(0, |position| position.epoch.len());
            (channel.name.as_str(), epoch, 0)
        }
        Request::Unsubscribe(channel) => (channel.name.as_str(), 0, 0),
        Request::Authenticate(token) => ("", 0, token.expose().len()),
    };
    if channel.len() > Limits::CHANNEL_BYTES {
        return Err(Unsendable::NameTooLong {
            bytes: channel.len(),
            bytes_max: Limits::CHANNEL_BYTES,
        });
    }
    let bytes = channel
        .len()
        .saturating_add(names)
        .saturating_mul(ESCAPE_BYTES)
        .saturating_add(data)
        .saturating_add(ENVELOPE_BYTES);
    if bytes > bytes_max {
        return Err(Unsendable::TooLarge { bytes, bytes_max });
    }
    Ok(())
}
