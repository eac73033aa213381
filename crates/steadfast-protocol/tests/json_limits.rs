//! How the JSON codec handles messages that are well formed but too large.

use bytes::Bytes;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::codes::{DecodeErrorAction, DisconnectCode, ErrorCode};
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{ClientInfo, Command, Reply, ReplyResult, Request};

#[test]
fn only_the_command_that_exceeds_a_limit_is_rejected() {
    let long = "a".repeat(Limits::CHANNEL_BYTES + 1);
    let text = format!(
        "{{\"id\":1,\"subscribe\":{{\"channel\":\"{long}\"}}}}\n{{\"id\":2,\"ping\":{{}}}}"
    );

    let commands = commands(&text);

    let Err(error) = &commands[0] else {
        panic!("{commands:?}")
    };
    assert_eq!(
        *error,
        DecodeError::FieldTooLong {
            id: 1,
            field: "channel",
            size: 256,
            size_max: 255
        }
    );
    assert_eq!(
        DecodeErrorAction::for_decode_error(error),
        DecodeErrorAction::Reject {
            id: 1,
            error: ErrorCode::BadRequest
        }
    );
    assert_eq!(
        commands[1],
        Ok(Command {
            id: 2,
            request: Request::Ping
        })
    );
}

#[test]
fn an_error_in_a_command_without_an_id_is_the_last_item_since_no_reply_could_report_it() {
    let send = format!(
        r#"{{"send":{{"data":{}1{}}}}}"#,
        "[".repeat(101),
        "]".repeat(101)
    );

    let commands = commands(&format!("{send}\n{{\"id\":2,\"ping\":{{}}}}"));

    let [Err(error)] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert!(
        matches!(error, DecodeError::TooDeep { id: 0, .. }),
        "{error:?}"
    );
    assert_eq!(error.rejected_command(), None);
    assert_eq!(
        DecodeErrorAction::for_decode_error(error),
        DecodeErrorAction::Disconnect(DisconnectCode::BadRequest)
    );
}

/// Inserts a value into a command.
type CommandTemplate = fn(&str) -> String;

#[test]
fn values_at_a_limit_are_accepted_and_above_it_rejected() {
    let limits = Limits {
        message_bytes: 400_000,
        ..Limits::DEFAULT
    };
    let text = |size: usize| "a".repeat(size);
    let entries = |count: usize| {
        let entries: Vec<String> = (0..count).map(|n| format!("\"{n}\":{{}}")).collect();
        format!("{{{}}}", entries.join(","))
    };
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let wide = |levels: usize| format!("[{}{}]", "[],{},".repeat(200), nested(levels - 1));
    let cases: [(CommandTemplate, String, String); 7] = [
        (
            |v| format!(r#"{{"id":1,"presence":{{"channel":"{v}"}}}}"#),
            text(255),
            text(256),
        ),
        (
            |v| format!(r#"{{"id":1,"rpc":{{"method":"{v}"}}}}"#),
            text(255),
            text(256),
        ),
        (
            |v| format!(r#"{{"id":1,"refresh":{{"token":"{v}"}}}}"#),
            text(16_384),
            text(16_385),
        ),
        (
            |v| format!(r#"{{"id":1,"connect":{{"name":"{v}"}}}}"#),
            text(255),
            text(256),
        ),
        (
            |v| format!(r#"{{"id":1,"connect":{{"subs":{v}}}}}"#),
            entries(256),
            entries(257),
        ),
        (
            |v| format!(r#"{{"id":1,"publish":{{"channel":"a","data":{v}}}}}"#),
            nested(100),
            nested(101),
        ),
        (
            |v| format!(r#"{{"id":1,"publish":{{"channel":"a","data":{v}}}}}"#),
            wide(100),
            wide(101),
        ),
    ];

    for (template, good, bad) in cases {
        let good = Bytes::from(template(&good));
        let bad = Bytes::from(template(&bad));

        let good: Vec<_> = Encoding::Json.decode_commands(&good, &limits).collect();
        let bad: Vec<_> = Encoding::Json.decode_commands(&bad, &limits).collect();

        assert!(matches!(good[..], [Ok(_)]), "{good:?}");
        assert!(
            matches!(&bad[..], [Err(error)] if error.rejected_command().is_some()),
            "{bad:?}"
        );
    }
}

#[test]
fn the_limit_of_channel_names_applies_to_positions_to_resume() {
    for (channel_bytes, name_bytes) in [(8, 4), (4, 8)] {
        let limits = Limits {
            channel_bytes,
            name_bytes,
            ..Limits::DEFAULT
        };
        let resume = |bytes: usize| {
            let channel = "a".repeat(bytes);
            Bytes::from(format!(
                r#"{{"id":1,"connect":{{"subs":{{"{channel}":{{}}}}}}}}"#
            ))
        };
        let (good, bad) = (resume(channel_bytes), resume(channel_bytes + 1));

        let good: Vec<_> = Encoding::Json.decode_commands(&good, &limits).collect();
        let bad: Vec<_> = Encoding::Json.decode_commands(&bad, &limits).collect();

        assert!(matches!(good[..], [Ok(_)]), "{good:?}");
        assert_eq!(
            bad,
            [Err(DecodeError::FieldTooLong {
                id: 1,
                field: "subs",
                size: channel_bytes + 1,
                size_max: channel_bytes
            })]
        );
    }
}

#[test]
fn publications_in_a_result_are_counted_before_memory_is_allocated() {
    let limits = Limits {
        entries_max: 3,
        ..Limits::DEFAULT
    };
    for (result, before) in [("history", ""), ("subscribe", r#""offset":1,"#)] {
        let reply = |count: usize| {
            let items = vec![r#"{"data":[1]}"#; count].join(",");
            Bytes::from(format!(
                r#"{{"id":7,"{result}":{{{before}"publications":[{items}]}}}}"#
            ))
        };
        let (good, bad) = (reply(3), reply(4));

        let good: Vec<_> = Encoding::Json.decode_replies(&good, &limits).collect();
        let bad: Vec<_> = Encoding::Json.decode_replies(&bad, &limits).collect();

        assert!(matches!(good[..], [Ok(_)]), "{good:?}");
        assert_eq!(
            bad,
            [Err(DecodeError::FieldTooLong {
                id: 7,
                field: "publications",
                size: 4,
                size_max: 3
            })]
        );
    }
}

#[test]
fn a_client_decodes_the_largest_presence_result_that_a_gateway_sends_by_default() {
    let clients = (0..1000)
        .map(|n| (n.to_string(), ClientInfo::default()))
        .collect();
    let mut message = Vec::new();
    let reply = Reply::Response {
        id: 1,
        outcome: Ok(ReplyResult::Presence(clients)),
    };
    Encoding::Json.append_reply(&mut message, &reply);
    let message = Bytes::from(message);

    let read: Vec<_> = Encoding::Json
        .decode_replies(&message, &Limits::REPLIES)
        .collect();

    assert_eq!(read, [Ok(reply)]);
}

#[test]
fn a_client_decodes_as_many_replies_as_a_gateway_sends_in_one_message() {
    let lines = vec![r#"{"id":1,"publish":{}}"#; (64 * 1024) / 22].join("\n");
    let message = Bytes::from(lines);

    let replies = Encoding::Json.decode_replies(&message, &Limits::REPLIES);

    assert_eq!(replies.flatten().count(), 2978);
}

#[test]
fn brackets_inside_strings_do_not_count_as_levels() {
    let data = format!(r#"{{"a":"{}\\\"{}"}}"#, "[".repeat(300), "{".repeat(300));

    let commands = commands(&format!(
        r#"{{"id":1,"publish":{{"channel":"a","data":{data}}}}}"#
    ));

    let Ok(Command {
        request: Request::Publish(publish),
        ..
    }) = &commands[0]
    else {
        panic!("{commands:?}")
    };
    assert_eq!(publish.data, data);
}

#[test]
fn a_message_full_of_brackets_does_not_exhaust_the_stack() {
    let open = "[".repeat(60_000);
    let objects = "{\"a\":".repeat(10_000);
    let closed = format!("{}{}", "[".repeat(32_000), "]".repeat(32_000));

    for value in [&open, &objects, &closed] {
        for text in [
            value.clone(),
            format!(r#"{{"id":1,"publish":{{"data":{value}}}}}"#),
            format!(r#"{{"id":1,"connect":{{"subs":{{"a":{value}}}}}}}"#),
        ] {
            assert!(
                commands(&text).iter().all(Result::is_err),
                "{}",
                text.split_at(40).0
            );
        }
    }
    for discarded in [
        format!(r#"{{"id":1,"future":{closed},"ping":{{}}}}"#),
        format!(r#"{{"id":1,"subscribe":{{"tf":{{"nodes":{closed}}}}}}}"#),
    ] {
        assert!(
            commands(&discarded).iter().all(Result::is_ok),
            "{}",
            discarded.split_at(40).0
        );
    }
}

#[test]
fn a_command_above_the_limit_is_rejected_alone() {
    let long = |bytes: usize| {
        let data = "x".repeat(bytes - r#"{"rpc":{"data":""},"id":7}"#.len());
        format!(r#"{{"rpc":{{"data":"{data}"}},"id":7}}"#)
    };
    let at_limit = long(Limits::MESSAGE_BYTES);
    let beyond = long(Limits::MESSAGE_BYTES + 1);

    let read = commands(&format!("{{}}\n{beyond}\n{at_limit}\n{{}}"));

    let [Ok(_), Err(error), Ok(accepted), Ok(_)] = read.as_slice() else {
        panic!("{read:?}");
    };
    assert_eq!(
        *error,
        DecodeError::CommandTooLong {
            id: 7,
            bytes: 65_537,
            bytes_max: 65_536
        }
    );
    assert_eq!(accepted.id, 7);
}

#[test]
fn any_number_of_commands_is_decoded() {
    let message = vec!["{}"; 100_000].join("\n");

    assert_eq!(commands(&message).len(), 100_000);
}

#[test]
fn more_replies_than_the_limit_are_rejected() {
    let limits = Limits {
        replies_max: 3,
        ..Limits::REPLIES
    };
    let message = Bytes::from_static(b"{}\n{}\n{}\n{}");

    let replies: Vec<_> = Encoding::Json.decode_replies(&message, &limits).collect();

    let [Ok(_), Ok(_), Ok(_), Err(error)] = replies.as_slice() else {
        panic!("{replies:?}");
    };
    assert_eq!(*error, DecodeError::TooManyReplies { count_max: 3 });
}

fn commands(text: &str) -> Vec<Result<Command, DecodeError>> {
    let message = Bytes::copy_from_slice(text.as_bytes());
    Encoding::Json
        .decode_commands(&message, &Limits::DEFAULT)
        .collect()
}
