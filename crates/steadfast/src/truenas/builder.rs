//! Builds a client with the limits and the login of TrueNAS.

use std::time::Duration;

use steadfast_core::dialect::truenas::{
    CALLS_IN_FLIGHT_MAX, LOGIN_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, TOO_MANY_CALLS, TrueNasLogin,
    is_unauthenticated,
};

use super::{Client, LoginLimit, classes, versions};
use crate::error::BuildError;
use crate::jsonrpc::{self, JsonRpc, JsonRpcSettings};
use crate::login_limit::LoginCost;
use crate::retry_advice::RetryAdvice;
use crate::{CredentialsError, RenewalReason, Secret};

/// The time limit of an attempt. A server whose limit on logins is exceeded replies after up to 10 s, and the derivation of
/// a key takes about a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The calls that a connection of the server executes at the same time; as many more wait there.
const CALLS_IN_FLIGHT: usize = 10;

/// The largest result that is accepted by default: recursive lists of datasets have megabytes.
const RECEIVED_MESSAGE_BYTES_MAX: u32 = 64 << 20;

/// The close code for an address that may not use the API.
const POLICY_VIOLATION: u16 = 1008;

/// Builds a [`Client`]. Without [`Self::api_key`] or [`Self::password`] it logs in with an empty key, which no server
/// accepts.
#[derive(Clone, Debug)]
#[must_use = "nothing happens until `connect` or `build` is called"]
pub struct Builder {
    inner: jsonrpc::Builder,
    login: TrueNasLogin,
    login_limit: LoginLimit,
    calls_in_flight_max: usize,
    chooses_version: bool,
}

impl Builder {
    pub(super) fn new(server: &str) -> Result<Self, BuildError> {
        let settings = JsonRpcSettings::new(MESSAGE_BYTES_MAX)
            .login_message_bytes_max(LOGIN_MESSAGE_BYTES_MAX)
            .unauthenticated(is_unauthenticated)
            .too_many_calls(TOO_MANY_CALLS)
            .on_close(POLICY_VIOLATION, RetryAdvice::GIVE_UP);
        let builder =
            jsonrpc::Builder::with_path(server, JsonRpc::new(settings)?, versions::CURRENT)?
                .connect_timeout(CONNECT_TIMEOUT)
                .received_message_bytes_max(RECEIVED_MESSAGE_BYTES_MAX);
        Ok(Self {
            inner: builder,
            login: TrueNasLogin::api_key(""),
            login_limit: LoginLimit::process_wide(),
            calls_in_flight_max: CALLS_IN_FLIGHT,
            chooses_version: true,
        })
    }

    /// Logs in with an API key of this user, `ID-KEY` as the server shows it once.
    ///
    /// Over `ws://` to another machine the server revokes a key that is sent as it is: use `wss://`.
    pub fn api_key(mut self, user: &str, key: Secret) -> Self {
        self.login = TrueNasLogin::api_key(user);
        self.inner = self.inner.secret(key);
        self
    }

    /// Logs in with an API key of this user that this function fetches: before the first connection, and when the server has
    /// rejected the last one; see [`Builder::credentials`](crate::Builder::credentials).
    pub fn api_key_from<F, R>(mut self, user: &str, fetch: F) -> Self
    where
        F: Fn(RenewalReason) -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, CredentialsError>> + Send + 'static,
    {
        self.login = TrueNasLogin::api_key(user);
        self.inner = self.inner.credentials(fetch);
        self
    }

    /// Logs in with the password of this user, which the server receives. An account with a second factor needs an API key.
    pub fn password(mut self, user: &str, password: Secret) -> Self {
        self.login = TrueNasLogin::password(user);
        self.inner = self.inner.secret(password);
        self
    }

    /// Permits a weaker mechanism than the server has offered before; see [`TrueNasLogin::permit_weaker_mechanism`]. Set the
    /// user first.
    pub fn permit_weaker_mechanism(mut self) -> Self {
        self.login = self.login.permit_weaker_mechanism();
        self
    }

    /// Uses a token of the last login for the next one; see [`TrueNasLogin::reconnect_tokens`]. Set the user first.
    pub fn reconnect_tokens(mut self) -> Self {
        self.login = self.login.reconnect_tokens();
        self
    }

    /// Sets the limit on logins that this client shares; [`LoginLimit::process_wide`] by default.
    pub fn login_limit(mut self, limit: LoginLimit) -> Self {
        self.login_limit = limit;
        self
    }

    /// Sets the most calls in flight, from 1 to 20; 10 by default, as many as the server executes at the same time. Further
    /// ones wait in order. The server rejects the 21st.
    pub fn calls_in_flight_max(mut self, calls: usize) -> Self {
        self.calls_in_flight_max = calls.clamp(1, CALLS_IN_FLIGHT_MAX);
        self
    }

    /// Uses the newest version of the server's API, also one that this client does not know. By default the server is asked
    /// for its versions before the first connection, and the newest is used that both know.
    pub const fn current_version(mut self) -> Self {
        self.chooses_version = false;
        self
    }

    /// Trusts the certificates in this PEM text in addition to those of the system; see
    /// [`Builder::add_root_certificate`](crate::Builder::add_root_certificate).
    #[cfg(feature = "tls")]
    pub fn add_root_certificate(mut self, pem: &[u8]) -> Self {
        self.inner = self.inner.add_root_certificate(pem);
        self
    }

    /// Changes any other setting of the client, for example its backoff or the class of a method.
    ///
    /// ```
    /// use std::time::Duration;
    /// use steadfast::jsonrpc::Class;
    /// use steadfast::truenas::Client;
    ///
    /// # fn main() -> Result<(), steadfast::error::BuildError> {
    /// let builder = Client::builder("nas.lan")?.settings(|settings| {
    ///     settings
    ///         .class("pool.dataset.update", Class::Idempotent)
    ///         .call_timeout(Duration::from_secs(60))
    /// });
    /// # let _ = builder;
    /// # Ok(())
    /// # }
    /// ```
    pub fn settings(mut self, change: impl FnOnce(jsonrpc::Builder) -> jsonrpc::Builder) -> Self {
        self.inner = change(self.inner);
        self
    }

    /// Spawns the session on the current tokio runtime and returns its handle.
    ///
    /// # Errors
    ///
    /// A setting or a root certificate is invalid, the system provides no random bytes, or it is called outside of a tokio
    /// runtime.
    pub fn connect(self) -> Result<Client, BuildError> {
        Ok(Client::new(self.into_jsonrpc().connect()?))
    }

    /// Returns the handle, and the future that runs the session: spawn the future, or poll it directly.
    ///
    /// # Errors
    ///
    /// A setting or a root certificate is invalid, or the system provides no random bytes.
    pub fn build(self) -> Result<(Client, jsonrpc::Driver), BuildError> {
        let (client, driver) = self.into_jsonrpc().build()?;
        Ok((Client::new(client), driver))
    }

    fn into_jsonrpc(self) -> jsonrpc::Builder {
        let cost = LoginCost {
            limit: self.login_limit,
            calls: self.login.calls_max(),
        };
        let builder = classes::with_classes(self.inner)
            .login(self.login)
            .calls_in_flight_max(self.calls_in_flight_max)
            .login_cost(cost);
        if self.chooses_version {
            builder.versions(versions::RULE)
        } else {
            builder
        }
    }
}
