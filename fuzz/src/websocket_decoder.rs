//! Fuzzes the WebSocket decoder: it must not panic, must not exceed its limits, and must return the same events however
//! the stream is split into reads. The reader of frames must return the same messages in parts, without a buffer.
//!
//! The first two bytes choose role, limits and the size of the reads; the rest is the stream. The fuzz target of the
//! same name runs this check; the tests of `steadfast-protocol` run it over the committed corpus.

use steadfast_protocol::websocket::{
    CodecError, Decoder, Frame, FrameReader, MessageKind, Opcode, Part, Role, WebSocketEvent,
    WebSocketLimits,
};

/// The largest buffer of a decoder in addition to its message: one control frame.
const CONTROL_BYTES_MAX: usize = 125;

/// The events and the error for a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Transcript {
    events: Vec<OwnedEvent>,
    error: Option<CodecError>,
}

/// An event that owns its payload.
#[derive(Debug, PartialEq, Eq)]
enum OwnedEvent {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

/// Checks one input; panics when the decoder violates an invariant.
pub fn check(data: &[u8]) {
    let Some((&[choice, read_len], stream)) = data.split_first_chunk::<2>() else {
        return;
    };
    let role = if choice & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let pick = |shift: u8, steps: [u32; 4]| {
        steps
            .into_iter()
            .nth(usize::from(choice >> shift & 3))
            .unwrap_or_default()
    };
    let limits = WebSocketLimits {
        message_bytes_max: pick(1, [0, 100, 1_000, 70_000]),
        frame_bytes_max: pick(3, [0, 125, 400, 70_000]),
        fragments_max: pick(5, [1, 2, 5, 1_000]),
    };

    let unsplit = decode(role, limits, stream.chunks(stream.len().max(1)));
    let split = decode(role, limits, stream.chunks(usize::from(read_len) + 1));
    let bytes = decode(role, limits, stream.chunks(1));

    assert_eq!(
        unsplit,
        split,
        "split into reads of {}",
        usize::from(read_len) + 1
    );
    assert_eq!(unsplit, bytes, "split into single bytes");
    for event in &unsplit.events {
        check_round_trip(role, limits, event);
    }
    check_parts(role, stream, usize::from(read_len) + 1);
}

/// Limits that no input exceeds.
const WIDE: WebSocketLimits = WebSocketLimits {
    message_bytes_max: u32::MAX,
    frame_bytes_max: u32::MAX,
    fragments_max: u32::MAX,
};

/// The reader of frames must return what the decoder of whole messages returns, up to an error, which may be one of its
/// limits.
fn check_parts(role: Role, stream: &[u8], read_len: usize) {
    let whole = decode(role, WIDE, stream.chunks(read_len));
    let mut reader = FrameReader::new(role);
    let mut events = Vec::new();
    let mut error = None;
    let mut message = Vec::new();
    for read in stream.chunks(read_len) {
        let mut read = read.to_vec();
        let mut reading = reader.read(&mut read);
        loop {
            match reading.next_event() {
                Ok(Some(event)) => events.extend(own_part(event, &mut message)),
                Ok(None) => break,
                Err(found) => assert_eq!(error.replace(found), None, "two errors"),
            }
        }
        assert!(reader.buffered_bytes() <= CONTROL_BYTES_MAX);
        assert!(!reader.has_error(), "an error was not returned");
    }
    assert_eq!(events, whole.events);
    let is_limit = [CodecError::FrameTooLong, CodecError::MessageTooLong].map(Some);
    assert!(error == whole.error || is_limit.contains(&whole.error));
}

/// Returns the event that an event of the reader of frames completes.
fn own_part(event: WebSocketEvent<'_, Part<'_>>, message: &mut Vec<u8>) -> Option<OwnedEvent> {
    Some(match event {
        WebSocketEvent::Message { kind, payload } => {
            assert!(
                !payload.bytes.is_empty() || payload.is_last,
                "an empty part"
            );
            message.extend_from_slice(payload.bytes);
            if !payload.is_last {
                return None;
            }
            OwnedEvent::Message(kind, std::mem::take(message))
        }
        WebSocketEvent::Ping(payload) => OwnedEvent::Ping(payload.to_vec()),
        WebSocketEvent::Pong(payload) => OwnedEvent::Pong(payload.to_vec()),
        WebSocketEvent::Close { code, reason } => OwnedEvent::Close(code, reason.to_owned()),
    })
}

/// Decodes a stream that arrives in these reads, and checks the limits.
fn decode<'a>(
    role: Role,
    limits: WebSocketLimits,
    reads: impl Iterator<Item = &'a [u8]>,
) -> Transcript {
    let mut decoder = Decoder::new(role, limits);
    let mut transcript = Transcript::default();
    let message_bytes_max =
        usize::try_from(limits.message_bytes_max).expect("an address has at least 32 bits");
    for read in reads {
        let mut read = read.to_vec();
        let mut reading = decoder.read(&mut read);
        loop {
            match reading.next_event() {
                Ok(Some(borrowed)) => {
                    let event = own(borrowed);
                    if let OwnedEvent::Message(_, payload) = &event {
                        assert!(payload.len() <= message_bytes_max);
                    }
                    assert!(transcript.error.is_none(), "an event after an error");
                    assert!(
                        !matches!(transcript.events.last(), Some(OwnedEvent::Close(..))),
                        "an event after a close"
                    );
                    transcript.events.push(event);
                }
                Ok(None) => break,
                Err(error) => assert_eq!(transcript.error.replace(error), None, "two errors"),
            }
        }
        assert!(decoder.buffered_bytes() <= message_bytes_max + CONTROL_BYTES_MAX);
    }
    let has_ended = transcript.error.is_some()
        || matches!(transcript.events.last(), Some(OwnedEvent::Close(..)));
    assert_eq!(decoder.is_finished(), has_ended);
    assert!(
        !has_ended || decoder.buffered_bytes() == 0,
        "memory is allocated after the end"
    );
    transcript
}

/// An event that is encoded by this role must be decoded to the same event by the other role.
fn check_round_trip(role: Role, limits: WebSocketLimits, event: &OwnedEvent) {
    let (opcode, payload) = match event {
        OwnedEvent::Message(kind, payload) => (Opcode::from(*kind), payload.clone()),
        OwnedEvent::Ping(payload) => (Opcode::Ping, payload.clone()),
        OwnedEvent::Pong(payload) => (Opcode::Pong, payload.clone()),
        OwnedEvent::Close(code, reason) => {
            let code = code.map(u16::to_be_bytes).into_iter().flatten();
            (Opcode::Close, code.chain(reason.bytes()).collect())
        }
    };
    let frame = Frame::unfragmented(opcode, &payload);
    let mut out = Vec::new();
    let other = match role {
        Role::Server => {
            frame.append_server(&mut out);
            Role::Client
        }
        Role::Client => {
            frame.append_client(&mut out, [0x5A, 0, 0xFF, 0x81]);
            Role::Server
        }
    };
    let limits = WebSocketLimits {
        frame_bytes_max: limits.message_bytes_max,
        ..limits
    };

    let transcript = decode(other, limits, std::iter::once(out.as_slice()));

    assert_eq!(transcript.error, None);
    assert_eq!(transcript.events.iter().collect::<Vec<_>>(), [event]);
}

fn own(event: WebSocketEvent<'_>) -> OwnedEvent {
    match event {
        WebSocketEvent::Message { kind, payload } => {
            assert!(kind == MessageKind::Binary || std::str::from_utf8(payload).is_ok());
            OwnedEvent::Message(kind, payload.to_vec())
        }
        WebSocketEvent::Ping(payload) => OwnedEvent::Ping(payload.to_vec()),
        WebSocketEvent::Pong(payload) => OwnedEvent::Pong(payload.to_vec()),
        WebSocketEvent::Close { code, reason } => OwnedEvent::Close(code, reason.to_owned()),
    }
}
