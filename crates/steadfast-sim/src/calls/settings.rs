//! The settings of a run, which its seed determines.

use std::time::Duration;

use steadfast_core::dialect::jsonrpc::{JsonRpc, JsonRpcSettings};
use steadfast_core::dialect::truenas::{
    LOGIN_MESSAGE_BYTES_MAX, TOO_MANY_CALLS, TrueNasLogin, is_unauthenticated,
};
use steadfast_core::io::CredentialsSource;
use steadfast_core::policy::{
    BackoffRange, BackoffSettings, EndpointsSettings, LinkSettings, LivenessSettings,
    OutboxSettings, SessionPolicy, SessionSettings,
};
use steadfast_core::secret::Secret;
use steadfast_faults::link::LinkFault;
use steadfast_machine::Generator;

use super::planted_bug::PlantedBug;
use crate::settings::link_faults;

/// The largest request that a client sends, in bytes.
pub(super) const REQUEST_BYTES_MAX: usize = 2_048;
/// The largest message that a client keeps, in bytes.
pub(super) const RECEIVED_BYTES_MAX: usize = 4_096;
/// The largest number of pending calls of a session.
const CALLS_MAX: usize = 24;

/// The protocol of all sessions: the settings with which the library connects to a TrueNAS.
pub(super) fn dialect() -> JsonRpc {
    let settings = JsonRpcSettings::new(REQUEST_BYTES_MAX)
        .login_message_bytes_max(LOGIN_MESSAGE_BYTES_MAX)
        .unauthenticated(is_unauthenticated)
        .too_many_calls(TOO_MANY_CALLS)
        .login(TrueNasLogin::api_key("admin"));
    JsonRpc::new(settings).expect("the settings are in range")
}

/// The API key of all sessions.
pub(super) fn credentials() -> CredentialsSource {
    CredentialsSource::Fixed(Secret::new("1-key".to_owned()))
}

/// The settings of a run.
#[derive(Clone, Debug)]
pub(super) struct RunSettings {
    pub(super) sessions: Vec<SessionParameters>,
    pub(super) server: ServerSettings,
    /// The sessions are in one process and share its limit on logins; otherwise each has a process, and an address.
    pub(super) is_one_process: bool,
    /// Faults begin before this time.
    pub(super) fault_time: Duration,
    pub(super) link_faults: Vec<LinkFault>,
    /// Connections that the network closes or resets.
    pub(super) connection_losses: u64,
    pub(super) kills: u64,
    pub(super) suspensions: u64,
    /// How often the server forgets all sessions.
    pub(super) expirations: u64,
    /// How often the server closes all connections.
    pub(super) terminations: u64,
    /// How often applications replace an open connection.
    pub(super) migrations: u64,
}

/// How the server of a run works.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerSettings {
    /// Calls of a connection that run or wait; a further one is rejected.
    pub(super) calls_max: usize,
    /// The longest message after the login, in bytes; in some runs below the limit of the client.
    pub(super) message_bytes_max: usize,
    /// Whether the end of a connection cancels its calls; otherwise they are executed later.
    pub(super) cancels_calls: bool,
    /// The longest time from the receipt of a call to its execution, for most calls and for slow ones.
    pub(super) call_time: Duration,
    pub(super) slow_call_time: Duration,
    /// The longest time from the execution of a call to its reply.
    pub(super) reply_time: Duration,
}

/// A session and its application.
#[derive(Clone, Debug)]
pub(super) struct SessionParameters {
    settings: SessionSettings,
    /// The longest time between two calls.
    pub(super) call_interval_max: Duration,
}

impl RunSettings {
    pub(super) fn draw(generator: &mut Generator) -> Self {
        let sessions = 1 + generator.below_len(3);
        // In some runs connections are lost so often that the limit on logins matters.
        let is_flapping = generator.chance(1, 8);
        let losses = if is_flapping { 60 } else { 4 };
        let faults = 1 + generator.below(6);
        Self {
            sessions: (0..sessions)
                .map(|_| SessionParameters::draw(generator))
                .collect(),
            server: ServerSettings::draw(generator),
            is_one_process: generator.chance(1, 2),
            fault_time: generator.between(Duration::from_secs(30), Duration::from_mins(2)),
            link_faults: (0..faults).map(|_| link_faults::draw(generator)).collect(),
            connection_losses: losses / 2 + generator.below(losses),
            kills: generator.below(4),
            suspensions: generator.below(3),
            expirations: generator.below(4),
            terminations: generator.below(2),
            migrations: generator.below(4),
        }
    }
}

impl ServerSettings {
    fn draw(generator: &mut Generator) -> Self {
        let millis = Duration::from_millis;
        Self {
            calls_max: 2 + generator.below_len(19),
            message_bytes_max: if generator.chance(1, 4) {
                REQUEST_BYTES_MAX / 2
            } else {
                REQUEST_BYTES_MAX
            },
            cancels_calls: generator.chance(1, 2),
            call_time: generator.between(millis(1), millis(50)),
            slow_call_time: generator.between(millis(500), millis(4_000)),
            reply_time: generator.between(millis(0), millis(300)),
        }
    }
}

impl SessionParameters {
    fn draw(generator: &mut Generator) -> Self {
        let millis = Duration::from_millis;
        let ping_after_idle = generator.between(millis(1_000), millis(3_000));
        let pong_timeout = generator.between(millis(500), millis(2_000));
        let liveness = LivenessSettings::new(ping_after_idle, pong_timeout)
            .ping_after_request(millis(500))
            .pong_timeout_min(millis(500))
            .write_timeout(generator.between(millis(500), millis(2_000)))
            .clock_jump_grace(millis(500));
        let (min, max) = (
            generator.between(millis(100), millis(250)),
            generator.between(millis(1_000), millis(3_000)),
        );
        let backoff = BackoffSettings::new(BackoffRange::proportional(50, min, max))
            .floor(millis(20))
            .going_away_jitter(millis(500))
            .stable_after(millis(1_000))
            .retry_after_max(millis(60_000));
        let endpoints = EndpointsSettings::new(1, millis(1_000), millis(1_000));
        let connect_timeout = generator.between(millis(1_000), millis(3_000));
        let link = LinkSettings::new(connect_timeout, endpoints, backoff, liveness)
            .degraded_after(millis(30_000))
            .close_timeout(millis(1_000));
        let in_flight_max = match generator.below(4) {
            0 => 1 + generator.below_len(3),
            _ => 4 + generator.below_len(17),
        };
        let outbox = OutboxSettings::new(4, 64 << 10, millis(2_000));
        Self {
            settings: SessionSettings::new(link, outbox)
                .calls_max(CALLS_MAX)
                .calls_in_flight_max(in_flight_max),
            call_interval_max: generator.between(millis(50), millis(400)),
        }
    }

    /// Returns the policy of the session.
    pub(super) fn policy(&self, planted_bug: Option<PlantedBug>) -> SessionPolicy {
        let mut settings = self.settings.clone();
        if planted_bug == Some(PlantedBug::NoLiveness) {
            let never = Duration::from_hours(24);
            settings.link.liveness = LivenessSettings::new(never, never)
                .write_timeout(never)
                .clock_jump_grace(never);
        }
        SessionPolicy::new(settings).expect("the drawn settings are in range")
    }
}
