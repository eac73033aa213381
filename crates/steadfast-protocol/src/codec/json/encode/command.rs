//! Encodes the commands of a client.

use super::Object;
use crate::idempotent::{self, PublishArgument};
use crate::message::{
    ChannelRequest, Command, ConnectRequest, HistoryRequest, Request, SubscribeRequest,
};

/// Appends one command.
pub(in crate::codec) fn append_command(out: &mut Vec<u8>, command: &Command) {
    let mut object = Object::new(out);
    object.number("id", command.id);
    match &command.request {
        Request::Connect(request) => {
            object.object("connect", |object| fill_connect(object, request));
        }
        Request::Subscribe(request) => {
            object.object("subscribe", |object| fill_subscribe(object, request));
        }
        Request::Unsubscribe(request) => {
            object.object("unsubscribe", |object| fill_channel(object, request));
        }
        Request::Publish(request) => object.object("publish", |object| {
            object.text("channel", &request.channel);
            object.raw("data", &request.data);
            object.number("type", request.kind);
        }),
        Request::Presence(request) => {
            object.object("presence", |object| fill_channel(object, request));
        }
        Request::PresenceStats(request) => {
            object.object("presence_stats", |object| fill_channel(object, request));
        }
        Request::History(request) => {
            object.object("history", |object| fill_history(object, request));
        }
        Request::Ping => object.object("ping", |_| {}),
        Request::Send(request) => object.object("send", |object| object.raw("data", &request.data)),
        Request::Rpc(request) => fill_rpc(&mut object, &request.method, &request.data),
        Request::Refresh(request) => {
            object.object("refresh", |object| object.text("token", &request.token));
        }
        Request::SubRefresh(request) => object.object("sub_refresh", |object| {
            object.text("channel", &request.channel);
            object.text("token", &request.token);
        }),
        Request::Pong => {}
    }
    object.end();
}

/// Appends a call of a method.
pub(in crate::codec) fn append_rpc_command(out: &mut Vec<u8>, id: u32, method: &str, data: &[u8]) {
    let mut object = Object::new(out);
    object.number("id", id);
    fill_rpc(&mut object, method, data);
    object.end();
}

/// Appends a call of `gw.publish`, whose argument is written in place.
pub(in crate::codec) fn append_publish_command(
    out: &mut Vec<u8>,
    id: u32,
    publish: PublishArgument<'_>,
) {
    let mut object = Object::new(out);
    object.number("id", id);
    object.object("rpc", |object| {
        object.object("data", |object| idempotent::fill_publish(object, publish));
        object.text("method", idempotent::METHOD);
    });
    object.end();
}

fn fill_rpc(command: &mut Object<'_>, method: &str, data: &[u8]) {
    command.object("rpc", |object| {
        object.raw("data", data);
        object.text("method", method);
    });
}

fn fill_connect(object: &mut Object<'_>, request: &ConnectRequest) {
    object.text("token", &request.token);
    object.raw_option("data", request.data.as_deref());
    if !request.subs.is_empty() {
        object.object("subs", |subs| {
            for (channel, request) in &request.subs {
                subs.entry_object(channel, |object| fill_subscribe(object, request));
            }
        });
    }
    object.text("name", &request.name);
    object.text("version", &request.version);
    if !request.headers.is_empty() {
        object.object("headers", |headers| {
            for (header, value) in &request.headers {
                headers.entry_text(header, value);
            }
        });
    }
}

fn fill_subscribe(object: &mut Object<'_>, request: &SubscribeRequest) {
    object.text("channel", &request.channel);
    object.text("token", &request.token);
    object.flag("recover", request.recover);
    object.text("epoch", &request.position.epoch);
    object.number("offset", request.position.offset);
    object.raw_option("data", request.data.as_deref());
    object.flag("positioned", request.positioned);
    object.flag("recoverable", request.recoverable);
    object.flag("join_leave", request.join_leave);
    object.text("delta", &request.delta);
    if request.has_filter {
        // The content of a filter is not kept: an empty object records that the client sent a filter.
        object.object("tf", |_| {});
    }
    object.number("flag", request.flag);
    object.number("type", request.kind);
}

fn fill_channel(object: &mut Object<'_>, request: &ChannelRequest) {
    object.text("channel", &request.channel);
}

fn fill_history(object: &mut Object<'_>, request: &HistoryRequest) {
    object.text("channel", &request.channel);
    object.number("limit", request.limit);
    if let Some(since) = &request.since {
        object.object("since", |object| {
            object.number("offset", since.offset);
            object.text("epoch", &since.epoch);
        });
    }
    object.flag("reverse", request.reverse);
}
