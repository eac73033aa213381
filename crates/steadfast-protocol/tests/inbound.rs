//! What a server's connection receives: commands arrive however long their message is and however it is split, in turns,
//! and no more is kept than one incomplete command.

#[path = "inbound/server.rs"]
mod server;

use steadfast_protocol::codec::IncompleteCommand;
use steadfast_protocol::codes::{DecodeErrorAction, DisconnectCode, ErrorCode};
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::inbound::TURN_MAX;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::websocket::Opcode;

use server::{Connection, fragment, frame};

/// A limit far below the default, so that short commands exceed it.
const NARROW: Limits = Limits {
    message_bytes: 24,
    ..Limits::DEFAULT
};

#[test]
fn any_split_into_fragments_and_reads_gives_the_same_outcome() {
    let messages: [&[u8]; 16] = [
        b"{}",
        b"{}\n",
        b"",
        b"\n",
        b"{}\n\n{}",
        b"{\"id\":1,\"ping\":{}}\n{\"id\":2,\"rpc\":{}}",
        b"{\"rpc\":{\"method\":\"far too long\"},\"id\":7}\n{}",
        b"{}\n{\"id\":7,\"rpc\":{\"data\":{\"id\":8}}}\n",
        b"{\"send\":{\"data\":\"far too long\"}}\n{}\n{\"id\":9,\"ping\":{}}",
        b"[\"far too long to be kept\"]\n{}",
        b"{\"id\":7,\"rpc\":{\"data\":\"far too long",
        b"{\"id\":3}\n{}",
        "{}\n{\"send\":\"\u{20ac}\"}".as_bytes(),
        b"{}\n\xe2\x82\n{}",
        b"{}\n{}\xe2\x82",
        b"{}\n\xff",
    ];
    for message in messages {
        let whole = outcome(&[frame(Opcode::Text, message)], usize::MAX);
        for split in 0..=message.len() {
            let (first, second) = message.split_at(split);
            let frames = [
                fragment(Opcode::Text, first, false),
                frame(Opcode::Ping, b"between"),
                fragment(Opcode::Continuation, second, true),
            ];
            for read in [1, 2, 3, 7, usize::MAX] {
                let mut outcome = outcome(&frames, read);
                outcome.retain(|output| output != "ping between");

                assert_eq!(outcome, whole, "{} at {split}", message.escape_ascii());
            }
        }
    }
}

#[test]
fn commands_before_an_invalid_byte_are_executed_and_the_connection_fails_at_the_byte() {
    let message = b"{}\n{\"id\":1,\"rpc\":{}}\n{\"id\":2,\xff}\n{}";
    let mut connection = Connection::new(Limits::DEFAULT);

    connection.receive(&frame(Opcode::Text, message));

    assert!(
        matches!(connection.decoded.as_slice(), [Ok(_), Ok(_)]),
        "{:?}",
        connection.decoded
    );
    assert_eq!(connection.outputs, ["failed TextUtf8"]);
}

#[test]
fn no_limit_applies_to_a_message_with_many_commands() {
    let command = format!(
        r#"{{"subscribe":{{"channel":"c","data":"{}"}},"id":1}}"#,
        "x".repeat(600)
    );
    let message = vec![command.as_str(); 5_000].join("\n");
    let mut connection = Connection::new(Limits::DEFAULT);

    let kept_max = connection.receive_in_reads(&frame(Opcode::Text, message.as_bytes()), 1_000);

    assert_eq!(connection.commands, 5_000);
    assert_eq!(connection.outputs, Vec::<String>::new());
    assert!(kept_max < 4 * 1_000, "{kept_max}");
}

#[test]
fn a_command_that_is_too_long_is_rejected_with_its_id_and_the_next_one_is_executed() {
    let data = "x".repeat(10 << 20);
    let message =
        format!("{{\"rpc\":{{\"data\":\"{data}\"}},\"id\":7}}\n{{\"id\":8,\"rpc\":{{}}}}");
    let mut connection = Connection::new(Limits::DEFAULT);

    let kept_max = connection.receive_in_reads(&frame(Opcode::Text, message.as_bytes()), 50_000);

    let [Err(error), Ok(command)] = connection.decoded.as_slice() else {
        panic!("{:?}", connection.decoded);
    };
    assert_eq!(
        DecodeErrorAction::for_decode_error(error),
        DecodeErrorAction::Reject {
            id: 7,
            error: ErrorCode::BadRequest
        }
    );
    let bytes = data.len() + r#"{"rpc":{"data":""},"id":7}"#.len();
    let expected = format!("command 7 has {bytes} bytes, the limit is 65536");
    assert_eq!(error.to_string(), expected);
    assert_eq!(command.id, 8);
    assert!(kept_max <= Limits::MESSAGE_BYTES, "{kept_max}");
}

#[test]
fn a_command_without_an_id_that_is_too_long_is_ignored() {
    let mut connection = Connection::new(NARROW);

    connection.receive(&frame(
        Opcode::Text,
        b"{\"send\":{\"data\":\"far too long\"}}\n{}",
    ));

    let [Err(error), Ok(_)] = connection.decoded.as_slice() else {
        panic!("{:?}", connection.decoded);
    };
    let action = DecodeErrorAction::for_decode_error(error);
    assert_eq!(action, DecodeErrorAction::Ignore);
}

#[test]
fn a_command_without_an_end_closes_the_connection_with_advice_to_reconnect_after_64_mib() {
    let part = vec![b'x'; 1 << 20];
    let mut connection = Connection::new(Limits::DEFAULT);
    connection.receive(&fragment(
        Opcode::Text,
        b"{\"id\":7,\"rpc\":{\"data\":\"",
        false,
    ));

    for _ in 0..64 {
        connection.receive(&fragment(Opcode::Continuation, &part, false));
        assert_eq!(connection.decoded, []);
        assert_eq!(connection.inbound.kept_bytes(), 0);
    }
    connection.receive(&fragment(Opcode::Continuation, &part, false));
    connection.receive(&fragment(Opcode::Continuation, b"\"}}\n{}", true));

    let [Err(error)] = connection.decoded.as_slice() else {
        panic!("{:?}", connection.decoded);
    };
    assert_eq!(
        DecodeErrorAction::for_decode_error(error),
        DecodeErrorAction::Disconnect(DisconnectCode::TooManyRequests)
    );
}

#[test]
fn nothing_after_a_command_that_is_not_valid_is_decoded_but_the_next_message_is() {
    let mut connection = Connection::new(Limits::DEFAULT);

    connection.receive(&fragment(Opcode::Text, b"{}\n{]\n{}\n{\"id\"", false));
    connection.receive(&fragment(Opcode::Continuation, b":7}\n{}", true));
    connection.receive(&frame(Opcode::Text, b"{}\n{]"));

    let [
        Ok(_),
        Err(DecodeError::Malformed { line: 2, .. }),
        Ok(_),
        Err(DecodeError::Malformed { line: 2, .. }),
    ] = connection.decoded.as_slice()
    else {
        panic!("{:?}", connection.decoded);
    };
}

#[test]
fn a_turn_ends_after_its_commands_and_control_frames_and_the_next_one_continues() {
    let commands = vec!["{}"; 2 * TURN_MAX].join("\n");
    let pings = frame(Opcode::Ping, b"").repeat(TURN_MAX);
    let mut stream = frame(Opcode::Text, commands.as_bytes());
    stream.extend(pings);
    stream.extend(frame(Opcode::Text, b"{\"id\":1,\"rpc\":{}}"));
    let mut connection = Connection::new(Limits::DEFAULT);

    let mut handled = Vec::new();
    connection.receive(&stream);
    handled.push((connection.commands, connection.outputs.len()));
    while connection.inbound.has_unhandled() {
        connection.resume();
        handled.push((connection.commands, connection.outputs.len()));
    }

    assert_eq!(
        handled,
        [
            (TURN_MAX, 0),
            (2 * TURN_MAX, 0),
            (2 * TURN_MAX, TURN_MAX),
            (2 * TURN_MAX + 1, TURN_MAX)
        ]
    );
}

#[test]
fn a_read_before_the_rest_of_the_one_before_is_handled_keeps_its_place() {
    let message = |id: usize| format!("{{\"id\":{id},\"rpc\":{{}}}}");
    let first: Vec<_> = (1..=TURN_MAX + 2).map(message).collect();
    let mut connection = Connection::new(Limits::DEFAULT);

    connection.receive(&frame(Opcode::Text, first.join("\n").as_bytes()));
    connection.receive(&frame(Opcode::Text, message(TURN_MAX + 3).as_bytes()));

    let ids: Vec<_> = connection
        .decoded
        .iter()
        .map(|command| usize::try_from(command.as_ref().unwrap().id).unwrap())
        .collect();
    assert_eq!(ids, (1..=TURN_MAX + 3).collect::<Vec<_>>());
}

#[test]
fn an_incomplete_command_is_reported_as_it_grows_and_once_when_it_ends() {
    let mut connection = Connection::new(NARROW);
    let reports: [(&[u8], bool); 8] = [
        (b"{}\n{\"id\"", false),
        (b":1", false),
        (b"", false),
        (b",\"rpc\":{}}\n{", false),
        (b"}\n", false),
        (b"{\"id\":7,\"rpc\":{\"data\":\"x", false),
        (b"far too long", false),
        (b"\"}}", true),
    ];
    let mut opcode = Opcode::Text;
    for (part, is_last) in reports {
        connection.receive(&fragment(opcode, part, is_last));
        opcode = Opcode::Continuation;
    }

    let reported = connection.reports.iter().map(|report| {
        report.map(
            |IncompleteCommand {
                 received_bytes,
                 kept_bytes,
                 is_new,
             }| (received_bytes, kept_bytes > 0, is_new),
        )
    });
    assert_eq!(
        reported.collect::<Vec<_>>(),
        [
            Some((5, true, true)),
            Some((7, true, false)),
            Some((1, true, true)),
            None,
            Some((24, true, true)),
            Some((36, false, false)),
            None,
        ]
    );
}

#[test]
fn a_closing_connection_keeps_nothing() {
    let mut connection = Connection::new(Limits::DEFAULT);
    connection.receive(&fragment(Opcode::Text, &[b' '; 5_000], false));
    assert!(connection.inbound.kept_bytes() >= 5_000);

    connection.endpoint.close(3011, "force reconnect").unwrap();
    connection.receive(&frame(Opcode::Ping, b""));

    assert_eq!(connection.inbound.kept_bytes(), 0);
}

/// Returns what the server gets for these frames, in reads of this size.
fn outcome(frames: &[Vec<u8>], read: usize) -> Vec<String> {
    let mut connection = Connection::new(NARROW);
    let stream = frames.concat();
    connection.receive_in_reads(&stream, read.min(stream.len()).max(1));
    connection.outcome()
}
