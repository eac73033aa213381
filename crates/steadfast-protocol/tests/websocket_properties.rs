//! Properties of the WebSocket codec: what one end encodes the other decodes, whatever the cuts; nothing panics.

use proptest::collection::vec;
use proptest::prelude::*;
use steadfast_protocol::websocket::{
    CodecError, Decoder, Event, Frame, FrameBuilder, Limits, MessageKind, Opcode, Role, encoder,
};

const LIMITS: Limits = Limits {
    message_bytes_max: 300_000,
    frame_bytes_max: 300_000,
    fragments_max: 10_000,
};

proptest! {
    #[test]
    fn every_message_arrives_whatever_its_fragments_and_reads(
        role in roles(),
        sent in vec(messages(), 0..6),
        key: [u8; 4],
        reads in vec(1..400_usize, 1..12),
    ) {
        let mut stream = Vec::new();
        for message in &sent {
            message.append(&mut stream, role, key);
        }

        let (heard, error) = listen(role, LIMITS, &stream, &reads);

        let expected: Vec<Heard> = sent.into_iter().flat_map(Sent::expected).collect();
        prop_assert_eq!(error, None);
        prop_assert_eq!(heard, expected);
    }

    #[test]
    fn any_bytes_give_the_same_outcome_however_they_are_cut(
        role in roles(),
        stream in vec(any::<u8>(), 0..200),
        reads in vec(1..40_usize, 1..12),
    ) {
        let whole = listen(role, LIMITS, &stream, &[usize::MAX]);
        let cut = listen(role, LIMITS, &stream, &reads);

        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn any_damage_to_a_valid_stream_gives_the_same_outcome_however_it_is_cut(
        role in roles(),
        sent in vec(messages(), 1..4),
        damage in vec((any::<prop::sample::Index>(), 1..=255_u8), 1..4),
        reads in vec(1..40_usize, 1..12),
    ) {
        let limits = Limits { message_bytes_max: 2_000, frame_bytes_max: 1_000, fragments_max: 20 };
        let mut stream = Vec::new();
        for message in &sent {
            message.append(&mut stream, role, [1, 2, 3, 4]);
        }
        prop_assume!(!stream.is_empty());
        for (place, change) in damage {
            let place = place.index(stream.len());
            stream[place] ^= change;
        }

        let whole = listen(role, limits, &stream, &[usize::MAX]);
        let cut = listen(role, limits, &stream, &reads);

        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn a_frame_built_in_place_equals_the_copied_one(payload in vec(any::<u8>(), 0..70_000)) {
        let mut builder = FrameBuilder::with_capacity(16);
        builder.buffer().extend_from_slice(&payload);

        prop_assert_eq!(builder.payload_bytes(), payload.len());
        prop_assert_eq!(builder.finish(Opcode::Binary), encoder::encode_server(Opcode::Binary, &payload));
    }

    #[test]
    fn any_close_frame_arrives_with_its_reason_cut_between_characters(
        code in prop_oneof![1000..=1003_u16, 1007..=1014_u16, 3000..=4999_u16],
        reason in "\\PC{0,200}",
    ) {
        let mut frame = encoder::encode_server_close(code, &reason).to_vec();

        let (heard, error) = listen(Role::Client, LIMITS, &std::mem::take(&mut frame), &[usize::MAX]);

        prop_assert_eq!(error, None);
        let [Heard::Close(Some(heard_code), heard_reason)] = heard.as_slice() else {
            panic!("{heard:?}");
        };
        prop_assert_eq!(*heard_code, code);
        prop_assert!(reason.starts_with(heard_reason.as_str()));
        prop_assert!(heard_reason.len() == reason.len() || (120..=123).contains(&heard_reason.len()));
    }
}

#[derive(Debug, PartialEq)]
enum Heard {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

/// A message, how it is cut, and a ping or pong after each of its fragments.
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
                append(stream, receiver, key, Frame::whole(*opcode, payload));
            }
        }
    }

    /// A control frame is heard before the message it interrupts, and after a message that has ended.
    fn expected(self) -> Vec<Heard> {
        let count = self.payload.len().div_ceil(self.fragment_bytes).max(1);
        let mut heard = Vec::new();
        for at in 1..=count {
            if at == count {
                heard.push(Heard::Message(self.kind, self.payload.clone()));
            }
            match &self.control {
                Some((Opcode::Ping, payload)) => heard.push(Heard::Ping(payload.clone())),
                Some((_, payload)) => heard.push(Heard::Pong(payload.clone())),
                None => {}
            }
        }
        heard
    }
}

fn append(stream: &mut Vec<u8>, receiver: Role, key: [u8; 4], frame: Frame<'_>) {
    match receiver {
        Role::Server => frame.append_client(stream, key),
        Role::Client => frame.append_server(stream),
    }
}

/// Decodes a stream in reads of these sizes, the last one repeated, and checks what is held on the way.
fn listen(
    role: Role,
    limits: Limits,
    stream: &[u8],
    reads: &[usize],
) -> (Vec<Heard>, Option<CodecError>) {
    let mut decoder = Decoder::new(role, limits);
    let (mut heard, mut error) = (Vec::new(), None);
    let mut rest = stream;
    for size in reads.iter().cycle() {
        let (read, tail) = rest.split_at((*size).min(rest.len()));
        rest = tail;
        let mut read = read.to_vec();
        let mut reading = decoder.read(&mut read);
        loop {
            match reading.next_event() {
                Ok(Some(Event::Message { kind, payload })) => {
                    heard.push(Heard::Message(kind, payload.to_vec()));
                }
                Ok(Some(Event::Ping(payload))) => heard.push(Heard::Ping(payload.to_vec())),
                Ok(Some(Event::Pong(payload))) => heard.push(Heard::Pong(payload.to_vec())),
                Ok(Some(Event::Close { code, reason })) => {
                    heard.push(Heard::Close(code, reason.to_owned()));
                }
                Ok(None) => break,
                Err(found) => assert_eq!(error.replace(found), None),
            }
        }
        assert!(
            decoder.held_bytes()
                <= usize::try_from(limits.message_bytes_max).unwrap_or(usize::MAX - 125) + 125
        );
        if rest.is_empty() {
            break;
        }
    }
    (heard, error)
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
