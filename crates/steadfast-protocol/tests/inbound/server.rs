//! A server with one connection, which records what it receives.

use steadfast_protocol::codec::{Encoding, IncompleteCommand};
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::inbound::{Inbound, InboundDriver, InboundOutput, Permission};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::Command;
use steadfast_protocol::websocket::{Frame, Opcode, Role, WebSocketEndpoint};

/// A connection whose server permits everything.
pub(crate) struct Connection {
    pub(crate) inbound: Inbound,
    pub(crate) endpoint: WebSocketEndpoint,
    limits: Limits,
    /// The commands and errors, in order.
    pub(crate) decoded: Vec<Result<Command, DecodeError>>,
    pub(crate) commands: usize,
    /// Everything else that is visible to the peer, as text.
    pub(crate) outputs: Vec<String>,
    /// Both, in order.
    order: Vec<String>,
    pub(crate) reports: Vec<Option<IncompleteCommand>>,
}

impl Connection {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            inbound: Inbound::new(Encoding::Json),
            endpoint: WebSocketEndpoint::new(Role::Server),
            limits,
            decoded: Vec::new(),
            commands: 0,
            outputs: Vec::new(),
            order: Vec::new(),
            reports: Vec::new(),
        }
    }

    /// Receives bytes in one read, for one turn.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        let mut read = bytes.to_vec();
        self.drive(|inbound, limits, driver| inbound.receive(&mut read, limits, driver));
    }

    /// Receives bytes in reads of this size, with as many turns as each of them needs. Returns the most that was kept
    /// between two reads.
    pub(crate) fn receive_in_reads(&mut self, bytes: &[u8], size: usize) -> usize {
        let mut kept_max = 0;
        for read in bytes.chunks(size) {
            self.receive(read);
            while self.inbound.has_unhandled() {
                self.resume();
            }
            kept_max = kept_max.max(self.inbound.kept_bytes());
        }
        kept_max
    }

    /// Handles another turn.
    pub(crate) fn resume(&mut self) {
        self.drive(|inbound, limits, driver| inbound.resume(limits, driver));
    }

    /// Returns everything that was received, as text.
    pub(crate) fn outcome(self) -> Vec<String> {
        self.order
    }

    fn drive(&mut self, turn: impl FnOnce(&mut Inbound, &Limits, &mut Recorder<'_>)) {
        let mut inbound = std::mem::replace(&mut self.inbound, Inbound::new(Encoding::Json));
        let limits = self.limits;
        turn(&mut inbound, &limits, &mut Recorder(self));
        self.inbound = inbound;
    }
}

struct Recorder<'a>(&'a mut Connection);

impl InboundDriver for Recorder<'_> {
    fn permission(&mut self) -> Permission<'_> {
        Permission::Reading(&mut self.0.endpoint)
    }

    fn execute(&mut self, output: InboundOutput<'_>) {
        let connection = &mut *self.0;
        let text = match output {
            InboundOutput::Command(command) => {
                connection.commands += 1;
                connection.order.push(format!("{command:?}"));
                connection.decoded.push(command);
                return;
            }
            InboundOutput::SendReplies | InboundOutput::RecordActivity => return,
            InboundOutput::Incomplete(report) => return connection.reports.push(report),
            InboundOutput::SendPong(frame) => {
                format!("ping {}", frame.payload().escape_ascii())
            }
            InboundOutput::Closed { code, reason, .. } => format!("closed {code:?} {reason}"),
            InboundOutput::Failed { error, .. } => format!("failed {error:?}"),
        };
        connection.order.push(text.clone());
        connection.outputs.push(text);
    }
}

/// A frame that is a message, or a control frame.
pub(crate) fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    fragment(opcode, payload, true)
}

/// A frame of a client.
pub(crate) fn fragment(opcode: Opcode, payload: &[u8], is_final: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::unfragmented(opcode, payload).append_client(&mut bytes, [1, 2, 3, 4]);
    if let Some(first) = bytes.first_mut().filter(|_| !is_final) {
        *first &= 0x7F;
    }
    bytes
}
