//! Calls as a `tower` service, so that the layers of a program apply to them.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use steadfast_core::dialect::{Call as _, Unsendable};
use steadfast_core::event::SessionSnapshot;
use tokio::sync::watch;
use tower_service::Service;

use super::{CallError, Class, Client, JsonRpc, MethodCall, method_request};
use crate::client::overdue;
use crate::exchange::{ExchangeHandle, PendingCall, Reservation};

/// The calls of a client as a [`tower_service::Service`]; see [`Client::service`](crate::Client::service).
///
/// It is ready while the client accepts a call: while fewer calls than [`Builder::calls_max`](crate::Builder::calls_max)
/// have no outcome, those of all handles together, also without a connection. Otherwise it waits for one of them to end,
/// so that a call after [`Service::poll_ready`] never fails with [`CallError::Busy`]. The only error of `poll_ready` is
/// [`CallError::Closed`].
///
/// A service that is ready keeps a place for its call until it makes the call or is dropped. A clone has no place. Services
/// that wait have no order among each other, and the other methods of the client do not wait for them.
#[derive(Clone, Debug)]
pub struct CallService {
    client: Client,
    reservation: Reservation<JsonRpc>,
}

/// A call that a [`CallService`] makes.
///
/// ```
/// use std::time::Duration;
/// use steadfast::jsonrpc::{CallRequest, Class};
///
/// # fn main() -> Result<(), steadfast::jsonrpc::CallError> {
/// let request = CallRequest::new("pool.query", &[["name", "=", "tank"]])?
///     .class(Class::Read)
///     .timeout(Duration::from_secs(60));
/// # assert!(format!("{request:?}").contains("pool.query"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CallRequest {
    method: String,
    params: Bytes,
    class: Option<Class>,
    timeout: Option<Duration>,
}

/// The future of a call of a [`CallService`]: its result as raw JSON. The call is queued when the future is first polled.
///
/// Dropping the future withdraws the call: if it was not sent yet, it is never executed.
#[derive(Debug)]
#[must_use = "nothing is sent until the future is polled"]
pub struct CallFuture {
    pending: PendingCall<ExchangeHandle<JsonRpc>, JsonRpc>,
    state: watch::Receiver<SessionSnapshot>,
    is_idempotent: bool,
}

impl CallRequest {
    /// A call of a method. `params` is an array, a tuple, or a struct; `()` sends none.
    ///
    /// # Errors
    ///
    /// The params cannot be serialized: [`CallError::Unsendable`].
    pub fn new(method: impl Into<String>, params: &impl Serialize) -> Result<Self, CallError> {
        let params = method_request::params_of(params).map_err(|error| {
            CallError::Unsendable(Unsendable::Unserializable(error.to_string()))
        })?;
        Ok(Self::raw(method, params))
    }

    /// A call with params that are JSON already: an array, an object, or empty for none.
    pub fn raw(method: impl Into<String>, params: Bytes) -> Self {
        Self {
            method: method.into(),
            params,
            class: None,
            timeout: None,
        }
    }

    /// Sets what executing the call twice does, instead of what the builder says of the method.
    #[must_use]
    pub const fn class(mut self, class: Class) -> Self {
        self.class = Some(class);
        self
    }

    /// Sets the time from the first poll of the future to the reply, instead of
    /// [`Builder::call_timeout`](crate::Builder::call_timeout).
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl fmt::Debug for CallRequest {
    /// Without the content of the params, which may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallRequest")
            .field("method", &self.method)
            .field("params_bytes", &self.params.len())
            .field("class", &self.class)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl CallService {
    pub(super) fn new(client: Client) -> Self {
        Self {
            reservation: Reservation::new(client.exchange.clone()),
            client,
        }
    }
}

impl Service<CallRequest> for CallService {
    type Response = Bytes;
    type Error = CallError;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        self.reservation
            .poll_ready(context)
            .map_err(|_closed| CallError::Closed)
    }

    fn call(&mut self, request: CallRequest) -> CallFuture {
        let CallRequest {
            method,
            params,
            class,
            timeout,
        } = request;
        let client = &self.client;
        let class = class.unwrap_or_else(|| client.dialect.settings().class_of(&method));
        let call = MethodCall {
            method,
            params,
            class,
        };
        let timeout = timeout.unwrap_or(client.call_timeout);
        CallFuture {
            is_idempotent: call.is_idempotent(),
            state: client.state.clone(),
            pending: self.reservation.call(call, timeout, client.clock),
        }
    }
}

impl Future for CallFuture {
    type Output = Result<Bytes, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.pending)
            .poll(context)
            .map(|outcome| outcome.unwrap_or_else(|| Err(overdue(&self.state, self.is_idempotent))))
    }
}
