//! Builds a client from endpoints and from settings with documented defaults.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_core::Session;
use steadfast_core::dialect::Dialect;
use steadfast_core::io::{CredentialsError, CredentialsSource, RenewalReason};
use steadfast_core::policy::{
    BackoffRange, BackoffSettings, EndpointLogs, EndpointsSettings, LinkSettings, LivenessSettings,
    OutboxSettings, PolicyError, SessionPolicy, SessionSettings,
};
use steadfast_core::secret::Secret;
use steadfast_machine::Seed;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use crate::awaited_reply::Withdrawals;
use crate::client::Client;
use crate::connector::{Connector, Proxy, ReadinessCheck, StageTimeouts};
use crate::credentials::{CredentialsSlot, FetchCredentials};
use crate::dial_limit::DialLimit;
use crate::driver::{Driver, Parts};
use crate::endpoint::Endpoint;
use crate::error::BuildError;
use crate::events::Events;
use crate::outbox_capacity::{OutboxCapacity, Overflow};

/// Maximum length of the command queue from the handles to the driver, in addition to the publications of the outbox.
const COMMANDS_MAX: usize = 4_096;

/// Default values of all settings.
pub mod defaults {
    use super::{
        BackoffRange, BackoffSettings, Duration, EndpointsSettings, LivenessSettings,
        OutboxSettings,
    };

    /// 10 s for an attempt: name resolution, TCP, proxy, TLS, readiness check, upgrade, and the server's reply to the
    /// connect command.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// 30 s from the start of a session, after which it connects also to a server that is not ready.
    pub const READINESS_GRACE: Duration = Duration::from_secs(30);
    /// 120 s without a connection, after which the session is reported as degraded.
    pub const DEGRADED_AFTER: Duration = Duration::from_mins(2);
    /// 5 s from the close frame to the end of the connection.
    pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
    /// 5 s for sending queued publications when the last handle is dropped.
    pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
    /// 10 s from a call to its reply.
    pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
    /// 32 concurrent connection attempts of all clients of a process.
    pub const DIALS_MAX: usize = 32;
    /// Up to 20 ms before an attempt that was queued, so that a process at its limit opens no more than about 3,200
    /// connections per second.
    pub const DIAL_JITTER: Duration = Duration::from_millis(20);
    /// 16 MiB for a message from a server, far above what a gateway sends by default.
    pub const RECEIVED_MESSAGE_BYTES_MAX: u32 = 16 << 20;
    /// 1,024 calls that are pending or in flight.
    pub const CALLS_MAX: usize = 1_024;
    /// 128 subscriptions, the default limit of servers for a client.
    pub const SUBSCRIPTIONS_MAX: usize = 128;
    /// 1,024 events of a subscription that the application has not received yet.
    pub const BUFFER_LEN_MAX: usize = 1_024;

    /// 50 ms + U(0, half of the time without a connection, at least 1 s and at most 20 s), without a limit on attempts;
    /// the first delay is at most 5 s after the server announced that it is going away. A client is back at the latest
    /// half of the outage after it, see [`BackoffSettings`]. Full jitter resolves a thundering herd in the shortest time
    /// with the lowest peak.
    pub const BACKOFF: BackoffSettings = BackoffSettings {
        floor: Duration::from_millis(50),
        range: BackoffRange::Proportional {
            percent: 50,
            min: Duration::from_secs(1),
            max: Duration::from_secs(20),
        },
        going_away_jitter: Duration::from_secs(5),
        stable_after: Duration::from_secs(10),
        retry_after_max: Duration::from_mins(5),
        attempts_max: None,
    };

    /// At most 16 endpoints. One that failed is tried after the others for 5 to 15 min, so that the clients of a server
    /// that is available again do not return at one instant. The loss of a connection that lasted 10 s is no failure.
    /// There is no failback: a session stays at a fallback endpoint until its connection is lost.
    pub const ENDPOINTS: EndpointsSettings = EndpointsSettings {
        count_max: 16,
        stable_after: Duration::from_secs(10),
        hold_down: Duration::from_mins(5),
        hold_down_jitter: Duration::from_mins(10),
        failback: None,
    };

    /// A ping after 15 s without received data, and the connection is dropped 10 s later: a dead peer is detected
    /// within 25 s, which is below the 60 s after which proxies close idle connections. While a publication or call is
    /// in flight, a dead peer is detected within 12 s, or about 4 s once eight round trips are known and these are short.
    /// A server that sends something at least every 4 s is never dropped.
    pub const LIVENESS: LivenessSettings = LivenessSettings {
        ping_after_idle: Duration::from_secs(15),
        pong_timeout: Duration::from_secs(10),
        ping_after_request: Duration::from_secs(2),
        pong_timeout_min: Duration::from_secs(2),
        write_timeout: Duration::from_secs(10),
        clock_jump_grace: Duration::from_secs(2),
    };

    /// For interactive applications on connections with frequent traffic: a dead peer is detected within 5 s, or 4 s
    /// while a publication or call is in flight.
    pub const LIVENESS_FAST: LivenessSettings = LivenessSettings {
        ping_after_idle: Duration::from_secs(3),
        pong_timeout: Duration::from_secs(2),
        ping_after_request: Duration::from_secs(2),
        pong_timeout_min: Duration::from_secs(2),
        write_timeout: Duration::from_secs(5),
        clock_jump_grace: Duration::from_secs(1),
    };

    /// 1,024 publications and 8 MiB; up to 64 publications are in flight, also for a single channel. The gateway
    /// remembers idempotency keys for two minutes after storing them. A resent publication must arrive within this
    /// time, so no publication is resent later than 90 s after it was first sent. On an open connection, a publication
    /// without a reply is resent after 10 s, 30 s and 70 s.
    pub const OUTBOX: OutboxSettings = OutboxSettings {
        messages_max: 1_024,
        bytes_max: 8 << 20,
        in_flight_max: 64,
        channel_in_flight_max: 64,
        ack_timeout: Duration::from_secs(10),
        resend_window: Duration::from_secs(90),
        retry_after: Duration::from_millis(500),
    };
}

/// Builds a [`Client`] and its [`Driver`].
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
    overflow: Overflow,
    dial_limit: DialLimit,
    header_fields: Vec<(String, Secret)>,
    proxy: Option<Proxy>,
    readiness: Option<ReadinessCheck>,
    subprotocols: Vec<String>,
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
        Ok(Self {
            endpoints: vec![url.parse()?],
            dialect,
            invalid: None,
            credentials: CredentialsSource::Fixed(Secret::default()),
            fetch_credentials: None,
            settings: SessionSettings {
                link: LinkSettings {
                    priorities: vec![0],
                    endpoints: defaults::ENDPOINTS,
                    connect_timeout: defaults::CONNECT_TIMEOUT,
                    degraded_after: defaults::DEGRADED_AFTER,
                    close_timeout: defaults::CLOSE_TIMEOUT,
                    backoff: defaults::BACKOFF,
                    liveness: defaults::LIVENESS,
                },
                endpoint_logs: EndpointLogs::default(),
                calls_max: defaults::CALLS_MAX,
                subscriptions_max: defaults::SUBSCRIPTIONS_MAX,
                outbox: defaults::OUTBOX,
            },
            stage_timeouts: StageTimeouts::DEFAULT,
            call_timeout: defaults::CALL_TIMEOUT,
            received_message_bytes_max: defaults::RECEIVED_MESSAGE_BYTES_MAX,
            overflow: Overflow::default(),
            dial_limit: DialLimit::process_wide(),
            header_fields: Vec::new(),
            proxy: None,
            readiness: None,
            subprotocols: Vec::new(),
            #[cfg(feature = "tls")]
            root_certificates: Vec::new(),
            seed: None,
        })
    }

    /// Adds a fallback server, which is tried when the servers before it are not available: its priority is the next
    /// after that of the server that was added last.
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn fallback_endpoint(self, url: &str) -> Result<Self, BuildError> {
        let last = self.settings.link.priorities.last();
        let priority = last.map_or(0, |last| last.saturating_add(1));
        self.endpoint(url, priority)
    }

    /// Adds a server with this priority. That of [`Self::new`] has the priority 0, and the server with the lowest number
    /// is preferred. Clients are distributed at random over servers of equal priority.
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn endpoint(mut self, url: &str, priority: u16) -> Result<Self, BuildError> {
        self.endpoints.push(url.parse()?);
        self.settings.link.priorities.push(priority);
        Ok(self)
    }

    /// Sets failover and failback between several servers; [`defaults::ENDPOINTS`] by default.
    #[must_use]
    pub const fn endpoints(mut self, endpoints: EndpointsSettings) -> Self {
        self.settings.link.endpoints = endpoints;
        self
    }

    /// Sets whether the servers serve the same log; [`EndpointLogs::Independent`] by default, so that no publication is
    /// stored twice.
    #[must_use]
    pub const fn endpoint_logs(mut self, logs: EndpointLogs) -> Self {
        self.settings.endpoint_logs = logs;
        self
    }

    #[cfg(any(feature = "centrifuge", feature = "websocket"))]
    pub(crate) const fn dialect(&self) -> &D {
        &self.dialect
    }

    /// Sets the dialect; an error is returned by [`Self::build`].
    #[cfg(any(feature = "centrifuge", feature = "websocket"))]
    pub(crate) fn with_dialect(mut self, dialect: Result<D, PolicyError>) -> Self {
        match dialect {
            Ok(dialect) => self.dialect = dialect,
            Err(error) => self.invalid = self.invalid.or(Some(error)),
        }
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

    /// Adds a header field to the HTTP upgrade request, for example an authorisation.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let value = Secret::new(value.to_owned());
        self.header_fields.push((name.to_owned(), value));
        self
    }

    /// Offers a subprotocol in the HTTP upgrade request (`Sec-WebSocket-Protocol`); may be called more than once, the
    /// preferred one first. A server that selects none of them, or one that was not offered, is handled as RFC 6455
    /// requires: the first is accepted, the second is a failed attempt. None is offered by default.
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.subprotocols.push(name.to_owned());
        self
    }

    /// Connects to all endpoints through the HTTP proxy at `http://[USER[:PASSWORD]@]HOST:PORT`, with user name and
    /// password percent-encoded; directly by default. The proxy must permit `CONNECT` to the endpoints' ports; it resolves
    /// their names. TLS is end to end, between client and server. Proxies that are reached by TLS or SOCKS are not
    /// supported.
    ///
    /// The client does not read environment variables such as `HTTPS_PROXY`: an application that honours them passes the
    /// URL. Neither debug output nor errors show user name and password.
    ///
    /// ```
    /// # fn main() -> Result<(), steadfast::error::BuildError> {
    /// let builder = steadfast::centrifuge::Client::builder("wss://example.test")?
    ///     .proxy("http://user:p%40ssword@proxy.example.test:3128")?;
    /// # builder.build()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn proxy(mut self, url: &str) -> Result<Self, BuildError> {
        self.proxy = Some(url.parse()?);
        Ok(self)
    }

    /// Sets a check whether the server is ready, before first connections; no check by default.
    #[must_use]
    pub fn readiness(mut self, check: ReadinessCheck) -> Self {
        self.readiness = Some(check);
        self
    }

    /// Trusts the certificates in this PEM text in addition to those of the system: as authorities that issue servers'
    /// certificates, and as a server's own certificate if it is exactly one of them, as with `openssl req -x509`. The
    /// host name and the period of validity are verified in both cases. May be called more than once.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn add_root_certificate(mut self, pem: &[u8]) -> Self {
        self.root_certificates.extend_from_slice(pem);
        self.root_certificates.push(b'\n');
        self
    }

    /// Sets the delays between attempts; [`defaults::BACKOFF`] by default.
    #[must_use]
    pub const fn backoff(mut self, backoff: BackoffSettings) -> Self {
        self.settings.link.backoff = backoff;
        self
    }

    /// Sets the detection of dead connections; [`defaults::LIVENESS`] by default.
    #[must_use]
    pub const fn liveness(mut self, liveness: LivenessSettings) -> Self {
        self.settings.link.liveness = liveness;
        self
    }

    /// Sets the limits for queued publications; [`defaults::OUTBOX`] by default.
    #[must_use]
    pub const fn outbox(mut self, outbox: OutboxSettings) -> Self {
        self.settings.outbox = outbox;
        self
    }

    /// Sets what happens to publications while the outbox is full; [`Overflow::Wait`] by default.
    #[must_use]
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Sets the time limit of an attempt; [`defaults::CONNECT_TIMEOUT`] by default.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.link.connect_timeout = timeout;
        self
    }

    /// Sets the time from a call to its reply, after which it fails; [`defaults::CALL_TIMEOUT`] by default. For less
    /// time, use [`tokio::time::timeout`]: it withdraws the call.
    #[must_use]
    pub const fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Sets the timeout of each stage of an attempt; [`StageTimeouts::DEFAULT`] by default.
    #[must_use]
    pub const fn stage_timeouts(mut self, timeouts: StageTimeouts) -> Self {
        self.stage_timeouts = timeouts;
        self
    }

    /// Sets the time from the close frame to the end of the session, if the server does not reply to it;
    /// [`defaults::CLOSE_TIMEOUT`] by default.
    #[must_use]
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.settings.link.close_timeout = timeout;
        self
    }

    /// Sets the time without a connection after which the session is degraded; [`defaults::DEGRADED_AFTER`] by default.
    #[must_use]
    pub const fn degraded_after(mut self, time: Duration) -> Self {
        self.settings.link.degraded_after = time;
        self
    }

    /// Sets the maximum number of calls without a reply, above zero; [`defaults::CALLS_MAX`] by default.
    #[must_use]
    pub const fn calls_max(mut self, calls: usize) -> Self {
        self.settings.calls_max = calls;
        self
    }

    /// Sets the maximum number of subscriptions, above zero; [`defaults::SUBSCRIPTIONS_MAX`] by default.
    #[must_use]
    pub const fn subscriptions_max(mut self, subscriptions: usize) -> Self {
        self.settings.subscriptions_max = subscriptions;
        self
    }

    /// Sets the length of the longest message that is accepted from the server, in bytes;
    /// [`defaults::RECEIVED_MESSAGE_BYTES_MAX`] by default.
    #[must_use]
    pub const fn received_message_bytes_max(mut self, bytes: u32) -> Self {
        self.received_message_bytes_max = bytes;
        self
    }

    /// Sets the limit on concurrent attempts that this client shares; [`DialLimit::process_wide`] by default.
    #[must_use]
    pub fn dial_limit(mut self, limit: DialLimit) -> Self {
        self.dial_limit = limit;
        self
    }

    /// Seeds the jitter, so that a run is reproducible; a random seed by default.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
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
        let connector = self.connector()?;
        // Otherwise the first attempt would find an invalid field, and each further one again.
        for endpoint in &self.endpoints {
            connector.check_request(endpoint)?;
        }
        let (outbox, close_timeout) = (self.settings.outbox, self.settings.link.close_timeout);
        let policy = SessionPolicy::new(self.settings)?;
        let seed = self.seed.map_or_else(random_u64, Ok)?;
        let clock = Clock::start();
        let session = Session::new(
            &policy,
            self.dialect,
            self.credentials,
            Seed::new(seed),
            clock.now(),
        );
        let capacity = OutboxCapacity::new(&outbox);
        let commands_max = COMMANDS_MAX.saturating_add(outbox.messages_max);
        let (commands, inbox) = mpsc::channel(commands_max.min(Semaphore::MAX_PERMITS));
        let (publish_state, state) = watch::channel(session.snapshot().clone());
        let events = Events::default();
        let wake = Arc::new(Notify::new());
        let withdrawals = Arc::new(Withdrawals::new(Arc::clone(&wake)));
        let client = Client {
            commands,
            state,
            events: events.clone(),
            wake: Arc::clone(&wake),
            withdrawals: Arc::clone(&withdrawals),
            capacity: capacity.clone(),
            overflow: self.overflow,
            call_timeout: self.call_timeout,
            close_timeout,
            clock,
            #[cfg(feature = "centrifuge")]
            name: Arc::from(format!("{:016x}", random_u64()?)),
            numbers: Arc::new(AtomicU64::new(1)),
        };
        let driver = Driver::new(Parts {
            session,
            clock,
            connector,
            dial_limit: self.dial_limit,
            endpoints: self.endpoints,
            inbox,
            state: publish_state,
            events,
            wake,
            withdrawals,
            capacity,
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
        .with_proxy(self.proxy.clone())
        .with_readiness(self.readiness.clone())
        .with_subprotocols(self.subprotocols.clone())
        .with_user_timeout(ping_after_idle.saturating_add(pong_timeout));
        #[cfg(feature = "tls")]
        if !self.root_certificates.is_empty() {
            let connector = connector.with_root_certificates(&self.root_certificates);
            return connector.ok_or(BuildError::Certificate);
        }
        Ok(connector)
    }
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
        let liveness = LivenessSettings {
            ping_after_idle: Duration::from_mins(1),
            ..defaults::LIVENESS
        };
        let builder = builder.liveness(liveness).received_message_bytes_max(77);

        let connector = format!("{:?}", builder.connector().unwrap());

        assert!(connector.contains("user_timeout: Some(70s)"), "{connector}");
        assert!(connector.contains("message_bytes_max: 77"), "{connector}");
    }
}
