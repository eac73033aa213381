//! Clients of any WebSocket server, whatever is said in its messages: for exchange feeds, devices and protocols of your
//! own.
//!
//! The client reconnects, says its first messages again, detects dead connections, and limits what waits to be sent; the
//! messages themselves are yours.
//!
//! ```no_run
//! use steadfast::websocket::{Client, Event};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("wss://feed.example/ws")?
//!     .subprotocol("v1")
//!     .first_messages([r#"{"op":"subscribe","channel":"trades"}"#])
//!     .accepted_when(|message| message.as_text().is_some_and(|it| it.contains("subscribed")))
//!     .connect()?;
//! let mut inbox = client.receive();
//!
//! let _receipt = client.send_text(r#"{"op":"ping"}"#).await?;
//! while let Some(event) = inbox.next().await {
//!     match event {
//!         Event::Connected { .. } => println!("load the state again"),
//!         Event::Message(message) => println!("{:?}", message.as_text()),
//!         Event::Missed { messages } => println!("too slow: {messages} messages are missing"),
//!         Event::Disconnected { cause } => println!("waiting for the next connection: {cause}"),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - **Sending** is at most once. A message is [`Sent`] when it is passed to the transport while the socket accepts bytes;
//!   whether the server received it, only a reply of its own can say. While there is no connection, or the socket accepts
//!   nothing, messages wait in the outbox, see [`Builder::outbox`](crate::Builder::outbox). None is sent twice.
//! - **Receiving** is in order, and everything that may be missing is reported: [`Event::Connected`] after each loss, since
//!   no server is asked for what it sent in the meantime, and [`Event::Missed`] if the application reads too slowly.
//! - **Close codes** never end the session by default; see [`Builder::on_close`](crate::Builder::on_close).

mod inbox;

use bytes::Bytes;
pub use steadfast_core::dialect::raw::{
    AllFrames, FIRST_MESSAGES_MAX, HANDSHAKE_MESSAGES_MAX, Handshake, HandshakeRule, LoginMessage,
    Raw, RawSettings, SendError, SendResult, Sent,
};
pub use steadfast_core::io::Frame;
use steadfast_core::io::SubscribeOptions;

pub use self::inbox::{Event, Inbox};
use crate::defaults;
use crate::error::{BuildError, RequestError};
use crate::retry_advice::RetryAdvice;

/// A handle to a session with a WebSocket server.
///
/// ```no_run
/// use steadfast::websocket::Client;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder("wss://feed.example/ws")?.connect()?;
/// let mut inbox = client.receive();
/// client.send_text("hello").await?.await?; // passed to the transport
/// println!("{:?}", inbox.next().await);
/// # Ok(())
/// # }
/// ```
pub type Client = crate::Client<Raw>;
/// Builds a [`Client`] and its [`Driver`].
pub type Builder = crate::Builder<Raw>;
/// The future that runs the session of a [`Client`].
pub type Driver = crate::Driver<Raw>;
/// The future of a message's outcome.
pub type Receipt = crate::Receipt<Raw>;

impl Client {
    /// Creates a builder for a client of the server at this URL, for example `wss://example.org/ws`; see
    /// [`Endpoint`](crate::Endpoint).
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn builder(url: &str) -> Result<Builder, BuildError> {
        Builder::new(url, Raw::new(default_settings())?)
    }

    /// Sends a text message. Waits for space in the outbox if the client was built with [`Overflow::Wait`], the default;
    /// see [`Self::send_message`].
    ///
    /// ```no_run
    /// # async fn run(client: steadfast::websocket::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let receipt = client.send_text("hello").await?; // it waits in the outbox
    /// receipt.await?; // it was passed to the transport
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The client is closed; with [`Overflow::Reject`], the outbox is full; with [`Overflow::DropOldest`], the command
    /// queue is full.
    ///
    /// [`Overflow::Wait`]: crate::Overflow::Wait
    /// [`Overflow::Reject`]: crate::Overflow::Reject
    /// [`Overflow::DropOldest`]: crate::Overflow::DropOldest
    pub async fn send_text(&self, text: impl Into<String>) -> Result<Receipt, RequestError> {
        self.send_message(Frame::from(text.into()), None).await
    }

    /// Sends a binary message; see [`Self::send_text`].
    ///
    /// # Errors
    ///
    /// As for [`Self::send_text`].
    pub async fn send_binary(&self, data: impl Into<Bytes>) -> Result<Receipt, RequestError> {
        self.send_message(Frame::from(data.into()), None).await
    }

    /// Sends a text message without waiting for space in the outbox.
    ///
    /// # Errors
    ///
    /// The outbox or the command queue is full, or the client is closed.
    pub fn send_text_now(&self, text: impl Into<String>) -> Result<Receipt, RequestError> {
        self.send_message_now(Frame::from(text.into()), None)
    }

    /// Sends a binary message without waiting for space in the outbox.
    ///
    /// # Errors
    ///
    /// The outbox or the command queue is full, or the client is closed.
    pub fn send_binary_now(&self, data: impl Into<Bytes>) -> Result<Receipt, RequestError> {
        self.send_message_now(Frame::from(data.into()), None)
    }

    /// Receives all messages from now on, with a buffer of [`defaults::BUFFER_LEN_MAX`] events and
    /// [`defaults::BUFFER_BYTES_MAX`] bytes; see [`Self::receive_with`].
    pub fn receive(&self) -> Inbox {
        self.receive_with(defaults::BUFFER_LEN_MAX, defaults::BUFFER_BYTES_MAX)
    }

    /// Receives all messages from now on. Called immediately after [`Builder::connect`](crate::Builder::connect), or before
    /// the driver of [`Builder::build`](crate::Builder::build) is spawned, it misses none. A client has one inbox at a time;
    /// messages that are received without one are discarded, and counted in [`Event::Connected`].
    ///
    /// While more than `events_max` events wait to be read, at least 1, or messages of more than `bytes_max` bytes, the
    /// newest messages are discarded until half of both is free; their number is reported as [`Event::Missed`]. One message
    /// more than the limit may be in the buffer.
    pub fn receive_with(&self, events_max: usize, bytes_max: usize) -> Inbox {
        let options = SubscribeOptions::all_frames(events_max).buffer_bytes_max(bytes_max);
        Inbox::new(self.subscribe_with(options))
    }
}

/// Nothing is said first, the server accepts every client, and its limit is unknown.
const fn default_settings() -> RawSettings {
    RawSettings::new(defaults::OUTBOX.bytes_max)
}

impl Builder {
    /// Sets the function that makes the first message of each connection from the credentials; see
    /// [`Self::credentials`] and [`Self::token`]. None by default.
    ///
    /// The function must depend on the credentials only: a signature with a time of day belongs into the function that
    /// fetches the credentials. If the application replaces the credentials, the message is sent over the open connection
    /// too.
    ///
    /// ```no_run
    /// use steadfast::websocket::{Client, Frame};
    ///
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = Client::builder("wss://feed.example/ws")?
    ///     .token("secret")
    ///     .login(|token| Frame::from(format!(r#"{{"op":"login","key":"{token}"}}"#)));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn login(self, message: impl Fn(&str) -> Frame + Send + Sync + 'static) -> Self {
        let login = LoginMessage::new(move |credentials| message(credentials.expose()));
        self.with_raw_settings(|settings| settings.login(login))
    }

    /// Sets the messages that are sent after each connect, before everything that is queued, for example subscriptions; at
    /// most [`FIRST_MESSAGES_MAX`]. None by default.
    #[must_use]
    pub fn first_messages(self, messages: impl IntoIterator<Item = impl Into<Frame>>) -> Self {
        let messages = messages.into_iter().map(Into::into);
        self.with_raw_settings(|settings| settings.first_messages(messages))
    }

    /// Sets which message of the server says that it has accepted the client: until then nothing else is sent, and the
    /// attempt fails after [`Self::connect_timeout`]. By default, the client is accepted as soon as the connection is open.
    ///
    /// The function must depend on the message only. The messages up to this one are delivered too, after
    /// [`Event::Connected`]; a server that sends more than [`HANDSHAKE_MESSAGES_MAX`] of them is disconnected.
    #[must_use]
    pub fn accepted_when(
        self,
        is_accepted: impl Fn(&Frame) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.handshake(move |message| {
            if is_accepted(message) {
                Handshake::Accepted
            } else {
                Handshake::Continues
            }
        })
    }

    /// Sets a function that evaluates the messages of the server until it has accepted or rejected the client; for servers
    /// that only accept, [`Self::accepted_when`] is shorter.
    ///
    /// ```no_run
    /// use steadfast::retry_advice::RetryAdvice;
    /// use steadfast::websocket::{Client, Handshake};
    ///
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = Client::builder("wss://feed.example/ws")?.handshake(|message| {
    ///     match message.as_text() {
    ///         Some("welcome") => Handshake::Accepted,
    ///         Some("wrong key") => Handshake::Rejected {
    ///             reason: "wrong key".to_owned(),
    ///             advice: RetryAdvice::GIVE_UP,
    ///         },
    ///         _ => Handshake::Continues,
    ///     }
    /// });
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn handshake(self, evaluate: impl Fn(&Frame) -> Handshake + Send + Sync + 'static) -> Self {
        let rule = HandshakeRule::new(evaluate);
        self.with_raw_settings(|settings| settings.handshake(rule))
    }

    /// Sets what a close code of the server requires; 1005 is a close frame without a code.
    ///
    /// By default the client reconnects after every code: spread over time after 1001 and 1012, with the delay after a
    /// failed attempt after 1013 and after the codes of violations (1002, 1003, 1007 to 1010), with the usual delay after
    /// all others, also after 1000 and those of applications (4000 to 4999). After 1013, with which a server says that it
    /// is overloaded, its endpoint is held down.
    #[must_use]
    pub fn on_close(self, code: u16, advice: RetryAdvice) -> Self {
        self.with_raw_settings(|settings| settings.on_close(code, advice))
    }

    /// Sets the largest message that the server accepts, in bytes; 8 MiB by default, the size of the outbox. A larger
    /// message fails alone, before it is sent.
    #[must_use]
    pub fn sent_message_bytes_max(self, bytes: usize) -> Self {
        self.with_raw_settings(|settings| settings.message_bytes_max(bytes))
    }

    fn with_raw_settings(self, change: impl FnOnce(RawSettings) -> RawSettings) -> Self {
        let settings = self.dialect().settings().clone();
        self.with_dialect(Raw::new(change(settings)))
    }
}
