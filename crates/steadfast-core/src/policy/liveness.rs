//! The settings of heartbeats and of failure detection.

use std::time::Duration;

use super::setters::setters;
use super::{Rule, SessionSetting, above_zero};

/// When the client pings the server, and when it gives up the connection. Any received byte proves that the server is
/// alive; only the pong to a ping, or the reply to a request, proves that it receives what is sent.
///
/// A dead connection is detected within `ping_after_idle + pong_timeout` of the last byte, and within
/// `ping_after_request + pong_timeout` of a request in flight. As soon as eight round trips are known, the second bound
/// is adaptive: `ping_after_request + pong_timeout_min` on a connection whose round trips are short. A connection over
/// which data arrives and nothing is received by the server is detected within `ping_after_idle + pong_timeout` of the
/// last proof, and what 128 kbit/s take for the bytes in front of the pong: those sent before the ping, and those
/// received since.
///
/// A server is never given up if it sends its pong within `pong_timeout` of each ping, and some byte within
/// `ping_after_request + pong_timeout_min` of each request.
///
/// ```
/// use std::time::Duration;
/// use steadfast_core::policy::LivenessSettings;
///
/// let liveness = LivenessSettings::new(Duration::from_secs(15), Duration::from_secs(10))
///     .write_timeout(Duration::from_secs(5));
/// assert_eq!(liveness.pong_timeout, Duration::from_secs(10));
/// assert_eq!(liveness.write_timeout, Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LivenessSettings {
    /// The time without a byte, pong or reply before a ping; above zero.
    pub ping_after_idle: Duration,
    /// From the first ping until the connection is given up; above zero. With a request in flight, the longest such
    /// time, and the limit of a measured round trip.
    pub pong_timeout: Duration,
    /// From a publication or call, or the last byte after it, to a ping if nothing is received; above zero. Four times
    /// the smoothed round-trip time if that is longer, and never later than `ping_after_idle`.
    pub ping_after_request: Duration,
    /// The shortest time from that ping until the connection is given up; above zero, at most `pong_timeout`. The time
    /// itself is the smoothed round-trip time and four times its variation (RFC 6298), and what 128 kbit/s take for
    /// the bytes before the ping that the server may not have received.
    pub pong_timeout_min: Duration,
    /// The longest time without write progress before the connection is given up; above zero.
    pub write_timeout: Duration,
    /// Additional time for the peer if this process handled a deadline late, for example after a suspension.
    pub clock_jump_grace: Duration,
}

impl LivenessSettings {
    /// A ping after this idle time, and this long for the pong. A request in flight changes neither, `write_timeout` is
    /// as long as `pong_timeout`, and there is no `clock_jump_grace`.
    pub const fn new(ping_after_idle: Duration, pong_timeout: Duration) -> Self {
        Self {
            ping_after_idle,
            pong_timeout,
            ping_after_request: ping_after_idle,
            pong_timeout_min: pong_timeout,
            write_timeout: pong_timeout,
            clock_jump_grace: Duration::ZERO,
        }
    }

    pub(super) fn rules(&self) -> [Rule; 6] {
        [
            above_zero(SessionSetting::LivenessPingAfterIdle, self.ping_after_idle),
            above_zero(SessionSetting::LivenessPongTimeout, self.pong_timeout),
            above_zero(
                SessionSetting::LivenessPingAfterRequest,
                self.ping_after_request,
            ),
            above_zero(
                SessionSetting::LivenessPongTimeoutMin,
                self.pong_timeout_min,
            ),
            (
                self.pong_timeout_min <= self.pong_timeout,
                SessionSetting::LivenessPongTimeoutMin,
                "must not be above liveness.pong_timeout",
            ),
            above_zero(SessionSetting::LivenessWriteTimeout, self.write_timeout),
        ]
    }
}

setters!(LivenessSettings {
    ping_after_idle: Duration,
    pong_timeout: Duration,
    ping_after_request: Duration,
    pong_timeout_min: Duration,
    write_timeout: Duration,
    clock_jump_grace: Duration,
});
