//! What came, in words.

use bytes::Bytes;
use steadfast_protocol::json;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ClientInfo, Publication, Push, PushEvent, Reply, ReplyResult, SubscribeResult,
};

use crate::exit::Failure;

/// The replies of a message.
pub(super) fn decode(message: &Bytes) -> Result<Vec<Reply>, Failure> {
    json::decode_replies(message, &Limits::REPLIES)
        .and_then(Iterator::collect)
        .map_err(|error| {
            Failure::failed(format!("the gateway sent an invalid message: {error}"), "")
        })
}

/// One line, or several, for people.
pub(super) fn describe(reply: &Reply) -> String {
    match reply {
        Reply::Ping => "ping".to_owned(),
        Reply::Push(push) => describe_push(push),
        Reply::Answer {
            id,
            outcome: Err(error),
        } => {
            let hope = if error.temporary {
                ", may succeed later"
            } else {
                ""
            };
            format!("refused #{id}: {} ({}{hope})", error.message, error.code)
        }
        Reply::Answer {
            id,
            outcome: Ok(result),
        } => describe_result(*id, result),
    }
}

fn describe_result(id: u32, result: &ReplyResult) -> String {
    match result {
        ReplyResult::Connect(connect) => {
            format!("connected to {} as {}", connect.version, connect.client)
        }
        ReplyResult::Subscribe(subscribed) => describe_subscription(id, subscribed),
        ReplyResult::Unsubscribe => format!("unsubscribed #{id}"),
        ReplyResult::Publish => format!("published #{id}"),
        ReplyResult::Rpc(data) => format!("done #{id}: {}", text(data)),
        ReplyResult::Presence(present) => {
            let lines: Vec<String> = present
                .values()
                .map(|info| format!("  {}", who(info)))
                .collect();
            format!("present: {}\n{}", present.len(), lines.join("\n"))
                .trim_end()
                .to_owned()
        }
        ReplyResult::PresenceStats(stats) => {
            format!(
                "present: {} clients, {} users",
                stats.num_clients, stats.num_users
            )
        }
        ReplyResult::History(history) => {
            let lines: Vec<String> = history
                .publications
                .iter()
                .map(|p| format!("  {}", place(p)))
                .collect();
            format!(
                "history up to offset {}\n{}",
                history.position.offset,
                lines.join("\n")
            )
            .trim_end()
            .to_owned()
        }
        ReplyResult::Ping | ReplyResult::Refresh(_) | ReplyResult::SubRefresh(_) => {
            format!("done #{id}")
        }
    }
}

fn describe_subscription(id: u32, subscribed: &SubscribeResult) -> String {
    let position = &subscribed.position;
    format!(
        "subscribed #{id} at offset {} of epoch {}",
        position.offset, position.epoch
    )
}

fn describe_push(push: &Push) -> String {
    let channel = &push.channel;
    match &push.event {
        PushEvent::Publication(publication) => format!("{channel} {}", place(publication)),
        PushEvent::Join(info) => format!("{channel} + {}", who(info)),
        PushEvent::Leave(info) => format!("{channel} - {}", who(info)),
        PushEvent::Unsubscribe { code, reason } => {
            format!("{channel}: the gateway ended the subscription with {code}: {reason}")
        }
        PushEvent::Message(data) => format!("message: {}", text(data)),
        PushEvent::Subscribe { .. } => format!("{channel}: the gateway subscribed this client"),
        PushEvent::Connect(_) | PushEvent::Refresh { .. } => {
            "the gateway refreshed the connection".to_owned()
        }
        PushEvent::Disconnect { code, reason } => {
            format!("the gateway disconnects with {code}: {reason}")
        }
    }
}

fn place(publication: &Publication) -> String {
    format!("#{} {}", publication.offset, text(&publication.data))
}

fn who(info: &ClientInfo) -> String {
    let user = if info.user.is_empty() {
        "anonymous"
    } else {
        &info.user
    };
    format!("{user} {}", info.client)
}

fn text(data: &[u8]) -> String {
    // A terminal must not obey what somebody else published.
    String::from_utf8_lossy(data)
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}
