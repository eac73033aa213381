//! The settings of publications that are queued or in flight.

use std::time::Duration;

use super::setters::setters;
use super::{ABOVE_ZERO, Rule, SessionSetting, above_zero};

/// Limits and timeouts of publications.
///
/// ```
/// use std::time::Duration;
/// use steadfast_core::policy::OutboxSettings;
///
/// let outbox = OutboxSettings::new(1_000, 1 << 20, Duration::from_secs(10))
///     .resend_window(Duration::from_secs(90));
/// assert_eq!(outbox.messages_max, 1_000);
/// assert_eq!(outbox.resend_window, Duration::from_secs(90));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxSettings {
    /// The maximum number of publications, queued and in flight; above zero.
    pub messages_max: usize,
    /// The maximum number of bytes of their payloads; above zero.
    pub bytes_max: usize,
    /// The maximum number of publications in flight; above zero.
    pub in_flight_max: usize,
    /// The maximum number of publications in flight in one channel; above zero. With 1 the order of a channel always
    /// holds, at the cost of a round trip for each publication. With more, publications that were in flight when the
    /// server temporarily rejects one may be stored before it.
    pub channel_in_flight_max: usize,
    /// How long a connected server may take to acknowledge a publication; above zero. Afterwards it is resent with its
    /// key, with twice the timeout. While the socket does not accept all bytes the timeout restarts: a resend would
    /// only be queued after the first.
    pub ack_timeout: Duration,
    /// A publication is not resent after this time. Shorter than the server's deduplication window, by the time that a
    /// message may be in flight: a resend that arrives after the server has forgotten the key is applied a second time.
    pub resend_window: Duration,
    /// The pause of a channel after the server temporarily rejected a publication; above zero. Doubles with each
    /// consecutive rejection, up to 20 s, and is extended by up to a quarter.
    pub retry_after: Duration,
}

impl OutboxSettings {
    /// At most this many publications and bytes, and this long for an acknowledgement. All publications may be in flight,
    /// one in each channel, so that the order always holds. None is resent: the `resend_window` is zero, since only the
    /// caller knows how long the server remembers keys. `retry_after` is as long as `ack_timeout`.
    pub const fn new(messages_max: usize, bytes_max: usize, ack_timeout: Duration) -> Self {
        Self {
            messages_max,
            bytes_max,
            in_flight_max: messages_max,
            channel_in_flight_max: 1,
            ack_timeout,
            resend_window: Duration::ZERO,
            retry_after: ack_timeout,
        }
    }

    pub(super) const fn rules(&self) -> [Rule; 6] {
        [
            (
                self.messages_max > 0,
                SessionSetting::OutboxMessagesMax,
                ABOVE_ZERO,
            ),
            (
                self.bytes_max > 0,
                SessionSetting::OutboxBytesMax,
                ABOVE_ZERO,
            ),
            (
                self.in_flight_max > 0,
                SessionSetting::OutboxInFlightMax,
                ABOVE_ZERO,
            ),
            (
                self.channel_in_flight_max > 0,
                SessionSetting::OutboxChannelInFlightMax,
                ABOVE_ZERO,
            ),
            above_zero(SessionSetting::OutboxAckTimeout, self.ack_timeout),
            above_zero(SessionSetting::OutboxRetryAfter, self.retry_after),
        ]
    }
}

setters!(OutboxSettings {
    messages_max: usize,
    bytes_max: usize,
    in_flight_max: usize,
    channel_in_flight_max: usize,
    ack_timeout: Duration,
    resend_window: Duration,
    retry_after: Duration,
});
