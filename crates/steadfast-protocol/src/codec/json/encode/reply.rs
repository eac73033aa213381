//! Encodes the replies and pushes of a server.

use std::collections::BTreeMap;

use super::Object;
use super::publication::{fill_info, fill_publication};
use crate::codes::error_text;
use crate::message::{
    ClientInfo, ConnectResult, HistoryResult, Position, Push, PushEvent, RefreshResult, Reply,
    ReplyError, ReplyResult, SubscribeResult,
};

/// Appends one reply.
///
/// A success always has a result object, even an empty one, and an error always has a message: SDKs read both without
/// checking whether they are present.
pub(in crate::codec) fn append_reply(out: &mut Vec<u8>, reply: &Reply) {
    match reply {
        Reply::Response { id, outcome } => {
            let mut object = Object::new(out);
            object.number("id", *id);
            match outcome {
                Ok(result) => fill_result(&mut object, result),
                Err(error) => object.object("error", |object| fill_error(object, error)),
            }
            object.end();
        }
        Reply::Push(push) => {
            let mut object = Object::new(out);
            object.object("push", |object| fill_push(object, push));
            object.end();
        }
        Reply::Ping => Object::new(out).end(),
    }
}

fn fill_error(object: &mut Object<'_>, error: &ReplyError) {
    object.number_always("code", error.code);
    let message = if error.message.is_empty() {
        error_text(error.code)
    } else {
        &error.message
    };
    object.text_always("message", message);
    object.flag("temporary", error.temporary);
}

fn fill_result(object: &mut Object<'_>, result: &ReplyResult) {
    match result {
        ReplyResult::Connect(result) => {
            object.object("connect", |object| fill_connect(object, result));
        }
        ReplyResult::Subscribe(result) => {
            object.object("subscribe", |object| fill_subscribe(object, result));
        }
        ReplyResult::Unsubscribe => object.object("unsubscribe", |_| {}),
        ReplyResult::Publish => object.object("publish", |_| {}),
        ReplyResult::Presence(clients) => {
            object.object("presence", |object| fill_presence(object, clients));
        }
        ReplyResult::PresenceStats(stats) => object.object("presence_stats", |object| {
            object.number_always("num_clients", stats.num_clients);
            object.number_always("num_users", stats.num_users);
        }),
        ReplyResult::History(result) => {
            object.object("history", |object| fill_history(object, result));
        }
        ReplyResult::Ping => object.object("ping", |_| {}),
        ReplyResult::Rpc(data) => object.object("rpc", |object| object.raw("data", data)),
        ReplyResult::Refresh(result) => {
            object.object("refresh", |object| fill_refresh(object, result));
        }
        ReplyResult::SubRefresh(result) => object.object("sub_refresh", |object| {
            object.flag("expires", result.expires);
            object.number("ttl", result.ttl);
        }),
    }
}

fn fill_connect(object: &mut Object<'_>, result: &ConnectResult) {
    object.text("client", &result.client);
    object.text("version", &result.version);
    object.flag("expires", result.expires);
    object.number("ttl", result.ttl);
    object.raw_option("data", result.data.as_deref());
    object.number("ping", result.ping);
    object.flag("pong", result.pong);
    object.number("time", result.time);
}

fn fill_subscribe(object: &mut Object<'_>, result: &SubscribeResult) {
    object.flag("expires", result.expires);
    object.number("ttl", result.ttl);
    object.flag("recoverable", result.recoverable);
    object.text("epoch", &result.position.epoch);
    if !result.publications.is_empty() {
        object.objects(
            "publications",
            &result.publications,
            |object, publication| {
                fill_publication(object, publication);
            },
        );
    }
    object.flag("recovered", result.recovered);
    object.number("offset", result.position.offset);
    object.flag("positioned", result.positioned);
    object.raw_option("data", result.data.as_deref());
    object.flag("was_recovering", result.was_recovering);
}

fn fill_presence(object: &mut Object<'_>, clients: &BTreeMap<String, ClientInfo>) {
    object.object("presence", |object| {
        for (client, info) in clients {
            object.entry_object(client, |object| fill_info(object, info));
        }
    });
}

fn fill_history(object: &mut Object<'_>, result: &HistoryResult) {
    object.objects(
        "publications",
        &result.publications,
        |object, publication| {
            fill_publication(object, publication);
        },
    );
    object.text_always("epoch", &result.position.epoch);
    object.number_always("offset", result.position.offset);
}

fn fill_refresh(object: &mut Object<'_>, result: &RefreshResult) {
    object.text("client", &result.client);
    object.text("version", &result.version);
    object.flag("expires", result.expires);
    object.number("ttl", result.ttl);
}

fn fill_push(object: &mut Object<'_>, push: &Push) {
    object.text("channel", push.channel.as_str());
    match &push.event {
        PushEvent::Publication(publication) => {
            object.object("pub", |object| fill_publication(object, publication));
        }
        PushEvent::Join(info) => object.object("join", |join| fill_member(join, info)),
        PushEvent::Leave(info) => object.object("leave", |leave| fill_member(leave, info)),
        PushEvent::Unsubscribe { code, reason } => {
            object.object("unsubscribe", |object| fill_end(object, *code, reason));
        }
        PushEvent::Message(data) => object.object("message", |object| object.raw("data", data)),
        PushEvent::Subscribe {
            recoverable,
            position,
            positioned,
            data,
        } => {
            let Position { epoch, offset } = position;
            object.object("subscribe", |object| {
                object.flag("recoverable", *recoverable);
                object.text("epoch", epoch);
                object.number("offset", *offset);
                object.flag("positioned", *positioned);
                object.raw_option("data", data.as_deref());
            });
        }
        PushEvent::Connect(result) => {
            object.object("connect", |object| fill_connect(object, result));
        }
        PushEvent::Disconnect { code, reason } => {
            object.object("disconnect", |object| fill_end(object, *code, reason));
        }
        PushEvent::Refresh { expires, ttl } => object.object("refresh", |object| {
            object.flag("expires", *expires);
            object.number("ttl", *ttl);
        }),
    }
}

fn fill_member(object: &mut Object<'_>, info: &ClientInfo) {
    object.object("info", |object| fill_info(object, info));
}

fn fill_end(object: &mut Object<'_>, code: u32, reason: &str) {
    object.number("code", code);
    object.text("reason", reason);
}
