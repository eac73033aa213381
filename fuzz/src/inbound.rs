//! Fuzzes what a server's connection receives: the outputs must be the same however the stream is split into fragments,
//! reads and turns, and no more may be kept than one incomplete command.
//!
//! The first byte chooses the size of the fragments, the second that of the reads; the rest is the payload of a message.
//! The fuzz target of the same name runs this check; the tests of `steadfast-protocol` run it over the committed corpus.

use steadfast_protocol::codec::Encoding;
use steadfast_protocol::inbound::{Inbound, InboundDriver, InboundOutput, Permission};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::websocket::{Frame, Opcode, Role, WebSocketEndpoint};

/// Limits far below the defaults, so that small inputs exceed them.
const NARROW: Limits = Limits {
    message_bytes: 32,
    ..Limits::DEFAULT
};

/// Checks one input; panics when an invariant is violated.
pub fn check(data: &[u8]) {
    let Some((&[fragment_len, read_len], payload)) = data.split_first_chunk::<2>() else {
        return;
    };
    let whole = outputs(&frames(payload, usize::MAX), usize::MAX);
    let fragments = frames(payload, usize::from(fragment_len) + 1);
    for read_len in [1, usize::from(read_len) + 1, usize::MAX] {
        assert_eq!(outputs(&fragments, read_len), whole, "reads of {read_len}");
    }
}

/// A message of a client in fragments of this size, and an empty message after it.
fn frames(payload: &[u8], fragment_len: usize) -> Vec<u8> {
    let mut frames = Vec::new();
    let mut rest = payload;
    let mut opcode = Opcode::Text;
    loop {
        let (fragment, after) = rest.split_at(fragment_len.min(rest.len()));
        let start = frames.len();
        Frame::unfragmented(opcode, fragment).append_client(&mut frames, [0x5A, 0, 0xFF, 0x81]);
        if after.is_empty() {
            break;
        }
        if let Some(first) = frames.get_mut(start) {
            *first &= 0x7F;
        }
        (rest, opcode) = (after, Opcode::Continuation);
    }
    Frame::unfragmented(Opcode::Text, b"").append_client(&mut frames, [1, 2, 3, 4]);
    frames
}

/// Returns what a server gets that permits everything, in reads of this size.
fn outputs(stream: &[u8], read_len: usize) -> Vec<String> {
    let mut inbound = Inbound::new(Encoding::Json);
    let mut server = Server {
        endpoint: WebSocketEndpoint::new(Role::Server),
        outputs: Vec::new(),
    };
    for read in stream.chunks(read_len.min(stream.len()).max(1)) {
        inbound.receive(&mut read.to_vec(), &NARROW, &mut server);
        while inbound.has_unhandled() {
            inbound.resume(&NARROW, &mut server);
        }
        assert!(inbound.kept_bytes() <= NARROW.message_bytes);
    }
    server.outputs
}

struct Server {
    endpoint: WebSocketEndpoint,
    outputs: Vec<String>,
}

impl InboundDriver for Server {
    fn permission(&mut self) -> Permission<'_> {
        Permission::Reading(&mut self.endpoint)
    }

    fn execute(&mut self, output: InboundOutput<'_>) {
        match output {
            InboundOutput::SendReplies
            | InboundOutput::RecordActivity
            | InboundOutput::Incomplete(_) => {}
            InboundOutput::Command(_)
            | InboundOutput::SendPong(_)
            | InboundOutput::Closed { .. }
            | InboundOutput::Failed { .. } => self.outputs.push(format!("{output:?}")),
        }
    }
}
