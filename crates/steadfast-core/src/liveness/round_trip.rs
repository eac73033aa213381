//! The smoothed round-trip time of a connection and its variation (RFC 6298, section 2).

use std::time::Duration;

/// Fewer samples do not determine a timeout: the variation of a connection is not known yet.
const SAMPLES_MIN: u32 = 8;

/// The estimate of one connection.
#[derive(Debug, Default)]
pub(super) struct RoundTrip {
    /// SRTT of the RFC; zero before the first sample.
    smoothed: Duration,
    /// RTTVAR of the RFC.
    variation: Duration,
    samples: u32,
}

impl RoundTrip {
    pub(super) fn record(&mut self, sample: Duration) {
        if self.samples == 0 {
            self.smoothed = sample;
            self.variation = sample / 2;
        } else {
            let deviation = self.smoothed.abs_diff(sample);
            self.variation = self.variation.saturating_sub(self.variation / 4) + deviation / 4;
            self.smoothed = self.smoothed.saturating_sub(self.smoothed / 8) + sample / 8;
        }
        self.samples = self.samples.saturating_add(1);
    }

    /// The smoothed round-trip time; zero before the first sample.
    pub(super) const fn smoothed(&self) -> Duration {
        self.smoothed
    }

    /// The time within which a reply is expected: the smoothed round-trip time and four times its variation.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let is_known = self.samples >= SAMPLES_MIN;
        is_known.then(|| {
            self.smoothed
                .saturating_add(self.variation.saturating_mul(4))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_estimate_follows_rfc_6298() {
        let mut round_trip = RoundTrip::default();

        round_trip.record(millis(800));
        assert_eq!(round_trip.smoothed(), millis(800));
        assert_eq!(round_trip.variation, millis(400));

        // RTTVAR = 3/4 * 400 + 1/4 * |800 - 1,600|, SRTT = 7/8 * 800 + 1/8 * 1,600.
        round_trip.record(millis(1_600));
        assert_eq!(round_trip.smoothed(), millis(900));
        assert_eq!(round_trip.variation, millis(500));
    }

    #[test]
    fn a_timeout_needs_eight_samples() {
        let mut round_trip = RoundTrip::default();
        for _ in 0..7 {
            round_trip.record(millis(100));
            assert_eq!(round_trip.timeout(), None);
        }
        for _ in 0..100 {
            round_trip.record(millis(100));
        }

        let timeout = round_trip.timeout().expect("enough samples");
        assert!(
            timeout >= millis(100) && timeout < millis(101),
            "{timeout:?}"
        );
    }
}
