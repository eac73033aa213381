//! The exact text of replies and pushes that published SDKs expect.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

use std::collections::BTreeMap;

use bytes::Bytes;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ChannelName, ClientInfo, ConnectResult, HistoryResult, PayloadKind, Position, PresenceStats,
    Publication, Push, PushEvent, RefreshResult, Reply, ReplyResult, SubRefreshResult,
    SubscribeResult,
};

/// SDKs read these fields without checking whether they are present.
#[test]
fn replies_have_the_text_that_sdks_expect() {
    let cases = [
        (Reply::Ping, "{}"),
        (
            response(ReplyResult::Unsubscribe),
            r#"{"id":7,"unsubscribe":{}}"#,
        ),
        (response(ReplyResult::Publish), r#"{"id":7,"publish":{}}"#),
        (response(ReplyResult::Ping), r#"{"id":7,"ping":{}}"#),
        (
            response(ReplyResult::Rpc(Bytes::new())),
            r#"{"id":7,"rpc":{}}"#,
        ),
        (
            response(ReplyResult::Rpc(Bytes::from_static(b"null"))),
            r#"{"id":7,"rpc":{"data":null}}"#,
        ),
        (
            response(ReplyResult::Subscribe(SubscribeResult::default())),
            r#"{"id":7,"subscribe":{}}"#,
        ),
        (
            response(ReplyResult::SubRefresh(SubRefreshResult::default())),
            r#"{"id":7,"sub_refresh":{}}"#,
        ),
        (
            response(ReplyResult::Presence(BTreeMap::new())),
            r#"{"id":7,"presence":{"presence":{}}}"#,
        ),
        (
            response(ReplyResult::PresenceStats(PresenceStats::default())),
            r#"{"id":7,"presence_stats":{"num_clients":0,"num_users":0}}"#,
        ),
        (
            response(ReplyResult::PresenceStats(PresenceStats {
                num_clients: 4,
                num_users: 2,
            })),
            r#"{"id":7,"presence_stats":{"num_clients":4,"num_users":2}}"#,
        ),
        (
            response(ReplyResult::History(HistoryResult::default())),
            r#"{"id":7,"history":{"publications":[],"epoch":"","offset":0}}"#,
        ),
        (
            response(ReplyResult::Refresh(RefreshResult {
                client: "c".to_owned(),
                version: "v".to_owned(),
                expires: true,
                ttl: 60,
            })),
            r#"{"id":7,"refresh":{"client":"c","version":"v","expires":true,"ttl":60}}"#,
        ),
    ];

    for (reply, text) in cases {
        assert_eq!(encoded(&reply), text);
        assert_eq!(replies(text), [reply]);
    }
}

#[test]
fn an_error_has_the_text_that_sdks_expect() {
    let cases = [
        (
            ErrorCode::TooManyRequests.reply(),
            r#"{"code":111,"message":"too many requests","temporary":true}"#,
        ),
        (
            ErrorCode::TooManyRequests.reply_with("at capacity; retry_in=10s".to_owned()),
            r#"{"code":111,"message":"at capacity; retry_in=10s","temporary":true}"#,
        ),
        (
            ErrorCode::BadRequest.reply(),
            r#"{"code":107,"message":"bad request"}"#,
        ),
    ];

    for (error, text) in cases {
        let reply = Reply::Response {
            id: 7,
            outcome: Err(error),
        };
        let text = format!(r#"{{"id":7,"error":{text}}}"#);

        assert_eq!(encoded(&reply), text);
        assert_eq!(replies(&text), [reply]);
    }
}

#[test]
fn a_connect_result_contains_the_client_id_and_the_ping_interval() {
    let reply = response(ReplyResult::Connect(ConnectResult {
        client: "8b0a0f0e".to_owned(),
        version: "steadfast 0.1.0".to_owned(),
        ping: 25,
        pong: true,
        time: 1_700_000_000_000,
        ..ConnectResult::default()
    }));

    let text = encoded(&reply);

    assert_eq!(
        text,
        concat!(
            r#"{"id":7,"connect":{"client":"8b0a0f0e","version":"steadfast 0.1.0","ping":25,"pong":true,"#,
            r#""time":1700000000000}}"#
        )
    );
    assert_eq!(replies(&text), [reply]);
}

#[test]
fn a_connect_result_without_a_time_ends_with_the_ping_settings() {
    let reply = response(ReplyResult::Connect(ConnectResult {
        client: "8b0a0f0e".to_owned(),
        version: "steadfast 0.1.0".to_owned(),
        ping: 25,
        pong: true,
        ..ConnectResult::default()
    }));

    let text = encoded(&reply);

    assert_eq!(
        text,
        r#"{"id":7,"connect":{"client":"8b0a0f0e","version":"steadfast 0.1.0","ping":25,"pong":true}}"#
    );
    assert_eq!(replies(&text), [reply]);
}

#[test]
fn the_result_of_a_subscription_says_whether_its_position_was_recovered() {
    let from_now_on = SubscribeResult {
        recoverable: true,
        position: Position {
            epoch: "000000000000000e.0".to_owned(),
            offset: 4,
        },
        positioned: true,
        ..SubscribeResult::default()
    };
    let cases = [
        (
            from_now_on.clone(),
            r#"{"recoverable":true,"epoch":"000000000000000e.0","offset":4,"positioned":true}"#,
        ),
        (
            SubscribeResult {
                was_recovering: true,
                ..from_now_on.clone()
            },
            r#"{"recoverable":true,"epoch":"000000000000000e.0","offset":4,"positioned":true,"was_recovering":true}"#,
        ),
        (
            SubscribeResult {
                recovered: true,
                was_recovering: true,
                ..from_now_on
            },
            r#"{"recoverable":true,"epoch":"000000000000000e.0","recovered":true,"offset":4,"positioned":true,"was_recovering":true}"#,
        ),
    ];

    for (result, text) in cases {
        let reply = response(ReplyResult::Subscribe(result));
        let text = format!(r#"{{"id":7,"subscribe":{text}}}"#);

        assert_eq!(encoded(&reply), text);
        assert_eq!(replies(&text), [reply]);
    }
}

#[test]
fn a_history_result_contains_publications_and_the_high_watermark() {
    let stored = |offset| Publication {
        data: Bytes::from(format!(r#"{{"n":{offset}}}"#)),
        offset,
        ..Publication::default()
    };
    let reply = response(ReplyResult::History(HistoryResult {
        publications: vec![stored(6), stored(7)],
        position: Position {
            epoch: "e".to_owned(),
            offset: 7,
        },
    }));

    let text = encoded(&reply);

    assert_eq!(
        text,
        r#"{"id":7,"history":{"publications":[{"data":{"n":6},"offset":6},{"data":{"n":7},"offset":7}],"epoch":"e","offset":7}}"#
    );
    assert_eq!(replies(&text), [reply]);
}

#[test]
fn the_result_of_a_recovered_subscription_contains_the_missed_publications() {
    let missed = |offset| Publication {
        data: Bytes::from_static(br#"{"n":1}"#),
        payload_kind: PayloadKind::Json,
        info: Some(ClientInfo {
            client: "c".to_owned(),
            ..ClientInfo::default()
        }),
        offset,
        tags: BTreeMap::new(),
        time: 1_700_000_000_000,
    };
    let reply = response(ReplyResult::Subscribe(SubscribeResult {
        recoverable: true,
        position: Position {
            epoch: "9f86d081884c7d65.0".to_owned(),
            offset: 3,
        },
        publications: vec![missed(4), missed(5)],
        recovered: true,
        positioned: true,
        was_recovering: true,
        ..SubscribeResult::default()
    }));

    let text = encoded(&reply);

    assert_eq!(
        text,
        concat!(
            r#"{"id":7,"subscribe":{"recoverable":true,"epoch":"9f86d081884c7d65.0","publications":["#,
            r#"{"data":{"n":1},"info":{"user":"","client":"c"},"offset":4,"time":1700000000000},"#,
            r#"{"data":{"n":1},"info":{"user":"","client":"c"},"offset":5,"time":1700000000000}],"#,
            r#""recovered":true,"offset":3,"positioned":true,"was_recovering":true}}"#
        )
    );
    assert_eq!(replies(&text), [reply]);
}

#[test]
fn pushes_about_clients_and_publications_have_the_text_that_sdks_expect() {
    let info = ClientInfo {
        user: "7".to_owned(),
        client: "c".to_owned(),
        conn_info: Some(Bytes::from_static(br#"{"name":"x"}"#)),
        chan_info: Some(Bytes::from_static(b"1")),
    };
    let info_text = r#"{"user":"7","client":"c","conn_info":{"name":"x"},"chan_info":1}"#;
    let publication = Publication {
        data: Bytes::from_static(b"[1]"),
        payload_kind: PayloadKind::Json,
        info: Some(info.clone()),
        offset: 9,
        tags: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        time: 5,
    };

    check_push(
        "news",
        PushEvent::Publication(publication),
        &format!(
            r#""channel":"news","pub":{{"data":[1],"info":{info_text},"offset":9,"tags":{{"k":"v"}},"time":5}}"#
        ),
    );
    check_push(
        "news",
        PushEvent::Join(info.clone()),
        &format!(r#""channel":"news","join":{{"info":{info_text}}}"#),
    );
    check_push(
        "news",
        PushEvent::Leave(info),
        &format!(r#""channel":"news","leave":{{"info":{info_text}}}"#),
    );
}

#[test]
fn a_push_contains_only_what_is_known_about_the_publisher_and_the_client() {
    let publication = Publication {
        data: Bytes::from_static(br#"{"n":1}"#),
        offset: 1,
        ..Publication::default()
    };
    let info = ClientInfo {
        client: "c".to_owned(),
        ..ClientInfo::default()
    };

    check_push(
        "news",
        PushEvent::Publication(publication),
        r#""channel":"news","pub":{"data":{"n":1},"offset":1}"#,
    );
    check_push(
        "news",
        PushEvent::Join(info),
        r#""channel":"news","join":{"info":{"user":"","client":"c"}}"#,
    );
}

#[test]
fn pushes_about_subscriptions_have_the_text_that_sdks_expect() {
    let end = PushEvent::Unsubscribe {
        code: 2500,
        reason: "insufficient state".to_owned(),
    };
    let begin = PushEvent::Subscribe {
        recoverable: true,
        position: Position {
            epoch: "e".to_owned(),
            offset: 4,
        },
        positioned: true,
        data: None,
    };

    check_push(
        "news",
        end,
        r#""channel":"news","unsubscribe":{"code":2500,"reason":"insufficient state"}"#,
    );
    check_push(
        "news",
        begin,
        r#""channel":"news","subscribe":{"recoverable":true,"epoch":"e","offset":4,"positioned":true}"#,
    );
}

#[test]
fn pushes_about_the_connection_have_no_channel() {
    let connect = ConnectResult {
        client: "c".to_owned(),
        ..ConnectResult::default()
    };
    let disconnect = PushEvent::Disconnect {
        code: 3001,
        reason: "shutdown".to_owned(),
    };
    let refresh = PushEvent::Refresh {
        expires: true,
        ttl: 60,
    };

    check_push(
        "",
        PushEvent::Message(Bytes::from_static(b"1")),
        r#""message":{"data":1}"#,
    );
    check_push(
        "",
        PushEvent::Connect(connect),
        r#""connect":{"client":"c"}"#,
    );
    check_push(
        "",
        disconnect,
        r#""disconnect":{"code":3001,"reason":"shutdown"}"#,
    );
    check_push("", refresh, r#""refresh":{"expires":true,"ttl":60}"#);
}

#[test]
fn a_channel_name_in_a_push_is_escaped() {
    let end = PushEvent::Unsubscribe {
        code: 2500,
        reason: String::new(),
    };

    check_push(
        "a\"b",
        end,
        r#""channel":"a\"b","unsubscribe":{"code":2500}"#,
    );
}

#[test]
fn a_presence_result_lists_clients_by_id() {
    let info = |user: &str, client: &str| ClientInfo {
        user: user.to_owned(),
        client: client.to_owned(),
        ..ClientInfo::default()
    };
    let reply = response(ReplyResult::Presence(BTreeMap::from([
        ("d".to_owned(), info("", "d")),
        ("c".to_owned(), info("7", "c")),
    ])));

    let text = encoded(&reply);

    assert_eq!(
        text,
        r#"{"id":7,"presence":{"presence":{"c":{"user":"7","client":"c"},"d":{"user":"","client":"d"}}}}"#
    );
    assert_eq!(replies(&text), [reply]);
}

/// Offsets beyond 2^53 are exact on the wire; only JavaScript rounds them.
#[test]
fn sixty_four_bit_numbers_are_exact() {
    let text = r#"{"push":{"channel":"c","pub":{"data":1,"offset":18446744073709551615,"time":-9223372036854775808}}}"#;

    let replies = replies(text);

    assert_eq!(encoded(&replies[0]), text);
}

#[test]
fn a_client_skips_and_counts_pushes_of_an_unknown_kind() {
    let message = Bytes::from_static(b"{\"push\":{\"channel\":\"c\",\"map\":{}}}\n{}\n");
    let limits = Limits::DEFAULT;
    let mut replies = Encoding::Json.decode_replies(&message, &limits);

    assert_eq!(replies.next(), Some(Ok(Reply::Ping)));
    assert_eq!(replies.next(), None);
    assert_eq!(replies.unknown_pushes(), 1);
}

#[test]
fn an_error_without_a_message_gets_the_text_of_its_code() {
    let replies =
        replies("{\"id\":1,\"error\":{\"code\":103}}\n{\"id\":2,\"error\":{\"code\":4242}}");

    let messages: Vec<&str> = replies
        .iter()
        .filter_map(|reply| match reply {
            Reply::Response { outcome, .. } => Some(outcome.as_ref().unwrap_err().message.as_str()),
            Reply::Push(_) | Reply::Ping => None,
        })
        .collect();
    assert_eq!(messages, ["permission denied", "unknown error"]);
}

/// Checks that the push is encoded as this text and decoded from it.
fn check_push(channel: &str, event: PushEvent, body: &str) {
    let push = Reply::Push(Push {
        channel: ChannelName::from(channel),
        event,
    });
    let text = format!(r#"{{"push":{{{body}}}}}"#);

    assert_eq!(encoded(&push), text);
    assert_eq!(replies(&text), [push]);
}

fn response(result: ReplyResult) -> Reply {
    Reply::Response {
        id: 7,
        outcome: Ok(result),
    }
}

fn replies(text: &str) -> Vec<Reply> {
    let message = Bytes::copy_from_slice(text.as_bytes());
    Encoding::Json
        .decode_replies(&message, &Limits::DEFAULT)
        .collect::<Result<_, _>>()
        .unwrap()
}

fn encoded(reply: &Reply) -> String {
    let mut out = Vec::new();
    Encoding::Json.append_reply(&mut out, reply);
    String::from_utf8(out).unwrap()
}
