//! One end of an open WebSocket, for both roles: the replies to control frames and the closing handshake (RFC 6455,
//! sections 5.5 and 7.1).
//!
//! The endpoint decides which control frames are sent, and what is still received after a close frame. It has no
//! buffers and no clock: the decoder keeps incomplete frames, and shells encode frames, queue them, and apply timeouts.
//! The gateway, the client library and the simulation call it.

use super::{
    CodecError, Content, ControlFrame, FrameReading, MessageKind, Part, Reading, Role,
    WebSocketEvent,
};

/// One end of an open WebSocket. It takes two bytes; the decoder of the same connection is separate.
#[derive(Debug)]
pub struct WebSocketEndpoint {
    role: Role,
    state: EndpointState,
}

/// The progress of the closing handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndpointState {
    /// Messages are sent and received.
    Open,
    /// Our close frame was sent first; the peer's close frame is awaited.
    CloseSent,
    /// The peer's close frame was received, and ours was sent before it or in reply.
    CloseReceived,
    /// The peer violated the protocol, and our close frame was sent; only the end of the stream is awaited.
    Draining,
    /// The stream has ended.
    Ended,
}

/// What the shell must do for a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointEvent<'a, P = &'a [u8]> {
    /// A complete message, or a [`Part`] of one.
    Message {
        /// Type of the message; the payload of [`MessageKind::Text`] is valid UTF-8.
        kind: MessageKind,
        /// Payload after unmasking.
        payload: P,
    },
    /// A ping, which requires a reply.
    Ping {
        /// The pong to send.
        reply: ControlFrame,
    },
    /// A pong, solicited or not; at most 125 bytes.
    Pong(&'a [u8]),
    /// A frame that does not count any more, because our close frame was sent.
    Dropped,
    /// The peer's close frame. It is the last event.
    Closed {
        /// Close code, always a code that may be sent; `None` if the frame was empty.
        code: Option<u16>,
        /// Close reason; empty if there was none.
        reason: &'a str,
        /// The close frame to send; `None` if ours was sent before.
        reply: Option<ControlFrame>,
    },
    /// The peer violated the protocol. It is the last event.
    Failed {
        /// Which rule of the protocol or limit was violated.
        error: CodecError,
        /// The close frame to send; `None` if ours was sent before.
        close: Option<ControlFrame>,
    },
}

/// What the end of the stream means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOfStream {
    /// Neither side had sent a close frame: the peer is lost.
    Lost,
    /// A close frame was sent or received before.
    AfterClose,
}

/// What the shell does with the stream once all queued frames are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenAction {
    /// The stream stays as it is.
    KeepOpen,
    /// The sending direction is shut down; the shell reads until the end of the stream.
    ShutDownSending,
    /// The stream is closed: nothing is sent or received any more.
    CloseStream,
}

impl WebSocketEndpoint {
    /// Creates the endpoint of a connection whose handshake is complete.
    pub const fn new(role: Role) -> Self {
        Self {
            role,
            state: EndpointState::Open,
        }
    }

    /// Returns the event for the next frame of a read, or `None` when the read is consumed.
    ///
    /// A close frame in the event counts as sent.
    ///
    /// ```
    /// use steadfast_protocol::websocket::{Decoder, EndpointEvent, Opcode, Role, WebSocketEndpoint, WebSocketLimits};
    ///
    /// let limits = WebSocketLimits { message_bytes_max: 65_536, frame_bytes_max: 65_536, fragments_max: 1_024 };
    /// let mut decoder = Decoder::new(Role::Client, limits);
    /// let mut endpoint = WebSocketEndpoint::new(Role::Client);
    /// let mut input = *b"\x89\x02hi";
    ///
    /// let mut reading = decoder.read(&mut input);
    /// let Some(EndpointEvent::Ping { reply }) = endpoint.next_event(&mut reading) else { panic!() };
    /// assert_eq!((reply.opcode(), reply.payload()), (Opcode::Pong, &b"hi"[..]));
    /// assert_eq!(endpoint.next_event(&mut reading), None);
    /// ```
    pub fn next_event<'a>(&mut self, reading: &'a mut Reading<'_>) -> Option<EndpointEvent<'a>> {
        if self.state == EndpointState::Ended {
            return None;
        }
        self.on_event(reading.next_event())
    }

    /// As [`Self::next_event`], for a receiver that skips messages above its limit.
    pub fn next_content<'a>(
        &mut self,
        reading: &'a mut Reading<'_>,
    ) -> Option<EndpointEvent<'a, Content<'a>>> {
        if self.state == EndpointState::Ended {
            return None;
        }
        self.on_event(reading.next_content())
    }

    /// As [`Self::next_event`], for a receiver that handles messages while they arrive.
    #[inline]
    pub fn next_part<'a, 'r>(
        &mut self,
        reading: &'a mut FrameReading<'r>,
    ) -> Option<EndpointEvent<'a, Part<'r>>> {
        if self.state == EndpointState::Ended {
            return None;
        }
        self.on_event(reading.next_event())
    }

    #[inline]
    fn on_event<'a, P>(
        &mut self,
        event: Result<Option<WebSocketEvent<'a, P>>, CodecError>,
    ) -> Option<EndpointEvent<'a, P>> {
        match event {
            Ok(event) => event.map(|event| self.receive(event)),
            Err(error) => {
                let close = self.close(error.close_code(), error.reason());
                self.state = EndpointState::Draining;
                Some(EndpointEvent::Failed { error, close })
            }
        }
    }

    #[inline]
    fn receive<'a, P>(&mut self, event: WebSocketEvent<'a, P>) -> EndpointEvent<'a, P> {
        match event {
            WebSocketEvent::Message { kind, payload } if self.is_receiving() => {
                EndpointEvent::Message { kind, payload }
            }
            WebSocketEvent::Pong(payload) if self.is_receiving() => EndpointEvent::Pong(payload),
            WebSocketEvent::Ping(payload) if self.is_open() => EndpointEvent::Ping {
                reply: ControlFrame::pong(payload),
            },
            WebSocketEvent::Message { .. } | WebSocketEvent::Ping(_) | WebSocketEvent::Pong(_) => {
                EndpointEvent::Dropped
            }
            WebSocketEvent::Close { code, reason } => {
                let reply = self.is_open().then(|| ControlFrame::close_reply(code));
                self.state = EndpointState::CloseReceived;
                EndpointEvent::Closed {
                    code,
                    reason,
                    reply,
                }
            }
        }
    }

    /// Starts the closing handshake, and returns the close frame to send; `None` if the connection is not open. A
    /// reason above 123 bytes is truncated at a character boundary.
    ///
    /// # Panics
    ///
    /// If the code must not be sent ([`super::close::is_sendable`]).
    pub fn close(&mut self, code: u16, reason: &str) -> Option<ControlFrame> {
        self.is_open().then(|| {
            self.state = EndpointState::CloseSent;
            ControlFrame::close(code, reason)
        })
    }

    /// Handles the end of the stream, or a socket that failed; nothing is sent or received after it.
    pub const fn on_end_of_stream(&mut self) -> EndOfStream {
        let end = if self.is_open() {
            EndOfStream::Lost
        } else {
            EndOfStream::AfterClose
        };
        self.state = EndpointState::Ended;
        end
    }

    /// Returns `true` until a close frame was sent or received or the stream has ended. Frames may be sent, and
    /// received bytes prove that the peer is alive.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, EndpointState::Open)
    }

    /// Returns what the shell does with the stream once all queued frames are written.
    pub const fn written_action(&self) -> WrittenAction {
        match self.state {
            EndpointState::Open | EndpointState::CloseSent => WrittenAction::KeepOpen,
            EndpointState::Draining => WrittenAction::ShutDownSending,
            EndpointState::CloseReceived | EndpointState::Ended => WrittenAction::CloseStream,
        }
    }

    /// Whether messages and pongs are delivered. After its close frame a server drops them, as RFC 6455, section 5.5.1,
    /// permits; a client delivers them until the peer's close frame, because they may acknowledge what it has sent.
    const fn is_receiving(&self) -> bool {
        match self.role {
            Role::Server => self.is_open(),
            Role::Client => matches!(self.state, EndpointState::Open | EndpointState::CloseSent),
        }
    }
}
