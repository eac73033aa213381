//! Clients of servers that speak JSON-RPC 2.0 over WebSocket.
//!
//! ```no_run
//! use steadfast::jsonrpc::{Class, Client};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("wss://rpc.example/ws")?
//!     .class("get_*", Class::Read)
//!     .class("set_*", Class::Idempotent)
//!     .calls_in_flight_max(64)
//!     .connect()?;
//!
//! let height: u64 = client.request("get_height", &()).await?;
//! let order: u64 = client.request("create_order", &("tea", 2)).await?;
//! println!("order {order} at height {height}");
//! # Ok(())
//! # }
//! ```
//!
//! - **Each call has one outcome.** A result or an error of the server; or [`CallError`] says whether the server may have
//!   executed it: [`CallError::Interrupted`] after a lost connection, [`CallError::TimedOut`] after
//!   [`Builder::call_timeout`](crate::Builder::call_timeout), which covers waiting for a connection, repetitions and the
//!   reply.
//! - **A write is never repeated** after it was sent. Methods are writes, unless [`Builder::class`] or
//!   [`MethodRequest::class`] says that executing one twice does no harm: those are sent again over the next connection.
//! - **A call that ends its connection is not repeated**, whatever its class: one that the server closes the connection
//!   for, or that was in flight in three losses in a row.
//! - **Notifications of the server** arrive in subscriptions, see [`Client::subscribe`].

#[cfg(feature = "tower")]
mod call_service;
mod method_request;

use serde::Serialize;
use serde::de::DeserializeOwned;
pub use steadfast_core::dialect::jsonrpc::{
    CallError, Class, ErrorObject, Feed, FeedKey, IdForm, IsUnauthenticated, JsonRpc,
    JsonRpcSettings, Login, LoginCall, LoginRejection, LoginRequest, LoginStep, LoginVerdict,
    MethodCall, MethodPattern, Notification, SendError, SubscriptionEvent, codes,
};
use steadfast_core::io::SubscribeOptions;
use thiserror::Error;

#[cfg(feature = "tower")]
pub use self::call_service::{CallFuture, CallRequest, CallService};
pub use self::method_request::MethodRequest;
use crate::defaults;
use crate::error::{BuildError, RequestError};
use crate::retry_advice::RetryAdvice;

/// A handle to a session with a server of this protocol.
pub type Client = crate::Client<JsonRpc>;
/// Builds a [`Client`] and its [`Driver`].
pub type Builder = crate::Builder<JsonRpc>;
/// The future that runs the session of a [`Client`].
pub type Driver = crate::Driver<JsonRpc>;
/// A subscription to notifications of the server.
pub type Subscription = crate::Subscription<JsonRpc>;
/// The future of a notification's outcome: it was passed to the transport, or it was not.
pub type Receipt = crate::Receipt<JsonRpc>;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The call was executed, and its result does not have the type that the program expects.
    #[error("the result has another type: {0}")]
    Result(String),
}

impl Client {
    /// Creates a builder for a client of the server at this URL, for example `wss://example.org/rpc`; see
    /// [`Endpoint`](crate::Endpoint).
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn builder(url: &str) -> Result<Builder, BuildError> {
        Builder::new(url, JsonRpc::new(default_settings())?)
    }

    /// Calls a method of the server. `params` is an array, a tuple, or a struct; `()` sends none. [`Self::method`] has more
    /// options.
    ///
    /// Dropping the future withdraws the call: if it was not sent yet, it is never executed.
    ///
    /// # Errors
    ///
    /// Why the call failed, and whether it may have been executed; or its result has another type than `R`.
    pub async fn request<R: DeserializeOwned>(
        &self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<R, Error> {
        self.method(method).request(params).await
    }

    /// Begins a call with options.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use steadfast::jsonrpc::Class;
    ///
    /// # async fn run(client: steadfast::jsonrpc::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let pools: Vec<String> = client
    ///     .method("pool.list")
    ///     .class(Class::Read)
    ///     .timeout(Duration::from_secs(60))
    ///     .request(&())
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn method<'a>(&'a self, method: &'a str) -> MethodRequest<'a> {
        MethodRequest::new(self, method, self.class_of(method))
    }

    /// What calling this method twice does, as the builder says; see [`Builder::class`].
    ///
    /// ```
    /// use steadfast::jsonrpc::{Class, Client};
    ///
    /// # fn show(client: &Client) {
    /// if client.class_of("pool.query") == Class::Read {
    ///     println!("it is repeated over the next connection");
    /// }
    /// # }
    /// ```
    pub fn class_of(&self, method: &str) -> Class {
        self.dialect.settings().class_of(method)
    }

    /// Returns the calls of this handle as a service for the layers of `tower`, with the time limit of this handle. Cheap;
    /// the service keeps the session open, as a handle does.
    ///
    /// Dropping the future of a call withdraws it, so a timeout layer ends a call that was not sent without an execution.
    /// A retry layer has to distinguish the errors: [`CallError`] says whether the call may have been executed.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use steadfast::jsonrpc::{CallRequest, Client};
    /// use tower::{Service, ServiceBuilder, ServiceExt};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let client = Client::builder("wss://rpc.example/ws")?.calls_max(100).connect()?;
    /// let mut service = ServiceBuilder::new()
    ///     .load_shed() // an error at once while 100 calls are pending
    ///     .timeout(Duration::from_secs(2))
    ///     .service(client.service());
    ///
    /// let request = CallRequest::new("get_height", &())?;
    /// let height = service.ready().await?.call(request).await?;
    /// let height: u64 = serde_json::from_slice(&height)?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tower")]
    pub fn service(&self) -> CallService {
        CallService::new(self.clone())
    }

    /// Sends a notification, to which the server does not reply. It is sent at most once; the receipt says whether it was
    /// passed to the transport. Waits for space in the outbox if the client was built with
    /// [`Overflow::Wait`](crate::Overflow::Wait), the default.
    ///
    /// # Errors
    ///
    /// The params cannot be serialized, the client is closed, or the outbox or the command queue is full.
    pub async fn notify(
        &self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<Receipt, RequestError> {
        let notification = Notification {
            method: method.to_owned(),
            params: method_request::params_of(params)?,
        };
        self.send_message(notification, None).await
    }

    /// Subscribes to notifications of the server from now on. There is no history: after a lost connection, the subscription
    /// is requested again and reports a gap.
    pub fn subscribe(&self, feed: Feed) -> Subscription {
        let options = SubscribeOptions::to(feed, defaults::BUFFER_LEN_MAX);
        self.subscribe_with(options.buffer_bytes_max(defaults::BUFFER_BYTES_MAX))
    }
}

/// No login, ids as numbers, no batches, and a server whose limit is unknown.
const fn default_settings() -> JsonRpcSettings {
    JsonRpcSettings::new(defaults::OUTBOX.bytes_max)
}

impl Builder {
    /// Sets what executing methods twice does, by name; the first pattern that matches counts, see [`MethodPattern`].
    /// Without one, a method is a write.
    #[must_use]
    pub fn class(self, methods: &str, class: Class) -> Self {
        let methods = MethodPattern::new(methods);
        self.with_jsonrpc(|settings| settings.class(methods, class))
    }

    /// Sets how each connection begins: a [`LoginCall`], or any [`Login`] of several steps; see [`Self::credentials`] and
    /// [`Self::token`]. Until it has succeeded nothing else is sent. None by default.
    ///
    /// ```no_run
    /// use serde_json::json;
    /// use steadfast::jsonrpc::{Client, LoginCall, LoginRequest};
    ///
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = Client::builder("wss://rpc.example/ws")?
    ///     .token("secret")
    ///     .login(LoginCall::new(|key| LoginRequest {
    ///         method: "login".to_owned(),
    ///         params: json!([key.expose()]).to_string().into(),
    ///     }));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn login(self, login: impl Login + 'static) -> Self {
        self.with_jsonrpc(|settings| settings.login(login))
    }

    /// Sets how the error is recognized with which the server rejects a request, without executing it, because it no longer
    /// knows the client. The client then logs in again over the open connection, once however many requests were rejected,
    /// and sends them again. Without it, such an error is the outcome of the call.
    #[must_use]
    pub fn unauthenticated(self, is_unauthenticated: IsUnauthenticated) -> Self {
        self.with_jsonrpc(|settings| settings.unauthenticated(is_unauthenticated))
    }

    /// Sets how ids are written; as numbers by default. Responses are recognized in any form.
    #[must_use]
    pub fn id_form(self, form: IdForm) -> Self {
        self.with_jsonrpc(|settings| settings.id_form(form))
    }

    /// Sets the most calls in one batch, above zero; 1 by default, which sends none. Calls that are made at the same time
    /// share a message then.
    #[must_use]
    pub fn batch_max(self, calls: usize) -> Self {
        self.with_jsonrpc(|settings| settings.batch_max(calls))
    }

    /// Sets the largest message that the server accepts, in bytes; 8 MiB by default, the size of the outbox. A larger call
    /// fails alone, before it is sent.
    #[must_use]
    pub fn sent_message_bytes_max(self, bytes: usize) -> Self {
        self.with_jsonrpc(|settings| settings.message_bytes_max(bytes))
    }

    /// Adds a code of errors that say that a call was not executed because the connection has too many, as far as the error
    /// has no data. None by default. Such a call is sent again within its timeout, whatever its class, and for some time
    /// fewer calls are in flight; if the server rejects it until then, it ends with [`CallError::ServerBusy`].
    #[must_use]
    pub fn too_many_calls(self, code: i64) -> Self {
        self.with_jsonrpc(|settings| settings.too_many_calls(code))
    }

    /// Ends a subscription with any error of the server, so that the application learns of it. By default it ends with -32600,
    /// -32601 and -32602, and is requested again after others.
    #[must_use]
    pub fn end_rejected_subscriptions(self) -> Self {
        self.with_jsonrpc(JsonRpcSettings::end_rejected_subscriptions)
    }

    /// Sets what a close code of the server requires; 1005 is a close frame without a code. By default the client reconnects
    /// after every code, and calls in flight are not repeated after 1003, 1007 and 1009, which reject a message.
    #[must_use]
    pub fn on_close(self, code: u16, advice: RetryAdvice) -> Self {
        self.with_jsonrpc(|settings| settings.on_close(code, advice))
    }

    fn with_jsonrpc(self, change: impl FnOnce(JsonRpcSettings) -> JsonRpcSettings) -> Self {
        let settings = self.dialect().settings().clone();
        self.with_dialect(JsonRpc::new(change(settings)))
    }
}
