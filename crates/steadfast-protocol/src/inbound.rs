//! What one connection of a client receives: from bytes to commands, no further than the server permits.
//!
//! The machine owns the reader of a connection's frames. It drives the connection's endpoint, decides when decoding stops
//! and what is kept then, and how it continues. Commands are decoded while their message arrives, so the length of a
//! message is not limited; that of a command is. The server pauses a peer with too much pending, usually in the middle of
//! a message, and a connection takes turns with the others: after [`TURN_MAX`] commands and control frames the rest waits
//! for its next turn. From there on nothing is decoded: decoded commands need many times the memory of their bytes. The
//! rest of the read is kept as it was received, and decoded before anything else. Otherwise a connection keeps nothing
//! here but one incomplete command.
//!
//! The machine has no clock: it reports an incomplete command, and the server decides how long that may take. The gateway
//! and the simulation call it; neither decides anything about received bytes itself.

mod turn;

use bytes::{Buf as _, BytesMut};

pub use self::turn::TURN_MAX;
use self::turn::{BlockEnd, Turn, decode_block};
use crate::codec::{AssemblerReport, CommandAssembler, CommandBlock, Encoding, IncompleteCommand};
use crate::error::DecodeError;
use crate::limits::Limits;
use crate::message::Command;
use crate::websocket::{
    CodecError, ControlFrame, EndpointEvent, FrameReader, Role, WebSocketEndpoint,
};

/// What the server permits to be done with the bytes of a connection.
#[derive(Debug)]
pub enum Permission<'a> {
    /// The connection is removed: what it has received has no receiver.
    Removed,
    /// The peer is paused: nothing is decoded until it is read from again.
    Paused,
    /// Bytes are decoded. After a close frame was sent, only the peer's close frame counts.
    Reading(&'a mut WebSocketEndpoint),
}

/// What the driver must do for received bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum InboundOutput<'a> {
    /// Execute a command, or reject what could not be decoded.
    Command(Result<Command, DecodeError>),
    /// Send the replies to the commands up to here: no other command can be decoded at once.
    SendReplies,
    /// Send the reply to a ping.
    SendPong(ControlFrame),
    /// Bytes arrived that contain no command.
    RecordActivity,
    /// A command has begun or continued, and its end has not arrived; `None` once the command of the last such output has
    /// ended and no other has begun.
    Incomplete(Option<IncompleteCommand>),
    /// The peer has sent its close frame. It is the last output.
    Closed {
        /// Close code, always a code that may be sent; `None` if the frame was empty.
        code: Option<u16>,
        /// Close reason; empty if there was none.
        reason: &'a str,
        /// The close frame to send; `None` if ours was sent before.
        reply: Option<ControlFrame>,
    },
    /// The peer violated the WebSocket protocol. It is the last output.
    Failed {
        /// Which rule of the protocol or limit was violated.
        error: CodecError,
        /// The close frame to send; `None` if ours was sent before.
        close: Option<ControlFrame>,
    },
}

/// The server, as the machine sees it for the time of one read. Each output may change the permission.
pub trait InboundDriver {
    /// Returns what may be done with the next bytes.
    fn permission(&mut self) -> Permission<'_>;

    /// Executes an output, before anything else is decoded.
    fn execute(&mut self, output: InboundOutput<'_>);
}

/// The receiving part of one connection.
#[derive(Debug)]
pub struct Inbound {
    frames: FrameReader,
    assembler: CommandAssembler,
    /// Boxed, because there is nearly always none.
    unhandled: Option<Box<Unhandled>>,
}

/// What is left of a read since the peer was paused or its turn was over.
#[derive(Debug)]
struct Unhandled {
    /// The commands of a message that are not all handled.
    block: Option<CommandBlock>,
    /// The bytes after these commands.
    frames: BytesMut,
}

/// Where decoding has stopped before the end of a read.
struct Stopped {
    block: Option<CommandBlock>,
    /// The number of bytes at the end of the input that are not decoded.
    bytes_left: usize,
}

impl Inbound {
    /// Creates the receiving part of a server's connection whose handshake is complete.
    pub const fn new(encoding: Encoding) -> Self {
        Self {
            frames: FrameReader::new(Role::Server),
            assembler: CommandAssembler::new(encoding),
            unhandled: None,
        }
    }

    /// Whether something was read and not handled. If so, the driver calls [`Self::resume`] at the next turn of the
    /// connection before it reads again, unless the peer is paused.
    pub const fn has_unhandled(&self) -> bool {
        self.unhandled.is_some()
    }

    /// Whether what is not handled begins in the middle of a message.
    pub fn is_within_message(&self) -> bool {
        self.unhandled
            .as_ref()
            .is_some_and(|unhandled| unhandled.block.is_some())
    }

    /// Returns the heap memory of this machine in bytes, without that of the allocator.
    pub fn kept_bytes(&self) -> usize {
        let unhandled = self.unhandled.as_ref().map_or(0, |unhandled| {
            let block = unhandled.block.as_ref();
            block.map_or(0, |block| block.payload.len()) + unhandled.frames.capacity()
        });
        self.frames.buffered_bytes() + self.assembler.kept_bytes() + unhandled
    }

    /// Handles the bytes of one read, up to the end of the turn or the command with which the server pauses the peer.
    pub fn receive(&mut self, input: &mut [u8], limits: &Limits, driver: &mut impl InboundDriver) {
        if let Some(unhandled) = &mut self.unhandled {
            unhandled.frames.extend_from_slice(input);
            return self.resume(limits, driver);
        }
        let mut turn = Turn::new();
        let stopped = self.decode(input, limits, driver, &mut turn);
        self.unhandled = stopped.map(|Stopped { block, bytes_left }| {
            let (_, frames) = input.split_at(input.len() - bytes_left);
            Box::new(Unhandled {
                block,
                frames: BytesMut::from(frames),
            })
        });
        self.finish(driver, &turn);
    }

    /// Continues with what is not handled, up to the end of the turn, as far as the server permits.
    pub fn resume(&mut self, limits: &Limits, driver: &mut impl InboundDriver) {
        let Some(mut unhandled) = self.unhandled.take() else {
            return;
        };
        let mut turn = Turn::new();
        if let Some(block) = &mut unhandled.block
            && decode_block(&mut self.assembler, block, limits, driver, &mut turn)
                == BlockEnd::Reached
        {
            unhandled.block = None;
        }
        if unhandled.block.is_some() {
            self.unhandled = Some(unhandled);
        } else if let Some(stopped) = self.decode(&mut unhandled.frames, limits, driver, &mut turn)
        {
            let decoded = unhandled.frames.len() - stopped.bytes_left;
            unhandled.frames.advance(decoded);
            unhandled.block = stopped.block;
            self.unhandled = Some(unhandled);
        }
        self.finish(driver, &turn);
    }

    /// Frees what was received: the connection is closing, and only the peer's close frame counts.
    pub fn drop_commands(&mut self) {
        self.assembler.clear();
        if let Some(unhandled) = &mut self.unhandled {
            unhandled.block = None;
        }
    }

    /// Decodes the frames in the input. Returns what is left if it has stopped before the end.
    fn decode(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        driver: &mut impl InboundDriver,
        turn: &mut Turn,
    ) -> Option<Stopped> {
        let Self {
            frames, assembler, ..
        } = self;
        let mut reading = frames.read(input);
        loop {
            let endpoint = match driver.permission() {
                Permission::Removed => return None,
                Permission::Reading(endpoint) if !turn.is_over() => endpoint,
                Permission::Reading(_) | Permission::Paused => {
                    let bytes_left = reading.into_rest().len();
                    return (bytes_left > 0 || frames.has_error()).then_some(Stopped {
                        block: None,
                        bytes_left,
                    });
                }
            };
            match endpoint.next_part(&mut reading)? {
                EndpointEvent::Message { payload, .. } => {
                    let Some(mut block) = assembler.push(payload.bytes, payload.is_last, limits)
                    else {
                        continue;
                    };
                    let end = decode_block(assembler, &mut block, limits, driver, turn);
                    if end == BlockEnd::NotReached {
                        return Some(Stopped {
                            block: Some(block),
                            bytes_left: reading.into_rest().len(),
                        });
                    }
                }
                EndpointEvent::Ping { reply } => {
                    turn.record_control_frame();
                    driver.execute(InboundOutput::SendPong(reply));
                }
                EndpointEvent::Pong(_) => turn.record_control_frame(),
                EndpointEvent::Dropped => {}
                EndpointEvent::Closed {
                    code,
                    reason,
                    reply,
                } => {
                    driver.execute(InboundOutput::Closed {
                        code,
                        reason,
                        reply,
                    });
                    return None;
                }
                EndpointEvent::Failed { error, close } => {
                    driver.execute(InboundOutput::Failed { error, close });
                    return None;
                }
            }
        }
    }

    /// Reports what the bytes of this turn have changed in addition to its commands.
    fn finish(&mut self, driver: &mut impl InboundDriver, turn: &Turn) {
        match driver.permission() {
            Permission::Reading(endpoint) if endpoint.is_open() => {
                if !turn.has_command() {
                    driver.execute(InboundOutput::RecordActivity);
                }
            }
            Permission::Paused => {}
            Permission::Reading(_) | Permission::Removed => {
                self.drop_commands();
                return;
            }
        }
        match self.assembler.take_report() {
            Some(AssemblerReport::Incomplete(command)) => {
                driver.execute(InboundOutput::Incomplete(Some(command)));
            }
            Some(AssemblerReport::Complete) => driver.execute(InboundOutput::Incomplete(None)),
            None => {}
        }
    }
}
