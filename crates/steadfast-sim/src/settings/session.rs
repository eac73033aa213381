//! The parameters of a session of the client library and of its application, which the seed determines.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::{Centrifuge, CentrifugeSettings};
use steadfast_core::io::CredentialsSource;
use steadfast_core::policy::{
    BackoffRange, BackoffSettings, EndpointsSettings, FailbackSettings, LinkSettings,
    LivenessSettings, OutboxSettings, SessionPolicy, SessionSettings,
};
use steadfast_core::secret::Secret;
use steadfast_machine::Generator;
use steadfast_protocol::limits::Limits;

use crate::planted_bug::PlantedBug;

/// The largest number of pending calls of a session.
pub(crate) const CALLS_MAX: usize = 16;

/// The gateways of a run accept every client.
pub(crate) fn no_credentials() -> CredentialsSource {
    CredentialsSource::Fixed(Secret::default())
}

/// A hold-down ends during a run.
const ENDPOINTS: EndpointsSettings =
    EndpointsSettings::new(2, Duration::from_secs(1), Duration::from_secs(1))
        .hold_down_jitter(Duration::from_secs(2));

/// The protocol of all sessions.
pub(crate) fn centrifuge() -> Centrifuge {
    let settings = CentrifugeSettings::new("sim", Limits::MESSAGE_BYTES);
    Centrifuge::new(settings).expect("the settings are in range")
}

/// The parameters of a session and its application.
#[derive(Clone, Debug)]
pub(crate) struct SessionParameters {
    /// The settings that the checks use; a planted bug changes only the policy that is made from them.
    settings: SessionSettings,
    /// The largest number of events that are buffered for the application.
    pub(crate) buffer_len_max: usize,
    /// The longest time between two reads of the application.
    pub(crate) read_interval_max: Duration,
    /// Whether the application closes the session during the run, and reopens it.
    pub(crate) is_closed_during_run: bool,
    /// Whether the application requests joins and leaves.
    pub(crate) is_listener: bool,
}

/// In a quarter of the sessions, a range that grows with the number of failures.
fn backoff_range(generator: &mut Generator) -> BackoffRange {
    let millis = Duration::from_millis;
    let min = generator.between(millis(100), millis(250));
    let max = generator.between(millis(1_000), millis(3_000));
    if max < millis(1_500) {
        return BackoffRange::exponential(min, 2, max);
    }
    BackoffRange::proportional(50, min, max)
}

impl SessionParameters {
    pub(crate) fn draw(generator: &mut Generator, nodes: usize) -> Self {
        let millis = Duration::from_millis;
        let ping_after_idle = generator.between(millis(1_000), millis(3_000));
        let pong_timeout = generator.between(millis(500), millis(2_000));
        let liveness = LivenessSettings::new(ping_after_idle, pong_timeout)
            .ping_after_request(millis(500))
            .pong_timeout_min(millis(500))
            .write_timeout(generator.between(millis(500), millis(2_000)))
            .clock_jump_grace(millis(500));
        let backoff = BackoffSettings::new(backoff_range(generator))
            .floor(millis(20))
            .going_away_jitter(millis(500))
            .stable_after(millis(1_000))
            .retry_after_max(millis(5_000));
        // Small, so that a long outage fills the outbox.
        let messages_max = 4 << generator.below(6);
        let in_flight_max = 1 << generator.below(6);
        let outbox = OutboxSettings::new(messages_max, 64 << 10, millis(2_000))
            .in_flight_max(in_flight_max)
            // In half of the sessions, one publication of a channel at a time.
            .channel_in_flight_max(if messages_max < 32 { 1 } else { in_flight_max })
            // Longer than any run: the tests of the session itself cover the expiry of the window.
            .resend_window(millis(90_000))
            .retry_after(millis(100));
        let is_slow = generator.chance(1, 4);
        let connect_timeout = generator.between(millis(1_000), millis(3_000));
        let link = LinkSettings::new(connect_timeout, ENDPOINTS, backoff, liveness)
            // Each client prefers another node, see `Settings::node_of`.
            .priorities((0..).take(nodes).collect())
            .degraded_after(millis(30_000))
            .close_timeout(millis(1_000));
        Self {
            settings: SessionSettings::new(link, outbox)
                .calls_max(CALLS_MAX)
                .subscriptions_max(16),
            buffer_len_max: 4 << generator.below(5),
            read_interval_max: millis(if is_slow { 200 } else { 20 }),
            is_closed_during_run: generator.chance(1, 3),
            is_listener: generator.chance(1, 2),
        }
    }

    /// The session returns to the node that it prefers.
    pub(crate) const fn fail_back(&mut self, failback: FailbackSettings) {
        self.settings.link.endpoints.failback = Some(failback);
    }

    /// Whether the session returns to the node that it prefers.
    pub(crate) const fn has_failback(&self) -> bool {
        self.settings.link.endpoints.failback.is_some()
    }

    /// Returns the policy of the session.
    pub(crate) fn policy(&self, planted_bug: Option<PlantedBug>) -> SessionPolicy {
        let mut settings = self.settings.clone();
        if planted_bug == Some(PlantedBug::NoLiveness) {
            let never = Duration::from_hours(24);
            settings.link.liveness = LivenessSettings::new(never, never).clock_jump_grace(never);
        }
        if planted_bug == Some(PlantedBug::NoBackoff) {
            let shortest = Duration::from_millis(1);
            settings.link.backoff = settings
                .link
                .backoff
                .floor(shortest)
                .range(BackoffRange::proportional(50, shortest, shortest));
        }
        if planted_bug == Some(PlantedBug::SmallOutbox) {
            settings.outbox.messages_max /= 2;
        }
        SessionPolicy::new(settings).expect("the drawn settings are in range")
    }

    /// The longest time until the session detects a silent gateway.
    pub(crate) fn silence_max(&self) -> Duration {
        self.settings.link.liveness.ping_after_idle + self.settings.link.liveness.pong_timeout
    }

    /// The longest time of a connection attempt, successful or not.
    pub(crate) const fn attempt_time_max(&self) -> Duration {
        self.settings.link.connect_timeout
    }

    /// The longest time from the close frame until the session has ended.
    pub(crate) const fn close_time_max(&self) -> Duration {
        self.settings.link.close_timeout
    }

    /// The longest delay between two attempts at a gateway that sends no retry delay.
    pub(crate) fn reconnect_delay_max(&self) -> Duration {
        let backoff = &self.settings.link.backoff;
        let (BackoffRange::Proportional { max: longest, .. }
        | BackoffRange::Exponential { cap: longest, .. }) = backoff.range
        else {
            unreachable!("sessions have one of these ranges");
        };
        backoff.floor + longest.max(backoff.going_away_jitter)
    }

    /// The largest number of publications that are queued or in flight.
    pub(crate) const fn outbox_len_max(&self) -> usize {
        self.settings.outbox.messages_max
    }

    /// Whether at most one publication per channel is in flight.
    pub(crate) const fn is_sending_one_at_a_time(&self) -> bool {
        self.settings.outbox.channel_in_flight_max == 1
    }

    /// The largest total size in bytes of the publications that are queued or in flight.
    pub(crate) const fn outbox_bytes_max(&self) -> usize {
        self.settings.outbox.bytes_max
    }
}
