//! Any protocol over WebSocket messages, of which the session understands nothing: an application sends frames and
//! receives frames.
//!
//! - **Handshake:** the login and the first messages are sent after each connect, before everything else. The peer
//!   accepts the client as soon as the transport is open, or when a [`HandshakeRule`] says so.
//! - **Sending:** a message has its outcome, [`Sent`], when it is passed to the transport, which happens while the socket
//!   accepts bytes. It is sent at most once: no peer confirms it, so one that was in the send buffer of a lost connection
//!   may be lost.
//! - **Receiving:** every message is an item of the one topic [`AllFrames`], in order and numbered from 1 on each
//!   connection. Those of the handshake are delivered too, once the peer has accepted the client. There is no history:
//!   each new connection is a [`Gap`](crate::io::SubscriptionEvent::Gap), except the first.
//! - **Slow readers:** a peer cannot be asked to stop, and a client that stopped reading could not receive pongs. While the
//!   buffer of the subscription is full, the newest messages are discarded. Once half of it is free, a `Gap` between two
//!   offsets says how many; if there were none, the subscription continues.

mod handshake;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::fmt;

use steadfast_machine::{Position, convert};

pub use handshake::{Handshake, HandshakeRule, LoginMessage};

use super::{
    Delivery, Dialect, DialectEvent, EarlyRequests, InFlight, Message, Outcome, Request,
    Subscribed, Topic, Unsendable, Wire, close_advice,
};
use crate::event::DisconnectCause;
use crate::io::{ConnectionLoss, Frame, SubscribeOptions};
use crate::policy::{PolicyError, SessionSetting};
use crate::retry_advice::RetryAdvice;
use crate::secret::Secret;

/// A session of this protocol.
pub type Session = crate::Session<Raw>;
/// An input of such a session.
pub type Input = crate::io::Input<Raw>;
/// An output of such a session.
pub type Output = crate::io::Output<Raw>;
/// An event of the subscription of such a session.
pub type SubscriptionEvent = crate::io::EventOf<Raw>;
/// A message of such a session.
pub type Outgoing = crate::io::Outgoing<Frame>;
/// The outcome of a message of such a session.
pub type SendResult = crate::io::SendResult<Raw>;
/// Why a message of such a session was not sent.
pub type SendError = crate::io::SendError<Infallible>;

/// The maximum number of first messages.
pub const FIRST_MESSAGES_MAX: usize = 64;

/// The maximum number of messages that a peer may send before it has accepted the client; more are a violation. They are
/// kept until then.
pub const HANDSHAKE_MESSAGES_MAX: usize = 64;

/// What a client says first, and what it expects of its server.
///
/// ```
/// use steadfast_core::dialect::raw::{Handshake, HandshakeRule, Raw, RawSettings};
/// use steadfast_core::io::Frame;
///
/// let settings = RawSettings::new(64 << 10)
///     .first_messages([Frame::from("subscribe".to_owned())])
///     .handshake(HandshakeRule::new(|_message| Handshake::Accepted));
/// assert!(Raw::new(settings).is_ok());
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct RawSettings {
    /// The first message of each connection, if it depends on the credentials.
    pub login: Option<LoginMessage>,
    /// Sent after each connect and after the login, in this order; at most [`FIRST_MESSAGES_MAX`].
    pub first_messages: Vec<Frame>,
    /// When the peer has accepted the client; `None` as soon as the transport is open.
    pub handshake: Option<HandshakeRule>,
    /// The largest message that the server accepts, in bytes; above zero. A larger one fails alone, before it is sent.
    pub message_bytes_max: usize,
    /// What close codes require, if it is not what they require by default.
    pub close_codes: BTreeMap<u16, RetryAdvice>,
}

impl RawSettings {
    /// Nothing is said first, and a server that accepts every client and messages of up to this size.
    pub const fn new(message_bytes_max: usize) -> Self {
        Self {
            login: None,
            first_messages: Vec::new(),
            handshake: None,
            message_bytes_max,
            close_codes: BTreeMap::new(),
        }
    }

    /// Sets the first message of each connection.
    #[must_use]
    pub fn login(mut self, login: LoginMessage) -> Self {
        self.login = Some(login);
        self
    }

    /// Sets the messages after the login; at most [`FIRST_MESSAGES_MAX`].
    #[must_use]
    pub fn first_messages(mut self, messages: impl IntoIterator<Item = Frame>) -> Self {
        self.first_messages = messages.into_iter().collect();
        self
    }

    /// Sets when the peer has accepted the client.
    #[must_use]
    pub fn handshake(mut self, rule: HandshakeRule) -> Self {
        self.handshake = Some(rule);
        self
    }

    /// Sets the largest message that the server accepts, in bytes; above zero.
    #[must_use]
    pub const fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    /// Sets what a close code requires; 1005 is a close frame without a code.
    #[must_use]
    pub fn on_close(mut self, code: u16, advice: RetryAdvice) -> Self {
        self.close_codes.insert(code, advice);
        self
    }
}

impl fmt::Debug for RawSettings {
    /// Without the contents of the first messages, which often contain credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawSettings")
            .field("login", &self.login)
            .field("first_messages", &self.first_messages.len())
            .field("handshake", &self.handshake)
            .field("message_bytes_max", &self.message_bytes_max)
            .field("close_codes", &self.close_codes)
            .finish()
    }
}

/// The protocol on one connection.
#[derive(Clone, Debug)]
pub struct Raw {
    settings: RawSettings,
    is_accepted: bool,
    /// The number of received messages.
    received: u64,
    /// The messages of the handshake, until they are delivered or the next one is received.
    held: VecDeque<Frame>,
    /// The number of received messages when the reader became too slow.
    paused_after: Option<u64>,
}

/// The topic of all received messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AllFrames;

/// The message was passed to the transport while the socket accepted bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent;

impl Raw {
    /// The protocol with these settings.
    ///
    /// # Errors
    ///
    /// Returns the first setting that is invalid.
    pub fn new(settings: RawSettings) -> Result<Self, PolicyError> {
        let invalid = |setting, problem| Err(PolicyError { setting, problem });
        if settings.message_bytes_max == 0 {
            return invalid(SessionSetting::MessageBytesMax, "must be above zero");
        }
        let first = &settings.first_messages;
        if first.len() > FIRST_MESSAGES_MAX {
            return invalid(SessionSetting::FirstMessages, "must be at most 64 messages");
        }
        let bytes_max = settings.message_bytes_max;
        if first.iter().any(|it| check(it, bytes_max).is_err()) {
            let problem = "must be within message_bytes_max, and text must be UTF-8";
            return invalid(SessionSetting::FirstMessages, problem);
        }
        Ok(Self {
            settings,
            is_accepted: false,
            received: 0,
            held: VecDeque::new(),
            paused_after: None,
        })
    }

    /// What the client says first, and what it expects of its server.
    pub const fn settings(&self) -> &RawSettings {
        &self.settings
    }

    /// Sends the message that depends on the credentials, if there is one.
    fn log_in(&self, credentials: &Secret, wire: &mut Wire) {
        if let Some(login) = &self.settings.login {
            wire.frame(login.message(credentials));
        }
    }

    /// A message before the peer has accepted the client.
    fn read_handshake(&mut self, frame: &Frame) -> Result<Option<DialectEvent<Self>>, String> {
        if self.held.len() >= HANDSHAKE_MESSAGES_MAX {
            return Err(format!(
                "more than {HANDSHAKE_MESSAGES_MAX} messages before the client was accepted"
            ));
        }
        self.held.push_back(frame.clone());
        let rule = self.settings.handshake.as_ref();
        Ok(
            match rule.map_or(Handshake::Accepted, |rule| rule.evaluate(frame)) {
                Handshake::Continues => None,
                Handshake::Accepted => {
                    self.is_accepted = true;
                    Some(DialectEvent::Accepted {
                        expires_after: None,
                    })
                }
                Handshake::Rejected { reason, advice } => Some(DialectEvent::Rejected {
                    cause: DisconnectCause::HandshakeRejected(reason),
                    advice,
                }),
            },
        )
    }

    /// The subscription begins, or continues after a pause of its reader.
    fn subscribe(&mut self) -> Subscribed<Frame> {
        let held = std::mem::take(&mut self.held);
        let missing = self.received - convert::to_u64(held.len());
        let numbers = missing + 1..;
        Subscribed {
            position: Position {
                epoch: String::new(),
                offset: missing,
            },
            // A position of an earlier connection looks the same: only this connection knows of its own pause.
            is_recovered: self.paused_after.take() == Some(missing),
            items: numbers.map(Some).zip(held).collect(),
        }
    }
}

impl Dialect for Raw {
    type Call = Infallible;
    type Response = Infallible;
    type Message = Frame;
    type Acknowledgement = Sent;
    type Topic = AllFrames;
    type Item = Frame;
    type Refusal = Infallible;

    fn start_handshake(&mut self, credentials: &Secret, wire: &mut Wire) -> EarlyRequests {
        self.log_in(credentials, wire);
        for message in &self.settings.first_messages {
            wire.frame(message.clone());
        }
        self.is_accepted = self.settings.handshake.is_none();
        if self.is_accepted {
            EarlyRequests::All
        } else {
            EarlyRequests::None
        }
    }

    fn read(
        &mut self,
        frame: &Frame,
        _in_flight: &impl InFlight<Self>,
        events: &mut Vec<DialectEvent<Self>>,
        _wire: &mut Wire,
    ) -> Result<(), String> {
        self.received += 1;
        if !self.is_accepted {
            events.extend(self.read_handshake(frame)?);
            return Ok(());
        }
        // No subscription has requested them.
        self.held.clear();
        events.push(DialectEvent::Item {
            topic: AllFrames,
            offset: Some(self.received),
            item: frame.clone(),
        });
        Ok(())
    }

    fn write(
        &mut self,
        _id: u32,
        request: Request<'_, Self>,
        wire: &mut Wire,
    ) -> Option<Outcome<Self>> {
        match request {
            Request::Call(call) => match *call {},
            Request::Message(frame) => {
                wire.frame(frame.clone());
                Some(Outcome::Acknowledged(Sent))
            }
            Request::Subscribe(AllFrames, _) => Some(Outcome::Subscribed(self.subscribe())),
            Request::Unsubscribe(AllFrames) => {
                self.paused_after = Some(self.received);
                None
            }
            Request::Authenticate(credentials) => {
                self.log_in(credentials, wire);
                Some(Outcome::Authenticated)
            }
        }
    }

    fn check(&self, request: Request<'_, Self>) -> Result<(), Unsendable> {
        match request {
            Request::Call(call) => match *call {},
            Request::Message(frame) => check(frame, self.settings.message_bytes_max),
            Request::Subscribe(AllFrames, None)
            | Request::Unsubscribe(AllFrames)
            | Request::Authenticate(_) => Ok(()),
            // There is no history.
            Request::Subscribe(AllFrames, Some(_)) => Err(Unsendable::Unsupported),
        }
    }

    fn item_bytes(frame: &Frame) -> usize {
        frame.payload().len()
    }

    fn advise(&self, loss: &ConnectionLoss) -> RetryAdvice {
        close_advice::for_loss(loss, &self.settings.close_codes)
    }
}

/// Whether a server that accepts messages of this size accepts the message.
fn check(frame: &Frame, bytes_max: usize) -> Result<(), Unsendable> {
    let bytes = frame.payload().len();
    if bytes > bytes_max {
        return Err(Unsendable::TooLarge { bytes, bytes_max });
    }
    match frame {
        Frame::Text(text) => str::from_utf8(text)
            .map(drop)
            .map_err(|error| Unsendable::Unserializable(error.to_string())),
        Frame::Binary(_) => Ok(()),
    }
}

/// There are no calls.
impl super::Call for Infallible {
    fn is_idempotent(&self) -> bool {
        match *self {}
    }
}

/// All messages are sent in order.
impl Message for Frame {
    type Lane = ();

    fn lane(&self) -> &() {
        &()
    }

    fn bytes(&self) -> usize {
        self.payload().len()
    }

    fn delivery(&self) -> Delivery {
        Delivery::Unacknowledged
    }
}

impl Topic for AllFrames {
    type Key = Self;

    fn key(&self) -> &Self {
        self
    }
}

impl SubscribeOptions<AllFrames> {
    /// The options of the subscription to all messages and to the end of each connection, with a buffer of this many
    /// events.
    pub fn all_frames(buffer_len_max: usize) -> Self {
        Self::to(AllFrames, buffer_len_max).report_interruptions()
    }
}
