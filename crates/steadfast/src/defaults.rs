//! Default values of all settings. Constants of several settings are where an application begins; their setters change one
//! setting each:
//!
//! ```
//! use std::time::Duration;
//! use steadfast::defaults;
//!
//! # fn build() -> Result<(), steadfast::error::BuildError> {
//! let builder = steadfast::centrifuge::Client::builder("wss://example.org")?
//!     .backoff(defaults::BACKOFF.cap(Duration::from_secs(5)).attempts_max(100))
//!     .liveness(defaults::LIVENESS.ping_after_idle(Duration::from_secs(30)))
//!     .outbox(defaults::OUTBOX.messages_max(100));
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use steadfast_core::policy::{
    BackoffRange, BackoffSettings, EndpointsSettings, LivenessSettings, OutboxSettings,
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
/// 256 MiB for a message above this limit, which is discarded: more takes too long on most networks.
pub const SKIPPED_MESSAGE_BYTES_MAX: u32 = 256 << 20;
/// 1,024 calls that are pending or in flight.
pub const CALLS_MAX: usize = 1_024;
/// 128 subscriptions, the default limit of servers for a client.
pub const SUBSCRIPTIONS_MAX: usize = 128;
/// 1,024 events of a subscription that the application has not received yet.
pub const BUFFER_LEN_MAX: usize = 1_024;
/// 16 MiB of messages that the application has not received yet, in the inbox of a client of any WebSocket server.
pub const BUFFER_BYTES_MAX: usize = 16 << 20;

/// 50 ms + U(0, half of the time without a connection, at least 1 s and at most 20 s), without a limit on attempts;
/// the first delay is at most 2 s after the server announced that it is going away, so that a user is back within 3 s
/// of an ordinary restart. A client is back at the latest half of the outage after it, see [`BackoffSettings`]. Full jitter resolves a thundering herd in the shortest time
/// with the lowest peak.
///
/// ```
/// use std::time::Duration;
/// use steadfast::{BackoffRange, defaults};
///
/// // At most 5 s instead of 20 s, and the session fails after 100 consecutive failed attempts.
/// let patient = defaults::BACKOFF.cap(Duration::from_secs(5)).attempts_max(100);
/// // Delays that double with each failure.
/// let second = Duration::from_secs(1);
/// let doubling = defaults::BACKOFF.range(BackoffRange::exponential(second, 2, 30 * second));
/// ```
pub const BACKOFF: BackoffSettings = BackoffSettings::new(BackoffRange::proportional(
    50,
    Duration::from_secs(1),
    Duration::from_secs(20),
))
.floor(Duration::from_millis(50))
.going_away_jitter(Duration::from_secs(2))
.stable_after(Duration::from_secs(10))
.retry_after_max(Duration::from_mins(5));

/// At most 16 endpoints. One that failed is tried after the others for 5 to 15 min, so that the clients of a server
/// that is available again do not return at one instant. The loss of a connection that lasted 10 s is no failure.
/// There is no failback: a session stays at a fallback endpoint until its connection is lost, or
/// [`Client::migrate`](crate::Client::migrate) moves it. With [`EndpointLogs::Independent`](crate::EndpointLogs), a
/// failback costs a gap in each subscription.
///
/// ```
/// use std::time::Duration;
/// use steadfast::{FailbackSettings, defaults};
///
/// let endpoints = defaults::ENDPOINTS
///     .hold_down(Duration::from_mins(1))
///     .failback(FailbackSettings::new(Duration::from_mins(30)));
/// ```
pub const ENDPOINTS: EndpointsSettings =
    EndpointsSettings::new(16, Duration::from_secs(10), Duration::from_mins(5))
        .hold_down_jitter(Duration::from_mins(10));

/// A ping after 15 s without received data, and the connection is dropped 10 s later: a dead peer is detected
/// within 25 s, which is below the 60 s after which proxies close idle connections. While a publication or call is
/// in flight, a dead peer is detected within 12 s, or about 4 s once eight round trips are known and these are short.
/// A server that sends something at least every 4 s is never dropped.
///
/// ```
/// use std::time::Duration;
/// use steadfast::defaults;
///
/// // Half as many pings on an idle connection; a dead peer is detected within 40 s.
/// let liveness = defaults::LIVENESS.ping_after_idle(Duration::from_secs(30));
/// ```
pub const LIVENESS: LivenessSettings =
    LivenessSettings::new(Duration::from_secs(15), Duration::from_secs(10))
        .ping_after_request(Duration::from_secs(2))
        .pong_timeout_min(Duration::from_secs(2))
        .clock_jump_grace(Duration::from_secs(2));

/// For interactive applications on connections with frequent traffic: a dead peer is detected within 5 s, or 4 s
/// while a publication or call is in flight.
pub const LIVENESS_FAST: LivenessSettings =
    LivenessSettings::new(Duration::from_secs(3), Duration::from_secs(2))
        .ping_after_request(Duration::from_secs(2))
        .write_timeout(Duration::from_secs(5))
        .clock_jump_grace(Duration::from_secs(1));

/// 1,024 publications and 8 MiB; up to 64 publications are in flight, also for a single channel. The gateway
/// remembers idempotency keys for two minutes after storing them. A resent publication must arrive within this
/// time, so no publication is resent later than 90 s after it was first sent. On an open connection, a publication
/// without a reply is resent after 10 s, 30 s and 70 s.
///
/// ```
/// use steadfast::defaults;
///
/// // At most 100 publications, and the order of each channel always holds.
/// let outbox = defaults::OUTBOX.messages_max(100).channel_in_flight_max(1);
/// ```
pub const OUTBOX: OutboxSettings = OutboxSettings::new(1_024, 8 << 20, Duration::from_secs(10))
    .in_flight_max(64)
    .channel_in_flight_max(64)
    .resend_window(Duration::from_secs(90))
    .retry_after(Duration::from_millis(500));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_without_a_setter_have_the_documented_values() {
        let secs = Duration::from_secs;
        assert_eq!(BACKOFF.attempts_max, None);
        assert_eq!(ENDPOINTS.failback, None);
        assert_eq!(LIVENESS.write_timeout, secs(10));
        assert_eq!(LIVENESS_FAST.pong_timeout_min, secs(2));
        let detection = |it: LivenessSettings| it.ping_after_idle + it.pong_timeout;
        assert_eq!(
            [LIVENESS, LIVENESS_FAST].map(detection),
            [secs(25), secs(5)]
        );
    }
}
