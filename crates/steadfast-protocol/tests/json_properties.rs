//! Properties of the JSON codec: the other role decodes what one role encodes, and no input makes it panic.

#[path = "json_properties/strategies.rs"]
mod strategies;

use bytes::Bytes;
use proptest::prelude::*;
use steadfast_protocol::codec::{CommandPosition, Encoding};
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::idempotent::{self, IdempotentPublish, PublishArgument};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Command, PublishRequest, Reply, Request, RpcRequest};

use strategies::{arb_command, arb_json, arb_reply, arb_text};

/// Generated messages may exceed the defaults; their sizes are not what is tested here.
const WIDE: Limits = Limits {
    message_bytes: 1 << 24,
    ..Limits::DEFAULT
};

/// Generated commands may be longer than these limits permit.
const SHORT: Limits = Limits {
    message_bytes: 20,
    ..WIDE
};

proptest! {
    #[test]
    fn commands_decode_to_what_was_encoded(commands in prop::collection::vec(arb_command(), 1..5)) {
        let message = command_message(&commands);

        let read: Vec<Command> = Encoding::Json.decode_commands(&message, &WIDE).collect::<Result<_, _>>().unwrap();

        prop_assert_eq!(read, commands);
    }

    #[test]
    fn borrowed_calls_are_encoded_as_owned_ones(
        id in prop_oneof![0..2_u32, any::<u32>()], method in arb_text(), channel in arb_text(), data in arb_json(" \t\r\n"), idempotency_key in arb_text(),
    ) {
        let data = Bytes::from(data);
        let (mut call, mut publish, mut argument) = (Vec::new(), Vec::new(), Vec::new());
        Encoding::Json.append_rpc_command(&mut call, id, &method, &data);
        let borrowed = PublishArgument { channel: &channel, data: &data, idempotency_key: &idempotency_key };
        Encoding::Json.append_publish_command(&mut publish, id, borrowed);

        let owned = |method: &str, data| {
            let request = RpcRequest { method: method.to_owned(), data };
            command_message(&[Command { id, request: Request::Rpc(request) }])
        };
        prop_assert_eq!(call, owned(&method, data.clone()));
        idempotent::append_publish(&mut argument, &IdempotentPublish { channel, data, idempotency_key });
        prop_assert_eq!(publish, owned(idempotent::METHOD, argument.into()));
    }

    #[test]
    fn replies_decode_to_what_was_encoded(replies in prop::collection::vec(arb_reply(), 1..5)) {
        let message = reply_message(&replies);

        let read: Vec<Reply> = Encoding::Json.decode_replies(&message, &WIDE).collect::<Result<_, _>>().unwrap();

        prop_assert_eq!(read, replies);
    }

    #[test]
    fn payloads_are_unchanged_except_for_line_breaks(payload in arb_json(" \t\r\n")) {
        let request = PublishRequest { channel: "c".to_owned(), data: payload.clone().into(), ..PublishRequest::default() };
        let message = command_message(&[Command { id: 1, request: Request::Publish(request) }]);

        let read: Vec<Command> = Encoding::Json.decode_commands(&message, &WIDE).collect::<Result<_, _>>().unwrap();

        let [Command { request: Request::Publish(publish), .. }] = &read[..] else { panic!("{read:?}") };
        let expected: String = payload.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        prop_assert_eq!(&publish.data, &expected);
        prop_assert!(message.as_ptr_range().contains(&publish.data.as_ptr()), "the payload was copied");
    }

    #[test]
    fn the_encoding_is_one_line_of_json(command in arb_command(), reply in arb_reply()) {
        for message in [command_message(&[command]), reply_message(&[reply])] {
            prop_assert!(!message.iter().any(|byte| matches!(byte, b'\n' | b'\r')));
            prop_assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&message).is_ok());
            prop_assert_eq!(message.first(), Some(&b'{'));
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_both(bytes);
    }

    #[test]
    fn any_text_of_json_tokens_is_decoded_or_rejected(
        tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..60),
    ) {
        read_both(tokens.concat().into_bytes());
    }

    #[test]
    fn a_message_with_any_byte_changed_or_truncated_is_decoded_or_rejected(
        commands in prop::collection::vec(arb_command(), 1..3),
        replies in prop::collection::vec(arb_reply(), 1..3),
        index in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        for message in [command_message(&commands), reply_message(&replies)] {
            let mut changed = message.to_vec();
            let position = index.index(changed.len());
            changed[position] = byte;
            read_both(changed.clone());
            changed.truncate(position);
            read_both(changed);
        }
    }
}

/// Parts of valid messages, so that generated text is valid beyond the first token.
const TOKENS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\n",
    " ",
    "\"",
    "\\",
    "null",
    "true",
    "1",
    "-1",
    "1e9",
    "\"id\"",
    "\"connect\"",
    "\"subscribe\"",
    "\"publish\"",
    "\"rpc\"",
    "\"send\"",
    "\"push\"",
    "\"pub\"",
    "\"channel\"",
    "\"data\"",
    "\"subs\"",
    "\"error\"",
    "\"a\"",
    "\"id\":1,",
    "\"publish\":{",
    "\"data\":",
    "\"channel\":\"a\"",
    "é",
    "\u{0}",
];

fn command_message(commands: &[Command]) -> Bytes {
    let mut out = Vec::new();
    for (index, command) in commands.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(Encoding::Json.separator());
        }
        Encoding::Json.append_command(&mut out, command);
    }
    out.into()
}

fn reply_message(replies: &[Reply]) -> Bytes {
    let mut out = Vec::new();
    for (index, reply) in replies.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(Encoding::Json.separator());
        }
        Encoding::Json.append_reply(&mut out, reply);
    }
    out.into()
}

/// Decodes in both roles: both return, with at most one item per line. Commands are the same if decoding stops after
/// each of them and continues later.
fn read_both(bytes: Vec<u8>) {
    let message = Bytes::from(bytes);
    let lines = message.split(|byte| *byte == b'\n').count();
    let replies = Encoding::Json.decode_replies(&message, &WIDE).count();
    assert!(replies <= lines);
    for limits in [WIDE, SHORT] {
        let commands: Vec<_> = Encoding::Json.decode_commands(&message, &limits).collect();
        assert!(commands.len() <= lines);
        assert_eq!(commands_with_stops(&message, &limits), commands);
    }
}

fn commands_with_stops(message: &Bytes, limits: &Limits) -> Vec<Result<Command, DecodeError>> {
    let mut commands = Vec::new();
    let mut next = Some(CommandPosition::START);
    while let Some(position) = next {
        let mut rest = Encoding::Json.decode_commands_from(message, limits, position);
        assert_eq!(rest.next_position(), Some(position));
        commands.extend(rest.next());
        next = rest.next_position();
    }
    commands
}
