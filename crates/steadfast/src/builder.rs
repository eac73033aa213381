//! How a client is made: addresses, settings with documented defaults, and what they become.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use steadfast_core::Session;
use steadfast_core::policy::{
    BackoffSettings, LivenessSettings, OutboxSettings, SessionPolicy, SessionSettings,
};
use steadfast_machine::Seed;
use tokio::sync::{Notify, mpsc, watch};

use crate::client::Client;
use crate::clock::Clock;
use crate::connector::{Connector, StageLimits};
use crate::dial_limit::DialLimit;
use crate::driver::{Driver, Parts};
use crate::endpoint::Endpoint;
use crate::error::BuildError;
use crate::events::Events;

/// Requests of handles that wait for the driver.
const COMMANDS_MAX: usize = 4_096;
/// The longest message that a server may send: 16 MiB, far above what a gateway sends by default.
const MESSAGE_BYTES_MAX: u32 = 16 << 20;

/// The documented defaults.
pub mod defaults {
    use super::{BackoffSettings, Duration, LivenessSettings, OutboxSettings};

    /// 10 s for a whole attempt: name, TCP, TLS, upgrade, and the server's answer to the connect command.
    pub const ATTEMPT_DEADLINE: Duration = Duration::from_secs(10);
    /// 120 s: a session that is away for longer is called degraded.
    pub const SESSION_TTL: Duration = Duration::from_mins(2);
    /// 5 s from the close frame to the end.
    pub const CLOSE_DEADLINE: Duration = Duration::from_secs(5);
    /// 5 s for what is queued when the last handle is dropped.
    pub const DRAIN: Duration = Duration::from_secs(5);
    /// 10 s for a call.
    pub const CALL_DEADLINE: Duration = Duration::from_secs(10);
    /// 32 transports that a process opens at a time, over all its clients.
    pub const DIALS_MAX: usize = 32;
    /// Up to 20 ms before a dial that had to wait, so that a process opens no more than about 3,200 transports a second
    /// once it has to wait.
    pub const DIAL_JITTER: Duration = Duration::from_millis(20);
    /// 1,024 calls that wait or are unanswered.
    pub const CALLS_MAX: usize = 1_024;
    /// 128 subscriptions, what servers allow a client by default.
    pub const SUBSCRIPTIONS_MAX: usize = 128;
    /// 1,024 items of a subscription that may wait for the application.
    pub const BUFFER_LEN_MAX: usize = 1_024;

    /// 50 ms + U(0, 250 ms doubling up to 30 s), without a limit on attempts. Within a second after a connection that
    /// had lived for 10 s, within 5 s when the server said that it goes away. Full jitter drains a herd of clients
    /// fastest at the smallest peak.
    pub const BACKOFF: BackoffSettings = BackoffSettings {
        floor: Duration::from_millis(50),
        base: Duration::from_millis(250),
        cap: Duration::from_secs(30),
        first_delay_max: Duration::from_secs(1),
        going_away_jitter: Duration::from_secs(5),
        stable_after: Duration::from_secs(10),
        retry_after_max: Duration::from_mins(5),
        attempts_max: None,
    };

    /// A probe after 15 s of silence, the verdict 10 s later: a dead peer is noticed within 25 s, which is below the
    /// 60 s after which proxies cut idle connections.
    pub const LIVENESS: LivenessSettings = LivenessSettings {
        ping_after_idle: Duration::from_secs(15),
        pong_timeout: Duration::from_secs(10),
        write_timeout: Duration::from_secs(10),
        clock_jump_grace: Duration::from_secs(2),
    };

    /// For links that are never idle for long and users who wait: noticed within 5 s.
    pub const LIVENESS_FAST: LivenessSettings = LivenessSettings {
        ping_after_idle: Duration::from_secs(3),
        pong_timeout: Duration::from_secs(2),
        write_timeout: Duration::from_secs(5),
        clock_jump_grace: Duration::from_secs(1),
    };

    /// 1,024 publications and 8 MiB, 64 unanswered at a time, of one channel as well. The gateway remembers keys for two
    /// minutes, counted from when it stored them; a repeat must arrive before that, so what was sent 90 s ago is not sent
    /// again. What a living server does not answer is sent again after 10 s, 30 s and 70 s.
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

/// Makes a [`Client`] and its [`Driver`].
#[derive(Clone, Debug)]
pub struct Builder {
    endpoints: Vec<Endpoint>,
    settings: SessionSettings,
    stages: StageLimits,
    dial_limit: DialLimit,
    fields: Vec<(String, String)>,
    #[cfg(feature = "tls")]
    authorities: Vec<u8>,
    seed: Option<u64>,
}

impl Builder {
    pub(crate) fn new(url: &str) -> Result<Self, BuildError> {
        Ok(Self {
            endpoints: vec![url.parse()?],
            settings: SessionSettings {
                endpoints: 1,
                name: "steadfast".to_owned(),
                token: String::new(),
                data: None,
                connect_timeout: defaults::ATTEMPT_DEADLINE,
                degraded_after: defaults::SESSION_TTL,
                close_timeout: defaults::CLOSE_DEADLINE,
                calls_max: defaults::CALLS_MAX,
                subscriptions_max: defaults::SUBSCRIPTIONS_MAX,
                backoff: defaults::BACKOFF,
                liveness: defaults::LIVENESS,
                outbox: defaults::OUTBOX,
            },
            stages: StageLimits::DEFAULT,
            dial_limit: DialLimit::of_process(),
            fields: Vec::new(),
            #[cfg(feature = "tls")]
            authorities: Vec::new(),
            seed: None,
        })
    }

    /// Adds another server that is tried when the ones before do not answer.
    ///
    /// # Errors
    ///
    /// When it is no address.
    pub fn or(mut self, url: &str) -> Result<Self, BuildError> {
        self.endpoints.push(url.parse()?);
        Ok(self)
    }

    /// The name by which the client introduces itself, at most 16 bytes; `steadfast` by default.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.settings.name);
        self
    }

    /// The connection token.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.settings.token);
        self
    }

    /// Application data that the server is told with each connect command.
    ///
    /// # Errors
    ///
    /// When it cannot be written as JSON.
    pub fn data(mut self, data: &impl Serialize) -> Result<Self, BuildError> {
        self.settings.data = Some(Bytes::from(serde_json::to_vec(data)?));
        Ok(self)
    }

    /// A field of the HTTP request that opens a connection, for example an authorisation.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Trusts the authorities of this PEM text beside those of the system, for servers with certificates of an authority
    /// of their own. May be called more than once.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn trust(mut self, pem: &[u8]) -> Self {
        self.authorities.extend_from_slice(pem);
        self.authorities.push(b'\n');
        self
    }

    /// When the next attempt comes; [`defaults::BACKOFF`] by default.
    #[must_use]
    pub const fn backoff(mut self, backoff: BackoffSettings) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// When a silent peer is given up; [`defaults::LIVENESS`] by default.
    #[must_use]
    pub const fn liveness(mut self, liveness: LivenessSettings) -> Self {
        self.settings.liveness = liveness;
        self
    }

    /// What may wait to be published; [`defaults::OUTBOX`] by default.
    #[must_use]
    pub const fn outbox(mut self, outbox: OutboxSettings) -> Self {
        self.settings.outbox = outbox;
        self
    }

    /// How long a whole attempt may take; [`defaults::ATTEMPT_DEADLINE`] by default.
    #[must_use]
    pub const fn connect_timeout(mut self, deadline: Duration) -> Self {
        self.settings.connect_timeout = deadline;
        self
    }

    /// Whom this client shares a limit on dials with; [`DialLimit::of_process`] by default.
    #[must_use]
    pub fn dial_limit(mut self, limit: DialLimit) -> Self {
        self.dial_limit = limit;
        self
    }

    /// Draws all jitter from this number, so that a run can be repeated; from the system by default.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The handle, and the future that does the work: spawn it, or poll it yourself.
    ///
    /// # Errors
    ///
    /// When a setting cannot be used.
    pub fn build(self) -> Result<(Client, Driver), BuildError> {
        let connector = Connector::new(self.stages, self.fields.clone(), MESSAGE_BYTES_MAX);
        #[cfg(feature = "tls")]
        let connector = self.trusting(connector)?;
        let mut settings = self.settings;
        settings.endpoints = self.endpoints.len();
        let policy = SessionPolicy::new(settings)?;
        let seed = self.seed.map_or_else(random_u64, Ok)?;
        let clock = Clock::start();
        let session = Session::new(policy, Seed::new(seed), clock.now());
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (publish_state, state) = watch::channel(session.snapshot().clone());
        let events = Events::default();
        let wake = Arc::new(Notify::new());
        let client = Client {
            commands,
            state,
            events: events.clone(),
            wake: Arc::clone(&wake),
            clock,
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
        });
        Ok((client, driver))
    }

    #[cfg(feature = "tls")]
    fn trusting(&self, connector: Connector) -> Result<Connector, BuildError> {
        if self.authorities.is_empty() {
            return Ok(connector);
        }
        let trusting = connector.trusting(&self.authorities);
        trusting.ok_or(BuildError::Certificate)
    }
}

fn random_u64() -> Result<u64, BuildError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_why| BuildError::Randomness)?;
    Ok(u64::from_le_bytes(bytes))
}
