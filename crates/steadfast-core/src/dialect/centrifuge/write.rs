//! Requests of a session as commands, and which of them a server accepts.

use steadfast_protocol::idempotent::PublishArgument;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ChannelRequest, Command, HistoryRequest, RefreshRequest, Request as ProtocolRequest,
    SubscribeRequest,
};

use super::{Call, Centrifuge, ENCODING};
use crate::dialect::{Request, Unsendable};

/// Bytes of a command in addition to its names and data.
const ENVELOPE_BYTES: usize = 256;

/// The longest escape sequence of one byte in a name, as in `\u0001`.
const ESCAPE_BYTES: usize = 6;

/// Appends a request as a command. What is sent often is not copied first.
pub(super) fn append_command(out: &mut Vec<u8>, id: u32, request: Request<'_, Centrifuge>) {
    let request = match request {
        Request::Message(publish) => {
            let argument = PublishArgument {
                channel: publish.channel.as_str(),
                data: &publish.data,
                idempotency_key: &publish.idempotency_key,
            };
            return ENCODING.append_publish_command(out, id, argument);
        }
        Request::Call(Call::Rpc { method, data }) => {
            return ENCODING.append_rpc_command(out, id, method, data);
        }
        Request::Call(Call::History {
            channel,
            limit,
            since,
            reverse,
        }) => ProtocolRequest::History(HistoryRequest {
            channel: channel.clone(),
            limit: *limit,
            since: since.clone(),
            reverse: *reverse,
        }),
        Request::Call(Call::Presence { channel }) => ProtocolRequest::Presence(ChannelRequest {
            channel: channel.clone(),
        }),
        Request::Call(Call::PresenceStats { channel }) => {
            ProtocolRequest::PresenceStats(ChannelRequest {
                channel: channel.clone(),
            })
        }
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
    };
    ENCODING.append_command(out, &Command { id, request });
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
