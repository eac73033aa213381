//! How the JSON codec handles invalid input.

use bytes::Bytes;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::codes::{DecodeErrorAction, DisconnectCode, ErrorCode};
use steadfast_protocol::error::{DecodeError, JsonErrorKind};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Command, Request};

#[test]
fn an_empty_message_or_line_violates_the_protocol() {
    for text in ["", "\n", "\n\n", "{}\n\n{}", "\n{}"] {
        assert_eq!(last_error(text), DecodeError::Empty, "{text:?}");
    }
}

#[test]
fn a_line_feed_at_the_end_is_optional_and_a_carriage_return_before_it_is_white_space() {
    for text in ["{}", "{}\n", "{}\r\n", " {} \n"] {
        let pong = Command {
            id: 0,
            request: Request::Pong,
        };

        assert_eq!(commands(text), [Ok(pong)], "{text:?}");
    }
}

#[test]
fn a_text_without_a_valid_id_violates_the_protocol() {
    let texts = [
        "[]",
        "null",
        "1",
        "\"connect\"",
        "[1,null,{}]",
        r#"{"id":"1","ping":{}}"#,
        r#"{"id":-1,"ping":{}}"#,
        r#"{"id":1.5,"ping":{}}"#,
        r#"{"id":1.0,"ping":{}}"#,
        r#"{"id":4294967296,"ping":{}}"#,
        r#"{"id":1,"id":1,"ping":{}}"#,
    ];

    for text in texts {
        assert_violation(text, JsonErrorKind::Field);
    }
}

#[test]
fn wrong_types_numbers_out_of_range_and_repeated_fields_reject_the_command() {
    let texts = [
        r#"{"id":1,"ping":true}"#,
        r#"{"id":1,"ping":[]}"#,
        r#"{"id":1,"connect":[]}"#,
        r#"{"id":1,"connect":{"token":7}}"#,
        r#"{"id":1,"connect":{"subs":[]}}"#,
        r#"{"id":1,"connect":{"subs":{"a":{},"a":{}}}}"#,
        r#"{"id":1,"connect":{"headers":{"a":1}}}"#,
        r#"{"id":1,"publish":["news",1]}"#,
        r#"{"id":1,"subscribe":{"channel":"a","offset":-1}}"#,
        r#"{"id":1,"subscribe":{"channel":"a","offset":18446744073709551616}}"#,
        r#"{"id":1,"subscribe":{"channel":"a","offset":"5"}}"#,
        r#"{"id":1,"subscribe":{"channel":"a","recover":1}}"#,
        r#"{"id":1,"subscribe":{"channel":"a","tf":1}}"#,
        r#"{"id":1,"subscribe":{"channel":"a","channel":"b"}}"#,
        r#"{"id":1,"history":{"channel":"a","limit":2147483648}}"#,
        r#"{"id":1,"history":{"channel":"a","since":5}}"#,
        r#"{"id":1,"ping":{},"\u0070ing":{}}"#,
        r#"{"ping":true,"id":1}"#,
    ];

    for text in texts {
        assert_rejected(text, JsonErrorKind::Field);
    }
}

#[test]
fn invalid_json_without_an_id_before_it_violates_the_protocol() {
    let texts = [
        "{}{}",
        "{} x",
        "{}\0",
        "\u{feff}{}",
        "{id:1}",
        "{'id':1}",
        r#"{"id":01,"ping":{}}"#,
        r#"{"publish":{"channel":"a","data":NaN},"id":1}"#,
    ];

    for text in texts {
        assert_violation(text, JsonErrorKind::Syntax);
    }
}

/// Python's JSON encoder writes NaN and Infinity, which are not JSON.
#[test]
fn invalid_json_after_an_id_rejects_the_command() {
    let texts = [
        r#"{"id":1,}"#,
        r#"{"id":1,"publish":{"channel":"a","data":{]}}"#,
        r#"{"id":1,"publish":{"channel":"a","data":NaN}}"#,
        r#"{"id":1,"publish":{"channel":"a\x"}}"#,
        "{\"id\":1,\"publish\":{\"channel\":\"a\u{1}\"}}",
        "{\"id\":1,\"publish\":{\"channel\":\"a\",\"data\":\"\t\"}}",
    ];

    for text in texts {
        assert_rejected(text, JsonErrorKind::Syntax);
    }
}

/// JSON encoders write half of an emoji that an application has cut as an escape, which no text can contain.
#[test]
fn half_of_a_surrogate_pair_in_any_text_rejects_the_command() {
    let fields = [
        r#""connect":{"name":"TEXT"}"#,
        r#""connect":{"version":"TEXT"}"#,
        r#""connect":{"token":"TEXT"}"#,
        r#""connect":{"subs":{"TEXT":{}}}"#,
        r#""connect":{"headers":{"a":"TEXT"}}"#,
        r#""subscribe":{"channel":"TEXT"}"#,
        r#""subscribe":{"channel":"a","epoch":"TEXT"}"#,
        r#""unsubscribe":{"channel":"TEXT"}"#,
        r#""publish":{"channel":"TEXT","data":1}"#,
        r#""presence":{"channel":"TEXT"}"#,
        r#""presence_stats":{"channel":"TEXT"}"#,
        r#""history":{"channel":"TEXT"}"#,
        r#""rpc":{"method":"TEXT"}"#,
        r#""refresh":{"token":"TEXT"}"#,
        r#""ping":{},"TEXT":1"#,
    ];

    for field in fields {
        for half in [r"a\ud83d", r"\uDE00b", r"\ud83dx", r"\ud83d\u0041"] {
            let field = field.replace("TEXT", half);
            assert_rejected(&format!("{{\"id\":1,{field}}}"), JsonErrorKind::Value);
            assert_rejected(&format!("{{{field},\"id\":1}}"), JsonErrorKind::Value);
        }
    }
}

#[test]
fn half_of_a_surrogate_pair_in_a_payload_stays_as_it_came() {
    let commands = commands(r#"{"id":1,"publish":{"channel":"a","data":"\ud83d"}}"#);

    let [
        Ok(Command {
            request: Request::Publish(publish),
            ..
        }),
    ] = &commands[..]
    else {
        panic!("{commands:?}")
    };
    assert_eq!(publish.data, r#""\ud83d""#);
}

#[test]
fn a_number_that_common_parsers_cannot_read_rejects_the_command() {
    let digits = "1".repeat(Limits::NUMBER_BYTES + 1);
    for data in [format!("[{digits}]"), "1e1000".to_owned()] {
        let commands = commands(&format!(
            "{{\"id\":1,\"publish\":{{\"channel\":\"a\",\"data\":{data}}}}}\n{{\"id\":2,\"ping\":{{}}}}"
        ));

        let [Err(error), Ok(_)] = &commands[..] else {
            panic!("{commands:?}")
        };
        let bytes_max = Limits::NUMBER_BYTES;
        assert_eq!(*error, DecodeError::NumberTooLong { id: 1, bytes_max });
        assert_eq!(error.rejected_command(), Some(1));
    }
}

#[test]
fn a_text_that_is_truncated_anywhere_is_rejected() {
    let text = r#"{"id":1,"publish":{"channel":"a","data":{"b":[1,"é"]}}}"#;
    for end in (1..text.len()).filter(|end| text.is_char_boundary(*end)) {
        let error = last_error(text.split_at(end).0);

        assert!(
            matches!(
                error,
                DecodeError::Malformed {
                    kind: JsonErrorKind::Truncated,
                    ..
                }
            ),
            "{end}: {error:?}"
        );
    }
}

#[test]
fn bytes_that_are_not_utf8_are_rejected_even_in_payloads_and_unknown_fields() {
    for bytes in [
        &b"\xff"[..],
        b"{\"id\":1,\"ping\":{},\"x\":\"\xc3\"}",
        b"{\"id\":1,\"publish\":{\"channel\":\"a\",\"data\":\"\xed\xa0\x80\"}}",
    ] {
        let message = Bytes::from_static(bytes);

        let commands: Vec<_> = Encoding::Json
            .decode_commands(&message, &Limits::DEFAULT)
            .collect();

        assert!(
            matches!(&commands[..], [Err(DecodeError::NotUtf8(_))]),
            "{commands:?}"
        );
    }
}

#[test]
fn the_error_names_the_byte_and_never_quotes_the_input() {
    let error = last_error("{}\n{\"id\":\"secret-token\"}");

    assert_eq!(
        error,
        DecodeError::Malformed {
            line: 2,
            column: 20,
            kind: JsonErrorKind::Field
        }
    );
    assert_eq!(
        error.to_string(),
        "wrong or repeated field at byte 20 of line 2 of the message"
    );
}

#[test]
fn unknown_fields_are_ignored_and_null_is_the_same_as_absent() {
    let text = concat!(
        r#"{"id":1,"connect":null,"future":{"deep":[1,{"x":null}]},"subscribe":{"channel":"a","token":null,"#,
        r#""recover":null,"offset":null,"data":null,"tf":null,"flag":null,"type":null,"phase":3}}"#
    );

    let commands = commands(text);

    let Ok(Command {
        id: 1,
        request: Request::Subscribe(subscribe),
    }) = &commands[0]
    else {
        panic!("{commands:?}")
    };
    assert_eq!(subscribe.channel, "a");
    assert_eq!(subscribe.data, None);
    assert!(!subscribe.has_filter);
}

#[test]
fn the_first_method_in_the_order_of_the_fields_is_used() {
    let text =
        r#"{"id":1,"rpc":{"method":"x"},"history":{"channel":"a"},"subscribe":{"channel":"b"}}"#;

    let commands = commands(text);

    assert!(
        matches!(
            &commands[0],
            Ok(Command {
                request: Request::Subscribe(_),
                ..
            })
        ),
        "{commands:?}"
    );
}

#[test]
fn without_an_id_every_method_but_send_is_ignored() {
    for text in [
        r#"{"publish":{"channel":"a","data":1}}"#,
        r#"{"id":0}"#,
        r#"{"id":null,"x":1}"#,
        " {}",
    ] {
        assert_eq!(
            commands(text),
            [Ok(Command {
                id: 0,
                request: Request::Pong
            })],
            "{text}"
        );
    }
    let send = commands(r#"{"id":0,"send":{"data":1},"publish":{"channel":"a"}}"#);
    assert!(
        matches!(
            &send[0],
            Ok(Command {
                id: 0,
                request: Request::Send(_)
            })
        ),
        "{send:?}"
    );
}

#[test]
fn only_the_command_without_a_known_method_is_rejected() {
    for text in [
        r#"{"id":5}"#,
        r#"{"id":5,"map_publish":{}}"#,
        r#"{"id":5,"publish":null}"#,
    ] {
        let error = last_error(text);

        assert_eq!(error, DecodeError::NoMethod { id: 5 }, "{text}");
        assert_eq!(
            DecodeErrorAction::for_decode_error(&error),
            DecodeErrorAction::Reject {
                id: 5,
                error: ErrorCode::MethodNotFound
            }
        );
    }
}

#[test]
fn a_reply_without_result_or_error_is_rejected() {
    for text in [
        r#"{"id":5}"#,
        r#"{"id":5,"publish":null}"#,
        r#"{"id":5,"push":{"message":{}}}"#,
    ] {
        let message = Bytes::copy_from_slice(text.as_bytes());

        let replies: Vec<_> = Encoding::Json
            .decode_replies(&message, &Limits::DEFAULT)
            .collect();

        assert_eq!(replies, [Err(DecodeError::NoResult { id: 5 })], "{text}");
    }
}

/// The caller may stop after any command, so no command is decoded ahead.
#[test]
fn commands_before_an_invalid_one_are_returned() {
    let commands = commands("{\"id\":1,\"connect\":{}}\nrubbish\n{}");

    assert_eq!(commands.len(), 2);
    assert!(matches!(
        &commands[0],
        Ok(Command {
            id: 1,
            request: Request::Connect(_)
        })
    ));
    assert!(matches!(
        &commands[1],
        Err(DecodeError::Malformed { line: 2, .. })
    ));
}

#[test]
fn no_single_changed_byte_makes_the_decoders_panic() {
    let commands = concat!(
        r#"{"connect":{"token":"t","data":{"a":1},"subs":{"s":{"offset":1}},"headers":{"h":"v"}},"id":1}"#,
        "\n",
        r#"{"subscribe":{"channel":"né","offset":3,"epoch":"x","tf":{}},"id":2}"#,
        "\n",
        r#"{"rpc":{"method":"gw.publish","data":{"channel":"a","data":[1],"idempotency_key":"k"}},"id":3}"#,
    );
    let replies = concat!(
        r#"{"id":1,"subscribe":{"epoch":"e","publications":[{"data":1,"tags":{"a":"b"}}],"offset":1}}"#,
        "\n",
        r#"{"push":{"channel":"c","pub":{"data":{},"info":{"user":"","client":"c"},"offset":2}}}"#,
        "\n",
        r#"{"id":2,"error":{"code":100,"message":"m","temporary":true}}"#,
    );
    let mut accepted = 0;

    for text in [commands, replies] {
        for index in 0..text.len() {
            for byte in 0..=u8::MAX {
                let mut bytes = text.as_bytes().to_vec();
                bytes[index] = byte;
                let message = Bytes::from(bytes);
                accepted += Encoding::Json
                    .decode_commands(&message, &Limits::DEFAULT)
                    .flatten()
                    .count();
                accepted += Encoding::Json
                    .decode_replies(&message, &Limits::DEFAULT)
                    .flatten()
                    .count();
            }
        }
    }

    assert!(accepted > 0);
}

fn commands(text: &str) -> Vec<Result<Command, DecodeError>> {
    let message = Bytes::copy_from_slice(text.as_bytes());
    Encoding::Json
        .decode_commands(&message, &Limits::DEFAULT)
        .collect()
}

/// Returns the error at the end of a message.
fn last_error(text: &str) -> DecodeError {
    let message = Bytes::copy_from_slice(text.as_bytes());
    Encoding::Json
        .decode_commands(&message, &Limits::DEFAULT)
        .find_map(Result::err)
        .unwrap_or_else(|| panic!("accepted {text:?}"))
}

/// The text is command 1: it is rejected, and the command after it is decoded.
fn assert_rejected(text: &str, expected: JsonErrorKind) {
    let commands = commands(&format!("{text}\n{{\"id\":2,\"ping\":{{}}}}"));

    let [Err(error), Ok(_)] = &commands[..] else {
        panic!("{text}: {commands:?}")
    };
    assert!(
        matches!(error, DecodeError::InvalidCommand { id: 1, kind, .. } if *kind == expected),
        "{text}: {error:?}"
    );
    assert_eq!(
        DecodeErrorAction::for_decode_error(error),
        DecodeErrorAction::Reject {
            id: 1,
            error: ErrorCode::BadRequest
        }
    );
}

fn assert_violation(text: &str, expected: JsonErrorKind) {
    let error = last_error(text);

    assert!(
        matches!(error, DecodeError::Malformed { kind, line: 1, .. } if kind == expected),
        "{text}: {error:?}"
    );
    assert_eq!(
        DecodeErrorAction::for_decode_error(&error),
        DecodeErrorAction::Disconnect(DisconnectCode::BadRequest)
    );
}
