//! A call with options.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use steadfast_core::dialect::Unsendable;

use super::{CallError, Class, Client, Error, MethodCall};
use crate::json;

/// A call that is being prepared; see [`Client::method`](crate::Client::method).
#[derive(Debug)]
#[must_use = "nothing is sent until `request` is called"]
pub struct MethodRequest<'a> {
    client: &'a Client,
    method: &'a str,
    class: Class,
    timeout: Option<Duration>,
}

impl<'a> MethodRequest<'a> {
    pub(super) const fn new(client: &'a Client, method: &'a str, class: Class) -> Self {
        Self {
            client,
            method,
            class,
            timeout: None,
        }
    }

    /// Sets what executing the call twice does, instead of what the builder says of the method.
    pub const fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Sets the time from now to the reply, instead of [`Builder::call_timeout`](crate::Builder::call_timeout).
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes the call; see [`Client::request`](crate::Client::request).
    ///
    /// # Errors
    ///
    /// Why the call failed, and whether it may have been executed; or its result has another type than `R`.
    pub async fn request<R: DeserializeOwned>(self, params: &impl Serialize) -> Result<R, Error> {
        let params = params_of(params).map_err(|error| {
            CallError::Unsendable(Unsendable::Unserializable(error.to_string()))
        })?;
        let result = self.request_raw(params).await?;
        serde_json::from_slice(&result).map_err(|error| Error::Result(error.to_string()))
    }

    /// Makes the call with params that are JSON already: an array, an object, or empty for none. Returns the result as raw
    /// JSON.
    ///
    /// # Errors
    ///
    /// Why the call failed, and whether it may have been executed.
    pub async fn request_raw(self, params: Bytes) -> Result<Bytes, CallError> {
        let call = MethodCall {
            method: self.method.to_owned(),
            params,
            class: self.class,
        };
        match self.timeout {
            Some(timeout) => self.client.with_call_timeout(timeout).call(call).await,
            None => self.client.call(call).await,
        }
    }
}

/// Params as JSON; empty for `()` and `None`, since `null` is not allowed.
pub(super) fn params_of(params: &impl Serialize) -> serde_json::Result<Bytes> {
    let params = json::to_bytes(params)?;
    Ok(if params.as_ref() == b"null" {
        Bytes::new()
    } else {
        params
    })
}
