//! The exact text of commands: as published SDKs send them, and as this codec encodes them.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

use std::collections::BTreeMap;

use bytes::Bytes;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ChannelRequest, Command, ConnectRequest, HistoryRequest, PayloadKind, Position, PublishRequest,
    RefreshRequest, Request, RpcRequest, SendRequest, SubRefreshRequest, SubscribeRequest,
};

/// The first message of the JavaScript SDK: connect and all subscribe commands, each with the id after the request.
#[test]
fn the_first_message_of_a_client_contains_connect_and_its_subscribes() {
    let message = concat!(
        r#"{"connect":{"data":{"team":1},"name":"js","version":"1","headers":{"a":"b"}},"id":1}"#,
        "\n",
        r#"{"subscribe":{"channel":"news","positioned":true,"recoverable":true,"join_leave":true,"flag":1,"#,
        r#""recover":true,"offset":3,"epoch":"x"},"id":2}"#,
    );

    let commands = commands(message);

    let connect = ConnectRequest {
        data: Some(Bytes::from_static(br#"{"team":1}"#)),
        name: "js".to_owned(),
        version: "1".to_owned(),
        headers: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        ..ConnectRequest::default()
    };
    let subscribe = SubscribeRequest {
        channel: "news".to_owned(),
        recover: true,
        position: Position {
            epoch: "x".to_owned(),
            offset: 3,
        },
        positioned: true,
        recoverable: true,
        join_leave: true,
        flag: 1,
        ..SubscribeRequest::default()
    };
    assert_eq!(
        commands,
        [
            Command {
                id: 1,
                request: Request::Connect(connect)
            },
            Command {
                id: 2,
                request: Request::Subscribe(subscribe)
            },
        ]
    );
}

#[test]
fn commands_with_a_channel_are_decoded_as_sdks_send_them() {
    check(
        r#"{"publish":{"channel":"news","data":null},"id":3}"#,
        3,
        &publish("null"),
    );
    check(
        r#"{"publish":{"channel":"news","data":{"a":"\n"}},"id":4}"#,
        4,
        &publish(r#"{"a":"\n"}"#),
    );
    check(
        r#"{"presence":{"channel":"news"},"id":5}"#,
        5,
        &Request::Presence(news()),
    );
    check(
        r#"{"presence_stats":{"channel":"news"},"id":6}"#,
        6,
        &Request::PresenceStats(news()),
    );
    check(
        r#"{"history":{"channel":"news","limit":0},"id":7}"#,
        7,
        &history(0, None, false),
    );
    check(
        r#"{"history":{"channel":"news","since":{"offset":1,"epoch":"e"},"limit":-1,"reverse":true},"id":8}"#,
        8,
        &history(-1, Some(("e", 1)), true),
    );
    check(
        r#"{"unsubscribe":{"channel":"news"},"id":12}"#,
        12,
        &Request::Unsubscribe(news()),
    );
    let refresh = SubRefreshRequest {
        channel: "news".to_owned(),
        token: "t".to_owned(),
    };
    check(
        r#"{"sub_refresh":{"channel":"news","token":"t"},"id":14}"#,
        14,
        &Request::SubRefresh(refresh),
    );
}

#[test]
fn options_of_subscribe_and_publish_are_decoded_as_sdks_send_them() {
    let request = SubscribeRequest {
        channel: "news".to_owned(),
        ..SubscribeRequest::default()
    };
    check(
        r#"{"subscribe":{"channel":"news","recover":true,"epoch":"gone","offset":3,"flag":2},"id":2}"#,
        2,
        &Request::Subscribe(SubscribeRequest {
            recover: true,
            position: Position {
                epoch: "gone".to_owned(),
                offset: 3,
            },
            flag: 2,
            ..request.clone()
        }),
    );
    check(
        r#"{"subscribe":{"channel":"news","type":4},"id":2}"#,
        2,
        &Request::Subscribe(SubscribeRequest { kind: 4, ..request }),
    );
    check(
        r#"{"publish":{"channel":"news","data":1,"type":1},"id":2}"#,
        2,
        &Request::Publish(PublishRequest {
            channel: "news".to_owned(),
            data: Bytes::from_static(b"1"),
            payload_kind: PayloadKind::Json,
            kind: 1,
        }),
    );
}

/// Only a message without a reply needs no id; a server closes the connection for a pong without a ping.
#[test]
fn a_command_that_needs_an_id_but_has_none_is_a_pong() {
    for text in [
        "{}",
        r#"{"connect":{}}"#,
        r#"{"subscribe":{"channel":"news"}}"#,
        r#"{"id":0,"publish":{"channel":"news","data":1}}"#,
    ] {
        let pong = Command {
            id: 0,
            request: Request::Pong,
        };

        assert_eq!(commands(text), [pong], "{text}");
    }
}

#[test]
fn commands_without_a_channel_are_decoded_as_sdks_send_them() {
    check(r#"{"rpc":{"method":"x"},"id":11}"#, 11, &rpc(""));
    check(
        r#"{"rpc":{"method":"x","data":null},"id":10}"#,
        10,
        &rpc("null"),
    );
    let send = SendRequest {
        data: Bytes::from_static(br#"{"x":1}"#),
    };
    check(r#"{"send":{"data":{"x":1}}}"#, 0, &Request::Send(send));
    let refresh = RefreshRequest {
        token: "t".to_owned(),
    };
    check(
        r#"{"refresh":{"token":"t"},"id":13}"#,
        13,
        &Request::Refresh(refresh),
    );
    check(r#"{"ping":{},"id":15}"#, 15, &Request::Ping);
    check("{}", 0, &Request::Pong);
}

#[test]
fn commands_are_encoded_in_the_order_of_the_protocols_fields() {
    let publish = Command {
        id: 3,
        request: publish("null"),
    };
    let history = Command {
        id: 8,
        request: history(-1, Some(("", 0)), true),
    };

    assert_eq!(
        written(&publish),
        r#"{"id":3,"publish":{"channel":"news","data":null}}"#
    );
    assert_eq!(
        written(&history),
        r#"{"id":8,"history":{"channel":"news","limit":-1,"since":{},"reverse":true}}"#
    );
}

#[test]
fn a_connect_command_contains_the_positions_of_server_side_subscriptions() {
    let text = concat!(
        r#"{"id":1,"connect":{"token":"t","subs":{"a":{"recover":true,"epoch":"e","offset":9},"b":{}},"#,
        r#""name":"js","version":"5.8.0"}}"#
    );

    let commands = commands(text);

    let Request::Connect(connect) = &commands[0].request else {
        panic!("{commands:?}")
    };
    assert_eq!(
        connect.subs["a"].position,
        Position {
            epoch: "e".to_owned(),
            offset: 9
        }
    );
    assert!(connect.subs["a"].recover);
    assert_eq!(connect.subs["b"], SubscribeRequest::default());
    assert_eq!(written(&commands[0]), text);
}

/// Checks that the text decodes to this command, and that the encoding of the command decodes to the same command.
fn check(text: &str, id: u32, request: &Request) {
    let command = Command {
        id,
        request: request.clone(),
    };

    assert_eq!(commands(text), std::slice::from_ref(&command), "{text}");
    let text = written(&command);
    assert_eq!(commands(&text), [command], "{text}");
}

fn news() -> ChannelRequest {
    ChannelRequest {
        channel: "news".to_owned(),
    }
}

fn publish(json: &'static str) -> Request {
    Request::Publish(PublishRequest {
        channel: "news".to_owned(),
        data: Bytes::from_static(json.as_bytes()),
        payload_kind: PayloadKind::Json,
        kind: 0,
    })
}

fn history(limit: i32, since: Option<(&str, u64)>, reverse: bool) -> Request {
    Request::History(HistoryRequest {
        channel: "news".to_owned(),
        limit,
        since: since.map(|(epoch, offset)| Position {
            epoch: epoch.to_owned(),
            offset,
        }),
        reverse,
    })
}

fn rpc(json: &'static str) -> Request {
    Request::Rpc(RpcRequest {
        method: "x".to_owned(),
        data: Bytes::from_static(json.as_bytes()),
    })
}

fn commands(text: &str) -> Vec<Command> {
    let message = Bytes::copy_from_slice(text.as_bytes());
    Encoding::Json
        .decode_commands(&message, &Limits::DEFAULT)
        .collect::<Result<_, _>>()
        .unwrap()
}

fn written(command: &Command) -> String {
    let mut out = Vec::new();
    Encoding::Json.append_command(&mut out, command);
    String::from_utf8(out).unwrap()
}
