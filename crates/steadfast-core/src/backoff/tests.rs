//! Fleets in virtual time: when clients are connected again after an outage, and how many attempts a server receives.
//!
//! The server is a model; each client is the real [`Backoff`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use steadfast_machine::{Instant, Seed, convert};

use super::{Backoff, BackoffReason};
use crate::policy::{BackoffRange, BackoffSettings};

const REJECTED: BackoffReason = BackoffReason::AttemptFailed { retry_after: None };

/// The outages that the tests measure.
const OUTAGES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(30),
    Duration::from_mins(10),
];

/// The defaults of the client library.
const SETTINGS: BackoffSettings = BackoffSettings {
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

/// A server that is down until an instant, and then accepts a limited number of connections per slot of time. It
/// rejects all other attempts immediately.
struct Server {
    heals_at: Instant,
    slot: u128,
    accepted_in_slot: u32,
    /// The largest number of connections that are accepted per slot.
    slot_max: u32,
}

impl Server {
    const SLOTS_PER_SECOND: u32 = 10;

    const fn new(heals_at: Instant, accepted_per_second: u32) -> Self {
        Self {
            heals_at,
            slot: 0,
            accepted_in_slot: 0,
            slot_max: accepted_per_second / Self::SLOTS_PER_SECOND,
        }
    }

    fn accepts(&mut self, now: Instant) -> bool {
        if now < self.heals_at {
            return false;
        }
        let slots = (now - self.heals_at) * Self::SLOTS_PER_SECOND;
        let slot = u128::from(slots.as_secs());
        if slot > self.slot {
            self.slot = slot;
            self.accepted_in_slot = 0;
        }
        let is_accepted = self.accepted_in_slot < self.slot_max;
        self.accepted_in_slot += u32::from(is_accepted);
        is_accepted
    }
}

/// The connections of a fleet that was disconnected at one instant: the times after the outage, in order.
struct Fleet {
    connected_after: Vec<Duration>,
}

impl Fleet {
    fn after(outage: Duration, clients: u64, accepted_per_second: u32) -> Self {
        let lost_at = Instant::START + Duration::from_hours(1);
        let mut server = Server::new(lost_at + outage, accepted_per_second);
        let mut clients: Vec<Backoff> = (0..clients)
            .map(|seed| Backoff::new(SETTINGS, Seed::new(seed)))
            .collect();
        let mut attempts = BinaryHeap::new();
        for (index, backoff) in clients.iter_mut().enumerate() {
            backoff.disconnected(lost_at, Duration::from_hours(1));
            let delay = backoff.next(BackoffReason::ConnectionLost, lost_at);
            attempts.push(Reverse((lost_at + delay, index)));
        }
        let mut connected_after = Vec::new();
        while let Some(Reverse((now, index))) = attempts.pop() {
            if server.accepts(now) {
                connected_after.push(now - server.heals_at);
            } else {
                let delay = clients[index].next(REJECTED, now);
                attempts.push(Reverse((now + delay, index)));
            }
        }
        Self { connected_after }
    }

    /// The time after which this share of the clients is connected, in percent.
    fn percentile(&self, percent: usize) -> Duration {
        self.connected_after[(self.connected_after.len() - 1) * percent / 100]
    }
}

#[test]
fn clients_are_back_soon_after_short_outages_and_within_20_seconds_after_long_ones() {
    for (outage, p99_ms) in OUTAGES.into_iter().zip([1_200, 1_600, 15_000, 20_000]) {
        let fleet = Fleet::after(outage, 1_000, u32::MAX);

        let p99 = fleet.percentile(99);
        assert!(p99 <= Duration::from_millis(p99_ms), "{outage:?}: {p99:?}");
    }
}

#[test]
fn a_thundering_herd_drains_nearly_as_fast_as_its_server_accepts() {
    const CLIENTS: u64 = 10_000;
    const PER_SECOND: u32 = 500;
    let ideal = Duration::from_secs(CLIENTS / u64::from(PER_SECOND));
    // Percent of the ideal time, of 99 % of the clients and of all.
    let bounds = [(140, 140), (140, 140), (145, 175), (145, 175)];

    for (outage, (p99_max, all_max)) in OUTAGES.into_iter().zip(bounds) {
        let fleet = Fleet::after(outage, CLIENTS, PER_SECOND);

        let (p99, all) = (fleet.percentile(99), fleet.percentile(100));
        assert_eq!(convert::to_u64(fleet.connected_after.len()), CLIENTS);
        assert!(p99 <= ideal * p99_max / 100, "{outage:?}: {p99:?}");
        assert!(all <= ideal * all_max / 100, "{outage:?}: {all:?}");
    }
}

/// The number of connections within 10 minutes to a server that accepts each attempt, and drops the connection after a
/// time: the mean over many clients.
fn connections_while_flapping(settings: BackoffSettings, lived: Duration) -> u64 {
    const CLIENTS: u64 = 200;
    let mut connections = 0;
    for seed in 0..CLIENTS {
        let mut backoff = Backoff::new(settings, Seed::new(seed));
        let end = Instant::START + Duration::from_mins(10);
        let mut now = Instant::START;
        backoff.opened(now);
        while now < end {
            connections += 1;
            backoff.connected(now);
            now = now + lived;
            backoff.disconnected(now, lived);
            now = now + backoff.next(BackoffReason::ConnectionLost, now);
        }
    }
    connections / CLIENTS
}

#[test]
fn a_server_that_accepts_and_drops_connections_is_not_flooded_with_attempts() {
    for (lived_seconds, connections_max) in [(0, 80), (1, 80), (5, 115)] {
        let lived = Duration::from_secs(lived_seconds);

        let connections = connections_while_flapping(SETTINGS, lived);

        assert!(connections <= connections_max, "{lived:?}: {connections}");
    }
}

#[test]
fn an_outage_is_compensated_for_by_the_time_that_connections_last() {
    let mut backoff = Backoff::new(SETTINGS, Seed::new(1));
    let start = Instant::START;
    backoff.opened(start);
    backoff.connected(start + Duration::from_secs(16));
    let mut now = start + Duration::from_secs(16);

    // 16 s, then halves each 10 s and decreases linearly within them.
    for (stable_seconds, range_ms) in [(0, 8_000), (5, 6_000), (15, 2_250), (10, 1_125)] {
        now = now + Duration::from_secs(stable_seconds);
        backoff.disconnected(now, Duration::from_secs(stable_seconds));
        assert_eq!(backoff.range(now), Duration::from_millis(range_ms));
        backoff.connected(now);
    }
    // An outage of any length is forgotten after 90 s.
    let outage = now + Duration::from_hours(100);
    backoff.disconnected(now, Duration::ZERO);
    backoff.connected(outage);
    backoff.disconnected(outage, Duration::from_secs(90));
    assert_eq!(backoff.growth, Duration::ZERO);
}

#[test]
fn an_outage_that_contributes_as_much_as_the_floor_still_counts() {
    let floor = SETTINGS.floor;
    let none = BackoffReason::ServerGoingAway {
        retry_after: Some(Duration::ZERO),
    };
    // After one stable period half of the outage counts, and half of that is the range.
    let counted = floor * 4;
    let forgotten = counted.saturating_sub(Duration::from_nanos(4));
    for (outage, counts) in [(counted, true), (forgotten, false)] {
        let mut backoff = Backoff::new(SETTINGS, Seed::new(1));
        let connected_at = Instant::START + outage;
        backoff.opened(Instant::START);
        backoff.connected(connected_at);
        let lost_at = connected_at + SETTINGS.stable_after;
        backoff.disconnected(lost_at, SETTINGS.stable_after);

        assert_eq!(backoff.next(none, lost_at) >= floor, counts, "{outage:?}");
    }
}

#[test]
fn an_exponential_range_grows_with_failures_and_falls_with_stable_connections() {
    let settings = BackoffSettings {
        range: BackoffRange::Exponential {
            base: Duration::from_millis(250),
            factor: 3,
            cap: Duration::from_secs(5),
        },
        ..SETTINGS
    };
    let mut backoff = Backoff::new(settings, Seed::new(1));
    let now = Instant::START;
    for range_ms in [250, 750, 2_250, 5_000, 5_000] {
        assert_eq!(backoff.range(now), Duration::from_millis(range_ms));
        backoff.next(REJECTED, now);
    }
    backoff.disconnected(now, Duration::from_secs(10));
    assert_eq!(backoff.range(now), Duration::from_millis(2_500));
    backoff.disconnected(now, Duration::from_hours(1));
    assert_eq!(backoff.growth, Duration::ZERO);
    assert!(connections_while_flapping(settings, Duration::ZERO) <= 260);
}
