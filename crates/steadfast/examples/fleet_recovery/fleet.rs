//! A fleet that loses its server at one instant, and the server.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use steadfast::{
    BackoffRange, BackoffSettings, ConnectionErrorKind, DialErrorKind, DialStage, DisconnectCause,
    Instant, defaults,
};
use steadfast_core::io::DialFailure;
use steadfast_core::link::{Link, LinkOutput};
use steadfast_core::policy::{LinkPolicy, LinkSettings};
use steadfast_core::retry_advice::RetryAdvice;
use steadfast_machine::{Generator, Seed};

/// How a client waits between two attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The former default of this library: the range doubles with each failure.
    Doubling,
    /// The official SDKs: 500 ms and a random part of a range that doubles with each failure, at most 20 s in total.
    Sdk,
    /// The default of this library: a random part of half of the outage.
    Proportional,
}

impl Policy {
    pub(crate) const ALL: [Self; 3] = [Self::Doubling, Self::Sdk, Self::Proportional];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Doubling => "doubling with each failure, 0.25 to 30 s",
            Self::Sdk => "official SDKs, 0.5 to 20 s",
            Self::Proportional => "half of the outage, 1 to 20 s",
        }
    }

    fn settings(self) -> Option<BackoffSettings> {
        let doubling =
            BackoffRange::exponential(Duration::from_millis(250), 2, Duration::from_secs(30));
        match self {
            Self::Doubling => Some(defaults::BACKOFF.range(doubling)),
            Self::Proportional => Some(defaults::BACKOFF),
            Self::Sdk => None,
        }
    }
}

/// A server that is down until an instant, and then accepts a limited number of connections per tenth of a second. It
/// rejects all other attempts immediately.
#[derive(Debug)]
struct Server {
    heals_at: Instant,
    slot: u128,
    accepted_in_slot: u32,
    slot_max: u32,
}

impl Server {
    fn accepts(&mut self, now: Instant) -> bool {
        if now < self.heals_at {
            return false;
        }
        let slot = (now - self.heals_at).as_millis() / 100;
        if slot > self.slot {
            (self.slot, self.accepted_in_slot) = (slot, 0);
        }
        let is_accepted = self.accepted_in_slot < self.slot_max;
        self.accepted_in_slot += u32::from(is_accepted);
        is_accepted
    }
}

/// A client that has lost its connection.
#[derive(Debug)]
enum Client {
    Steadfast(Box<Link>),
    Sdk { generator: Generator, failures: u32 },
}

impl Client {
    /// A client that is connected since this instant.
    fn connected(policy: Policy, seed: Seed, since: Instant) -> Self {
        let Some(backoff) = policy.settings() else {
            return Self::Sdk {
                generator: seed.generator(),
                failures: 0,
            };
        };
        let settings = LinkSettings::new(
            defaults::CONNECT_TIMEOUT,
            defaults::ENDPOINTS,
            backoff,
            // The peer is silent for an hour.
            defaults::LIVENESS.ping_after_idle(Duration::from_hours(2)),
        );
        let policy = LinkPolicy::new(settings).expect("the settings are valid");
        let mut link = Link::new(&policy, seed, since);
        link.open(since);
        link.dialled(since, link.attempt());
        link.accepted(since, link.attempt());
        link.ready(since);
        Self::Steadfast(Box::new(link))
    }

    /// The connection is lost, or an attempt that began now was rejected. Returns the time of the next attempt.
    fn fails(&mut self, now: Instant) -> Instant {
        match self {
            Self::Sdk {
                generator,
                failures,
            } => {
                let (min, max) = (Duration::from_millis(500), Duration::from_secs(20));
                let range = max.min(min * 2_u32.pow((*failures).min(16)));
                *failures += 1;
                now + max.min(min + generator.between(Duration::ZERO, range))
            }
            Self::Steadfast(link) => {
                let attempt = link.attempt();
                let text = "the server is away".to_owned();
                if link.is_connected() {
                    let cause = DisconnectCause::ConnectionFailed {
                        kind: ConnectionErrorKind::Reset,
                        text,
                    };
                    link.lost(now, attempt, cause, RetryAdvice::RETRY);
                } else {
                    let failure = DialFailure {
                        stage: DialStage::Connect,
                        kind: DialErrorKind::Refused,
                        text,
                        is_local: false,
                        is_final: false,
                        retry_after: None,
                    };
                    link.dial_failed(now, attempt, failure);
                }
                // Nothing executes the outputs: each attempt begins with the tick that is due.
                while link.poll_output().is_some() {}
                let snapshot = link.snapshot();
                snapshot.next_attempt_at.expect("the link waits")
            }
        }
    }

    /// The time of an attempt is due.
    fn dials(&mut self, now: Instant) {
        if let Self::Steadfast(link) = self {
            link.tick(now);
            let mut outputs = std::iter::from_fn(|| link.poll_output());
            let has_dialled = outputs.any(|it| matches!(it, LinkOutput::Dial { .. }));
            assert!(has_dialled, "an attempt is due");
        }
    }
}

/// The connections of a fleet: the times after the outage, in order.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    connected_after: Vec<Duration>,
    attempts: u64,
}

impl Fleet {
    /// Simulates an outage. The server accepts a number of connections per second, or all.
    pub(crate) fn after(
        policy: Policy,
        outage: Duration,
        clients: usize,
        accepted_per_second: Option<u32>,
    ) -> Self {
        let connected_at = Instant::START + Duration::from_hours(1);
        let lost_at = connected_at + Duration::from_hours(1);
        let mut server = Server {
            heals_at: lost_at + outage,
            slot: 0,
            accepted_in_slot: 0,
            slot_max: accepted_per_second.map_or(u32::MAX, |count| count / 10),
        };
        let seeds = (0_u64..).take(clients);
        let mut clients: Vec<Client> = seeds
            .map(|seed| Client::connected(policy, Seed::new(seed), connected_at))
            .collect();
        let mut due: BinaryHeap<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(index, client)| Reverse((client.fails(lost_at), index)))
            .collect();
        let mut fleet = Self {
            connected_after: Vec::new(),
            attempts: 0,
        };
        while let Some(Reverse((now, index))) = due.pop() {
            let Some(client) = clients.get_mut(index) else {
                continue;
            };
            client.dials(now);
            fleet.attempts += 1;
            if server.accepts(now) {
                fleet.connected_after.push(now - server.heals_at);
            } else {
                due.push(Reverse((client.fails(now), index)));
            }
        }
        fleet
    }

    /// The time after which this share of the clients is connected, in percent.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let index = (self.connected_after.len() - 1) * percent / 100;
        self.connected_after.get(index).copied().unwrap_or_default()
    }

    pub(crate) fn attempts_per_client(&self) -> f64 {
        let clients = u32::try_from(self.connected_after.len()).expect("a fleet has fewer clients");
        let attempts = u32::try_from(self.attempts).expect("a fleet makes fewer attempts");
        f64::from(attempts) / f64::from(clients)
    }
}
