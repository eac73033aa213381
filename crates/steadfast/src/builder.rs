//! Builds a client from endpoints and from settings with documented defaults.

mod limits;
mod servers;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_core::Session;
use steadfast_core::dialect::Dialect;
use steadfast_core::io::{CredentialsError, CredentialsSource, RenewalReason};
use steadfast_core::policy::{
    LinkSettings, LivenessSettings, PolicyError, SessionPolicy, SessionSettings,
};
use steadfast_core::secret::Secret;
use steadfast_machine::Seed;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::client::Client;
#[cfg(feature = "truenas")]
use crate::connector::VersionRule;
use crate::connector::{Connector, Proxy, ReadinessCheck, StageTimeouts};
use crate::credentials::{CredentialsSlot, FetchCredentials};
use crate::defaults;
use crate::dial_limit::DialLimit;
use crate::driver::{Driver, Parts};
use crate::endpoint::Endpoint;
use crate::error::BuildError;
use crate::events::Events;
use crate::exchange::ExchangeHandle;
#[cfg(feature = "truenas")]
use crate::login_limit::LoginCost;
use crate::overflow::Overflow;

/// Builds a [`Client`] and its [`Driver`].
///
/// ```
/// use std::time::Duration;
/// use steadfast::centrifuge::Client;
/// use steadfast::{Overflow, ReadinessCheck, defaults};
///
/// # fn build() -> Result<(), steadfast::error::BuildError> {
/// let builder = Client::builder("wss://a.example.org")?
///     .fallback_endpoint("wss://b.example.org")?
///     .header("X-Service", "orders")
///     .token("secret")
///     .liveness(defaults::LIVENESS_FAST)
///     .call_timeout(Duration::from_secs(3))
///     .overflow(Overflow::Reject)
///     .readiness(ReadinessCheck::new("/readyz"));
/// let (client, driver) = builder.build()?; // or `connect`, which spawns the driver
/// # drop((client, driver));
/// # Ok(())
/// # }
/// # build().unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Builder<D: Dialect> {
    endpoints: Vec<Endpoint>,
    dialect: D,
    /// Why the settings of the dialect are invalid.
    invalid: Option<PolicyError>,
    credentials: CredentialsSource,
    fetch_credentials: Option<FetchCredentials>,
    settings: SessionSettings,
    stage_timeouts: StageTimeouts,
    call_timeout: Duration,
    received_message_bytes_max: u32,
    skipped_message_bytes_max: u32,
    overflow: Overflow,
    dial_limit: DialLimit,
    header_fields: Vec<(String, Secret)>,
    proxy: Option<Proxy>,
    readiness: Option<ReadinessCheck>,
    subprotocols: Vec<String>,
    #[cfg(feature = "truenas")]
    versions: Option<VersionRule>,
    #[cfg(feature = "truenas")]
    login_cost: Option<LoginCost>,
    #[cfg(feature = "tls")]
    root_certificates: Vec<u8>,
    seed: Option<u64>,
}

impl<D: Dialect> Builder<D> {
    /// A client of the server at this URL, which speaks this dialect.
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn new(url: &str, dialect: D) -> Result<Self, BuildError> {
        Self::with_path(url, dialect, D::DEFAULT_PATH)
    }

    /// As [`Self::new`], with the path of a URL without one.
    pub(crate) fn with_path(url: &str, dialect: D, path: &str) -> Result<Self, BuildError> {
        Ok(Self {
            endpoints: vec![Endpoint::with_default_path(url, path)?],
            dialect,
            invalid: None,
            credentials: CredentialsSource::Fixed(Secret::default()),
            fetch_credentials: None,
            settings: default_settings(),
            stage_timeouts: StageTimeouts::DEFAULT,
            call_timeout: defaults::CALL_TIMEOUT,
            received_message_bytes_max: defaults::RECEIVED_MESSAGE_BYTES_MAX,
            skipped_message_bytes_max: defaults::SKIPPED_MESSAGE_BYTES_MAX,
            overflow: Overflow::default(),
            dial_limit: DialLimit::process_wide(),
            header_fields: Vec::new(),
            proxy: None,
            readiness: None,
            subprotocols: Vec::new(),
            #[cfg(feature = "truenas")]
            versions: None,
            #[cfg(feature = "truenas")]
            login_cost: None,
            #[cfg(feature = "tls")]
            root_certificates: Vec::new(),
            seed: None,
        })
    }

    #[cfg(any(feature = "centrifuge", feature = "jsonrpc", feature = "websocket"))]
    pub(crate) const fn dialect(&self) -> &D {
        &self.dialect
    }

    /// Sets the dialect; an error is returned by [`Self::build`].
    #[cfg(any(feature = "centrifuge", feature = "jsonrpc", feature = "websocket"))]
    pub(crate) fn with_dialect(mut self, dialect: Result<D, PolicyError>) -> Self {
        match dialect {
            Ok(dialect) => self.dialect = dialect,
            Err(error) => self.invalid = self.invalid.or(Some(error)),
        }
        self
    }

    /// Chooses a version of the API before the first connection.
    #[cfg(feature = "truenas")]
    pub(crate) const fn versions(mut self, rule: VersionRule) -> Self {
        self.versions = Some(rule);
        self
    }

    /// Sets the credentials for all connections, as [`Self::token`].
    #[cfg(feature = "truenas")]
    pub(crate) fn secret(mut self, secret: Secret) -> Self {
        self.credentials = CredentialsSource::Fixed(secret);
        self.fetch_credentials = None;
        self
    }

    /// Limits the logins.
    #[cfg(feature = "truenas")]
    pub(crate) fn login_cost(mut self, cost: LoginCost) -> Self {
        self.login_cost = Some(cost);
        self
    }

    /// Sets the credentials for all connections, for example a connection token. The session fails if the server rejects
    /// them; [`Client::set_credentials`] replaces them.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.credentials = CredentialsSource::Fixed(Secret::new(token.to_owned()));
        self.fetch_credentials = None;
        self
    }

    /// Sets a function that fetches the credentials, for example a connection token from your backend. It is called
    /// before the first connection, before those of the open connection expire, and when the server has rejected them;
    /// never twice at the same time. An open connection is authenticated with the new ones, so that nothing is
    /// interrupted.
    ///
    /// The time that it takes before an attempt counts towards [`Self::connect_timeout`]. If it fails, hangs or panics,
    /// or returns an empty text, it is called again with backoff, and the open connection stays as long as the server
    /// permits. [`CredentialsError::denied`] ends in a failed session.
    ///
    /// ```
    /// use steadfast::CredentialsError;
    /// use steadfast::centrifuge::Client;
    ///
    /// # async fn request_token() -> std::io::Result<String> { Ok("token".to_owned()) }
    /// # fn build() -> Result<(), steadfast::error::BuildError> {
    /// let builder = Client::builder("wss://example.org")?
    ///     .credentials(|_reason| async { request_token().await.map_err(CredentialsError::temporary) });
    /// # let _ = builder;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn credentials<F, R>(mut self, fetch: F) -> Self
    where
        F: Fn(RenewalReason) -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, CredentialsError>> + Send + 'static,
    {
        self.credentials = CredentialsSource::Fetched;
        self.fetch_credentials = Some(FetchCredentials::new(fetch));
        self
    }

    /// Spawns the session on the current tokio runtime and returns its handle.
    ///
    /// # Errors
    ///
    /// As for [`Self::build`], or it is called outside of a tokio runtime.
    pub fn connect(self) -> Result<Client<D>, BuildError>
    where
        D: Send + 'static,
        Driver<D>: Future<Output = ()> + Send,
    {
        let runtime = Handle::try_current().map_err(BuildError::Runtime)?;
        let (client, driver) = self.build()?;
        runtime.spawn(driver);
        Ok(client)
    }

    /// Returns the handle, and the future that runs the session: spawn the future, or poll it directly.
    ///
    /// # Errors
    ///
    /// A setting, a header field or a root certificate is invalid, or the system provides no random bytes.
    pub fn build(self) -> Result<(Client<D>, Driver<D>), BuildError> {
        if let Some(error) = self.invalid {
            return Err(error.into());
        }
        if let CredentialsSource::Fixed(credentials) = &self.credentials {
            let checked = self.dialect.check_login(credentials);
            checked.map_err(BuildError::Credentials)?;
        }
        let connector = self.connector()?;
        // Otherwise the first attempt would find an invalid field, and each further one again.
        for endpoint in &self.endpoints {
            connector.check_request(endpoint)?;
        }
        let (outbox, close_timeout) = (self.settings.outbox, self.settings.link.close_timeout);
        let calls_max = self.settings.calls_max;
        let policy = SessionPolicy::new(self.settings)?;
        let seed = self.seed.map_or_else(random_u64, Ok)?;
        let clock = Clock::start();
        #[cfg(feature = "jsonrpc")]
        let dialect = Arc::new(self.dialect.clone());
        let session = Session::new(
            &policy,
            self.dialect,
            self.credentials,
            Seed::new(seed),
            clock.now(),
        );
        let exchange = ExchangeHandle::new(&outbox, calls_max);
        let (publish_state, state) = watch::channel(session.snapshot().clone());
        let events = Events::default();
        let client = Client {
            exchange,
            state,
            events: events.clone(),
            overflow: self.overflow,
            call_timeout: self.call_timeout,
            close_timeout,
            clock,
            #[cfg(feature = "centrifuge")]
            name: Arc::from(format!("{:016x}", random_u64()?)),
            numbers: Arc::new(AtomicU64::new(1)),
            #[cfg(feature = "jsonrpc")]
            dialect,
        };
        let driver = Driver::new(Parts {
            session,
            clock,
            connector: Arc::new(connector),
            dial_limit: self.dial_limit,
            #[cfg(feature = "truenas")]
            login_cost: self.login_cost,
            endpoints: self.endpoints,
            exchange: Arc::clone(client.exchange.exchange()),
            state: publish_state,
            events,
            credentials: CredentialsSlot::new(self.fetch_credentials),
        });
        Ok((client, driver))
    }

    fn connector(&self) -> Result<Connector, BuildError> {
        if let Some(stage) = self.stage_timeouts.zero() {
            return Err(BuildError::StageTimeout(stage));
        }
        if let Some(check) = &self.readiness {
            check.validate().map_err(BuildError::Readiness)?;
        }
        let LivenessSettings {
            ping_after_idle,
            pong_timeout,
            ..
        } = self.settings.link.liveness;
        let connector = Connector::new(
            self.stage_timeouts,
            self.header_fields.clone(),
            self.received_message_bytes_max,
        )
        .with_skipped_bytes_max(D::EXCERPT.map(|_| self.skipped_message_bytes_max))
        .with_proxy(self.proxy.clone())
        .with_readiness(self.readiness.clone())
        .with_subprotocols(self.subprotocols.clone())
        .with_user_timeout(ping_after_idle.saturating_add(pong_timeout));
        #[cfg(feature = "truenas")]
        let connector = connector.with_versions(self.versions);
        #[cfg(feature = "tls")]
        if !self.root_certificates.is_empty() {
            let connector = connector.with_root_certificates(&self.root_certificates);
            return connector.ok_or(BuildError::Certificate);
        }
        Ok(connector)
    }
}

fn default_settings() -> SessionSettings {
    let link = LinkSettings::new(
        defaults::CONNECT_TIMEOUT,
        defaults::ENDPOINTS,
        defaults::BACKOFF,
        defaults::LIVENESS,
    )
    .degraded_after(defaults::DEGRADED_AFTER)
    .close_timeout(defaults::CLOSE_TIMEOUT);
    SessionSettings::new(link, defaults::OUTBOX)
        .calls_max(defaults::CALLS_MAX)
        .subscriptions_max(defaults::SUBSCRIPTIONS_MAX)
}

fn random_u64() -> Result<u64, BuildError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_error| BuildError::Randomness)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(all(test, feature = "centrifuge"))]
mod tests {
    use super::*;
    use crate::centrifuge::Client;

    #[test]
    fn invalid_header_fields_are_rejected_before_the_first_attempt() {
        for (name, value) in [("", "x"), ("a b", "x"), ("X-Key", "a\r\nEvil: 1")] {
            let builder = Client::builder("ws://127.0.0.1:9").unwrap();
            let error = builder.header(name, value).build().unwrap_err();

            assert!(
                error.to_string().starts_with("invalid header field: "),
                "{error}"
            );
        }
    }

    #[test]
    fn settings_that_fail_each_attempt_are_rejected_before_the_first_one() {
        let builder = || Client::builder("ws://127.0.0.1:9").unwrap();
        let zero = StageTimeouts::DEFAULT.proxy(Duration::ZERO);
        for (builder, expected) in [
            (
                builder().stage_timeouts(zero),
                "invalid timeout of the stage \"tunnel\": must be above zero",
            ),
            (
                builder().readiness(ReadinessCheck::new("readyz")),
                "invalid readiness check: invalid path: must start with a slash and must not contain spaces",
            ),
        ] {
            assert_eq!(builder.build().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn the_connector_has_the_limits_of_the_client() {
        let builder = Client::builder("ws://127.0.0.1:9").unwrap();
        let liveness = defaults::LIVENESS.ping_after_idle(Duration::from_mins(1));
        let builder = builder.liveness(liveness).received_message_bytes_max(77);

        let connector = format!("{:?}", builder.connector().unwrap());

        assert!(connector.contains("user_timeout: Some(70s)"), "{connector}");
        assert!(connector.contains("message_bytes_max: 77"), "{connector}");
    }
}
