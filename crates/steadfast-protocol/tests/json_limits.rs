//! What the JSON codec does about messages that are well formed but too large.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

use bytes::Bytes;
use steadfast_protocol::codes::{ErrorCode, Remedy};
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::json::{append_reply, decode_commands, decode_replies};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{ClientInfo, Command, Reply, ReplyResult, Request};

#[test]
fn a_command_over_a_limit_is_refused_alone() {
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
        Remedy::for_decode_error(error),
        Remedy::Refuse {
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

/// Puts a value into a command.
type Frame = fn(&str) -> String;

#[test]
fn values_at_a_limit_are_accepted_and_beyond_it_refused() {
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
    let cases: [(Frame, String, String); 6] = [
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
    ];

    for (frame, good, bad) in cases {
        let good = Bytes::from(frame(&good));
        let bad = Bytes::from(frame(&bad));

        let good: Vec<_> = decode_commands(&good, &limits).unwrap().collect();
        let bad: Vec<_> = decode_commands(&bad, &limits).unwrap().collect();

        assert!(matches!(good[..], [Ok(_)]), "{good:?}");
        assert!(
            matches!(&bad[..], [Err(error)] if error.concerns_one_command()),
            "{bad:?}"
        );
    }
}

#[test]
fn a_position_to_resume_is_held_to_the_limit_of_channel_names() {
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

        let good: Vec<_> = decode_commands(&good, &limits).unwrap().collect();
        let bad: Vec<_> = decode_commands(&bad, &limits).unwrap().collect();

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
fn publications_in_a_result_are_counted_before_they_are_kept() {
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

        let good: Vec<_> = decode_replies(&good, &limits).unwrap().collect();
        let bad: Vec<_> = decode_replies(&bad, &limits).unwrap().collect();

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
fn a_client_reads_the_largest_presence_that_a_gateway_sends_unless_told_otherwise() {
    let clients = (0..1000)
        .map(|n| (n.to_string(), ClientInfo::default()))
        .collect();
    let mut message = Vec::new();
    let reply = Reply::Answer {
        id: 1,
        outcome: Ok(ReplyResult::Presence(clients)),
    };
    append_reply(&mut message, &reply);
    let message = Bytes::from(message);

    let read: Vec<_> = decode_replies(&message, &Limits::REPLIES)
        .unwrap()
        .collect();

    assert_eq!(read, [Ok(reply)]);
}

#[test]
fn a_client_reads_as_many_answers_as_a_gateway_puts_into_one_message() {
    let answers = vec![r#"{"id":1,"publish":{}}"#; (64 * 1024) / 22].join("\n");
    let message = Bytes::from(answers);

    let replies = decode_replies(&message, &Limits::REPLIES).unwrap();

    assert_eq!(replies.flatten().count(), 2978);
}

#[test]
fn brackets_inside_strings_are_no_levels() {
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
fn a_message_over_the_limit_is_refused_whole() {
    let message = Bytes::from(vec![b' '; Limits::MESSAGE_BYTES + 1]);

    let error = decode_commands(&message, &Limits::DEFAULT)
        .map(|_| ())
        .unwrap_err();

    assert_eq!(
        error,
        DecodeError::MessageTooLong {
            bytes: 65_537,
            bytes_max: 65_536
        }
    );
}

#[test]
fn more_commands_than_the_limit_are_refused() {
    let at_limit = vec!["{}"; Limits::MESSAGES_MAX].join("\n");
    let beyond = format!("{at_limit}\n{{}}");

    assert_eq!(commands(&at_limit).len(), 1_024);
    assert_eq!(
        last_error(&beyond),
        DecodeError::TooManyMessages { count_max: 1_024 }
    );
}

fn commands(text: &str) -> Vec<Result<Command, DecodeError>> {
    let message = Bytes::copy_from_slice(text.as_bytes());
    decode_commands(&message, &Limits::DEFAULT)
        .unwrap()
        .collect()
}

/// The error of a message that ends in one.
fn last_error(text: &str) -> DecodeError {
    let message = Bytes::copy_from_slice(text.as_bytes());
    match decode_commands(&message, &Limits::DEFAULT) {
        Ok(mut commands) => commands
            .find_map(Result::err)
            .unwrap_or_else(|| panic!("accepted {text:?}")),
        Err(error) => error,
    }
}
