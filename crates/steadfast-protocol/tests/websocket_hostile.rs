//! Input of a hostile or faulty peer, and the error for it. Each call of `check` is one connection.

use steadfast_protocol::websocket::{
    CodecError, Decoder, Frame, MessageKind, Opcode, Role, WebSocketEvent, WebSocketLimits, close,
};

const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 1_000,
    frame_bytes_max: 600,
    fragments_max: 8,
};

/// Checks the events and the error for the bytes of a peer, split into these reads.
fn check(role: Role, reads: &[&[u8]], expected: &[&str], error: Option<CodecError>) {
    let mut decoder = Decoder::new(role, LIMITS);

    let (events, found) = feed(&mut decoder, reads);

    assert_eq!(events, expected);
    assert_eq!(found, error);
    if error.is_some() {
        assert!(decoder.is_finished());
        assert_eq!(decoder.buffered_bytes(), 0);
        assert_eq!(
            feed(
                &mut decoder,
                &[b"\x81\x01x", &masked(true, Opcode::Text, b"x")]
            ),
            (vec![], None)
        );
    }
}

fn feed(decoder: &mut Decoder, reads: &[&[u8]]) -> (Vec<String>, Option<CodecError>) {
    let (mut events, mut found) = (Vec::new(), None);
    for read in reads {
        let mut read = read.to_vec();
        let mut reading = decoder.read(&mut read);
        loop {
            match reading.next_event() {
                Ok(Some(event)) => events.push(show(event)),
                Ok(None) => break,
                Err(error) => assert_eq!(found.replace(error), None),
            }
        }
    }
    (events, found)
}

fn show(event: WebSocketEvent<'_>) -> String {
    match event {
        WebSocketEvent::Message {
            kind: MessageKind::Text,
            payload,
        } => format!("text {}", payload.escape_ascii()),
        WebSocketEvent::Message {
            kind: MessageKind::Binary,
            payload,
        } => format!("binary {}", payload.escape_ascii()),
        WebSocketEvent::Ping(payload) => format!("ping {}", payload.escape_ascii()),
        WebSocketEvent::Pong(payload) => format!("pong {}", payload.escape_ascii()),
        WebSocketEvent::Close { code, reason } => format!("close {code:?} {reason}"),
    }
}

fn masked(is_final: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Frame {
        is_final,
        opcode,
        payload,
    }
    .append_client(&mut out, [0x11, 0x22, 0x33, 0x44]);
    out
}

fn join(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.concat()
}

#[test]
fn wrongly_masked_frames_are_rejected_at_the_second_byte() {
    check(
        Role::Server,
        &[b"\x81\x02"],
        &[],
        Some(CodecError::MaskMissing),
    );
    check(
        Role::Client,
        &[b"\x81\x82"],
        &[],
        Some(CodecError::MaskForbidden),
    );
}

#[test]
fn reserved_bits_and_opcodes_are_rejected_at_the_first_byte() {
    for bit in [0x40, 0x20, 0x10] {
        check(
            Role::Server,
            &[&[0x81 | bit]],
            &[],
            Some(CodecError::ReservedBit),
        );
    }
    for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        check(
            Role::Client,
            &[&[0x80 | opcode]],
            &[],
            Some(CodecError::ReservedOpcode),
        );
    }
}

#[test]
fn control_frames_must_be_short_and_unfragmented() {
    for opcode in [0x8, 0x9, 0xA] {
        check(
            Role::Client,
            &[&[opcode]],
            &[],
            Some(CodecError::ControlFragmented),
        );
        check(
            Role::Client,
            &[&[0x80 | opcode, 126]],
            &[],
            Some(CodecError::ControlTooLong),
        );
        check(
            Role::Client,
            &[&[0x80 | opcode, 127]],
            &[],
            Some(CodecError::ControlTooLong),
        );
    }
}

#[test]
fn lengths_must_be_in_their_shortest_form() {
    check(
        Role::Client,
        &[b"\x82\x7E\x00\x7D"],
        &[],
        Some(CodecError::LengthNotMinimal),
    );
    check(
        Role::Client,
        &[b"\x82\x7F\0\0\0\0\0\0\xFF\xFF"],
        &[],
        Some(CodecError::LengthNotMinimal),
    );
    check(
        Role::Client,
        &[b"\x82\x7F\x80\0\0\0\0\x01\0\0"],
        &[],
        Some(CodecError::LengthTopBit),
    );
}

#[test]
fn a_length_above_the_limit_is_rejected_at_the_header() {
    let just_too_long = [b"\x82\x7E".as_slice(), &601_u16.to_be_bytes()].concat();
    let huge = [b"\x82\x7F".as_slice(), &(u64::MAX >> 1).to_be_bytes()].concat();

    check(
        Role::Client,
        &[&just_too_long],
        &[],
        Some(CodecError::FrameTooLong),
    );
    check(Role::Client, &[&huge], &[], Some(CodecError::FrameTooLong));
}

#[test]
fn a_message_above_the_limit_is_rejected_at_the_header_of_the_fragment_that_exceeds_it() {
    let first = masked(false, Opcode::Binary, &[7; 600]);
    let header_of_second = &masked(true, Opcode::Continuation, &[7; 401])[..8];

    check(
        Role::Server,
        &[&first, header_of_second],
        &[],
        Some(CodecError::MessageTooLong),
    );
}

#[test]
fn a_message_at_the_limit_is_accepted() {
    let frames = join(&[
        masked(false, Opcode::Binary, &[7; 600]),
        masked(true, Opcode::Continuation, &[7; 400]),
    ]);
    let mut decoder = Decoder::new(Role::Server, LIMITS);

    let (events, error) = feed(&mut decoder, &[&frames]);

    assert_eq!((events.len(), error), (1, None));
}

#[test]
fn the_number_of_fragments_is_limited_even_when_they_are_empty() {
    let mut frames = vec![masked(false, Opcode::Text, b"")];
    frames.extend(vec![masked(false, Opcode::Continuation, b""); 7]);
    let within = join(&frames);
    let ninth = masked(true, Opcode::Continuation, b"x");

    check(Role::Server, &[&within], &[], None);
    check(
        Role::Server,
        &[&within, &ninth],
        &[],
        Some(CodecError::TooManyFragments),
    );
}

#[test]
fn a_declared_length_reserves_no_memory_before_its_bytes_arrive() {
    let limits = WebSocketLimits {
        message_bytes_max: 1 << 30,
        frame_bytes_max: 1 << 30,
        fragments_max: 8,
    };
    let mut decoder = Decoder::new(Role::Client, limits);
    let head = [b"\x82\x7F".as_slice(), &(1_u64 << 30).to_be_bytes()].concat();

    feed(&mut decoder, &[&head]);
    assert_eq!(decoder.buffered_bytes(), 0);
    feed(&mut decoder, &[&[1; 1_000]]);
    feed(&mut decoder, &[&[1; 1_000]]);

    assert_eq!(decoder.buffered_bytes(), 2_000);
}

#[test]
fn a_payload_that_is_complete_in_the_input_is_returned_in_place() {
    let mut decoder = Decoder::new(Role::Server, LIMITS);
    let mut input = join(&[
        masked(true, Opcode::Text, b"whole"),
        masked(false, Opcode::Text, b""),
        masked(true, Opcode::Ping, b"ping"),
        masked(true, Opcode::Pong, b"pong"),
        masked(true, Opcode::Continuation, b"after an empty fragment"),
        masked(true, Opcode::Close, &[0x03, 0xE8, b'b', b'y', b'e']),
    ]);
    let input_range = input.as_ptr_range();

    let mut reading = decoder.read(&mut input);
    let mut in_place = Vec::new();
    while let Some(event) = reading.next_event().expect("a valid stream") {
        let payload = match event {
            WebSocketEvent::Message { kind: _, payload }
            | WebSocketEvent::Ping(payload)
            | WebSocketEvent::Pong(payload) => payload,
            WebSocketEvent::Close { code: _, reason } => reason.as_bytes(),
        };
        in_place.push(input_range.contains(&payload.as_ptr()));
    }

    assert_eq!(in_place, [true; 5]);
}

#[test]
fn the_private_buffer_is_freed_when_the_split_message_is_complete() {
    let frame = masked(true, Opcode::Binary, &[9; 500]);
    let (first, second) = frame.split_at(300);
    let mut decoder = Decoder::new(Role::Server, LIMITS);

    feed(&mut decoder, &[first]);
    assert!((1..=500).contains(&decoder.buffered_bytes()));
    let (events, _) = feed(&mut decoder, &[second]);

    assert_eq!(events.len(), 1);
    assert_eq!(decoder.buffered_bytes(), 0);
}

#[test]
fn the_private_buffer_is_freed_when_a_read_stops_after_the_split_message() {
    let frame = masked(true, Opcode::Binary, &[9; 500]);
    let (first, second) = frame.split_at(300);
    let mut decoder = Decoder::new(Role::Server, LIMITS);
    feed(&mut decoder, &[first]);

    let mut read = join(&[second.to_vec(), masked(true, Opcode::Ping, b"later")]);
    let mut reading = decoder.read(&mut read);
    assert!(reading.next_event().is_ok_and(|event| event.is_some()));
    let rest = reading.into_rest().to_vec();

    assert_eq!(rest, masked(true, Opcode::Ping, b"later"));
    assert_eq!(decoder.buffered_bytes(), 0);
}

#[test]
fn an_idle_decoder_is_small() {
    assert!(
        size_of::<Decoder>() <= 128,
        "{} bytes",
        size_of::<Decoder>()
    );
}

#[test]
fn control_frames_inside_a_fragmented_message_are_returned_immediately_even_when_split() {
    let stream = join(&[
        masked(false, Opcode::Text, b"ab"),
        masked(true, Opcode::Ping, b"one"),
        masked(false, Opcode::Continuation, b"cd"),
        masked(true, Opcode::Pong, b"two"),
        masked(true, Opcode::Continuation, b"ef"),
    ]);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    let expected = ["ping one", "pong two", "text abcdef"];

    check(Role::Server, &[&stream], &expected, None);
    check(Role::Server, &bytes, &expected, None);
}

#[test]
fn messages_must_not_overlap_and_continuations_require_a_message() {
    let overlapping = join(&[
        masked(false, Opcode::Text, b"a"),
        masked(true, Opcode::Text, b"b"),
    ]);
    let orphan = masked(true, Opcode::Continuation, b"a");
    let after_end = join(&[
        masked(true, Opcode::Text, b"a"),
        masked(false, Opcode::Continuation, b"b"),
    ]);

    check(
        Role::Server,
        &[&overlapping],
        &[],
        Some(CodecError::ContinuationMissing),
    );
    check(
        Role::Server,
        &[&orphan],
        &[],
        Some(CodecError::ContinuationUnexpected),
    );
    check(
        Role::Server,
        &[&after_end],
        &["text a"],
        Some(CodecError::ContinuationUnexpected),
    );
}

#[test]
fn a_character_may_be_split_by_fragments_and_reads() {
    let euro = "€".as_bytes();
    let stream = join(&[
        masked(false, Opcode::Text, &euro[..1]),
        masked(true, Opcode::Continuation, &euro[1..]),
    ]);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();

    check(Role::Server, &[&stream], &[r"text \xe2\x82\xac"], None);
    check(Role::Server, &bytes, &[r"text \xe2\x82\xac"], None);
}

#[test]
fn an_invalid_byte_of_text_is_rejected_on_arrival_and_not_at_the_end_of_the_message() {
    let open_fragment = masked(false, Opcode::Text, b"ok \xF4\x90");
    let split_frame = masked(
        true,
        Opcode::Text,
        b"ok \xED\xA0\x80 and much that never comes",
    );
    let split_surrogate = [
        masked(false, Opcode::Text, b"\xED"),
        masked(false, Opcode::Continuation, b"\xA0"),
    ];

    check(
        Role::Server,
        &[&open_fragment],
        &[],
        Some(CodecError::TextUtf8),
    );
    check(
        Role::Server,
        &[&split_frame[..11]],
        &[],
        Some(CodecError::TextUtf8),
    );
    check(
        Role::Server,
        &[&split_surrogate[0], &split_surrogate[1]],
        &[],
        Some(CodecError::TextUtf8),
    );
}

#[test]
fn a_message_must_not_end_within_a_character() {
    let complete = masked(true, Opcode::Text, b"\xE2\x82");
    let fragmented = join(&[
        masked(false, Opcode::Text, b"\xE2\x82"),
        masked(true, Opcode::Continuation, b""),
    ]);

    check(Role::Server, &[&complete], &[], Some(CodecError::TextUtf8));
    check(
        Role::Server,
        &[&complete[..7], &complete[7..]],
        &[],
        Some(CodecError::TextUtf8),
    );
    check(
        Role::Server,
        &[&fragmented],
        &[],
        Some(CodecError::TextUtf8),
    );
}

#[test]
fn binary_messages_may_contain_any_bytes() {
    let stream = join(&[
        masked(false, Opcode::Binary, b"\xFF"),
        masked(true, Opcode::Continuation, b"\xC0"),
    ]);

    check(Role::Server, &[&stream], &[r"binary \xff\xc0"], None);
}

#[test]
fn close_payloads_are_checked() {
    let with_code = |code: u16, reason: &[u8]| {
        masked(true, Opcode::Close, &[&code.to_be_bytes(), reason].concat())
    };

    check(
        Role::Server,
        &[&masked(true, Opcode::Close, b"")],
        &["close None "],
        None,
    );
    check(
        Role::Server,
        &[&with_code(4_321, b"bye")],
        &["close Some(4321) bye"],
        None,
    );
    check(
        Role::Server,
        &[&masked(true, Opcode::Close, b"\x03")],
        &[],
        Some(CodecError::ClosePayload),
    );
    check(
        Role::Server,
        &[&with_code(1_000, b"\xFF")],
        &[],
        Some(CodecError::CloseReasonUtf8),
    );
    for code in [
        0,
        999,
        1_004,
        1_005,
        1_006,
        1_015,
        1_016,
        1_100,
        2_000,
        2_999,
        5_000,
        u16::MAX,
    ] {
        check(
            Role::Server,
            &[&with_code(code, b"")],
            &[],
            Some(CodecError::CloseCode),
        );
        assert!(!close::is_sendable(code));
    }
}

#[test]
fn data_after_a_close_is_ignored() {
    let close = masked(true, Opcode::Close, b"");
    let message = masked(true, Opcode::Text, b"late");
    let garbage = [0xFF; 40];

    check(
        Role::Server,
        &[&join(&[close.clone(), message.clone()]), &garbage],
        &["close None "],
        None,
    );
    check(
        Role::Server,
        &[&close[..3], &close[3..], &message, &garbage],
        &["close None "],
        None,
    );
}

#[test]
fn a_close_inside_a_fragmented_message_discards_the_message() {
    let mut decoder = Decoder::new(Role::Server, LIMITS);
    let stream = join(&[
        masked(false, Opcode::Text, b"half"),
        masked(true, Opcode::Close, b""),
    ]);

    let (events, error) = feed(&mut decoder, &[&stream]);

    assert_eq!((events, error), (vec!["close None ".to_owned()], None));
    assert_eq!(decoder.buffered_bytes(), 0);
}

#[test]
fn each_violation_has_a_close_code_and_a_reason_that_fits_into_a_close_frame() {
    let errors = [
        (CodecError::ReservedBit, 1002),
        (CodecError::ReservedOpcode, 1002),
        (CodecError::MaskMissing, 1002),
        (CodecError::MaskForbidden, 1002),
        (CodecError::ControlFragmented, 1002),
        (CodecError::ControlTooLong, 1002),
        (CodecError::LengthNotMinimal, 1002),
        (CodecError::LengthTopBit, 1002),
        (CodecError::ContinuationUnexpected, 1002),
        (CodecError::ContinuationMissing, 1002),
        (CodecError::ClosePayload, 1002),
        (CodecError::CloseCode, 1002),
        (CodecError::CloseReasonUtf8, 1007),
        (CodecError::TextUtf8, 1007),
        (CodecError::FrameTooLong, 1009),
        (CodecError::MessageTooLong, 1009),
        (CodecError::TooManyFragments, 1009),
    ];

    for (error, code) in errors {
        assert_eq!(error.close_code(), code, "{error}");
        assert_eq!(close::fit_reason(error.reason()), error.reason());
    }
}
