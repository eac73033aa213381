//! What a session must know of a protocol.
//!
//! A [`Dialect`] translates: bytes to events, requests to bytes, the end of a connection to [`RetryAdvice`]. It has no
//! clock and no randomness, performs no I/O, and calls nothing. Time, retries, queues and positions belong to the
//! [`crate::Session`], which is written once for all dialects.
//!
//! A session keeps one value of the dialect as it was created, and clones it for each connection: what a dialect learns
//! from a connection ends with it, except what [`Dialect::learn`] keeps.

#[cfg(feature = "centrifuge")]
pub mod centrifuge;
mod close_advice;
mod event;
mod excerpt;
#[cfg(feature = "jsonrpc")]
pub mod jsonrpc;
pub mod raw;
#[cfg(feature = "truenas")]
pub mod truenas;
mod wire;

use std::fmt;

use steadfast_machine::Position;

pub use event::{DialectEvent, Outcome, Subscribed};
pub use excerpt::{Excerpt, Oversized};
pub use wire::{BatchRules, Wire};

use crate::io::{Computed, ConnectionLoss, Frame};
use crate::retry_advice::RetryAdvice;
use crate::secret::Secret;

/// A protocol over a connection that carries messages in order.
pub trait Dialect: Clone + fmt::Debug {
    /// The path of a URL without one. The root by default.
    const DEFAULT_PATH: &'static str = "/";

    /// An idempotent call that was in flight in this number of losses is not sent again: it may cause them, for example by
    /// a crash of the server. Without a limit by default: its deadline ends the repetitions.
    const CALL_LOSSES_MAX: u8 = u8::MAX;

    /// Begins to read a message that is above the limit of the client. Without it, which is the default, such a message ends
    /// the connection.
    const EXCERPT: Option<fn() -> Box<dyn Excerpt>> = None;

    /// A request with one reply, which the application waits for.
    type Call: Call;
    /// The result of a call.
    type Response: Clone + fmt::Debug + PartialEq;
    /// A message that the outbox sends.
    type Message: Message;
    /// What the peer says when it has accepted a message.
    type Acknowledgement: Clone + fmt::Debug + PartialEq;
    /// What a client subscribes to.
    type Topic: Topic;
    /// What a subscription delivers.
    type Item: Clone + fmt::Debug + PartialEq;
    /// What the peer says when it rejects a request.
    type Refusal: Clone + fmt::Debug + fmt::Display + PartialEq;

    /// The transport is open: writes the first messages, and says which requests may follow them before the peer has
    /// accepted the client. A handshake of several steps continues in [`Self::read`] and [`Self::computed`].
    fn start_handshake(&mut self, credentials: &Secret, wire: &mut Wire) -> EarlyRequests;

    /// Adds what a received message means to `events`, in order. Replies that the protocol itself requires are written
    /// to `wire`.
    ///
    /// # Errors
    ///
    /// Returns a description of the violation if the peer violates the protocol; the connection is then given up.
    fn read(
        &mut self,
        frame: &Frame,
        in_flight: &impl InFlight<Self>,
        events: &mut Vec<DialectEvent<Self>>,
        wire: &mut Wire,
    ) -> Result<(), String>;

    /// Adds what a message above the limit means to `events`: to which request it is the reply, as far as the
    /// [`Excerpt`] of the dialect shows. Called only with [`Self::EXCERPT`].
    fn read_oversized(&mut self, oversized: &Oversized, events: &mut Vec<DialectEvent<Self>>) {
        let bytes = oversized.bytes;
        events.push(DialectEvent::Oversized { id: None, bytes });
    }

    /// Writes a request. `id` is unique on this connection among the requests without a reply; a reply to it is reported
    /// with the same id. Returns the outcome of a message, a subscription or credentials to which the peer does not reply;
    /// `None` if it replies, and for every call. A protocol that cannot end a subscription writes nothing for
    /// [`Request::Unsubscribe`]: later items are ignored.
    fn write(
        &mut self,
        id: u32,
        request: Request<'_, Self>,
        wire: &mut Wire,
    ) -> Option<Outcome<Self>>;

    /// Whether a request can be sent at all, so that one that the peer would punish fails alone and not the connection.
    /// A request that is not valid is never written. A protocol that cannot authenticate an open connection returns
    /// [`Unsendable::Unsupported`] for [`Request::Authenticate`]: the next connection uses the credentials.
    ///
    /// # Errors
    ///
    /// Returns why it cannot be sent.
    fn check(&self, request: Request<'_, Self>) -> Result<(), Unsendable>;

    /// Whether a login with these credentials can begin: otherwise it is not sent, and the credentials count as rejected.
    /// Always by default.
    ///
    /// # Errors
    ///
    /// Returns why its first message cannot be sent.
    fn check_login(&self, _credentials: &Secret) -> Result<(), Unsendable> {
        Ok(())
    }

    /// The size of an item in bytes, for [`buffer_bytes_max`](crate::io::SubscribeOptions::buffer_bytes_max). Zero by
    /// default, so that only the number of items is limited: enough if the peer limits their size.
    fn item_bytes(_: &Self::Item) -> usize {
        0
    }

    /// How a client stays accepted when its credentials do not change. By other credentials by default.
    fn renewal(&self) -> Renewal {
        Renewal::OtherCredentials
    }

    /// The result of a [`DialectEvent::Compute`] with this id, as if it were a message of the peer. Ignored by default.
    fn computed(
        &mut self,
        _id: u32,
        _computed: Computed,
        _events: &mut Vec<DialectEvent<Self>>,
        _wire: &mut Wire,
    ) {
    }

    /// Called for the dialect as it was created, with the dialect of a connection that has ended or is about to be replaced:
    /// adopts what later connections have to know, such as a token for the next login. Nothing by default.
    fn learn(&mut self, _connection: &Self) {}

    /// What the end of a connection requires.
    fn advise(&self, loss: &ConnectionLoss) -> RetryAdvice;

    /// Whether a call in flight may have caused this end of its connection, for example because the peer rejects its
    /// size: then no call is repeated that was in flight, also not an idempotent one. False by default.
    fn is_caused_by_call(_loss: &ConnectionLoss) -> bool {
        false
    }
}

/// What pending calls must know of a call.
pub trait Call: Clone + fmt::Debug + PartialEq {
    /// Whether executing the call twice has the same effect as executing it once. After a lost connection, a call that
    /// was sent is repeated if so, and fails otherwise.
    fn is_idempotent(&self) -> bool;

    /// Whether the call changes something, so that the application has to know whether it may have been executed. By default
    /// an idempotent call changes nothing.
    fn has_effect(&self) -> bool {
        !self.is_idempotent()
    }
}

/// What the outbox must know of a message.
pub trait Message: Clone + fmt::Debug + PartialEq {
    /// Messages of one lane are sent in order; lanes are independent of each other.
    type Lane: Ord + Clone + fmt::Debug;

    /// The lane of this message.
    fn lane(&self) -> &Self::Lane;

    /// The size of its payload in bytes, for the limit of the outbox.
    fn bytes(&self) -> usize;

    /// What the peer does with it.
    fn delivery(&self) -> Delivery;
}

/// What a peer does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It does not reply: the message has its outcome as soon as it is passed to the transport, which happens while the
    /// socket accepts bytes.
    Unacknowledged,
    /// It replies, and recognizes a message that it receives twice: an unacknowledged message is sent again.
    AtLeastOnce,
    /// It replies, and would apply a message twice: an unacknowledged message is not sent again.
    AtMostOnce,
}

/// What subscriptions must know of a topic.
pub trait Topic: Clone + fmt::Debug + PartialEq {
    /// What identifies the topic to the peer: one subscription for each.
    type Key: Ord + Clone + fmt::Debug;

    /// The key of this topic.
    fn key(&self) -> &Self::Key;
}

/// A topic that is only a name.
impl Topic for String {
    type Key = Self;

    fn key(&self) -> &Self {
        self
    }
}

/// A request to write.
#[derive(Debug)]
pub enum Request<'a, D: Dialect> {
    /// A call of the application.
    Call(&'a D::Call),
    /// A message of the outbox.
    Message(&'a D::Message),
    /// Subscribe to a topic, after a position if there is one.
    Subscribe(&'a D::Topic, Option<&'a Position>),
    /// End a subscription at the peer.
    Unsubscribe(&'a D::Topic),
    /// Authenticate the open connection with these credentials, before the previous ones expire.
    Authenticate(&'a Secret),
}

#[expect(
    clippy::expl_impl_clone_on_copy,
    reason = "a derive would require that the dialect is `Copy`"
)]
impl<D: Dialect> Clone for Request<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Dialect> Copy for Request<'_, D> {}

/// The requests that a reply can belong to.
pub trait InFlight<D: Dialect> {
    /// The request that was sent with this id and has no reply yet.
    fn request(&self, id: u32) -> Option<Request<'_, D>>;
}

/// Which requests may be sent before the peer has accepted the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyRequests {
    /// All: the peer does not have to accept the client, and the handshake is complete.
    All,
    /// The peer has to accept the client first.
    None,
    /// At most this number of subscriptions, so that they share the round trip of the handshake.
    Subscriptions(usize),
}

/// How a client stays accepted when the time is over for which the peer has accepted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Renewal {
    /// Only other credentials help: without a way to fetch them, nothing is renewed.
    OtherCredentials,
    /// The client authenticates the open connection again, also with the same credentials.
    SameConnection,
    /// The peer accepts no second authentication of an open connection: another connection replaces it.
    OtherConnection,
}

/// Why a request cannot be sent over any connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsendable {
    /// The message exceeds the size limit of the peer, which would close the connection.
    #[error("the message has up to {bytes} bytes, above the limit of {bytes_max} bytes")]
    TooLarge {
        /// The largest size that it may have when it is encoded.
        bytes: usize,
        /// The longest that the peer accepts.
        bytes_max: usize,
    },
    /// The name of the topic exceeds the limit of the peer.
    #[error("the name has {bytes} bytes, above the limit of {bytes_max} bytes")]
    NameTooLong {
        /// The length of the name.
        bytes: usize,
        /// The longest that the peer accepts.
        bytes_max: usize,
    },
    /// The data cannot be written in the format of the protocol.
    #[error("failed to serialize the data: {0}")]
    Unserializable(String),
    /// The protocol has no such request.
    #[error("the protocol does not support this request")]
    Unsupported,
}

#[cfg(test)]
mod tests {
    use super::Topic as _;

    #[test]
    fn a_topic_that_is_only_a_name_is_its_own_key() {
        let name = "orders".to_owned();

        assert_eq!(name.key(), &name);
    }
}
