//! Generators of commands, replies and raw JSON.
//!
//! The generators produce only values that a codec can distinguish: no empty optional payload, no id where the protocol
//! has none.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use steadfast_protocol::message::{
    ChannelName, ChannelRequest, ClientInfo, Command, ConnectRequest, ConnectResult,
    HistoryRequest, HistoryResult, PayloadKind, Position, PresenceStats, Publication,
    PublishRequest, Push, PushEvent, RefreshRequest, RefreshResult, Reply, ReplyError, ReplyResult,
    Request, RpcRequest, SendRequest, SubRefreshRequest, SubRefreshResult, SubscribeRequest,
    SubscribeResult,
};

/// Generates any command.
pub(crate) fn arb_command() -> impl Strategy<Value = Command> {
    let request = prop_oneof![
        arb_connect_request().prop_map(Request::Connect),
        arb_subscribe_request().prop_map(Request::Subscribe),
        arb_channel_request().prop_map(Request::Unsubscribe),
        (arb_text(), arb_data(), any::<i32>()).prop_map(|(channel, data, kind)| Request::Publish(
            PublishRequest {
                channel,
                data,
                payload_kind: PayloadKind::Json,
                kind
            }
        )),
        arb_channel_request().prop_map(Request::Presence),
        arb_channel_request().prop_map(Request::PresenceStats),
        (
            arb_text(),
            any::<i32>(),
            option::of(arb_position()),
            any::<bool>()
        )
            .prop_map(|(channel, limit, since, reverse)| Request::History(
                HistoryRequest {
                    channel,
                    limit,
                    since,
                    reverse
                }
            )),
        Just(Request::Ping),
        (arb_text(), arb_data())
            .prop_map(|(method, data)| Request::Rpc(RpcRequest { method, data })),
        arb_text().prop_map(|token| Request::Refresh(RefreshRequest { token })),
        (arb_text(), arb_text())
            .prop_map(|(channel, token)| Request::SubRefresh(SubRefreshRequest { channel, token })),
    ];
    let without_id = prop_oneof![
        arb_data().prop_map(|data| Request::Send(SendRequest { data })),
        Just(Request::Pong)
    ];
    prop_oneof![
        9 => (1..=u32::MAX, request).prop_map(|(id, request)| Command { id, request }),
        1 => without_id.prop_map(|request| Command { id: 0, request }),
    ]
}

/// Generates any reply.
pub(crate) fn arb_reply() -> impl Strategy<Value = Reply> {
    let error =
        (any::<u32>(), "[ -~]{1,20}", any::<bool>()).prop_map(|(code, message, temporary)| {
            Err(ReplyError {
                code,
                message,
                temporary,
            })
        });
    prop_oneof![
        6 => (1..=u32::MAX, arb_result().prop_map(Ok)).prop_map(|(id, outcome)| Reply::Response { id, outcome }),
        1 => (1..=u32::MAX, error).prop_map(|(id, outcome)| Reply::Response { id, outcome }),
        5 => (arb_text(), arb_event()).prop_map(|(channel, event)| Reply::Push(Push {
            channel: ChannelName::from(channel.as_str()),
            event,
        })),
        1 => Just(Reply::Ping),
    ]
}

/// Generates raw JSON with characters of `space` between its tokens.
pub(crate) fn arb_json(space: &'static str) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        select(vec![
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1e400",
            "0.1",
            "123456789012345678901234567890",
            "{}",
            "[]"
        ])
        .prop_map(str::to_owned),
        any::<String>().prop_map(|text| quoted(&text)),
    ];
    let gap = vec(
        select(space.chars().chain(['\u{0}']).collect::<Vec<_>>()),
        0..3,
    )
    .prop_map(|gap| {
        gap.into_iter()
            .filter(|c| *c != '\u{0}')
            .collect::<String>()
    });
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let item =
            (gap.clone(), inner, gap.clone()).prop_map(|(a, json, b)| format!("{a}{json}{b}"));
        let entry = (gap.clone(), any::<String>(), item.clone())
            .prop_map(|(gap, key, item)| format!("{gap}{}{gap}:{item}", quoted(&key)));
        prop_oneof![
            vec(item, 1..4).prop_map(|items| format!("[{}]", items.join(","))),
            vec(entry, 1..4).prop_map(|entries| format!("{{{}}}", entries.join(","))),
        ]
    })
    .boxed()
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string has a JSON form")
}

fn arb_payload() -> impl Strategy<Value = Bytes> {
    arb_json(" \t").prop_map(Bytes::from)
}

/// Generates a payload that may be absent, which is the same as empty.
fn arb_data() -> impl Strategy<Value = Bytes> {
    option::weighted(0.9, arb_payload()).prop_map(Option::unwrap_or_default)
}

/// Generates an optional payload without null, which would be decoded as absent.
fn arb_optional_data() -> impl Strategy<Value = Option<Bytes>> {
    option::of(arb_payload().prop_filter("null is the same as absent", |data| data != "null"))
}

/// Generates a text that respects the limits of channels and names: at most 250 bytes.
pub(crate) fn arb_text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z:#$]{1,20}",
        vec(any::<char>(), 0..20).prop_map(String::from_iter)
    ]
}

fn arb_position() -> impl Strategy<Value = Position> {
    (arb_text(), any::<u64>()).prop_map(|(epoch, offset)| Position { epoch, offset })
}

fn arb_channel_request() -> impl Strategy<Value = ChannelRequest> {
    arb_text().prop_map(|channel| ChannelRequest { channel })
}

fn arb_connect_request() -> impl Strategy<Value = ConnectRequest> {
    let subs = btree_map(arb_text(), arb_subscribe_request(), 0..3);
    let headers = btree_map(arb_text(), arb_text(), 0..3);
    (
        arb_text(),
        arb_optional_data(),
        subs,
        arb_text(),
        arb_text(),
        headers,
    )
        .prop_map(
            |(token, data, subs, name, version, headers)| ConnectRequest {
                token,
                data,
                subs,
                name,
                version,
                headers,
            },
        )
}

fn arb_subscribe_request() -> impl Strategy<Value = SubscribeRequest> {
    let texts = (arb_text(), arb_text(), arb_text());
    let flags = any::<[bool; 5]>();
    (
        texts,
        flags,
        arb_position(),
        arb_optional_data(),
        any::<i64>(),
        any::<i32>(),
    )
        .prop_map(
            |((channel, token, delta), flags, position, data, flag, kind)| {
                let [recover, positioned, recoverable, join_leave, has_filter] = flags;
                SubscribeRequest {
                    channel,
                    token,
                    recover,
                    position,
                    data,
                    positioned,
                    recoverable,
                    join_leave,
                    delta,
                    flag,
                    kind,
                    has_filter,
                }
            },
        )
}

fn arb_result() -> impl Strategy<Value = ReplyResult> {
    prop_oneof![
        arb_connect_result().prop_map(ReplyResult::Connect),
        arb_subscribe_result().prop_map(ReplyResult::Subscribe),
        Just(ReplyResult::Unsubscribe),
        Just(ReplyResult::Publish),
        btree_map(arb_text(), arb_info(), 0..3).prop_map(ReplyResult::Presence),
        any::<(u32, u32)>().prop_map(|(num_clients, num_users)| {
            ReplyResult::PresenceStats(PresenceStats {
                num_clients,
                num_users,
            })
        }),
        (vec(arb_publication(), 0..4), arb_position()).prop_map(|(publications, position)| {
            ReplyResult::History(HistoryResult {
                publications,
                position,
            })
        }),
        Just(ReplyResult::Ping),
        arb_data().prop_map(ReplyResult::Rpc),
        (arb_text(), arb_text(), any::<bool>(), any::<u32>()).prop_map(
            |(client, version, expires, ttl)| {
                ReplyResult::Refresh(RefreshResult {
                    client,
                    version,
                    expires,
                    ttl,
                })
            }
        ),
        any::<(bool, u32)>()
            .prop_map(|(expires, ttl)| ReplyResult::SubRefresh(SubRefreshResult { expires, ttl })),
    ]
}

fn arb_event() -> impl Strategy<Value = PushEvent> {
    prop_oneof![
        3 => arb_publication().prop_map(PushEvent::Publication),
        1 => arb_info().prop_map(PushEvent::Join),
        1 => arb_info().prop_map(PushEvent::Leave),
        1 => (any::<u32>(), arb_text()).prop_map(|(code, reason)| PushEvent::Unsubscribe { code, reason }),
        1 => arb_data().prop_map(PushEvent::Message),
        1 => (any::<bool>(), arb_position(), any::<bool>(), arb_optional_data()).prop_map(
            |(recoverable, position, positioned, data)| PushEvent::Subscribe { recoverable, position, positioned, data }
        ),
        1 => arb_connect_result().prop_map(PushEvent::Connect),
        1 => (any::<u32>(), arb_text()).prop_map(|(code, reason)| PushEvent::Disconnect { code, reason }),
        1 => any::<(bool, u32)>().prop_map(|(expires, ttl)| PushEvent::Refresh { expires, ttl }),
    ]
}

fn arb_connect_result() -> impl Strategy<Value = ConnectResult> {
    let numbers = any::<(u32, u32, i64)>();
    (
        arb_text(),
        arb_text(),
        any::<(bool, bool)>(),
        numbers,
        arb_optional_data(),
    )
        .prop_map(
            |(client, version, (expires, pong), (ttl, ping, time), data)| ConnectResult {
                client,
                version,
                expires,
                ttl,
                data,
                ping,
                pong,
                time,
            },
        )
}

fn arb_subscribe_result() -> impl Strategy<Value = SubscribeResult> {
    (
        any::<[bool; 5]>(),
        any::<u32>(),
        arb_position(),
        vec(arb_publication(), 0..4),
        arb_optional_data(),
    )
        .prop_map(|(flags, ttl, position, publications, data)| {
            let [expires, recoverable, recovered, positioned, was_recovering] = flags;
            SubscribeResult {
                expires,
                ttl,
                recoverable,
                position,
                publications,
                recovered,
                positioned,
                data,
                was_recovering,
            }
        })
}

fn arb_publication() -> impl Strategy<Value = Publication> {
    let tags =
        prop_oneof![3 => Just(BTreeMap::new()), 1 => btree_map(arb_text(), arb_text(), 0..3)];
    (
        arb_data(),
        option::of(arb_info()),
        any::<u64>(),
        tags,
        any::<i64>(),
    )
        .prop_map(|(data, info, offset, tags, time)| Publication {
            data,
            payload_kind: PayloadKind::Json,
            info,
            offset,
            tags,
            time,
        })
}

fn arb_info() -> impl Strategy<Value = ClientInfo> {
    (
        arb_text(),
        arb_text(),
        arb_optional_data(),
        arb_optional_data(),
    )
        .prop_map(|(user, client, conn_info, chan_info)| ClientInfo {
            user,
            client,
            conn_info,
            chan_info,
        })
}
