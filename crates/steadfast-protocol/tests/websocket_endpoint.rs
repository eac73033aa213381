//! The endpoint as scripts of one connection: which events and frames follow from frames of the peer, from our own close
//! and from the end of the stream. Each script runs for both roles.

use proptest::collection::vec;
use proptest::prelude::*;
use steadfast_protocol::websocket::{
    ControlFrame, Decoder, EndpointEvent, Frame, Opcode, Role, WebSocketEndpoint, WebSocketLimits,
    WrittenAction,
};

const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 1_000,
    frame_bytes_max: 1_000,
    fragments_max: 8,
};

/// The payload of a close frame with the code 4001.
const CODE_4001: &[u8] = b"\x0f\xa1bye";

/// One step of a script.
#[derive(Clone, Debug)]
enum Step {
    /// The peer sends frames in one read.
    Receive(Vec<(Opcode, &'static [u8])>),
    /// The peer sends these bytes.
    Bytes(Vec<u8>),
    /// The shell closes with this code.
    Close(u16),
    /// The stream ends.
    End,
}

/// One connection, with a record of everything that the endpoint returns.
struct Connection {
    role: Role,
    decoder: Decoder,
    endpoint: WebSocketEndpoint,
    record: Vec<String>,
    sent: Vec<Opcode>,
}

impl Connection {
    fn new(role: Role) -> Self {
        Self {
            role,
            decoder: Decoder::new(role, LIMITS),
            endpoint: WebSocketEndpoint::new(role),
            record: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Receive(frames) => {
                let mut bytes = Vec::new();
                for (opcode, payload) in frames {
                    append(&mut bytes, self.role, *opcode, payload);
                }
                self.receive(&mut bytes);
            }
            Step::Bytes(bytes) => self.receive(&mut bytes.clone()),
            Step::Close(code) => {
                let frame = self.endpoint.close(*code, "end");
                self.record("close", frame);
            }
            Step::End => {
                let end = self.endpoint.on_end_of_stream();
                self.record.push(format!("{end:?}"));
            }
        }
    }

    fn receive(&mut self, bytes: &mut [u8]) {
        let Self {
            decoder,
            endpoint,
            record,
            sent,
            ..
        } = self;
        let mut reading = decoder.read(bytes);
        while let Some(event) = endpoint.next_event(&mut reading) {
            let (name, frame) = match event {
                EndpointEvent::Message { payload, .. } => {
                    (format!("message {}", text(payload)), None)
                }
                EndpointEvent::Ping { reply } => ("ping".to_owned(), Some(reply)),
                EndpointEvent::Pong(payload) => (format!("pong {}", text(payload)), None),
                EndpointEvent::Dropped => continue,
                EndpointEvent::Closed {
                    code,
                    reason,
                    reply,
                } => (format!("closed {code:?} {reason}"), reply),
                EndpointEvent::Failed { error, close } => {
                    (format!("failed {}", error.close_code()), close)
                }
            };
            sent.extend(frame.map(|frame| frame.opcode()));
            record.push(describe(&name, frame));
        }
    }

    fn record(&mut self, name: &str, frame: Option<ControlFrame>) {
        self.sent.extend(frame.map(|frame| frame.opcode()));
        self.record.push(describe(name, frame));
    }
}

/// Runs a script for both roles and checks what the endpoint returns, and what follows once everything is written.
fn check(steps: &[Step], expected: &[&str], written: WrittenAction) {
    for role in [Role::Server, Role::Client] {
        check_role(role, steps, expected, written);
    }
}

fn check_role(role: Role, steps: &[Step], expected: &[&str], written: WrittenAction) {
    let mut connection = Connection::new(role);

    for step in steps {
        connection.run(step);
    }

    assert_eq!(connection.record, expected, "{role:?}");
    assert_eq!(connection.endpoint.written_action(), written, "{role:?}");
}

#[test]
fn a_ping_gets_a_pong_with_its_payload_and_a_pong_gets_no_reply() {
    check(
        &[
            receive(&[(Opcode::Ping, b"abc"), (Opcode::Pong, b"x")]),
            receive(&[(Opcode::Text, b"hi"), (Opcode::Ping, b"")]),
        ],
        &["ping -> Pong abc", "pong x", "message hi", "ping -> Pong "],
        WrittenAction::KeepOpen,
    );
    let longest: &[u8] = &[b'p'; 125];
    check(
        &[receive(&[(Opcode::Ping, longest)])],
        &[format!("ping -> Pong {}", text(longest)).as_str()],
        WrittenAction::KeepOpen,
    );
}

#[test]
fn a_close_frame_gets_one_reply_with_its_code_and_is_the_last_event() {
    let later = receive(&[(Opcode::Ping, b"late"), (Opcode::Close, CODE_4001)]);
    check(
        &[
            receive(&[(Opcode::Close, CODE_4001), (Opcode::Text, b"late")]),
            later.clone(),
            Step::Close(1000),
            Step::End,
        ],
        &[
            "closed Some(4001) bye -> Close 4001 ",
            "close",
            "AfterClose",
        ],
        WrittenAction::CloseStream,
    );
    check(
        &[receive(&[(Opcode::Close, b"")]), later],
        &["closed None  -> Close"],
        WrittenAction::CloseStream,
    );
}

#[test]
fn after_our_close_frame_a_ping_gets_nothing_and_no_second_close_frame_is_sent() {
    check(
        &[
            Step::Close(1000),
            receive(&[(Opcode::Ping, b"abc")]),
            Step::Close(1001),
        ],
        &["close -> Close 1000 end", "close"],
        WrittenAction::KeepOpen,
    );
}

#[test]
fn close_frames_that_cross_get_no_reply() {
    check(
        &[
            Step::Close(1000),
            receive(&[(Opcode::Close, CODE_4001)]),
            Step::Close(1001),
        ],
        &["close -> Close 1000 end", "closed Some(4001) bye", "close"],
        WrittenAction::CloseStream,
    );
}

#[test]
fn after_its_close_frame_a_server_drops_what_arrives_and_a_client_delivers_it() {
    let steps = [
        Step::Close(1000),
        receive(&[(Opcode::Text, b"late"), (Opcode::Pong, b"x")]),
        receive(&[(Opcode::Close, b""), (Opcode::Text, b"too late")]),
    ];
    let written = WrittenAction::CloseStream;
    let (close, closed) = ("close -> Close 1000 end", "closed None ");

    check_role(Role::Server, &steps, &[close, closed], written);
    let delivered = [close, "message late", "pong x", closed];
    check_role(Role::Client, &steps, &delivered, written);
}

#[test]
fn invalid_bytes_get_one_close_frame_with_the_code_of_the_violation() {
    check(
        &[
            receive(&[(Opcode::Text, b"ok")]),
            reserved_opcode(),
            receive(&[(Opcode::Text, b"late"), (Opcode::Close, b"")]),
            Step::Close(1000),
        ],
        &[
            "message ok",
            "failed 1002 -> Close 1002 reserved opcode",
            "close",
        ],
        WrittenAction::ShutDownSending,
    );
    check(
        &[Step::Close(1000), reserved_opcode()],
        &["close -> Close 1000 end", "failed 1002"],
        WrittenAction::ShutDownSending,
    );
}

#[test]
fn the_end_of_the_stream_is_a_loss_only_while_the_connection_is_open() {
    let late = || receive(&[(Opcode::Text, b"late"), (Opcode::Ping, b"")]);
    let end = WrittenAction::CloseStream;
    check(
        &[Step::End, late(), Step::Close(1000)],
        &["Lost", "close"],
        end,
    );
    check(
        &[Step::Close(1000), Step::End, late()],
        &["close -> Close 1000 end", "AfterClose"],
        end,
    );
    check(
        &[reserved_opcode(), Step::End, late()],
        &["failed 1002 -> Close 1002 reserved opcode", "AfterClose"],
        end,
    );
    check(&[Step::End, Step::End], &["Lost", "AfterClose"], end);
}

#[test]
#[should_panic(expected = "close code 1005 must not be sent")]
fn a_code_that_must_not_be_sent_is_a_bug_of_the_caller() {
    let _ = WebSocketEndpoint::new(Role::Client).close(1005, "");
}

#[test]
fn an_endpoint_takes_two_bytes() {
    // Each idle connection of the gateway has one.
    assert_eq!(size_of::<WebSocketEndpoint>(), 2);
}

proptest! {
    #[test]
    fn any_sequence_sends_at_most_one_close_frame_and_nothing_after_it(
        role in prop_oneof![Just(Role::Server), Just(Role::Client)],
        steps in vec(steps(), 0..12),
    ) {
        let mut connection = Connection::new(role);
        let mut last = None;
        for step in &steps {
            connection.run(step);
            let is_open = connection.endpoint.is_open();
            prop_assert!(last != Some(false) || !is_open, "a closed endpoint never opens again");
            last = Some(is_open);
        }

        let closes = connection.sent.iter().filter(|opcode| **opcode == Opcode::Close).count();
        prop_assert!(closes <= 1);
        prop_assert_eq!(closes == 1, connection.sent.last() == Some(&Opcode::Close));
        prop_assert!(closes == 0 || !connection.endpoint.is_open());
        let ends = |entry: &&String| entry.starts_with("closed") || entry.starts_with("failed");
        let events = connection.record.iter().skip_while(|entry| !ends(entry)).skip(1);
        let allowed = ["close", "Lost", "AfterClose"];
        for event in events {
            prop_assert!(allowed.contains(&event.as_str()), "{event} after the last event");
        }
        prop_assert!(connection.record.iter().filter(|entry| *entry == "Lost").count() <= 1);
    }
}

fn steps() -> impl Strategy<Value = Step> {
    let frames = prop_oneof![
        Just((Opcode::Text, &b"hi"[..])),
        Just((Opcode::Ping, &b"abc"[..])),
        Just((Opcode::Pong, &b""[..])),
        Just((Opcode::Close, &b""[..])),
        Just((Opcode::Close, CODE_4001)),
        Just((Opcode::Close, &b"\x03\xed"[..])),
    ];
    prop_oneof![
        4 => vec(frames, 0..4).prop_map(Step::Receive),
        2 => vec(any::<u8>(), 0..20).prop_map(Step::Bytes),
        1 => Just(Step::Close(1001)),
        1 => Just(Step::End),
    ]
}

fn receive(frames: &[(Opcode, &'static [u8])]) -> Step {
    Step::Receive(frames.to_vec())
}

/// A frame that is invalid for both roles.
fn reserved_opcode() -> Step {
    Step::Bytes(b"\x83\x00".to_vec())
}

fn append(bytes: &mut Vec<u8>, receiver: Role, opcode: Opcode, payload: &[u8]) {
    let frame = Frame::unfragmented(opcode, payload);
    match receiver {
        Role::Server => frame.append_client(bytes, [1, 2, 3, 4]),
        Role::Client => frame.append_server(bytes),
    }
}

/// Returns an entry of the record: the event, and the frame to send with its payload or its code and reason.
fn describe(name: &str, frame: Option<ControlFrame>) -> String {
    let Some(frame) = frame else {
        return name.to_owned();
    };
    assert_eq!(
        frame.as_frame(),
        Frame::unfragmented(frame.opcode(), frame.payload())
    );
    let payload = match (frame.opcode(), frame.payload().split_first_chunk::<2>()) {
        (Opcode::Close, Some((code, reason))) => {
            format!(" {} {}", u16::from_be_bytes(*code), text(reason))
        }
        (Opcode::Close, None) => String::new(),
        _ => format!(" {}", text(frame.payload())),
    };
    format!("{name} -> {:?}{payload}", frame.opcode())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
