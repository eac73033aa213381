//! Commands that peers of the tests send, and the replies that they expect.

use bytes::Bytes;
use steadfast_machine::convert::saturating;
use steadfast_protocol::codes::{ErrorCode, UnsubscribeCode};
use steadfast_protocol::idempotent::{self, IdempotentPublish};
use steadfast_protocol::message::{
    ChannelName, ChannelRequest, Command, ConnectRequest, HistoryRequest, PayloadKind, Position,
    Publication, PublishRequest, Push, PushEvent, Reply, ReplyError, ReplyResult, Request,
    RpcRequest, SubscribeRequest, SubscribeResult,
};

use crate::responses::record;
use crate::script::{EPOCH, WALL};

pub(crate) const PONG: Command = Command {
    id: 0,
    request: Request::Pong,
};

pub(crate) fn connect() -> Command {
    connect_with(ConnectRequest::default())
}

pub(crate) const fn connect_with(request: ConnectRequest) -> Command {
    Command {
        id: 1,
        request: Request::Connect(request),
    }
}

pub(crate) fn subscribe(id: u32, channel: &str) -> Command {
    subscribe_with(
        id,
        SubscribeRequest {
            channel: channel.to_owned(),
            ..SubscribeRequest::default()
        },
    )
}

/// A subscribe command that requests the publications after a position.
pub(crate) fn recover(id: u32, channel: &str, epoch: &str, offset: u64) -> Command {
    subscribe_with(
        id,
        SubscribeRequest {
            channel: channel.to_owned(),
            recover: true,
            position: position(epoch, offset),
            ..SubscribeRequest::default()
        },
    )
}

pub(crate) const fn subscribe_with(id: u32, request: SubscribeRequest) -> Command {
    Command {
        id,
        request: Request::Subscribe(request),
    }
}

pub(crate) fn unsubscribe(id: u32, channel: &str) -> Command {
    Command {
        id,
        request: Request::Unsubscribe(channel_request(channel)),
    }
}

pub(crate) fn presence(id: u32, channel: &str) -> Command {
    Command {
        id,
        request: Request::Presence(channel_request(channel)),
    }
}

pub(crate) fn presence_stats(id: u32, channel: &str) -> Command {
    Command {
        id,
        request: Request::PresenceStats(channel_request(channel)),
    }
}

pub(crate) fn publish(id: u32, channel: &str) -> Command {
    publish_with(
        id,
        PublishRequest {
            channel: channel.to_owned(),
            data: Bytes::from_static(b"1"),
            payload_kind: PayloadKind::Json,
            kind: 0,
        },
    )
}

pub(crate) const fn publish_with(id: u32, request: PublishRequest) -> Command {
    Command {
        id,
        request: Request::Publish(request),
    }
}

pub(crate) fn publish_once(id: u32, channel: &str, data: &'static str, key: &str) -> Command {
    let mut argument = Vec::new();
    let publish = IdempotentPublish {
        channel: channel.to_owned(),
        data: Bytes::from_static(data.as_bytes()),
        idempotency_key: key.to_owned(),
    };
    idempotent::append_publish(&mut argument, &publish);
    rpc(id, idempotent::METHOD, Bytes::from(argument))
}

pub(crate) fn rpc(id: u32, method: &str, data: Bytes) -> Command {
    let request = RpcRequest {
        method: method.to_owned(),
        data,
    };
    Command {
        id,
        request: Request::Rpc(request),
    }
}

pub(crate) fn history(id: u32, limit: i32) -> Command {
    history_with(
        id,
        HistoryRequest {
            limit,
            ..history_request()
        },
    )
}

pub(crate) const fn history_with(id: u32, request: HistoryRequest) -> Command {
    Command {
        id,
        request: Request::History(request),
    }
}

pub(crate) fn history_request() -> HistoryRequest {
    HistoryRequest {
        channel: "news".to_owned(),
        ..HistoryRequest::default()
    }
}

pub(crate) fn position(epoch: &str, offset: u64) -> Position {
    Position {
        epoch: epoch.to_owned(),
        offset,
    }
}

pub(crate) const fn reply_to(id: u32, result: ReplyResult) -> Reply {
    Reply::Response {
        id,
        outcome: Ok(result),
    }
}

pub(crate) fn error(id: u32, code: ErrorCode) -> Reply {
    error_with(id, code.reply())
}

pub(crate) const fn error_with(id: u32, error: ReplyError) -> Reply {
    Reply::Response {
        id,
        outcome: Err(error),
    }
}

/// The reply to a subscribe command without recovery.
pub(crate) fn subscribed(id: u32, high_watermark: u64) -> Reply {
    granted(id, high_watermark, SubscribeResult::default())
}

/// The reply to a subscribe command whose position was recovered.
pub(crate) fn recovered(id: u32, offset: u64, publications: &[u64]) -> Reply {
    granted(
        id,
        offset,
        SubscribeResult {
            publications: publications
                .iter()
                .map(|offset| published(*offset))
                .collect(),
            recovered: true,
            was_recovering: true,
            ..SubscribeResult::default()
        },
    )
}

/// The reply to a subscribe command whose position could not be recovered.
pub(crate) fn unrecovered(id: u32, high_watermark: u64) -> Reply {
    granted(
        id,
        high_watermark,
        SubscribeResult {
            was_recovering: true,
            ..SubscribeResult::default()
        },
    )
}

fn granted(id: u32, offset: u64, result: SubscribeResult) -> Reply {
    reply_to(
        id,
        ReplyResult::Subscribe(SubscribeResult {
            recoverable: true,
            positioned: true,
            position: position(&EPOCH.to_string(), offset),
            ..result
        }),
    )
}

/// The publication of [`record`].
pub(crate) fn published(number: u64) -> Publication {
    Publication {
        data: record(number).data,
        offset: number,
        time: saturating(WALL.as_millis()),
        ..Publication::default()
    }
}

/// The push of [`published`].
pub(crate) fn push(channel: &str, offset: u64) -> Reply {
    event(channel, PushEvent::Publication(published(offset)))
}

/// The pushes of consecutive publications.
pub(crate) fn pushes(channel: &str, offsets: impl IntoIterator<Item = u64>) -> Vec<Reply> {
    offsets
        .into_iter()
        .map(|offset| push(channel, offset))
        .collect()
}

/// The push that ends a subscription whose position was lost.
pub(crate) fn position_lost(channel: &str) -> Reply {
    let code = UnsubscribeCode::Insufficient;
    event(
        channel,
        PushEvent::Unsubscribe {
            code: code.code(),
            reason: code.reason().to_owned(),
        },
    )
}

pub(crate) fn event(channel: &str, event: PushEvent) -> Reply {
    Reply::Push(Push {
        channel: ChannelName::from(channel),
        event,
    })
}

fn channel_request(channel: &str) -> ChannelRequest {
    ChannelRequest {
        channel: channel.to_owned(),
    }
}
