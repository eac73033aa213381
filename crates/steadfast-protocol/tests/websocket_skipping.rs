//! A decoder that skips messages above its limit: their parts pass, nothing of them is kept, and what follows arrives.

use steadfast_protocol::websocket::{
    CodecError, Content, Decoder, EndpointEvent, Frame, MessageKind, Opcode, Role,
    WebSocketEndpoint, WebSocketEvent, WebSocketLimits,
};

const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 8,
    frame_bytes_max: 8,
    fragments_max: 4,
};
const SKIPPED_BYTES_MAX: u32 = 40;

/// What a receiver sees: skipped messages with their parts put together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Message(Vec<u8>),
    Skipped(Vec<u8>),
    Control,
    Failed(CodecError),
}

fn frame(opcode: Opcode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let frame = Frame {
        is_final,
        ..Frame::unfragmented(opcode, payload)
    };
    frame.append_server(&mut bytes);
    bytes
}

fn text(payload: &[u8]) -> Vec<u8> {
    frame(Opcode::Text, true, payload)
}

/// Decodes a stream in reads of this length.
fn decode(stream: &[u8], read: usize) -> Vec<Seen> {
    let mut decoder = Decoder::skipping(Role::Client, LIMITS, SKIPPED_BYTES_MAX);
    let mut seen = Vec::new();
    let mut open = Vec::new();
    for part in stream.chunks(read) {
        let mut input = part.to_vec();
        let mut reading = decoder.read(&mut input);
        loop {
            match reading.next_content() {
                Ok(None) => break,
                Ok(Some(WebSocketEvent::Message { payload, .. })) => match payload {
                    Content::Whole(payload) => seen.push(Seen::Message(payload.to_vec())),
                    Content::Skipped(part) => {
                        open.extend_from_slice(part.bytes);
                        if part.is_last {
                            seen.push(Seen::Skipped(std::mem::take(&mut open)));
                        }
                    }
                },
                Ok(Some(_)) => seen.push(Seen::Control),
                Err(error) => {
                    seen.push(Seen::Failed(error));
                    break;
                }
            }
        }
        let kept_max = 8 + 125 + read;
        assert!(decoder.buffered_bytes() <= kept_max);
    }
    assert_eq!(open, b"", "a skipped message is incomplete");
    seen
}

#[track_caller]
fn check(stream: &[u8], expected: &[Seen]) {
    for read in 1..=stream.len() {
        assert_eq!(decode(stream, read), expected, "in reads of {read} bytes");
    }
}

fn message(payload: &[u8]) -> Seen {
    Seen::Message(payload.to_vec())
}

fn skipped(payload: &[u8]) -> Seen {
    Seen::Skipped(payload.to_vec())
}

#[test]
fn a_message_above_the_limit_is_skipped_and_its_neighbours_arrive() {
    let stream = [
        text(b"12345678"),
        text(b"123456789"),
        text("é56789012345678901234567890".as_bytes()),
        text(b"next"),
    ];

    check(
        &stream.concat(),
        &[
            message(b"12345678"),
            skipped(b"123456789"),
            skipped("é56789012345678901234567890".as_bytes()),
            message(b"next"),
        ],
    );
}

#[test]
fn fragments_count_together_and_control_frames_pass_between_them() {
    let stream = [
        frame(Opcode::Text, false, b"1234"),
        frame(Opcode::Ping, true, b"p"),
        frame(Opcode::Continuation, false, b"5678"),
        frame(Opcode::Pong, true, b""),
        frame(Opcode::Continuation, true, b"9"),
        frame(Opcode::Text, false, b"1234"),
        frame(Opcode::Continuation, true, b"5678"),
        frame(Opcode::Binary, false, b"123456789"),
        frame(Opcode::Ping, true, b"p"),
        frame(Opcode::Continuation, true, b""),
    ];

    check(
        &stream.concat(),
        &[
            Seen::Control,
            Seen::Control,
            skipped(b"123456789"),
            message(b"12345678"),
            Seen::Control,
            skipped(b"123456789"),
        ],
    );
}

#[test]
fn what_is_skipped_has_a_limit_too() {
    let as_long_as_possible = [b'a'; 40];
    check(
        &[text(&as_long_as_possible), text(b"next")].concat(),
        &[skipped(&as_long_as_possible), message(b"next")],
    );

    let one_frame = text(&[b'a'; 41]);
    check(&one_frame, &[Seen::Failed(CodecError::FrameTooLong)]);

    // The parts before the limit have passed.
    let mut stream = frame(Opcode::Text, false, &as_long_as_possible);
    stream.extend(frame(Opcode::Continuation, true, b"b"));
    let mut decoder = Decoder::skipping(Role::Client, LIMITS, SKIPPED_BYTES_MAX);
    let mut reading = decoder.read(&mut stream);
    assert!(matches!(reading.next_content(), Ok(Some(_))));
    assert_eq!(reading.next_content(), Err(CodecError::MessageTooLong));
}

#[test]
fn text_that_is_skipped_must_be_valid_and_fragments_stay_limited() {
    let mut decoder = Decoder::skipping(Role::Client, LIMITS, SKIPPED_BYTES_MAX);
    let mut invalid = text(b"123456789\xff");
    let mut reading = decoder.read(&mut invalid);
    assert!(matches!(reading.next_content(), Ok(Some(_))));
    assert_eq!(reading.next_content(), Err(CodecError::TextUtf8));

    let mut decoder = Decoder::skipping(Role::Client, LIMITS, SKIPPED_BYTES_MAX);
    let mut fragments = frame(Opcode::Text, false, b"a");
    for _ in 0..4 {
        fragments.extend(frame(Opcode::Continuation, false, b"a"));
    }
    let mut reading = decoder.read(&mut fragments);
    assert_eq!(reading.next_content(), Err(CodecError::TooManyFragments));
}

#[test]
fn the_events_of_whole_messages_omit_those_that_are_skipped() {
    let mut decoder = Decoder::skipping(Role::Client, LIMITS, SKIPPED_BYTES_MAX);
    let mut stream = [text(b"1"), text(b"123456789"), text(b"2")].concat();
    let mut reading = decoder.read(&mut stream);

    for expected in [b"1", b"2"] {
        let event = WebSocketEvent::Message {
            kind: MessageKind::Text,
            payload: &expected[..],
        };
        assert_eq!(reading.next_event(), Ok(Some(event)));
    }
    assert_eq!(reading.next_event(), Ok(None));
}

#[test]
fn an_endpoint_reports_skipped_parts_until_its_stream_has_ended() {
    let mut decoder = Decoder::skipping(Role::Client, LIMITS, SKIPPED_BYTES_MAX);
    let mut endpoint = WebSocketEndpoint::new(Role::Client);
    let mut stream = [text(b"123456789"), text(b"2")].concat();
    let mut reading = decoder.read(&mut stream);

    let event = endpoint.next_content(&mut reading);
    let Some(EndpointEvent::Message {
        payload: Content::Skipped(part),
        ..
    }) = event
    else {
        panic!("{event:?}");
    };
    assert!(part.is_last);
    endpoint.on_end_of_stream();
    assert_eq!(endpoint.next_content(&mut reading), None);
}
