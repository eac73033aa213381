//! Clients of the Centrifuge client protocol, which the Steadfast gateway speaks.
//!
//! ```no_run
//! use serde_json::json;
//! use steadfast::centrifuge::{Client, Item, SubscriptionEvent};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("ws://127.0.0.1:8000")?.connect()?;
//!
//! let mut news = client.subscribe("news");
//! let acknowledgement = client.publish("news", &json!({ "text": "hello" }))?.await?;
//! println!("stored at offset {}", acknowledgement.position.offset);
//! while let Some(event) = news.next().await {
//!     match event {
//!         SubscriptionEvent::Item(Item::Publication(it)) => println!("{:?}", it.data),
//!         SubscriptionEvent::Gap { .. } => println!("publications are missing: reload the state"),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod history;
mod message;

use bytes::Bytes;
use serde::Serialize;
pub use steadfast_core::dialect::centrifuge::{
    Acknowledgement, Call, CallError, CallResult, Centrifuge, CentrifugeSettings, Channel, Item,
    Publish, Response, SendError, SendResult, SubscribeOptions, SubscriptionEvent,
    UnsubscribeCause,
};
use steadfast_protocol::limits::Limits;
pub use steadfast_protocol::message::{
    ChannelName, ClientInfo, HistoryResult, PayloadKind, Position, PresenceStats, Publication,
    ReplyError,
};

pub use self::history::History;
pub use self::message::{Message, MessageReceipt};
use crate::defaults;
use crate::error::{BuildError, RequestError};
use crate::json;
use steadfast_core::dialect::Unsendable;

/// A handle to a session with a server of this protocol.
///
/// ```no_run
/// use steadfast::centrifuge::Client;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder("ws://127.0.0.1:8000")?.connect()?;
/// client.publish("news", &"hello")?.await?; // stored
/// let everything = client.history("news").fetch().await?;
/// println!("{} publications", everything.publications.len());
/// # Ok(())
/// # }
/// ```
pub type Client = crate::Client<Centrifuge>;
/// Builds a [`Client`] and its [`Driver`].
pub type Builder = crate::Builder<Centrifuge>;
/// The future that runs the session of a [`Client`].
pub type Driver = crate::Driver<Centrifuge>;
/// A subscription to a channel.
pub type Subscription = crate::Subscription<Centrifuge>;

impl Client {
    /// Creates a builder for a client of the server at this URL, for example `wss://example.org`; see
    /// [`Endpoint`](crate::Endpoint).
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn builder(url: &str) -> Result<Builder, BuildError> {
        Builder::new(url, Centrifuge::new(default_settings())?)
    }

    /// Begins a publication with options.
    ///
    /// ```no_run
    /// # async fn run(client: steadfast::centrifuge::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// // Waits while the outbox is full; the receipt then has the outcome.
    /// let receipt = client.message("orders", &17).key("order-17").send().await?;
    /// println!("{:?}", receipt.await);
    /// # Ok(())
    /// # }
    /// ```
    pub fn message<'a>(&'a self, channel: &'a str, data: &impl Serialize) -> Message<'a> {
        Message::new(self, channel, data)
    }

    /// Publishes with a generated idempotency key and without a time limit, and does not wait if the outbox is full.
    ///
    /// # Errors
    ///
    /// The data cannot be serialized as JSON, the outbox or the command queue is full, or the client is closed.
    pub fn publish(
        &self,
        channel: &str,
        data: &impl Serialize,
    ) -> Result<MessageReceipt, RequestError> {
        self.message(channel, data).send_now()
    }

    /// Subscribes to the publications of a channel from now on.
    pub fn subscribe(&self, channel: &str) -> Subscription {
        self.subscribe_with(SubscribeOptions::new(channel, defaults::BUFFER_LEN_MAX))
    }

    /// Calls a method of the server. The call is not repeated when its reply is lost.
    ///
    /// Dropping the future withdraws the call: if it was not sent yet, it is never executed. The same applies to the
    /// other calls.
    ///
    /// # Errors
    ///
    /// The argument cannot be serialized as JSON, or why the call failed and whether it may have been executed.
    pub async fn rpc(&self, method: &str, data: &impl Serialize) -> Result<Bytes, CallError> {
        let data = json::to_bytes(data).map_err(|error| {
            CallError::Unsendable(Unsendable::Unserializable(error.to_string()))
        })?;
        let call = Call::Rpc {
            method: method.to_owned(),
            data,
        };
        let Response::Rpc(data) = self.call(call).await? else {
            return Err(CallError::UnexpectedReply);
        };
        Ok(data)
    }

    /// Begins a query of the history of a channel: by default as many publications as the server returns at most, oldest
    /// first.
    ///
    /// ```no_run
    /// # async fn run(client: steadfast::centrifuge::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let newest = client.history("orders").limit(100).reverse().fetch().await?;
    /// for publication in &newest.publications {
    ///     println!("{}: {:?}", publication.offset, publication.data);
    /// }
    /// let newer = client.history("orders").since(newest.position).fetch().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn history<'a>(&'a self, channel: &'a str) -> History<'a> {
        History::new(self, channel)
    }

    /// Returns the clients that are subscribed to a channel.
    ///
    /// # Errors
    ///
    /// Why the call failed.
    pub async fn presence(&self, channel: &str) -> Result<Vec<ClientInfo>, CallError> {
        let call = Call::Presence {
            channel: channel.to_owned(),
        };
        let Response::Presence(clients) = self.call(call).await? else {
            return Err(CallError::UnexpectedReply);
        };
        Ok(clients)
    }

    /// Returns the number of clients and users that are subscribed to a channel.
    ///
    /// # Errors
    ///
    /// Why the call failed.
    pub async fn presence_stats(&self, channel: &str) -> Result<PresenceStats, CallError> {
        let call = Call::PresenceStats {
            channel: channel.to_owned(),
        };
        let Response::PresenceStats(stats) = self.call(call).await? else {
            return Err(CallError::UnexpectedReply);
        };
        Ok(stats)
    }
}

/// The client name `steadfast`, no application data, and the message limit of the gateway.
fn default_settings() -> CentrifugeSettings {
    CentrifugeSettings::new("steadfast", Limits::MESSAGE_BYTES)
}

impl Builder {
    /// Sets the client name in the connect command, at most 16 bytes; `steadfast` by default.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.with_settings(|settings| settings.name(name))
    }

    /// Sets the largest message that the server accepts, in bytes; 64 KiB by default, as the gateway has it. A larger
    /// publication or call fails alone, before it is sent.
    #[must_use]
    pub fn sent_message_bytes_max(self, bytes: usize) -> Self {
        self.with_settings(|settings| settings.message_bytes_max(bytes))
    }

    /// Sets application data that is sent with each connect command.
    ///
    /// # Errors
    ///
    /// The data cannot be serialized as JSON.
    pub fn data(self, data: &impl Serialize) -> Result<Self, BuildError> {
        let data = Bytes::from(serde_json::to_vec(data)?);
        Ok(self.with_settings(|settings| settings.data(data)))
    }

    fn with_settings(self, change: impl FnOnce(CentrifugeSettings) -> CentrifugeSettings) -> Self {
        let settings = self.dialect().settings().clone();
        self.with_dialect(Centrifuge::new(change(settings)))
    }
}
