//! The Centrifuge client protocol, with idempotent publishing by the RPC method `gw.publish` of the Steadfast gateway.
//!
//! The client name, the application data and the limit of the server are the [`CentrifugeSettings`]. Subscribe commands
//! share the message of the connect command, so that a resuming client needs one round trip.

mod advice;
mod read;
mod types;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Command, ConnectRequest, Request as ProtocolRequest};

pub use types::{Acknowledgement, Call, Channel, Item, Publish, Response};

use super::{
    BatchRules, Dialect, DialectEvent, EarlyRequests, InFlight, Outcome, Request, Unsendable, Wire,
};
use crate::io::{ConnectionLoss, Frame};
use crate::policy::{PolicyError, SessionSetting};
use crate::retry_advice::RetryAdvice;
use crate::secret::Secret;
use steadfast_protocol::message::ReplyError;

/// A session of this protocol.
pub type Session = crate::Session<Centrifuge>;
/// An input of such a session.
pub type Input = crate::io::Input<Centrifuge>;
/// An output of such a session.
pub type Output = crate::io::Output<Centrifuge>;
/// An event of a subscription of such a session.
pub type SubscriptionEvent = crate::io::EventOf<Centrifuge>;
/// The options of a subscription of such a session.
pub type SubscribeOptions = crate::io::SubscribeOptions<Channel>;
/// A message of such a session.
pub type Outgoing = crate::io::Outgoing<Publish>;
/// The outcome of a message of such a session.
pub type SendResult = crate::io::SendResult<Centrifuge>;
/// Why a message of such a session was not acknowledged.
pub type SendError = crate::io::SendError<ReplyError>;
/// The result of a call of such a session.
pub type CallResult = crate::io::CallResult<Centrifuge>;
/// Why a call of such a session has no result.
pub type CallError = crate::io::CallError<ReplyError>;
/// Why a subscription of such a session ended.
pub type UnsubscribeCause = crate::io::UnsubscribeCause<ReplyError>;

/// The encoding of every connection; the driver frames messages as this encoding requires.
pub const ENCODING: Encoding = Encoding::Json;

/// The maximum number of commands in a message: half of what other servers of this protocol accept.
const COMMANDS_MAX: usize = Limits::COMMANDS_MAX / 2;

/// The assumed size of a subscribe command, without channel name and epoch.
const SUBSCRIBE_BYTES: usize = 1_024;

/// The longest name of a client in bytes.
const NAME_BYTES_MAX: usize = 16;

/// What a client says about itself, and the limit of its server.
///
/// ```
/// use bytes::Bytes;
/// use steadfast_core::dialect::centrifuge::{Centrifuge, CentrifugeSettings};
///
/// let settings = CentrifugeSettings::new("sensor", 64 << 10).data(Bytes::from_static(b"{}"));
/// assert!(Centrifuge::new(settings).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CentrifugeSettings {
    /// The client name in the connect command; at most 16 bytes.
    pub name: String,
    /// Application data in the connect command, raw JSON.
    pub data: Option<Bytes>,
    /// The largest message that the server accepts, in bytes; above zero. The gateway of Steadfast accepts
    /// [`Limits::MESSAGE_BYTES`].
    pub message_bytes_max: usize,
}

impl CentrifugeSettings {
    /// This client name, no application data, and a server that accepts messages of up to this size.
    pub fn new(name: &str, message_bytes_max: usize) -> Self {
        Self {
            name: name.to_owned(),
            data: None,
            message_bytes_max,
        }
    }

    /// Sets the client name; at most 16 bytes.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Sets the application data, raw JSON.
    #[must_use]
    pub fn data(mut self, data: Bytes) -> Self {
        self.data = Some(data);
        self
    }

    /// Sets the largest message that the server accepts, in bytes; above zero.
    #[must_use]
    pub const fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }
}

/// The protocol on one connection.
#[derive(Clone, Debug)]
pub struct Centrifuge {
    /// Shared by all connections of a session.
    settings: Arc<CentrifugeSettings>,
    /// The id of the connect command, while its reply is awaited.
    connect_id: Option<u32>,
    /// The server requires a pong for each of its pings.
    is_pong_required: bool,
}

impl Centrifuge {
    /// The protocol with these settings.
    ///
    /// # Errors
    ///
    /// Returns the first setting that is invalid.
    pub fn new(settings: CentrifugeSettings) -> Result<Self, PolicyError> {
        let invalid = |setting, problem| Err(PolicyError { setting, problem });
        if settings.name.len() > NAME_BYTES_MAX {
            return invalid(SessionSetting::Name, "must have at most 16 bytes");
        }
        if settings.message_bytes_max == 0 {
            return invalid(SessionSetting::MessageBytesMax, "must be above zero");
        }
        Ok(Self {
            settings: Arc::new(settings),
            connect_id: None,
            is_pong_required: false,
        })
    }

    /// What the client says about itself, and the limit of its server.
    pub fn settings(&self) -> &CentrifugeSettings {
        &self.settings
    }

    fn batch_rules(&self) -> BatchRules {
        let bytes_max = self.settings.message_bytes_max;
        BatchRules::new(ENCODING.separator(), bytes_max, COMMANDS_MAX)
    }

    fn command(&self, id: u32, request: ProtocolRequest, wire: &mut Wire) {
        wire.batch(&self.batch_rules(), |out| {
            ENCODING.append_command(out, &Command { id, request });
        });
    }
}

impl Dialect for Centrifuge {
    const DEFAULT_PATH: &'static str = "/connection/websocket";

    type Call = Call;
    type Response = Response;
    type Message = Publish;
    type Acknowledgement = Acknowledgement;
    type Topic = Channel;
    type Item = Item;
    type Refusal = ReplyError;

    fn start_handshake(&mut self, credentials: &Secret, wire: &mut Wire) -> EarlyRequests {
        let connect = ConnectRequest {
            token: credentials.expose().to_owned(),
            data: self.settings.data.clone(),
            name: self.settings.name.clone(),
            ..ConnectRequest::default()
        };
        // Subscribe commands share this message up to half of its limit; the others follow its reply.
        let length = connect.token.len() + connect.data.as_ref().map_or(0, Bytes::len);
        let space = (self.settings.message_bytes_max / 2).saturating_sub(length);
        let id = wire.take_id();
        self.connect_id = Some(id);
        self.command(id, ProtocolRequest::Connect(connect), wire);
        EarlyRequests::Subscriptions(space.div_ceil(SUBSCRIBE_BYTES))
    }

    fn read(
        &mut self,
        frame: &Frame,
        in_flight: &impl InFlight<Self>,
        events: &mut Vec<DialectEvent<Self>>,
        wire: &mut Wire,
    ) -> Result<(), String> {
        let Frame::Text(message) = frame else {
            return Err("unsupported binary message from the server".to_owned());
        };
        for reply in ENCODING.decode_replies(message, &Limits::REPLIES) {
            let reply = reply.map_err(|error| error.to_string())?;
            self.on_reply(reply, in_flight, events, wire)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        id: u32,
        request: Request<'_, Self>,
        wire: &mut Wire,
    ) -> Option<Outcome<Self>> {
        wire.batch(&self.batch_rules(), |out| {
            write::append_command(out, id, request);
        });
        None
    }

    fn check(&self, request: Request<'_, Self>) -> Result<(), Unsendable> {
        write::check(request, self.settings.message_bytes_max)
    }

    fn advise(&self, loss: &ConnectionLoss) -> RetryAdvice {
        advice::for_loss(loss)
    }
}
