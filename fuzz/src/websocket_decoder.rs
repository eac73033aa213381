//! The WebSocket decoder against any bytes: it must not panic, must not exceed its limits, and must say the same
//! however the stream is cut into reads.
//!
//! The first two bytes choose role, limits and cuts; the rest is the stream. Run by the fuzz target of the same name
//! and, over the committed corpus, by the tests of `steadfast-protocol`.

use steadfast_protocol::websocket::{
    CodecError, Decoder, Event, Frame, Limits, MessageKind, Opcode, Role,
};

/// The most that a decoder may hold besides its message: one control frame.
const CONTROL_BYTES_MAX: usize = 125;

/// What a decoder said about a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Transcript {
    events: Vec<Heard>,
    error: Option<CodecError>,
}

/// An event that owns its payload.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

/// Checks one input; panics when the decoder breaks a promise.
pub fn check(data: &[u8]) {
    let Some((&[choice, cut], stream)) = data.split_first_chunk::<2>() else {
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
    let limits = Limits {
        message_bytes_max: pick(1, [0, 100, 1_000, 70_000]),
        frame_bytes_max: pick(3, [0, 125, 400, 70_000]),
        fragments_max: pick(5, [1, 2, 5, 1_000]),
    };

    let whole = listen(role, limits, stream.chunks(stream.len().max(1)));
    let pieces = listen(role, limits, stream.chunks(usize::from(cut) + 1));
    let bytes = listen(role, limits, stream.chunks(1));

    assert_eq!(whole, pieces, "cut into reads of {}", usize::from(cut) + 1);
    assert_eq!(whole, bytes, "cut into single bytes");
    for heard in &whole.events {
        check_again(role, limits, heard);
    }
}

/// Decodes a stream that arrives in these reads, and checks the limits on the way.
fn listen<'a>(role: Role, limits: Limits, reads: impl Iterator<Item = &'a [u8]>) -> Transcript {
    let mut decoder = Decoder::new(role, limits);
    let mut transcript = Transcript::default();
    let message_bytes_max =
        usize::try_from(limits.message_bytes_max).unwrap_or(usize::MAX - CONTROL_BYTES_MAX);
    for read in reads {
        let mut read = read.to_vec();
        let mut reading = decoder.read(&mut read);
        loop {
            match reading.next_event() {
                Ok(Some(event)) => {
                    let heard = own(event);
                    if let Heard::Message(_, payload) = &heard {
                        assert!(payload.len() <= message_bytes_max);
                    }
                    assert!(transcript.error.is_none(), "an event after an error");
                    assert!(
                        !matches!(transcript.events.last(), Some(Heard::Close(..))),
                        "an event after a close"
                    );
                    transcript.events.push(heard);
                }
                Ok(None) => break,
                Err(error) => assert_eq!(transcript.error.replace(error), None, "two errors"),
            }
        }
        assert!(decoder.held_bytes() <= message_bytes_max + CONTROL_BYTES_MAX);
    }
    let has_ended =
        transcript.error.is_some() || matches!(transcript.events.last(), Some(Heard::Close(..)));
    assert_eq!(decoder.is_finished(), has_ended);
    assert!(
        !has_ended || decoder.held_bytes() == 0,
        "memory is held after the end"
    );
    transcript
}

/// What was heard, sent by this end and heard by the other, must be the same again.
fn check_again(role: Role, limits: Limits, heard: &Heard) {
    let (opcode, payload) = match heard {
        Heard::Message(kind, payload) => (Opcode::from(*kind), payload.clone()),
        Heard::Ping(payload) => (Opcode::Ping, payload.clone()),
        Heard::Pong(payload) => (Opcode::Pong, payload.clone()),
        Heard::Close(code, reason) => {
            let code = code.map(u16::to_be_bytes).into_iter().flatten();
            (Opcode::Close, code.chain(reason.bytes()).collect())
        }
    };
    let frame = Frame::whole(opcode, &payload);
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
    let limits = Limits {
        frame_bytes_max: limits.message_bytes_max,
        ..limits
    };

    let transcript = listen(other, limits, std::iter::once(out.as_slice()));

    assert_eq!(transcript.error, None);
    assert_eq!(transcript.events.iter().collect::<Vec<_>>(), [heard]);
}

fn own(event: Event<'_>) -> Heard {
    match event {
        Event::Message { kind, payload } => {
            assert!(kind == MessageKind::Binary || std::str::from_utf8(payload).is_ok());
            Heard::Message(kind, payload.to_vec())
        }
        Event::Ping(payload) => Heard::Ping(payload.to_vec()),
        Event::Pong(payload) => Heard::Pong(payload.to_vec()),
        Event::Close { code, reason } => Heard::Close(code, reason.to_owned()),
    }
}
