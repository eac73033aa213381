//! What one connection of a client receives: from bytes to commands, no further than the server permits.
//!
//! The machine owns the decoder of a connection. It drives the connection's endpoint, decides when decoding stops and
//! what is kept then, and how it continues. The server pauses a peer with too much pending, usually in the middle of a
//! message. From there on nothing is decoded: decoded commands need many times the memory of their bytes. The rest of
//! the message and of the read is kept as it was received, and decoded once the peer is read from again, before
//! anything else. A connection that is not paused keeps nothing here but the decoder's incomplete frame.
//!
//! The gateway and the simulation call it; neither decides anything about received bytes itself.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::codec::{CommandPosition, Encoding};
use crate::error::DecodeError;
use crate::limits::Limits;
use crate::message::Command;
use crate::websocket::{CodecError, ControlFrame, Decoder, EndpointEvent, WebSocketEndpoint};

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
    decoder: Decoder,
    encoding: Encoding,
    /// Boxed, because there is nearly always none.
    unhandled: Option<Box<Unhandled>>,
}

/// What is left of a read since the peer was paused: at most one message and the bytes of one read.
#[derive(Debug)]
struct Unhandled {
    message: Option<MessageRest>,
    /// The bytes after this message.
    frames: BytesMut,
}

/// A message whose commands are not all handled.
#[derive(Debug)]
struct MessageRest {
    message: Bytes,
    /// Where the next command begins.
    position: CommandPosition,
}

/// Where decoding has stopped because the peer was paused.
struct Stopped {
    message: Option<MessageRest>,
    /// The number of bytes at the end of the input that are not decoded.
    bytes_left: usize,
}

impl Inbound {
    /// Creates the receiving part of a connection whose handshake is complete.
    pub const fn new(decoder: Decoder, encoding: Encoding) -> Self {
        Self {
            decoder,
            encoding,
            unhandled: None,
        }
    }

    /// Whether something was read and not handled. If so, the driver calls [`Self::resume`] before it reads again.
    pub const fn has_unhandled(&self) -> bool {
        self.unhandled.is_some()
    }

    /// Whether what is not handled begins in the middle of a message.
    pub fn is_within_message(&self) -> bool {
        self.unhandled
            .as_ref()
            .is_some_and(|unhandled| unhandled.message.is_some())
    }

    /// Returns the heap memory of this machine in bytes, without that of the allocator.
    pub fn kept_bytes(&self) -> usize {
        let unhandled = self.unhandled.as_ref().map_or(0, |unhandled| {
            let message = unhandled.message.as_ref();
            message.map_or(0, |rest| rest.message.len()) + unhandled.frames.capacity()
        });
        self.decoder.buffered_bytes() + unhandled
    }

    /// Handles the bytes of one read, up to the command with which the server pauses the peer.
    pub fn receive(&mut self, input: &mut [u8], limits: &Limits, driver: &mut impl InboundDriver) {
        let stopped = self.decode(input, limits, driver, HasCommand::No);
        self.unhandled = stopped.map(
            |Stopped {
                 message,
                 bytes_left,
             }| {
                let (_, frames) = input.split_at(input.len() - bytes_left);
                Box::new(Unhandled {
                    message,
                    frames: BytesMut::from(frames),
                })
            },
        );
    }

    /// Continues with what is not handled, as far as the server permits.
    pub fn resume(&mut self, limits: &Limits, driver: &mut impl InboundDriver) {
        let Some(mut unhandled) = self.unhandled.take() else {
            return;
        };
        let mut has_command = HasCommand::No;
        if let Some(MessageRest { message, position }) = unhandled.message.take() {
            has_command = HasCommand::Yes;
            let stopped = decode_message(self.encoding, &message, position, limits, driver);
            if let Some(position) = stopped {
                unhandled.message = Some(MessageRest { message, position });
                self.unhandled = Some(unhandled);
                return;
            }
        }
        let frames = &mut unhandled.frames;
        if let Some(stopped) = self.decode(frames, limits, driver, has_command) {
            frames.advance(frames.len() - stopped.bytes_left);
            unhandled.message = stopped.message;
            self.unhandled = Some(unhandled);
        }
    }

    /// Decodes the frames in the input. Returns what is left if the peer was paused before the end.
    fn decode(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        driver: &mut impl InboundDriver,
        mut has_command: HasCommand,
    ) -> Option<Stopped> {
        let mut reading = self.decoder.read(input);
        loop {
            let endpoint = match driver.permission() {
                Permission::Removed => return None,
                Permission::Paused => {
                    let bytes_left = reading.into_rest().len();
                    return (bytes_left > 0).then_some(Stopped {
                        message: None,
                        bytes_left,
                    });
                }
                Permission::Reading(endpoint) => endpoint,
            };
            let Some(event) = endpoint.next_event(&mut reading) else {
                break;
            };
            match event {
                EndpointEvent::Message { payload, .. } => {
                    has_command = HasCommand::Yes;
                    let message = Bytes::copy_from_slice(payload);
                    let start = CommandPosition::START;
                    let stopped = decode_message(self.encoding, &message, start, limits, driver);
                    if let Some(position) = stopped {
                        return Some(Stopped {
                            message: Some(MessageRest { message, position }),
                            bytes_left: reading.into_rest().len(),
                        });
                    }
                }
                EndpointEvent::Ping { reply } => driver.execute(InboundOutput::SendPong(reply)),
                EndpointEvent::Pong(_) | EndpointEvent::Dropped => {}
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
        if has_command == HasCommand::No
            && let Permission::Reading(endpoint) = driver.permission()
            && endpoint.is_open()
        {
            driver.execute(InboundOutput::RecordActivity);
        }
        None
    }
}

/// Decodes the commands in a message from a position on, until one of them closes or pauses the connection. Returns
/// where the next command begins if the connection is paused.
fn decode_message(
    encoding: Encoding,
    message: &Bytes,
    position: CommandPosition,
    limits: &Limits,
    driver: &mut impl InboundDriver,
) -> Option<CommandPosition> {
    let mut commands = encoding.decode_commands_from(message, limits, position);
    let stopped_at = loop {
        match driver.permission() {
            Permission::Reading(endpoint) if endpoint.is_open() => {}
            Permission::Reading(_) | Permission::Removed => break None,
            Permission::Paused => break commands.next_position(),
        }
        let Some(command) = commands.next() else {
            break None;
        };
        driver.execute(InboundOutput::Command(command));
    };
    driver.execute(InboundOutput::SendReplies);
    stopped_at
}

/// Whether the bytes of a read contained a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HasCommand {
    No,
    Yes,
}
