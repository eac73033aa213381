//! Properties of the WebSocket codec: one role decodes what the other role encodes, however the stream is split; no
//! input causes a panic.

use proptest::collection::vec;
use proptest::prelude::*;
use steadfast_protocol::websocket::{
    CodecError, Decoder, Frame, MessageKind, Opcode, Role, WebSocketEndpoint, WebSocketEvent,
    WebSocketLimits, encoder,
};

const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 300_000,
    frame_bytes_max: 300_000,
    fragments_max: 10_000,
};

proptest! {
    #[test]
    fn every_message_arrives_however_it_is_split_into_fragments_and_reads(
        role in roles(),
        sent in vec(messages(), 0..6),
        key: [u8; 4],
        reads in vec(1..400_usize, 1..12),
    ) {
        let mut stream = Vec::new();
        for message in &sent {
            message.append(&mut stream, role, key);
        }

        let (events, error) = decode(role, LIMITS, &stream, &reads);

        let expected: Vec<OwnedEvent> = sent.into_iter().flat_map(Sent::expected).collect();
        prop_assert_eq!(error, None);
        prop_assert_eq!(events, expected);
    }

    #[test]
    fn any_bytes_give_the_same_outcome_however_they_are_split(
        role in roles(),
        stream in vec(any::<u8>(), 0..200),
        reads in vec(1..40_usize, 1..12),
    ) {
        let unsplit = decode(role, LIMITS, &stream, &[usize::MAX]);
        let split = decode(role, LIMITS, &stream, &reads);

        prop_assert_eq!(unsplit, split);
    }

    #[test]
    fn a_read_that_stops_after_each_event_continues_with_its_rest(
        role in roles(),
        sent in vec(messages(), 0..6),
        key: [u8; 4],
        noise in vec(any::<u8>(), 0..20),
    ) {
        let mut stream = Vec::new();
        for message in &sent {
            message.append(&mut stream, role, key);
        }
        stream.extend(noise);

        let at_once = decode(role, LIMITS, &stream, &[usize::MAX]);
        let with_stops = decode_with_stops(role, LIMITS, stream);

        prop_assert_eq!(at_once, with_stops);
    }

    #[test]
    fn any_corruption_of_a_valid_stream_gives_the_same_outcome_however_it_is_split(
        role in roles(),
        sent in vec(messages(), 1..4),
        corruption in vec((any::<prop::sample::Index>(), 1..=255_u8), 1..4),
        reads in vec(1..40_usize, 1..12),
    ) {
        let limits = WebSocketLimits { message_bytes_max: 2_000, frame_bytes_max: 1_000, fragments_max: 20 };
        let mut stream = Vec::new();
        for message in &sent {
            message.append(&mut stream, role, [1, 2, 3, 4]);
        }
        prop_assume!(!stream.is_empty());
        for (index, change) in corruption {
            let position = index.index(stream.len());
            stream[position] ^= change;
        }

        let unsplit = decode(role, limits, &stream, &[usize::MAX]);
        let split = decode(role, limits, &stream, &reads);

        prop_assert_eq!(unsplit, split);
    }

    #[test]
    fn any_close_frame_arrives_with_its_reason_truncated_at_a_character_boundary(
        code in prop_oneof![1000..=1003_u16, 1007..=1014_u16, 3000..=4999_u16],
        reason in "\\PC{0,200}",
    ) {
        let close = WebSocketEndpoint::new(Role::Server).close(code, &reason).unwrap();
        let frame = encoder::encode_server(close.opcode(), close.payload());

        let (events, error) = decode(Role::Client, LIMITS, &frame, &[usize::MAX]);

        prop_assert_eq!(error, None);
        let [OwnedEvent::Close(Some(received_code), received_reason)] = events.as_slice() else {
            panic!("{events:?}");
        };
        prop_assert_eq!(*received_code, code);
        prop_assert!(reason.starts_with(received_reason.as_str()));
        prop_assert!(received_reason.len() == reason.len() || (120..=123).contains(&received_reason.len()));
    }
}

#[derive(Debug, PartialEq)]
enum OwnedEvent {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl From<WebSocketEvent<'_>> for OwnedEvent {
    fn from(event: WebSocketEvent<'_>) -> Self {
        match event {
            WebSocketEvent::Message { kind, payload } => Self::Message(kind, payload.to_vec()),
            WebSocketEvent::Ping(payload) => Self::Ping(payload.to_vec()),
            WebSocketEvent::Pong(payload) => Self::Pong(payload.to_vec()),
            WebSocketEvent::Close { code, reason } => Self::Close(code, reason.to_owned()),
        }
    }
}

/// A message, its fragment size, and a ping or pong after each of its fragments.
#[derive(Clone, Debug)]
struct Sent {
    kind: MessageKind,
    payload: Vec<u8>,
    fragment_bytes: usize,
    control: Option<(Opcode, Vec<u8>)>,
}

impl Sent {
    fn append(&self, stream: &mut Vec<u8>, receiver: Role, key: [u8; 4]) {
        for frame in encoder::fragments(self.kind.into(), &self.payload, self.fragment_bytes) {
            append(stream, receiver, key, frame);
            if let Some((opcode, payload)) = &self.control {
                append(stream, receiver, key, Frame::unfragmented(*opcode, payload));
            }
        }
    }

    /// A control frame is returned before the message it interrupts, and after a message that is complete.
    fn expected(self) -> Vec<OwnedEvent> {
        let count = self.payload.len().div_ceil(self.fragment_bytes).max(1);
        let mut events = Vec::new();
        for at in 1..=count {
            if at == count {
                events.push(OwnedEvent::Message(self.kind, self.payload.clone()));
            }
            match &self.control {
                Some((Opcode::Ping, payload)) => events.push(OwnedEvent::Ping(payload.clone())),
                Some((_, payload)) => events.push(OwnedEvent::Pong(payload.clone())),
                None => {}
            }
        }
        events
    }
}

fn append(stream: &mut Vec<u8>, receiver: Role, key: [u8; 4], frame: Frame<'_>) {
    match receiver {
        Role::Server => frame.append_client(stream, key),
        Role::Client => frame.append_server(stream),
    }
}

/// Decodes a stream in reads of these sizes, repeated cyclically, and checks the size of the buffer.
fn decode(
    role: Role,
    limits: WebSocketLimits,
    stream: &[u8],
    reads: &[usize],
) -> (Vec<OwnedEvent>, Option<CodecError>) {
    let mut decoder = Decoder::new(role, limits);
    let (mut events, mut error) = (Vec::new(), None);
    let mut rest = stream;
    for size in reads.iter().cycle() {
        let (read, tail) = rest.split_at((*size).min(rest.len()));
        rest = tail;
        let mut read = read.to_vec();
        let mut reading = decoder.read(&mut read);
        loop {
            match reading.next_event() {
                Ok(Some(event)) => events.push(OwnedEvent::from(event)),
                Ok(None) => break,
                Err(found) => assert_eq!(error.replace(found), None),
            }
        }
        assert!(
            decoder.buffered_bytes()
                <= usize::try_from(limits.message_bytes_max).expect("at least 32 bits") + 125
        );
        if rest.is_empty() {
            break;
        }
    }
    (events, error)
}

/// Like [`decode`] with one read, but each event is decoded from the rest of the one before.
fn decode_with_stops(
    role: Role,
    limits: WebSocketLimits,
    mut stream: Vec<u8>,
) -> (Vec<OwnedEvent>, Option<CodecError>) {
    let mut decoder = Decoder::new(role, limits);
    let (mut events, mut error) = (Vec::new(), None);
    loop {
        let mut reading = decoder.read(&mut stream);
        match reading.next_event() {
            Ok(Some(event)) => events.push(OwnedEvent::from(event)),
            Ok(None) => return (events, error),
            Err(found) => assert_eq!(error.replace(found), None),
        }
        stream = reading.into_rest().to_vec();
    }
}

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

fn messages() -> impl Strategy<Value = Sent> {
    let text = "\\PC{0,80}".prop_map(|text| (MessageKind::Text, text.into_bytes()));
    let short = vec(any::<u8>(), 0..300).prop_map(|bytes| (MessageKind::Binary, bytes));
    let long = (65_500..66_000_usize).prop_map(|len| (MessageKind::Binary, vec![0xA5; len]));
    let control = (
        prop_oneof![Just(Opcode::Ping), Just(Opcode::Pong)],
        vec(any::<u8>(), 0..=125),
    );
    let payload = prop_oneof![4 => text, 4 => short, 1 => long];
    (
        payload,
        prop_oneof![1..50_usize, Just(usize::MAX)],
        prop::option::of(control),
    )
        .prop_map(|((kind, payload), fragment_bytes, control)| {
            let fragment_bytes = if payload.len() > 60_000 {
                fragment_bytes.max(1_000)
            } else {
                fragment_bytes
            };
            Sent {
                kind,
                payload,
                fragment_bytes,
                control,
            }
        })
}
